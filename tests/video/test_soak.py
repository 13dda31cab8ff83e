"""A long live run: every frame accounted for, memory as it was at the beginning."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mjpeg_camera import Camera, mjpeg_camera
from moving_clips import decode, moving_boxes

FRAMES = 20_000
SIZE = (64, 48)

RUN = """
import json, sys, warnings
from pathlib import Path
import ostrack
from ostrack.video import SourceWarning
warnings.simplefilter("ignore", SourceWarning)
address, network, out, box = sys.argv[1:]

def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20

samples = []
def progress(done, total):
    if done % 250 == 0:
        samples.append(resident_mb())

summary = ostrack.track(
    address, json.loads(box), network=network, threads=1, reconnect_s=0, progress=progress,
    save_tracks=[out + "/t.csv", out + "/t.json", out + "/t.xml"], save_video=out + "/o.mp4",
    save_sheet=out + "/s.png",
)
print(json.dumps({"frames": summary.frames, "dropped": summary.dropped, "samples": samples}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_twenty_thousand_frames_of_a_camera(blob_onnx: Path, tmp_path: Path) -> None:
    box = moving_boxes(1, SIZE)[0].tolist()
    with mjpeg_camera(Camera([FRAMES], sizes=[SIZE], fps=300)) as camera:
        command = [sys.executable, "-c", RUN, camera.address, str(blob_onnx), str(tmp_path), json.dumps(box)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    found = json.loads(done.stdout)
    assert found["frames"] + found["dropped"] == FRAMES
    assert found["frames"] > 1000
    samples = found["samples"]
    # A tenth of the run is for warming up: buffers of decoder, encoder and network.
    warm = samples[len(samples) // 10]
    assert max(samples[len(samples) // 10 :]) - warm < 20, samples
    with (tmp_path / "t.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == found["frames"]
    assert len(json.loads((tmp_path / "t.json").read_text())) == found["frames"]
    assert len(decode(tmp_path / "o.mp4")) == found["frames"]
    assert (tmp_path / "t.xml").read_text().endswith("</annotations>\n")
