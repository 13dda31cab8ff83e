"""The tracker from outside: one target, many, every kind of bad input, and the official tracker's own boxes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coloured_scenes import BLUE, GREEN, RED, one, scene
from ostrack.boxes import iou_xywh
from ostrack.config import OSTrackConfig
from ostrack.errors import BoxError, OSTrackError
from ostrack.network import Network
from ostrack.tracker import Track, Tracker
from scripted_runtimes import AnyAnswer


@pytest.fixture(scope="module")
def network(blob_onnx: Path) -> Network:
    return Network.load(blob_onnx, threads=1)


def many(tracks: Track | dict[Any, Track]) -> dict[Any, Track]:
    assert isinstance(tracks, dict)
    return tracks


def test_one_target_is_followed_to_a_fraction_of_a_pixel(network: Network) -> None:
    tracker = Tracker(network)
    first = tracker.init(scene((50, 60, 25, 17, RED)), (50, 60, 25, 17))
    assert first == Track(0, (50.0, 60.0, 25.0, 17.0), 1.0, "tracking", 0, 1.0, 1.0)
    for step in range(1, 15):
        x, y = 50 + 7 * step, 60 + 5 * step
        track = one(tracker.update(scene((x, y, 25, 17, RED))))
        assert track.box == pytest.approx((x, y, 25, 17), abs=0.1)
        assert track.frame == step
        assert 0 < track.score <= 1


def test_small_targets_keep_their_size_unless_faithful(network: Network) -> None:
    for faithful, expected in ((False, 5), (True, 10)):
        tracker = Tracker(network, faithful=faithful)
        tracker.init(scene((50, 60, 5, 5, RED)), (50, 60, 5, 5))
        for step in range(1, 6):
            track = one(tracker.update(scene((50 + step, 60, 5, 5, RED))))
        assert track.box[2:] == pytest.approx((expected, expected), abs=0.3)


def test_faithful_ignores_the_rounding_of_the_crop(network: Network) -> None:
    """The official map is off by what the crop's corner was rounded, here half a pixel on both axes."""
    frame = scene((80, 60, 20, 20, RED))
    start = (79.5, 59.5, 20, 20)
    boxes = []
    for faithful in (False, True):
        tracker = Tracker(network, faithful=faithful)
        tracker.init(frame, start)
        boxes.append(np.array(one(tracker.update(frame)).box[:2]))
    assert boxes[0] == pytest.approx([80, 60], abs=0.1)
    assert np.abs(boxes[1] - boxes[0]) == pytest.approx([0.5, 0.5], abs=1e-9)


def test_many_targets_go_as_each_alone(network: Network) -> None:
    def at(step: int) -> Any:
        return scene((30 + 5 * step, 30, 20, 20, RED), (200, 40 + 6 * step, 16, 24, GREEN), (90, 150, 30, 18, BLUE))

    boxes: dict[str | int, tuple[int, ...]] = {"cup": (30, 30, 20, 20), "dog": (200, 40, 16, 24), 7: (90, 150, 30, 18)}
    together = Tracker(network)
    assert list(together.init(at(0), boxes)) == ["cup", "dog", 7]
    alone = {key: Tracker(network) for key in boxes}
    for key, box in boxes.items():
        alone[key].init(at(0), box)
    for step in range(1, 10):
        tracks = many(together.update(at(step)))
        assert list(tracks) == ["cup", "dog", 7]
        for key, tracker in alone.items():
            assert tracks[key].id == key
            assert tracks[key].box == pytest.approx(one(tracker.update(at(step))).box, abs=1e-3)
    assert tracks["cup"].box == pytest.approx((75, 30, 20, 20), abs=0.2)


def test_targets_come_and_go(network: Network) -> None:
    frame = scene((30, 30, 20, 20, RED), (200, 40, 16, 24, GREEN), (90, 150, 30, 18, BLUE))
    tracker = Tracker(network)
    tracker.init(frame, (30, 30, 20, 20))
    one(tracker.update(frame))
    added = tracker.add(frame, (200, 40, 16, 24))
    assert (added.id, added.frame, added.box) == (1, 1, (200.0, 40.0, 16.0, 24.0))
    tracker.add(frame, (90, 150, 30, 18), id="ball")
    tracks = many(tracker.update(frame))
    assert list(tracks) == [0, 1, "ball"]
    assert {track.frame for track in tracks.values()} == {2}
    tracker.remove(1)
    assert list(many(tracker.update(frame))) == [0, "ball"]
    assert tracker.add(frame, (200, 40, 16, 24)).id == 2
    for key in list(tracker.targets):
        tracker.remove(key)
    assert tracker.update(frame) == {}
    assert tracker.add(frame, (200, 40, 16, 24), id="cup").frame == 4
    assert many(tracker.update(frame))["cup"].box == pytest.approx((200, 40, 16, 24), abs=0.2)


def test_a_tracker_can_begin_with_add_or_with_nothing(network: Network) -> None:
    frame = scene((30, 30, 20, 20, RED))
    for tracker in (Tracker(network), Tracker(network)):
        tracker.init(frame, {})
        assert tracker.update(frame) == {}
    tracker = Tracker(network)
    assert tracker.add(frame, (30, 30, 20, 20)).frame == 0
    assert many(tracker.update(frame))[0].frame == 1


def test_init_starts_anew(network: Network) -> None:
    tracker = Tracker(network)
    tracker.init(scene(), {"a": (5, 5, 9, 9), "b": (50, 50, 9, 9)})
    tracker.update(scene())
    track = tracker.init(scene((30, 30, 20, 20, RED)), (30, 30, 20, 20))
    assert (track.id, track.frame) == (0, 0)
    assert list(tracker.targets) == [0]


def test_taken_and_unknown_ids_are_refused(network: Network) -> None:
    tracker = Tracker(network)
    tracker.init(scene(), {"cup": (5, 5, 9, 9)})
    with pytest.raises(ValueError, match="target 'cup' is being followed already"):
        tracker.add(scene(), (5, 5, 9, 9), id="cup")
    with pytest.raises(ValueError, match="no target 'dog', there is 'cup'"):
        tracker.remove("dog")
    assert list(tracker.targets) == ["cup"]


def test_update_before_init_is_refused(network: Network) -> None:
    with pytest.raises(OSTrackError, match=r"call init\(frame, box\) before update"):
        Tracker(network).update(scene())


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((np.nan, 1, 5, 5), "box nan,1,5,5: not finite"),
        ((1, 1, np.inf, 5), "box 1,1,inf,5: not finite"),
        ((1, 1, 0, 5), "box 1,1,0,5: width and height must be positive"),
        ((1, 1, 5, -3), "box 1,1,5,-3: width and height must be positive"),
        ((320, 10, 5, 5), "box 320,10,5,5: wholly outside the frame of 320 x 240"),
        ((-20, 10, 20, 5), "box -20,10,20,5: wholly outside the frame of 320 x 240"),
        ((0, 0, 1e7, 1e7), r"box 0,0,1e\+07,1e\+07: more than 4 times the frame of 320 x 240"),
        ((1, 2, 3), "expected four numbers x, y, w, h"),
        ("abc", "box 'abc': expected four numbers x, y, w, h"),
        (None, "expected four numbers x, y, w, h"),
    ],
)
def test_boxes_that_cannot_be_tracked_are_refused(network: Network, box: Any, message: str) -> None:
    tracker = Tracker(network)
    for given_box in (box, {"cup": (5, 5, 9, 9), "bad": box}):
        with pytest.raises(BoxError, match=message) as caught:
            tracker.init(scene(), given_box)
        assert "\n" not in str(caught.value)
    tracker.init(scene(), (5, 5, 9, 9))
    with pytest.raises(BoxError, match=message):
        tracker.add(scene(), box)
    assert list(tracker.targets) == [0]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((240, 320), np.uint8), r"frame is uint8 \(240, 320\), expected \(H, W, 3\) uint8 RGB"),
        (np.zeros((240, 320, 4), np.uint8), r"frame is uint8 \(240, 320, 4\), expected"),
        (np.zeros((240, 320, 3), np.float32), r"frame is float32 \(240, 320, 3\), expected"),
        (np.zeros((0, 320, 3), np.uint8), r"frame is uint8 \(0, 320, 3\), expected"),
        ("frame.jpg", "frame is a str, expected a numpy array"),
    ],
)
def test_frames_that_are_no_rgb_images_are_refused(network: Network, frame: Any, message: str) -> None:
    tracker = Tracker(network)
    with pytest.raises(ValueError, match=message):
        tracker.init(frame, (5, 5, 9, 9))
    tracker.init(scene(), (5, 5, 9, 9))
    with pytest.raises(ValueError, match=message):
        tracker.update(frame)
    assert tracker.frame == 0


def test_views_are_frames_too(network: Network) -> None:
    frame = scene((50, 60, 25, 17, BLUE))
    tracker = Tracker(network)
    tracker.init(frame[..., ::-1], (50, 60, 25, 17))
    assert one(tracker.update(frame[..., ::-1])).box == pytest.approx((50, 60, 25, 17), abs=0.2)


def test_the_frame_size_may_change(network: Network) -> None:
    tracker = Tracker(network)
    tracker.init(scene((90, 70, 25, 17, RED)), (90, 70, 25, 17))
    track = one(tracker.update(scene((85, 72, 25, 17, RED), size=(100, 120))))
    assert track.box == pytest.approx((85, 72, 25, 17), abs=0.2)
    track = one(tracker.update(scene((95, 80, 25, 17, RED), size=(480, 640))))
    assert track.box == pytest.approx((95, 80, 25, 17), abs=0.2)
    x, y, w, h = one(tracker.update(scene(size=(40, 50)))).box
    assert 0 <= x < x + w <= 50
    assert 0 <= y < y + h <= 40


@pytest.mark.parametrize(
    "options", [{"window": -0.1}, {"window": 1.5}, {"search_factor": 0}, {"search_factor": math.nan}]
)
def test_odd_options_are_refused(network: Network, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Tracker(network, **options)  # type: ignore[arg-type]  # one keyword at a time


def test_a_larger_search_finds_faster_motion(network: Network) -> None:
    found = []
    for factor in (None, 8.0):
        tracker = Tracker(network, search_factor=factor)
        tracker.init(scene((50, 60, 20, 20, RED)), (50, 60, 20, 20))
        track = one(tracker.update(scene((115, 60, 20, 20, RED))))
        found.append(float(iou_xywh(track.box, (115, 60, 20, 20))))
    assert found[0] < 0.1
    assert found[1] > 0.9


def test_the_target_reaches_networks_that_need_its_box(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from blob_network import BLOB_CONFIG, write_blob_network

    config = BLOB_CONFIG.model_copy(update={"token_type": True})
    tracker = Tracker(write_blob_network(tmp_path / "boxed.onnx", config))
    # This network takes the size from the template box, which must be what was given, to the rounding of the crop.
    frame = scene((50, 60, 31, 17, RED), (200, 100, 12, 36, GREEN))
    tracker.init(frame, {"a": (50, 60, 31, 17), "b": (200, 100, 12, 36)})
    tracks = many(tracker.update(frame))
    assert tracks["a"].box == pytest.approx((50, 60, 31, 17), rel=0.02)
    assert tracks["b"].box == pytest.approx((200, 100, 12, 36), rel=0.02)


def test_ids_are_whole_numbers_or_names() -> None:
    tracker, frame = Tracker(Network(AnyAnswer())), scene(size=(48, 64))
    tracks = tracker.init(frame, {np.int64(3): (10, 10, 12, 9)})
    assert isinstance(tracks, dict)
    assert json.loads(json.dumps(tracks[3].to_dict()))["id"] == 3
    for wrong in (True, 1.5, "", (1, 2)):
        with pytest.raises(BoxError, match=r"a target's id is .*, expected a name or a whole number"):
            tracker.add(frame, (10, 10, 12, 9), id=wrong)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(BoxError, match="a target's id"):
            tracker.init(frame, {wrong: (10, 10, 12, 9)})


@pytest.mark.parametrize("recovery", [False, True])
def test_an_answer_that_is_no_number_is_no_find(recovery: bool) -> None:
    runtime = AnyAnswer()
    runtime.answer = [0.5, 0.5, math.nan, 0.2, 0.9]
    tracker, frame = Tracker(Network(runtime), recovery=recovery), scene(size=(48, 64))
    tracker.init(frame, (10, 10, 12, 9))
    track = one(tracker.update(frame))
    assert (track.box, track.score, track.confidence) == ((10, 10, 12, 9), 0, 0)
    assert (track.state == "uncertain", track.seen) == (recovery, not recovery)


any_number = st.floats(width=32) | st.floats(-3, 3)


@settings(max_examples=60)
@given(st.lists(st.tuples(any_number, any_number, any_number, any_number), min_size=1, max_size=6), st.booleans())
def test_whatever_the_network_says_tracking_goes_on(answers: list[tuple[float, ...]], faithful: bool) -> None:
    runtime = AnyAnswer()
    tracker = Tracker(Network(runtime), faithful=faithful)
    frame = scene(size=(48, 64))
    tracker.init(frame, (10, 10, 12, 9))
    for answer in answers:
        runtime.answer = [*answer, math.nan]
        track = one(tracker.update(frame))
        x, y, w, h = track.box
        assert all(math.isfinite(value) for value in track.box)
        least = 10 if faithful else 2
        assert w >= least
        assert h >= least
        assert x >= 0
        assert y >= 0
        assert x + w <= 64 + 1e-9
        assert y + h <= 48 + 1e-9


def test_tracks_are_plain_values(network: Network) -> None:
    track = Track("cup", (1.0, 2.0, 3.0, 4.0), 0.5, "tracking", 8)
    expected = {"id": "cup", "frame": 8, "box": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "state": "tracking"}
    expected |= {"windowed": None, "confidence": None, "seen": True}
    assert json.loads(json.dumps(track.to_dict())) == expected
    assert list(track.to_dict())[:5] == ["id", "frame", "box", "score", "state"]
    assert Track("cup", track.box, math.nan, "tracking", 8).to_dict()["score"] is None
    tracker = Tracker(network)
    tracker.init(scene(), np.array([5, 5, 9, 9], np.float32))
    assert all(type(value) is float for value in one(tracker.update(scene())).box)


@pytest.fixture(scope="module")
def official_clip(parity: Path) -> dict[str, NDArray[Any]]:
    safetensors = pytest.importorskip("safetensors.numpy")
    clip: dict[str, NDArray[Any]] = safetensors.load_file(parity / "tracker_256_ce.io.safetensors")
    return clip


def test_boxes_equal_the_official_tracker(parity: Path, official_clip: dict[str, NDArray[Any]]) -> None:
    pytest.importorskip("torch")
    from ostrack.model import load

    config = OSTrackConfig(embed_dim=48, num_heads=3, head_channels=16)
    module = load(parity / "tracker_256_ce.official_format.pth.tar", config=config)
    tracker = Tracker(Network.from_module(module), faithful=True)
    frames, boxes = official_clip["frames_rgb"], official_clip["boxes_xywh"]
    assert tracker.init(frames[0], boxes[0]).box == pytest.approx(tuple(boxes[0]))
    for frame, box in zip(frames[1:], boxes[1:], strict=True):
        assert one(tracker.update(frame)).box == pytest.approx(tuple(box), abs=0.05)
