"""What the base package imports: nothing heavy before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ostrack


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded by a fresh interpreter that ran the code."""
    script = f"import sys\n{code}\nprint('|'.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    return set(done.stdout.strip().split("|"))


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = modules_after("import ostrack; ostrack.__version__")
    assert "ostrack" in loaded
    assert not loaded & {"torch", "numpy", "cv2", "av", "onnxruntime", "pydantic", "typer", "matplotlib", "fastapi"}


def test_tracking_needs_no_torch(blob_onnx: Path) -> None:
    loaded = modules_after(
        "import numpy as np, ostrack\n"
        f"tracker = ostrack.Tracker({str(blob_onnx)!r})\n"
        "frame = np.zeros((90, 90, 3), np.uint8)\n"
        "tracker.init(frame, (30, 30, 20, 20)); tracker.update(frame)"
    )
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "safetensors", "typer", "matplotlib"}


@pytest.mark.parametrize("name", ["Network", "Track", "Tracker", "annotate", "track"])
def test_public_names_load_on_use(name: str) -> None:
    assert name in dir(ostrack)
    assert callable(getattr(ostrack, name))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'ostrack' has no attribute 'Traker'"):
        ostrack.Traker  # noqa: B018  (the access is what is tested)


def imports(body: list[ast.stmt]) -> Iterator[str]:
    """Modules, and names of modules, that statements import when they are run."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield str(statement.module)
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from imports(getattr(statement, part, None) or [])


def test_the_oldest_python_that_is_promised_can_import_it() -> None:
    newer = {"tomllib", "importlib.resources.abc", "enum.StrEnum", "datetime.UTC", "itertools.batched"}
    newer |= {f"typing.{name}" for name in ("Self", "Never", "Unpack", "LiteralString", "assert_never", "override")}
    files = sorted(Path(ostrack.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 10))
        assert not newer & set(imports(tree.body)), f"{file}: newer than Python 3.10"
