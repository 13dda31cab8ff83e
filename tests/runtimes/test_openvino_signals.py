"""A process that ran networks in OpenVINO still takes signals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

# Handlers of Python run on the alternate stack wherever there is one; faulthandler brings one.
CODE = """
import faulthandler, gc, os, signal, sys
faulthandler.enable()
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
from ostrack.network import Network
first = Network.load(sys.argv[1], runtime="openvino", threads=1)
second = Network.load(sys.argv[1], runtime="openvino", threads=1)
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
print(len(seen))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_networks_that_go_in_the_order_they_came_leave_signals_alone(blob_onnx: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(blob_onnx)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["1"]), done.stderr
