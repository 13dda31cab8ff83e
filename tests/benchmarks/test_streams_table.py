"""The comparison of score maps on sequences: from weight files to the table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="networks want torch")

import streams
from ostrack.explain.streams import Scores
from ostrack.model import OSTrack, save
from ostrack.model.two_stream import TwoStream
from small_networks import lively, tiny


def test_means_leave_out_targets_that_the_crop_does_not_hold() -> None:
    seen = [Scores(0.8, 0.2, 0.6), Scores(0.3, 0.5, 0.2), Scores(float("nan"), 0.9, float("nan"))]
    assert streams.figures(seen) == pytest.approx({"fooled": 0.5, "mass": 0.4, "margin": 0.2})


def test_two_networks_are_put_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for seed in range(2):
        for name, net in (("one", OSTrack(tiny())), ("two", TwoStream(tiny(), "relation"))):
            (tmp_path / f"{name}-{seed}").mkdir()
            files.append(save(tmp_path / f"{name}-{seed}" / "model.safetensors", lively(net, seed)))
    rng = np.random.default_rng(0)
    for clip in ("a", "b"):
        images = tmp_path / "set" / clip / "img"
        images.mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(str(images / f"{number + 1:05d}.png"), rng.integers(0, 255, (60, 80, 3), np.uint8))
        (images.parent / "groundtruth.txt").write_text("20,20,16,12\n" * 4)
    options = ["--folder", str(tmp_path / "set"), "--frames", "3", "--results", str(tmp_path)]
    alone = []
    for pair in (files[:2], files[2:]):
        monkeypatch.setattr(sys, "argv", ["streams.py", *map(str, pair), *options])
        streams.main()
        alone.append(json.loads((tmp_path / "streams.json").read_text())["networks"])
    monkeypatch.setattr(sys, "argv", ["streams.py", *map(str, files), *options])
    streams.main()
    found = json.loads((tmp_path / "streams.json").read_text())["networks"]
    assert {name: sorted(rows) for name, rows in found.items()} == {"one": ["a", "b"], "two": ["a", "b"]}
    for name, clips in found.items():
        for clip, row in clips.items():
            mean = {figure: (alone[0][name][clip][figure] + alone[1][name][clip][figure]) / 2 for figure in row}
            assert row == pytest.approx(mean)
    text = (tmp_path / "streams.md").read_text()
    assert text in capsys.readouterr().out
    assert "| one - two |" in text
    assert "2 sequences, first 3 frames; 2 seeds" in text
    monkeypatch.setattr(sys, "argv", ["streams.py", *map(str, files[:3]), *options])
    with pytest.raises(SystemExit, match="as many seeds of each, found 2 of one, 1 of two"):
        streams.main()
