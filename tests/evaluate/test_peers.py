"""OpenCV's trackers by name: those that this OpenCV holds, and those whose model files are at hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.evaluate import call_absent
from ostrack.evaluate.peers import TrackerSpec, open_tracker
from ostrack.tracker import Tracker
from tiny_training import texture

START = (60.0, 50.0, 48.0, 40.0)


@pytest.fixture(scope="module")
def clip() -> tuple[list[NDArray[np.uint8]], NDArray[np.float64]]:
    """A textured patch that drifts over a textured scene: frames and boxes, xywh."""
    rng = np.random.default_rng(3)
    scene, patch = texture(rng, 320, 240), texture(rng, 48, 40)
    patch = cv2.convertScaleAbs(patch, alpha=1.2, beta=20).astype(np.uint8)
    boxes = np.array([START]) + np.arange(12)[:, None] * np.array([4.0, 2.0, 0.0, 0.0])
    frames = []
    for x, y, w, h in boxes.astype(int):
        frame = scene.copy()
        frame[y : y + h, x : x + w] = patch
        frames.append(frame)
    return frames, boxes


def _follow(spec: TrackerSpec, clip: tuple[list[NDArray[np.uint8]], NDArray[np.float64]]) -> list[float]:
    frames, boxes = clip
    make = open_tracker(spec)
    overlaps = []
    for _ in range(2):  # a tracker that was started can be started again
        tracker = make()
        tracker.init(frames[0], boxes[0])
        found = [tracker.update(frame) for frame in frames[1:]]
        assert all(np.isfinite(estimate.score) for estimate in found)
        overlaps.append([float(iou_xywh(e.box, box)) for e, box in zip(found, boxes[1:], strict=True)])
    return overlaps[0]


def test_ours_hands_on_how_likely_its_box_is_right(
    clip: tuple[list[NDArray[np.uint8]], NDArray[np.float64]],
) -> None:
    frames, boxes = clip
    gone = np.full_like(frames[0], 90)
    seen = [*frames[1:], *[gone] * 8]
    follower, tracker = open_tracker(TrackerSpec(options=(("threads", "1"),)))(), Tracker(threads=1)
    assert tracker.network.calibration is not None
    follower.init(frames[0], boxes[0])
    tracker.init(frames[0], boxes[0])
    tracks = [tracker.update(frame) for frame in seen]
    told = [follower.update(frame).score for frame in seen]
    assert told == [track.confidence for track in tracks]
    # So that what counts as absent for one threshold is so for the presence measures too.
    every = np.tile(boxes[0], (1 + len(seen), 1))
    absent = np.isnan(call_absent({"clip": every}, {"clip": [1.0, *told]}, 0.5)["clip"][:, 0])
    assert absent[-4:].all()
    assert not absent[: len(frames)].any()


@pytest.mark.parametrize("name", ["MIL", "CSRT", "KCF"])
def test_trackers_without_files(name: str, clip: tuple[list[NDArray[np.uint8]], NDArray[np.float64]]) -> None:
    if not hasattr(cv2, f"Tracker{name}_create"):
        pytest.skip(f"this OpenCV {cv2.__version__} has no {name}: it needs opencv-contrib-python-headless")
    assert np.mean(_follow(TrackerSpec(f"opencv:{name.lower()}"), clip)) > 0.6


@pytest.mark.parametrize(
    ("name", "pattern", "options"),
    [
        ("Nano", "nanotrack2", {"backbone": "nanotrack_backbone_sim.onnx", "neckhead": "nanotrack_head_sim.onnx"}),
        ("Vit", "vit*", {"net": "*.onnx"}),
    ],
)
def test_trackers_with_files(
    name: str,
    pattern: str,
    options: dict[str, str],
    shared: Path,
    clip: tuple[list[NDArray[np.uint8]], NDArray[np.float64]],
) -> None:
    if not hasattr(cv2, f"Tracker{name}_create"):
        pytest.skip(f"this OpenCV {cv2.__version__} has no {name}")
    files = {option: next((shared / "peers").glob(f"{pattern}/{file}"), None) for option, file in options.items()}
    if missing := [options[option] for option, file in files.items() if file is None]:
        pytest.skip(f"no model file {pattern}/{missing[0]} in {shared / 'peers'}")
    spec = TrackerSpec(f"opencv:{name.lower()}", tuple((option, str(file)) for option, file in files.items()))
    assert np.mean(_follow(spec, clip)) > 0.6
