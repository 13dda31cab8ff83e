"""The benchmark on sequences: which network is run in which precision, and what the results say of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import sequences
import speed_report
from ostrack.errors import NetworkError
from ostrack.network import Network


def test_the_precision_stands_behind_the_name() -> None:
    assert sequences.with_precision("small") == ("small", None)
    assert sequences.with_precision("small@bf16") == ("small", "bf16")
    assert sequences.with_precision("a@b/net.onnx") == ("a@b/net.onnx", None)
    assert sequences.with_precision("a@b/net.onnx@float32") == ("a@b/net.onnx", "float32")


def test_results_name_network_and_runtime(
    blob_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    folder = tmp_path / "set" / "red"
    (folder / "img").mkdir(parents=True)
    for number in range(8):
        frame = np.zeros((96, 160, 3), np.uint8)
        frame[30:60, 20 + 4 * number : 50 + 4 * number, 2] = 255
        cv2.imwrite(str(folder / "img" / f"{number + 1:05d}.png"), frame)
    (folder / "groundtruth.txt").write_text("".join(f"{20 + 4 * i},30,30,30\n" for i in range(8)))
    given = [str(blob_onnx), f"{blob_onnx}@bf16", f"{tmp_path / 'none.onnx'}@bf16"]
    arguments = ["sequences.py", str(tmp_path), "--peers", "", "--plain", "--output", str(tmp_path / "found")]
    monkeypatch.setattr(sys, "argv", [*arguments, *(part for name in given for part in ("--network", name))])
    sequences.main()
    assert "left out none bf16" in capsys.readouterr().err
    trackers = json.loads((tmp_path / "found.json").read_text())["trackers"]
    expected = {"blob in float32"}
    assert trackers["blob"]["runtime"] == "onnxruntime on cpu in float32"
    try:
        Network.load(blob_onnx, precision="bf16")
    except NetworkError:
        assert not [name for name in trackers if "bf16" in name]
    else:
        assert trackers["blob bf16"]["runtime"] == "openvino on cpu in bf16"
        assert trackers["blob bf16 plain"]["recovery"] is False
        expected |= {"blob in bf16"}
    assert set(speed_report.successes(trackers)) == expected
