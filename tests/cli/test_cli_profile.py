"""``ostrack profile`` and ``ostrack benchmark`` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from moving_clips import moving_boxes, write_clip

BOX = ",".join(f"{value:g}" for value in moving_boxes(1)[0])
NO_TORCH = "sys.modules['torch'] = None"


def ostrack(*arguments: object, before: str = NO_TORCH) -> subprocess.CompletedProcess[str]:
    code = f"import sys; {before}\nfrom ostrack.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 14)
    return path


def test_an_architecture_is_counted_without_weights_or_torch() -> None:
    done = ostrack("profile", "vitb_384_ce")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].split() == ["total", "92.67", "48.31", "54.09"]
    assert "144 + 576 -> 404" in done.stdout


def test_a_network_is_counted_and_timed_stage_by_stage(clip: Path, blob_onnx: Path) -> None:
    done = ostrack("profile", blob_onnx, "--clip", clip, "--box", BOX, "--frames", 4, "--threads", 1, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["stages"]["frames"] == 4
    assert list(found["stages"]["stages_ms"]) == ["read", "crop", "network", "decode", "keep", "draw"]
    assert found["macs"] == sum(layer["macs"] for layer in found["layers"])
    assert found["runtime"].startswith("onnxruntime on cpu")
    assert found["machine"]["cores"] >= 1
    text = ostrack("profile", blob_onnx, "--clip", clip, "--box", BOX, "--frames", 4, "--threads", 1).stdout
    assert "whole frame" in text
    assert "maps to a box" in text


def test_counts_only(blob_onnx: Path) -> None:
    done = ostrack("profile", blob_onnx, "--counts-only", "--json")
    assert "stages" not in json.loads(done.stdout)


def test_a_benchmark_to_paste(clip: Path, blob_onnx: Path) -> None:
    common = ("benchmark", "--network", blob_onnx, "--runtime", "onnx", "--clip", clip, "--box", BOX)
    done = ostrack(*common, "--frames", 4, "--rounds", 1, "--threads", 1, "--peer", "opencv:nothing a=b")
    assert (done.returncode, done.stderr) == (0, "")
    assert "| blob | onnxruntime on cpu" in done.stdout
    assert "Not measured: nothing: EvaluationError: OpenCV tracker 'nothing' is unknown" in done.stdout


def test_a_benchmark_in_which_nothing_ran(clip: Path, tmp_path: Path) -> None:
    done = ostrack(
        "benchmark", "--network", tmp_path / "gone.onnx", "--runtime", "onnx", "--clip", clip, "--box", BOX, "--json"
    )
    assert done.returncode == 1
    assert "gone.onnx: no such file" in json.loads(done.stdout)["rows"][0]["problem"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("profile", "--clip", "x.mp4"), "--clip and --box go together"),
        (("benchmark", "--box", BOX), "--clip and --box go together"),
        (("profile", "--clip", "x.mp4", "--box", "1,2,3"), "expected x,y,w,h, four numbers"),
        (("benchmark", "--clip", "x.mp4", "--box", "a"), "expected x,y,w,h, four numbers"),
        (("benchmark", "--peer", "opencv:mil x"), "expected KEY=VALUE"),
        (("profile", "vitb_256_ce", "--clip", "x.mp4", "--box", BOX), "vitb_256_ce has no weights"),
        (("serve", "--workers", "0"), "greater than or equal to 1"),
        (("profile", "nothing"), "neither a file nor a packaged network"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    done = ostrack(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Invalid value: -" not in done.stderr
    assert done.stderr.count("\n") == 1
