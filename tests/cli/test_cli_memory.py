"""A machine without enough memory: said in one line, whoever notices it first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from moving_clips import write_clip
from ostrack.runtimes.exported import failure

_LIMITED = """
import resource, sys
import av, cv2, numpy, onnxruntime
from ostrack.cli import main
import ostrack.network, ostrack.runtimes.onnx, ostrack.tracker, ostrack.video.run
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + {megabytes} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.argv = ["ostrack", *{arguments!r}]
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits address space")
@pytest.mark.parametrize("megabytes", [60, 150, 400])
def test_too_little_memory_is_told_in_one_line(tmp_path: Path, megabytes: int) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, 3)
    boxes = tmp_path / "boxes.json"
    boxes.write_text("[" + ",".join(f'{{"id": {n}, "frame": 0, "box": [20, 30, 40, 30]}}' for n in range(800)) + "]")
    arguments = ["track", str(clip), "--boxes", str(boxes), "-s", str(tmp_path / "t.csv"), "--threads", "1"]
    code = _LIMITED.format(megabytes=megabytes, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1, done.stderr
    last = done.stderr
    # Where there is not even room for a thread, the system or the C library ends the program in words of its own.
    assert "memory" in last or "Resource temporarily unavailable" in last


def test_other_failures_keep_their_text() -> None:
    bad = failure("n.onnx", "failed on 3 rows", RuntimeError("std::bad_alloc\n  at x.cc"), "at x.cc", 3)
    assert str(bad) == "n.onnx: not enough memory for 3 targets in one frame"
    assert (
        str(failure("n.onnx", "cannot", RuntimeError("bad_alloc"), "bad_alloc"))
        == "n.onnx: not enough memory to load it"
    )
    assert (
        str(failure("n.onnx", "cannot", RuntimeError("wrong\n rank"), "wrong rank", 1)) == "n.onnx: cannot: wrong rank"
    )
