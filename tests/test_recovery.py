"""Doubt, holding, the search of the frame, the confirmed return: from outside, through a tracker that sees colours."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coloured_scenes import GREEN, RED, SIZE, one, scene
from ostrack.network import Network
from ostrack.recovery import PLAIN, Belief, Recovery, Sighting, wide_tiles
from ostrack.runtimes import Maps
from ostrack.tracker import Track, Tracker
from scripted_runtimes import AnyAnswer, Counted

# The colour network has no calibration, so its confidence is its score: about 1 on the target, 0 elsewhere.
POLICY = Recovery(despair=0.15, patience=4, tiles=6, confirm=2)


@pytest.fixture(scope="module")
def network(blob_onnx: Path) -> Network:
    return Network.load(blob_onnx, threads=1)


def run(tracker: Tracker, frames: list[Any]) -> list[Track]:
    return [one(tracker.update(frame)) for frame in frames]


def test_a_target_that_goes_and_comes_back_elsewhere_is_found(network: Network) -> None:
    tracker = Tracker(network, recovery=POLICY)
    tracker.init(scene((30, 40, 26, 22, RED)), (30, 40, 26, 22))
    before = run(tracker, [scene((30 + 3 * step, 40, 26, 22, RED)) for step in range(1, 6)])
    assert {track.state for track in before} == {"tracking"}
    assert all(track.seen and track.confidence == track.score for track in before)
    gone = run(tracker, [scene()] * 10)
    assert [track.state for track in gone[:3]] == ["uncertain"] * 3
    assert {track.state for track in gone[3:]} == {"lost"}
    assert not any(track.seen for track in gone)
    assert all(track.confidence <= POLICY.gone for track in gone)
    assert gone[0].box[2:] == pytest.approx(before[-1].box[2:])
    back = run(tracker, [scene((250, 180, 26, 22, RED))] * 12)
    found = next(index for index, track in enumerate(back) if track.state == "tracking")
    # 6 of the frame's parts at a time: two turns at most, and one more frame that confirms.
    assert 1 <= found <= 4
    assert {track.state for track in back[:found]} == {"lost"}
    assert all(track.seen for track in back[found:])
    assert back[-1].box == pytest.approx((250, 180, 26, 22), abs=0.3)


def test_the_box_glides_on_and_stops(network: Network) -> None:
    tracker = Tracker(network, recovery=Recovery(patience=0, damping=0.5))
    tracker.init(scene((30, 40, 26, 22, RED)), (30, 40, 26, 22))
    last = run(tracker, [scene((30 + 6 * step, 40, 26, 22, RED)) for step in range(1, 8)])[-1]
    held = run(tracker, [scene()] * 12)
    steps = np.diff([last.box[0], *(track.box[0] for track in held)])
    assert (np.diff(steps) <= 1e-9).all()
    assert 1 < steps[0] <= 6
    assert steps[-1] < 0.1
    assert {track.state for track in held} == {"uncertain"}
    still = Tracker(network, recovery=Recovery(patience=0, damping=0))
    still.init(scene((30, 40, 26, 22, RED)), (30, 40, 26, 22))
    last = run(still, [scene((30 + 6 * step, 40, 26, 22, RED)) for step in range(1, 8)])[-1]
    assert run(still, [scene()] * 3)[-1].box == pytest.approx(last.box)


def test_policies_can_be_switched_off(network: Network) -> None:
    def last(policy: Recovery) -> Track:
        tracker = Tracker(network, recovery=policy)
        tracker.init(scene((30, 40, 26, 22, RED)), (30, 40, 26, 22))
        return run(tracker, [scene()] * 8 + [scene((250, 180, 26, 22, RED))] * 12)[-1]

    assert last(POLICY).box == pytest.approx((250, 180, 26, 22), abs=0.3)
    assert last(Recovery(despair=0.15, patience=4, wide=False)).state == "lost"
    assert last(Recovery(patience=0)).state == "uncertain"
    assert last(Recovery(patience=0, hold=False)).seen
    assert last(PLAIN).state == "tracking"


@pytest.mark.parametrize("tiles", [1, 3])
def test_the_search_costs_what_was_allowed_and_reaches_every_place(network: Network, tiles: int) -> None:
    counted = Counted(network)
    tracker = Tracker(Network(counted), recovery=Recovery(patience=2, tiles=tiles, scales=(1.0,), confirm=1))
    frame = scene((30, 40, 26, 22, RED))
    tracker.init(frame, (30, 40, 26, 22))
    run(tracker, [scene()] * 4)
    parts = len(wide_tiles(SIZE, 4 * math.sqrt(26 * 22), (1.0,)))
    counted.rows.clear()
    run(tracker, [scene((285, 210, 26, 22, RED))] * (math.ceil(parts / tiles)))
    # A find is looked at beside the last place; one more call of one row asks whether it points back.
    assert set(counted.rows) <= {1, 2, 1 + tiles}
    assert one(tracker.update(scene((285, 210, 26, 22, RED)))).state == "tracking"


class NoNumbers(Counted):
    """The same, whose maps hold no numbers from some time on, as when 16 bits overflow."""

    broken = False

    def search(self, tokens: Any, searches: Any) -> Maps:
        found = super().search(tokens, searches)
        if not self.broken or found.score is None or found.size is None or found.offset is None:
            return found
        nothing = {name: np.full_like(getattr(found, name), np.nan) for name in ("boxes", "score", "size", "offset")}
        return replace(found, **nothing)


@pytest.mark.parametrize("recovery", [POLICY, False])
def test_maps_without_numbers_are_no_sight_of_the_target(network: Network, recovery: Recovery | bool) -> None:
    runtime = NoNumbers(network)
    tracker = Tracker(Network(runtime), recovery=recovery)
    tracker.init(scene((30, 40, 26, 22, RED)), (30, 40, 26, 22))
    run(tracker, [scene((30, 40, 26, 22, RED))] * 2)
    runtime.broken = True
    tracks = run(tracker, [scene((30, 40, 26, 22, RED))] * 8)
    assert {(track.score, track.confidence) for track in tracks} == {(0, 0)}
    assert tracks[-1].state == ("lost" if recovery else "tracking")
    assert tracks[-1].box == pytest.approx((30, 40, 26, 22), abs=0.3)


class AsksInVain(Counted):
    """The same, and not sure of what is asked in a call of its own."""

    def search(self, tokens: Any, searches: Any) -> Maps:
        found = super().search(tokens, searches)
        if len(tokens) > 1 or found.score is None:
            return found
        return replace(found, score=found.score * 0.3, confidence=None)


@pytest.mark.parametrize(("runtime", "state"), [(Counted, "tracking"), (AsksInVain, "lost")])
def test_a_find_that_does_not_lead_surely_back_is_no_return(
    network: Network, runtime: type[Counted], state: str
) -> None:
    tracker = Tracker(Network(runtime(network)), recovery=Recovery(patience=2, tiles=3, scales=(1.0,), confirm=1))
    tracker.init(scene((30, 40, 26, 22, RED)), (30, 40, 26, 22))
    run(tracker, [scene()] * 4)
    assert run(tracker, [scene((250, 180, 26, 22, RED))] * 10)[-1].state == state


@given(
    st.tuples(st.integers(8, 900), st.integers(8, 900)),
    st.floats(8, 600),
    st.lists(st.floats(0.5, 4), min_size=1, max_size=3),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_place_is_well_inside_a_tile_of_each_scale(
    size: tuple[int, int], side: float, scales: list[float], place: tuple[float, float]
) -> None:
    tiles = wide_tiles(size, side, scales)
    y, x = place[0] * size[0], place[1] * size[1]
    for scale in scales:
        mine = tiles[np.isclose(tiles[:, 2], side * scale)]
        off = np.maximum(abs(mine[:, 0] + mine[:, 2] / 2 - x), abs(mine[:, 1] + mine[:, 3] / 2 - y)) / mine[:, 2]
        assert off.min() <= 0.3 + 1e-9


def test_a_find_must_hold_for_some_frames() -> None:
    belief = Belief((20.0, 20.0), state="lost")
    sure = Sighting((5, 5, 20, 20), 0.9, 0.9, 0.1, 0.9)
    faint, huge = Sighting((5, 5, 20, 20), 0.5, 0.5, 0.1, 0.5), Sighting((5, 5, 90, 90), 0.9, 0.9, 0.1, 0.9)
    policy = Recovery(confirm=3)
    assert [belief.consider(policy, [found]) for found in (sure, sure, faint, sure, sure)] == [False] * 5
    assert belief.consider(policy, [faint, sure])
    belief.reject()
    assert not belief.consider(policy, [huge, faint])
    assert belief.find is None
    assert not belief.consider(policy, [])


def test_doubt_and_trust_have_a_gap_between_them() -> None:
    belief, policy = Belief((20.0, 20.0)), Recovery(doubt=0.4, trust=0.6, gone=0.1)
    states = []
    for confidence in (0.7, 0.5, 0.39, 0.5, 0.59, 0.6, 0.5):
        belief.judge(policy, (0, 0, 20, 20), Sighting((0, 0, 20, 20), 1, 1, 0, confidence), SIZE)
        states.append(belief.state)
    assert states == ["tracking", "tracking", "uncertain", "uncertain", "uncertain", "tracking", "tracking"]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"doubt": 0.8}, "gone=0.02, doubt=0.8, trust=0.6: expected 0 <= gone <= doubt <= trust <= 1"),
        ({"gone": math.nan}, "expected 0 <= gone"),
        ({"damping": 1.5}, "damping=1.5: expected 0 to 1"),
        ({"growth": 0.9}, "growth=0.9: expected 1 or more"),
        ({"tiles": 0}, "tiles=0: expected 1 or more"),
        ({"patience": -1}, "patience=-1: expected 0 or more"),
        ({"scales": ()}, r"scales=\(\): expected positive numbers"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recovery(**settings_)


def test_the_official_tracker_recovers_nothing(network: Network) -> None:
    assert Tracker(network, faithful=True).recovery is None
    for options in ({"recovery": True}, {"recovery": POLICY}, {"exclusion": True}):
        with pytest.raises(ValueError, match="faithful=True is the official tracker"):
            Tracker(network, faithful=True, **options)  # type: ignore[arg-type]  # one keyword at a time


def test_only_calibrated_networks_recover_unasked(network: Network) -> None:
    assert Tracker(network).recovery is None
    assert Tracker(network, recovery=True).recovery == Recovery()


@pytest.mark.parametrize("recovery", [False, POLICY])
def test_many_go_as_each_alone_while_they_vanish_and_the_frame_changes_its_size(
    network: Network, recovery: Recovery | bool
) -> None:
    def at(step: int) -> Any:
        shown = [(30 + 4 * step, 30, 26, 22, RED)] if step < 4 or step > 12 else []
        green = (200 - 2 * step, 150, 30, 24, GREEN)
        return scene(*shown, green, size=(240, 320) if step < 15 else (200, 260))

    boxes = {"cup": (30, 30, 26, 22), "dog": (200, 150, 30, 24)}
    together = Tracker(network, recovery=recovery)
    together.init(at(0), boxes)
    alone = {key: Tracker(network, recovery=recovery) for key in boxes}
    for key, box in boxes.items():
        alone[key].init(at(0), box)
    states = set()
    for step in range(1, 22):
        tracks = together.update(at(step))
        assert isinstance(tracks, dict)
        for key, tracker in alone.items():
            single = one(tracker.update(at(step)))
            assert tracks[key].box == pytest.approx(single.box, abs=1e-4)
            assert (tracks[key].state, tracks[key].seen) == (single.state, single.seen)
        states.add(tracks["cup"].state)
        assert tracks["dog"].state == "tracking"
    assert tracks["cup"].state == "tracking"
    assert states == ({"tracking", "uncertain", "lost"} if recovery else {"tracking"})


def test_targets_come_and_go_while_one_is_lost(network: Network) -> None:
    tracker = Tracker(network, recovery=POLICY)
    tracker.init(scene((30, 40, 26, 22, RED)), {"cup": (30, 40, 26, 22)})
    for _ in range(6):
        tracker.update(scene())
    assert tracker.targets["cup"].belief.state == "lost"
    tracker.add(scene((200, 100, 20, 20, GREEN)), (200, 100, 20, 20), id="dog")
    both = scene((200, 100, 20, 20, GREEN), (250, 190, 26, 22, RED))
    for _ in range(8):
        tracks = tracker.update(both)
    assert isinstance(tracks, dict)
    assert tracks["cup"].box == pytest.approx((250, 190, 26, 22), abs=0.3)
    assert tracks["dog"].box == pytest.approx((200, 100, 20, 20), abs=0.3)
    tracker.remove("cup")
    assert list(tracker.update(both)) == ["dog"]


any_number = st.floats(width=32) | st.floats(-3, 3)
answers = st.tuples(any_number, any_number, any_number, any_number, st.floats(0, 1) | st.just(math.nan))


@settings(max_examples=60)
@given(st.lists(answers, min_size=1, max_size=20), st.booleans())
def test_whatever_the_network_says_boxes_stay_in_the_frame(said: list[tuple[float, ...]], exclusion: bool) -> None:
    runtime = AnyAnswer()
    tracker = Tracker(Network(runtime), recovery=Recovery(patience=2, confirm=1), exclusion=exclusion)
    frame = scene(size=(48, 64))
    tracker.init(frame, {"a": (10, 10, 12, 9), "b": (30, 20, 12, 9)})
    for answer in said:
        runtime.answer = list(answer)
        tracks = tracker.update(frame)
        assert isinstance(tracks, dict)
        for track in tracks.values():
            x, y, w, h = track.box
            assert all(math.isfinite(value) for value in track.box)
            assert min(w, h) >= 2
            assert 0 <= x <= x + w <= 64 + 1e-9
            assert 0 <= y <= y + h <= 48 + 1e-9


def test_networks_without_a_score_are_never_doubted() -> None:
    runtime = AnyAnswer()
    runtime.answer = [0.5, 0.5, 0.2, 0.2, math.nan]
    tracker = Tracker(Network(runtime), recovery=True)
    tracker.init(scene(size=(48, 64)), (10, 10, 12, 9))
    tracks = run(tracker, [scene(size=(48, 64))] * 12)
    assert {(track.state, track.seen) for track in tracks} == {("tracking", True)}
    assert tracks[0].to_dict()["confidence"] is None
