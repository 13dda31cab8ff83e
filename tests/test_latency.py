"""Clocks at every stage: what is timed is what the tracker does."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from moving_clips import moving_boxes, write_clip
from ostrack.errors import SourceError
from ostrack.latency import STAGES, ClockedRuntime, Stages, measure_latency, measure_stages
from ostrack.network import Network
from ostrack.tracker import Tracker


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 12)
    return path


@pytest.fixture(scope="module")
def network(blob_onnx: Path) -> Network:
    return Network.load(blob_onnx, threads=1)


def test_every_stage_of_every_frame(clip: Path, network: Network) -> None:
    seen = []
    began = time.perf_counter()
    found = measure_stages(
        network, clip, moving_boxes(4)[3], start=3, warm_up=2, progress=lambda *done: seen.append(done)
    )
    took = 1e3 * (time.perf_counter() - began)
    assert found.frames == 6
    assert tuple(found.milliseconds) == STAGES
    assert {len(times) for times in found.milliseconds.values()} == {6}
    for stage in ("read", "crop", "network", "decode", "draw"):
        assert min(found.milliseconds[stage]) > 0
    assert sum(map(sum, found.milliseconds.values())) < took
    assert found.size == (160, 120)
    assert seen[-1][0] == 8


def test_stages_add_up() -> None:
    rows = {stage: (float(i), float(i), 10.0 * i) for i, stage in enumerate(STAGES, 1)}
    found = Stages("clip.mp4", (64, 48), 3, rows)
    assert found.frame == sum(range(1, 7)) == sum(found.medians.values())
    assert sum(float(line.split()[-1].rstrip("%")) for line in found.text().splitlines()[1:7]) == pytest.approx(
        100, 0.01
    )
    read = json.loads(json.dumps(found.to_dict()))
    assert read["stages_ms"]["network"] == 3
    assert read["frame_ms"] == 21
    assert "47.6 fps" in found.text()


def test_a_clock_changes_nothing(network: Network) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), dtype=np.uint8)
    clock = ClockedRuntime(network)
    plain, timed = Tracker(network), Tracker(Network(clock))
    for tracker in (plain, timed):
        tracker.init(frames[0], (50, 40, 24, 24))
    for frame in frames[1:]:
        before, began = clock.seconds, time.perf_counter()
        assert timed.update(frame).box == plain.update(frame).box
        assert 0 < clock.seconds - before < time.perf_counter() - began
    assert Network(clock).runtime == network.runtime


def test_a_clip_that_is_too_short_is_named(clip: Path, network: Network) -> None:
    with pytest.raises(SourceError, match=r"clip.mp4: ends within 20 frames of frame 3"):
        measure_stages(network, clip, moving_boxes(4)[3], start=3, warm_up=20)
    with pytest.raises(SourceError, match=r"clip.mp4: .* frame 90"):
        measure_stages(network, clip, moving_boxes(1)[0], start=90)
    with pytest.raises(ValueError, match="expected frames from 1"):
        measure_stages(network, clip, moving_boxes(1)[0], frames=0)


def test_the_network_alone(network: Network) -> None:
    found = measure_latency(network, batch=2, runs=3, warm_up=1)
    assert 0 < found.fastest <= found.median
    assert found.to_dict() == {"median": found.median, "fastest": found.fastest, "runs": 3, "batch": 2}
    assert "batch 2" in found.text()
    with pytest.raises(ValueError, match="batch and runs from 1"):
        measure_latency(network, batch=0)
