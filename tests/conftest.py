"""What several test files need."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

# A busy machine is no failure, and made-up examples are the same everywhere: what fails, fails again.
settings.register_profile("ostrack", deadline=None, derandomize=True)
settings.load_profile("ostrack")

TESTS = Path(__file__).resolve().parent
OUTSIDE = {"subprocess", "socket", "threading", "playwright", "browsing", "running_server", "mjpeg_camera", "blocks"}
"""What drives other processes, browsers and cameras."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where other programs take part, a busy machine gets one more try, which pytest tells of; nothing else does."""
    if not config.pluginmanager.hasplugin("rerunfailures"):
        return
    for item in items:
        module = getattr(item, "module", None)
        used = [
            value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", ""))
            for value in vars(module).values()
        ]
        if OUTSIDE & {name.partition(".")[0] for name in used}:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    """Numbers that torch draws where no test says which are the same in every run."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of material that lies beside the repository; OSTRACK_SHARED names another place."""
    folder = Path(os.environ.get("OSTRACK_SHARED", TESTS.parents[1] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder} (set OSTRACK_SHARED to the material beside the repository)")
    return folder


@pytest.fixture(scope="session")
def parity() -> Path:
    """Folder of the official code's numbers."""
    return TESTS / "data" / "parity"


@pytest.fixture(scope="session")
def primitives(parity: Path) -> dict[str, NDArray[np.generic]]:
    """Crops, maps, windows and losses of the official code."""
    safetensors = pytest.importorskip("safetensors.numpy")
    tensors: dict[str, NDArray[np.generic]] = safetensors.load_file(parity / "primitives.safetensors")
    return tensors


@pytest.fixture(scope="session")
def blob_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network that follows a rectangle of the template's colour on black, exactly; see blob_network."""
    pytest.importorskip("onnx")
    from blob_network import BLOB_CONFIG, write_blob_network

    return write_blob_network(tmp_path_factory.mktemp("networks") / "blob.onnx", BLOB_CONFIG)
