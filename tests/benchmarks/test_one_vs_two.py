"""The comparison of one stream with two, small enough for a test: curves, table, plot, and going on where it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="networks are trained")
pytest.importorskip("matplotlib", reason="there is a plot")

import one_vs_two_stream
from tiny_training import write_annotated

TINY = (
    "model.config.template_size=32", "model.config.search_size=64", "model.config.embed_dim=24",
    "model.config.depth=2", "model.config.num_heads=3", "model.config.head_channels=16",
    "data.clips=1", "data.stills=0", "data.composites=0", "data.held_out_share=0.4", "run.precision=float32",
    "run.epochs=2", "run.pairs_per_epoch=8", "run.batch=4", "run.workers=0", "run.log_every=1", "run.validate_every=1",
    "run.validation_pairs=4", "run.snapshot_every=1", "run.device=cpu", "run.threads=1", "optim.warmup_steps=1",
)  # fmt: skip
NETWORKS = ["one_stream", "two_stream_relation"]


def test_curves_go_up_to_the_trained_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for clip in ("a", "b"):
        images = tmp_path / "set" / clip / "img"
        images.mkdir(parents=True)
        for number in range(8):
            cv2.imwrite(str(images / f"{number + 1:05d}.png"), rng.integers(0, 255, (60, 80, 3), np.uint8))
        (images.parent / "groundtruth.txt").write_text("20,20,16,12\n" * 8)
    command = ["one_vs_two_stream.py", str(write_annotated(tmp_path / "data")), str(tmp_path / "set"), "--frames", "4"]
    command += ["--networks", *NETWORKS, "--seeds", "2", "--out", str(tmp_path / "runs")]
    command += ["--results", str(tmp_path), *(word for change in TINY for word in ("--set", change))]
    monkeypatch.setattr(sys, "argv", command)
    one_vs_two_stream.main()
    runs = json.loads((tmp_path / "one_vs_two_stream.json").read_text())["runs"]
    assert sorted((run["network"], run["seed"]) for run in runs) == [
        (name, seed) for name in NETWORKS for seed in (0, 1)
    ]
    for run in runs:
        assert [point["pairs"] for point in run["curve"]] == [8, 16]
        assert {int(pairs): sorted(clips) for pairs, clips in run["success"].items()} == {8: ["a", "b"], 16: ["a", "b"]}
        assert all(0 <= value <= 1 for clips in run["success"].values() for value in clips.values())
    text = (tmp_path / "one_vs_two_stream.md").read_text()
    assert "2 seeds, 16 pairs each" in text
    assert "| one_stream - two_stream_relation |" in text
    plot = cv2.imread(str(tmp_path / "one_vs_two_stream.png"))
    assert plot is not None
    assert plot.std() > 10
    capsys.readouterr()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("*.safetensors")}
    assert len(before) == 4 * 3
    one_vs_two_stream.main()
    assert {file: file.stat().st_mtime_ns for file in before} == before, "what is done is not done again"
    assert json.loads((tmp_path / "one_vs_two_stream.json").read_text())["runs"] == runs
