"""The pages on labelling and on cameras: their commands and their Python run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mjpeg_camera import Camera, mjpeg_camera
from ostrack.demo import demo_clip
from ostrack.errors import SourceError

DOCS = Path(__file__).resolve().parents[2] / "docs"
ADDRESS = "rtsp://camera.local/stream"


def blocks(page: str, language: str) -> list[str]:
    """What stands between fences of a language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return found


def run(line: str, folder: Path, codes: tuple[int, ...] = (0,)) -> str:
    """Run one ``ostrack`` command of a page."""
    name, *arguments = line.split()
    assert name == "ostrack"
    command = [sys.executable, "-m", "ostrack", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode in codes, (line, done.stderr)
    return done.stdout


def run_python(code: str, folder: Path) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_labelling_a_whole_clip(tmp_path: Path) -> None:
    pytest.importorskip("supervision")
    try:
        shutil.copyfile(demo_clip(), tmp_path / "clip.mp4")
    except SourceError as error:
        pytest.skip(str(error))
    keys, boxes = blocks("annotate.md", "json")
    (tmp_path / "keys.json").write_text(keys)
    (tmp_path / "boxes.json").write_text(boxes)
    lines = [line for block in blocks("annotate.md", "sh") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        run(line, tmp_path)
    assert len(json.loads((tmp_path / "labels" / "again.coco.json").read_text())["annotations"]) == 46
    for folder in ("tracks.yolo/images", "clip"):
        assert len(list((tmp_path / "labels" / folder).glob("*.jpg"))) == 46
    steps = {path: path.stat().st_mtime_ns for path in (tmp_path / "labels" / "work").iterdir()}
    told = run_python("\n".join(blocks("annotate.md", "python")), tmp_path)
    assert "labelled 46 boxes of 1 targets from 2 drawn ones" in told
    assert "['car']" in told
    assert (tmp_path / "car.xml").exists()
    # The same key frames: Python found all that the command had left, and tracked nothing anew.
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "labels" / "work").iterdir()} == steps


@pytest.mark.slow
def test_following_a_camera(tmp_path: Path) -> None:
    (camera_line, stream_line) = (line for block in blocks("live.md", "sh") for line in block.splitlines())
    assert camera_line.startswith("ostrack track 0 ")  # for which this machine may have no camera
    (code,) = blocks("live.md", "python")
    with mjpeg_camera(Camera([60], sizes=[(640, 480)], fps=10)) as camera:
        told = run(f"{stream_line.replace(ADDRESS, camera.address)} --reconnect 0", tmp_path, codes=(1,))
        assert "frames dropped" in told or "tracked 60 frames" in told
        rows = (tmp_path / "tracks.jsonl").read_text().splitlines()
        assert json.loads(rows[-1])["frame"] == 59
        code = code.replace(ADDRESS, camera.address).replace("reconnect_s=60", "reconnect_s=0")
        lines = run_python(code, tmp_path).splitlines()
        # On a busy machine the first one may have been passed over for the next.
        assert re.match(r"\d+ \d+\.\d+ \(200", lines[0])
        assert lines[-1].startswith("59 ")
