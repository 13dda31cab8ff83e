"""What a score is worth: the regression against known odds, and its way into and out of a network's files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.calibration import FEATURES, Calibration, calibration_error, features, fit, write_calibration
from ostrack.errors import NetworkError
from ostrack.network import Network
from ostrack.tracker import Tracker

KNOWN = Calibration(weights=(1.5, 0.5, -0.25), bias=-0.5, error=0.05, clips=4, frames=200)


def test_the_fit_recovers_the_odds_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    score, window, rival = rng.uniform(0.05, 0.95, 20000), rng.uniform(0.2, 1, 20000), rng.uniform(0.01, 0.5, 20000)
    evidence = features(score, score * window, rival)
    truth = 1 / (1 + np.exp(-(evidence @ [1.5, 0.5, -0.25] - 0.5)))
    weights, bias = fit(evidence, rng.random(20000) < truth)
    assert weights == pytest.approx([1.5, 0.5, -0.25], abs=0.1)
    assert bias == pytest.approx(-0.5, abs=0.15)
    assert KNOWN(score, score * window, rival) == pytest.approx(truth)


def test_a_few_frames_told_apart_perfectly_still_give_finite_weights() -> None:
    evidence = features([0.1, 0.2, 0.8, 0.9], [0.1, 0.2, 0.8, 0.9], [0.1] * 4)
    weights, bias = fit(evidence, [False, False, True, True])
    assert np.isfinite([*weights, bias]).all()
    assert weights[0] > 0
    with pytest.raises(ValueError, match="4 of 4 boxes are right: a calibration needs right and wrong ones"):
        fit(evidence, [True] * 4)


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=8))
def test_any_score_gives_a_probability_and_more_score_more_of_it(rows: list[tuple[float, float, float]]) -> None:
    score, under, rival = (np.array(column) for column in zip(*rows, strict=True))
    sure = KNOWN(score, score * under, rival)
    assert ((sure >= 0) & (sure <= 1)).all()
    assert (KNOWN(np.minimum(score + 0.1, 1), np.minimum(score + 0.1, 1) * under, rival) >= sure - 1e-6).all()


def test_the_error_is_the_gap_between_what_is_said_and_what_is_so() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0)
    assert calibration_error([0.9] * 4, [False] * 4) == pytest.approx(0.9)
    # Two bins of different size, each off by its own gap.
    assert calibration_error([0.95, 0.15, 0.15], [True, True, False]) == pytest.approx((0.05 + 2 * 0.35) / 3)
    assert calibration_error([0.0, 1.0], [False, True]) == 0


def test_a_network_without_a_map_can_be_calibrated_by_its_score_alone() -> None:
    nan = [math.nan]
    by_score = Calibration(weights=(2.0, 0.0, 0.0), bias=0.0, error=0.1, clips=3, frames=30)
    assert by_score([0.5], nan, nan) == pytest.approx([0.5])
    assert np.isnan(KNOWN([0.5], nan, nan)).all()
    assert np.isnan(by_score(nan, nan, nan)).all()


def test_the_onnx_file_carries_it(blob_onnx: Path, tmp_path: Path) -> None:
    assert Network.load(blob_onnx).calibration is None
    path = tmp_path / "net.onnx"
    path.write_bytes(blob_onnx.read_bytes())
    write_calibration(path, KNOWN)
    network = Network.load(path, threads=1)
    assert network.calibration == KNOWN
    write_calibration(path, KNOWN.model_copy(update={"bias": 1.0}))
    network = Network.load(path, threads=1)
    assert network.calibration is not None
    assert network.calibration.bias == 1.0
    tracker = Tracker(network)
    assert tracker.recovery is not None
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[40:60, 50:80] = (255, 0, 0)
    tracker.init(frame, (50, 40, 30, 20))
    track = tracker.update(frame)
    assert not isinstance(track, dict)
    assert 0 < track.confidence < 1
    assert track.confidence != track.score
    assert track.windowed <= track.score


def test_the_safetensors_file_carries_it_and_keeps_every_tensor(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    from ostrack.config import OSTrackConfig
    from ostrack.model import OSTrack
    from ostrack.model.checkpoint import read_metadata, save

    config = OSTrackConfig(template_size=32, search_size=64, embed_dim=16, depth=2, num_heads=2, head_channels=8,
                           elimination_layers=(), keep_ratios=())  # fmt: skip
    path = save(tmp_path / "net.safetensors", OSTrack(config), {"recipe": "small"})
    before, mode = safetensors.load_file(path), path.stat().st_mode
    write_calibration(path, KNOWN)
    after = safetensors.load_file(path)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert set(before) == set(after)
    assert read_metadata(path)["recipe"] == "small"
    assert Network.load(path).calibration == KNOWN
    assert path.stat().st_mode == mode
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_networks_of_ours_are_refused(tmp_path: Path) -> None:
    for name in ("broken.onnx", "broken.safetensors"):
        path = tmp_path / name
        path.write_bytes(b"not a network")
        with pytest.raises(NetworkError, match=name) as caught:
            write_calibration(path, KNOWN)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == b"not a network"
    foreign = tmp_path / "foreign.safetensors"
    pytest.importorskip("safetensors.numpy").save_file({"x": np.zeros(3, np.float32)}, foreign)
    with pytest.raises(NetworkError, match="no metadata entry 'ostrack'"):
        write_calibration(foreign, KNOWN)
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx: no such file"):
        write_calibration(tmp_path / "absent.onnx", KNOWN)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"weights": [1.0], "bias": 0, "error": 0, "clips": 1, "frames": 1}, f"1 weights, expected {len(FEATURES)}"),
        ({"weights": [1, 2, 3]}, "calibration.bias in the metadata: Field required"),
        ({"format": 2}, "calibration.format in the metadata"),
        ([1], "calibration in the metadata"),
    ],
)
def test_damaged_calibrations_are_named(tmp_path: Path, stored: Any, message: str) -> None:
    pytest.importorskip("onnx")
    from blob_network import BLOB_CONFIG, write_blob_network

    note = {"format": 1, "config": BLOB_CONFIG.model_dump(mode="json"), "calibration": stored}
    path = write_blob_network(tmp_path / "net.onnx", BLOB_CONFIG, metadata=json.dumps(note))
    with pytest.raises(NetworkError, match=message) as caught:
        Network.load(path)
    assert "net.onnx" in str(caught.value)
