"""Worker processes of the runner, and the process that began them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


_KILLED = """
import sys
sys.path[:0] = {paths!r}
from moving_sequences import toy_set
from ostrack.evaluate import TrackerSpec, run
if __name__ == "__main__":
    spec = TrackerSpec("contract_trackers:Asleep", (), ({here!r},))
    run(toy_set(4), spec, sys.argv[1], workers=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_began_them(number: int, tmp_path: Path) -> None:
    here = Path(__file__).resolve().parent
    script = tmp_path / "killed.py"
    script.write_text(_KILLED.format(paths=[str(here), str(here.parent)], here=str(here)))
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "out")], env=os.environ | {"ASLEEP": str(tmp_path)}
    )
    try:
        wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
        workers = [int(file.stem) for file in tmp_path.glob("*.pid")]
        process.send_signal(number)
        process.wait(30)
        wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    finally:
        process.kill()
        process.wait()
