"""Look-alikes: who keeps an object that two targets claim, and two equal things that cross before a real network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from ostrack import zoo
from ostrack.boxes import iou_xywh
from ostrack.crop import Crop
from ostrack.exclusion import cells_within, claim, close_by, overlaps, share_out
from ostrack.network import Network
from ostrack.recovery import Recovery, Sighting
from ostrack.tracker import Track, Tracker
from scripted_runtimes import AnyAnswer

SIDE = 44


def seen(x: float, y: float, score: float = 0.8) -> Sighting:
    return Sighting((x, y, 20, 20), score, score, 0.1, score)


def test_the_best_claim_keeps_the_object_and_the_other_looks_again() -> None:
    asked: list[tuple[int, list[Any]]] = []

    def look_again(index: int, taken: list[Any]) -> Sighting:
        asked.append((index, list(taken)))
        return seen(60, 0, 0.5)

    first, second, far = seen(0, 0), seen(3, 0), seen(200, 0)
    assert share_out([first, second, far], [0.5, 0.9, 0.1], look_again) == [seen(60, 0, 0.5), second, far]
    assert asked == [(0, [second.box])]


@pytest.mark.parametrize("again", [None, seen(60, 0, 0.3), seen(1, 0, 0.8)], ids=["nothing", "too faint", "the same"])
def test_a_target_with_nothing_of_its_own_in_sight_gets_nothing(again: Sighting | None) -> None:
    first, second = seen(0, 0), seen(3, 0)
    assert share_out([first, second], [0.9, 0.5], lambda index, taken: again) == [first, None]


def test_claims_fall_with_the_distance_from_the_expected_place() -> None:
    claims = [claim(seen(shift, 0), (0, 0, 20, 20)) for shift in (0, 5, 10, 40)]
    assert claims[0] == pytest.approx(0.8)
    assert claims == sorted(claims, reverse=True)
    assert claims[2] == pytest.approx(0.8 * np.exp(-0.5))
    assert claim(seen(0, 0, float("nan")), (0, 0, 20, 20)) == 1


def test_neighbours_and_overlaps() -> None:
    box = (0.0, 0.0, 20.0, 20.0)
    assert close_by(box, [(22, 0, 20, 20)])
    assert not close_by(box, [(30, 0, 20, 20), (0, 60, 20, 20)])
    assert not close_by(box, [])
    assert overlaps(box, [(60, 0, 20, 20), (4, 0, 20, 20)])
    assert not overlaps(box, [(10, 0, 20, 20)])
    assert not overlaps(box, [])


def test_cells_of_taken_boxes_are_closed() -> None:
    crop = Crop(np.zeros((64, 64, 3), np.uint8), (100, 50), 80, (140.0, 90.0))
    cells = cells_within(crop, [(120, 60, 20, 10)], 8)
    # Cells are 10 px: middles 105, 115, ... and 55, 65, ...
    assert np.argwhere(cells).tolist() == [[1, 2], [1, 3]]
    assert not cells_within(crop, [(0, 0, 20, 20)], 8).any()


# Both targets see the same thing in the same place.
BOX, FRAME = (20, 14, 12, 12), np.zeros((48, 64, 3), np.uint8)
ALONE = Recovery(patience=2, wide=False, verify=False, confirm=1, growth=1)


def two(answer: list[float], runtime: AnyAnswer, tracker: Tracker) -> dict[Any, Track]:
    runtime.answer = answer
    tracks = tracker.update(FRAME)
    assert isinstance(tracks, dict)
    return tracks


def test_a_lost_target_is_not_seen_where_another_one_is() -> None:
    runtime = AnyAnswer()
    tracker = Tracker(Network(runtime), recovery=ALONE, exclusion=True)
    tracker.init(FRAME, {"a": BOX, "b": BOX})
    for _ in range(12):
        tracks = two([0.5, 0.5, 0.25, 0.25, 0.9], runtime, tracker)
        assert (tracks["a"].state, tracks["a"].seen) == ("tracking", True)
        assert not tracks["b"].seen
        assert tracks["b"].confidence <= ALONE.gone
    assert tracks["b"].state == "lost"


def test_of_two_lost_targets_one_has_the_find() -> None:
    runtime = AnyAnswer()
    tracker = Tracker(Network(runtime), recovery=ALONE, exclusion=True)
    tracker.init(FRAME, {"a": BOX, "b": BOX})
    for _ in range(6):
        tracks = two([0.5, 0.5, 0.25, 0.25, 0.0], runtime, tracker)
    assert {track.state for track in tracks.values()} == {"lost"}
    for _ in range(4):
        tracks = two([0.5, 0.5, 0.25, 0.25, 0.9], runtime, tracker)
        assert {name: track.state for name, track in tracks.items()} == {"a": "tracking", "b": "lost"}


def picture(step: int) -> tuple[Any, dict[str, tuple[int, int, int, int]]]:
    """Two equal discs on a soft background that pass each other, the one covering most of the other."""
    rng = np.random.default_rng(1)
    frame = cv2.resize(rng.integers(60, 180, (20, 30, 3)).astype(np.uint8), (360, 240), interpolation=cv2.INTER_CUBIC)
    disc = np.full((SIDE, SIDE, 3), (200, 60, 40), np.uint8)
    cv2.circle(disc, (SIDE // 2, SIDE // 2), SIDE // 3, (240, 220, 60), -1)
    cv2.line(disc, (4, 4), (SIDE - 5, SIDE - 5), (20, 20, 120), 4)
    places = {"right": (82 + 7 * step, 90), "left": (228 - 7 * step, 104)}
    for x, y in reversed(places.values()):
        frame[y : y + SIDE, x : x + SIDE] = disc
    return frame, {name: (x, y, SIDE, SIDE) for name, (x, y) in places.items()}


@pytest.mark.skipif(not zoo.names(), reason="no network is packaged")
def test_two_equal_things_that_cross_keep_their_names() -> None:
    network = Network.load(threads=1)
    ends = {}
    for exclusion in (False, True):
        tracker = Tracker(network, exclusion=exclusion, recovery=False)
        tracker.init(*picture(0))
        for step in range(1, 20):
            frame, truth = picture(step)
            tracks = tracker.update(frame)
            assert isinstance(tracks, dict)
            if exclusion and all(track.seen for track in tracks.values()):
                assert iou_xywh(tracks["left"].box, tracks["right"].box) <= 0.5
        ends[exclusion] = {name: float(iou_xywh(tracks[name].box, truth[name])) for name in truth}
    # Without exclusion both end on one of the two.
    assert min(ends[False].values()) < 0.1
    assert min(ends[True].values()) > 0.5, ends
