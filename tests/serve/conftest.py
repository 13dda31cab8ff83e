"""Servers to ask: the application in a thread of the test, behind real HTTP, with real working processes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_server import KEPT, PATIENCE_S

from moving_clips import write_clip
from ostrack.serve.app import create_app
from ostrack.serve.launch import bind, http_server
from ostrack.serve.settings import Limits, Settings

AppMaker = Callable[..., Any]

# As on a machine where tracking takes long: no test on what can be done meanwhile has to hurry.
SLOW_WORKER = """
import time
from ostrack.serve import following, worker
row_of = following.row_of
following.row_of = lambda *track: time.sleep(0.1) or row_of(*track)
worker.main()
"""


@contextmanager
def served(settings: Settings, **options: Any) -> Iterator[Any]:
    """A client of a server with these settings."""
    socket = bind("127.0.0.1", 0)
    server = http_server(create_app(settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        address = f"http://127.0.0.1:{socket.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=PATIENCE_S, limits=KEPT, **options) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def open_app(tmp_path: Path, blob_onnx: Path) -> Iterator[AppMaker]:
    """Make clients of servers; limits as a dict, other settings by keyword."""
    with ExitStack() as stack:

        def make(limits: dict[str, Any] | None = None, **settings: Any) -> Any:
            values: dict[str, Any] = {"data": tmp_path / "data", "network": str(blob_onnx), **settings}
            return stack.enter_context(served(Settings(**values, limits=Limits(**(limits or {})))))

        yield make


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, blob_onnx: Path) -> Iterator[Any]:
    """A client of one server for a whole file of tests."""
    with served(Settings(data=tmp_path_factory.mktemp("serve") / "data", network=str(blob_onnx))) as client:
        yield client


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of a moving rectangle, 160 x 120."""
    path = tmp_path_factory.mktemp("clips") / "short.mp4"
    write_clip(path, frames=12)
    return path


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand frames, which take a while."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    write_clip(path, frames=1000)
    return path


@pytest.fixture
def slow_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten frames a second and no more."""
    monkeypatch.setattr("ostrack.serve.runner.worker_command", lambda: [sys.executable, "-c", SLOW_WORKER])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for a whole file of tests."""
    from browsing import chromium

    with chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Make pages of visitors."""
    from browsing import visitors

    with visitors(browser) as make:
        yield make
