"""Measurements: what is written, and what is taken back when a run goes on from an earlier step."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ostrack.errors import OutputError
from ostrack.train.monitor import Monitor


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_lines_and_table_hold_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    monitor = Monitor(tmp_path, said.append)
    monitor.write(2, {"loss": 1.5, "iou": 0.25})
    monitor.write(4, {"held_iou": 0.5})
    monitor.write(4, {"loss": 1.25, "iou": 0.375})
    monitor.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 2, "loss": 1.5, "iou": 0.25},
        {"step": 4, "held_iou": 0.5},
        {"step": 4, "loss": 1.25, "iou": 0.375},
    ]
    assert [{key: float(value) for key, value in row.items() if value} for row in _rows(tmp_path)] == lines
    assert said[0] == "step 2  loss 1.5  iou 0.25"


def test_the_line_says_how_long_it_will_take(tmp_path: Path) -> None:
    said: list[str] = []
    monitor = Monitor(tmp_path, said.append)
    monitor.write(2, {"loss": 1.5}, left=3725.4)
    monitor.close()
    assert said == ["step 2  loss 1.5  left 1:02:05"]
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 2, "loss": 1.5}


def test_what_came_after_the_checkpoint_is_taken_back(tmp_path: Path) -> None:
    first = Monitor(tmp_path, lambda line: None)
    for step in (2, 4, 6):
        first.write(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # cut off by a kill
    second = Monitor(tmp_path, lambda line: None, step=4)
    second.write(6, {"loss": 0.5})
    second.close()
    assert [(float(row["step"]), float(row["loss"])) for row in _rows(tmp_path)] == [(2, 2), (4, 4), (6, 0.5)]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_a_full_disk_leaves_what_was_measured(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    first = Monitor(tmp_path, lambda line: None)
    for step in range(20):
        first.write(step, {"loss": 2.0})
    first.close()
    before = {name: (tmp_path / name).read_bytes() for name in ("metrics.jsonl", "metrics.csv")}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        with pytest.raises(OutputError, match="too large"):
            Monitor(tmp_path, lambda line: None, step=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert not list(tmp_path.glob(".*"))


def test_tensorboard_gets_the_same_where_it_is_installed(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monitor = Monitor(tmp_path, lambda line: None)
    monitor.write(3, {"loss": 0.75})
    monitor.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in found] == [(3, 0.75)]
