"""``ostrack calibrate`` as a user runs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ostrack.network import Network


def ostrack(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ostrack", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        images = folder / f"clip{number}" / "img"
        images.mkdir(parents=True)
        lines = []
        for index in range(8):
            picture, x = np.zeros((120, 160, 3), np.uint8), 30 + 4 * index
            picture[40:64, x : x + 30] = colour
            assert cv2.imwrite(str(images / f"{index + 1:05d}.png"), picture)
            lines.append(f"{x},40,30,24\n")
        (folder / f"clip{number}" / "groundtruth.txt").write_text("".join(lines))
    return folder


def test_the_file_knows_what_its_score_is_worth(blob_onnx: Path, clips: Path, tmp_path: Path) -> None:
    network = Path(shutil.copy(blob_onnx, tmp_path / "net.onnx"))
    dry = ostrack("calibrate", str(network), str(clips), "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "expected calibration error" in dry.stdout
    assert network.read_bytes() == blob_onnx.read_bytes()
    done = ostrack("calibrate", str(network), str(clips), "--diagram", str(tmp_path / "net.svg"), "--threads", "1")
    assert done.returncode == 0, done.stderr
    calibration = Network.load(network).calibration
    assert calibration is not None
    assert calibration.clips == 3
    assert f"{calibration.frames} frames of 3 clips" in done.stdout
    assert (tmp_path / "net.svg").read_text().startswith("<svg")
    # Now it has one, which can be tried on other clips. The raw score of this network is nearly always right.
    again = ostrack("calibrate", str(network), str(clips), "--dry-run")
    told = re.search(r"the calibration that the file has: error (0\.\d+) on these clips", again.stdout)
    assert told is not None, again.stdout
    assert float(told[1]) < 0.2
    assert "the calibration that the file has" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small", "CLIPS"], "error: small: expected a file that ends in .onnx or .safetensors"),
        (["absent.onnx", "CLIPS"], "error: absent.onnx: no such file"),
        (["NET", "NOWHERE"], "NOWHERE"),
        (["NET", "CLIPS", "--diagram", "x.png"], "error: x.png: the diagram is written as .svg"),
        (["NET", "CLIPS", "--diagram", "none/x.svg"], "error: none/x.svg: cannot be written (there is no folder none)"),
    ],
)
def test_mistakes_are_told_in_one_line(
    blob_onnx: Path, clips: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    network = shutil.copy(blob_onnx, tmp_path / "net.onnx")
    places = {"CLIPS": str(clips), "NET": str(network), "NOWHERE": str(tmp_path / "NOWHERE")}
    done = ostrack("calibrate", *(places.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
