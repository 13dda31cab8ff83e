"""The second template: when it is taken, when it is asked, and that the first one stays what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coloured_scenes import GREEN, RED, one, scene
from ostrack.network import Network
from ostrack.recovery import PLAIN, Recovery
from ostrack.runtimes import Maps
from ostrack.tracker import Tracker
from scripted_runtimes import Counted

POLICY = Recovery(refresh=3, sure=0.9)
BOX = (30, 40, 26, 22)


class Dimmed(Counted):
    """The network that sees colours, as sure of the first template as it is told to be, of later ones as it is."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.embedded: list[Any] = []
        self.boxes: list[Any] = []
        self.first_is = 1.0

    def embed(self, templates: Any, template_boxes: Any) -> Any:
        # Every view is marked in a number that the scene leaves nearly as it is.
        tokens = super().embed(templates, template_boxes) + np.float32(1e-4 * len(self.embedded))
        self.embedded.append(tokens.copy())
        self.boxes.append(template_boxes)
        return tokens

    def search(self, tokens: Any, searches: Any) -> Maps:
        found = super().search(tokens, searches)
        first = np.array([np.array_equal(row, self.embedded[0][0]) for row in tokens])
        assert found.score is not None
        dim = np.where(first, self.first_is, 1.0).astype(np.float32)
        return replace(found, score=found.score * dim[:, None, None])


@pytest.fixture
def runtime(blob_onnx: Path) -> Dimmed:
    return Dimmed(Network.load(blob_onnx, threads=1))


def at(step: int) -> Any:
    return scene((30 + 3 * step, 40, 26, 22, RED))


def run(tracker: Tracker, steps: range) -> list[Any]:
    return [one(tracker.update(at(step))) for step in steps]


def test_a_view_is_taken_now_and_then_and_costs_no_row_while_all_is_well(runtime: Dimmed) -> None:
    tracker = Tracker(Network(runtime), recovery=POLICY)
    tracker.init(at(0), BOX)
    run(tracker, range(1, 10))
    assert len(runtime.embedded) == 1 + 3
    assert runtime.rows == [1] * 9


def test_the_second_template_follows_what_the_first_one_doubts(runtime: Dimmed) -> None:
    tracker = Tracker(Network(runtime), recovery=POLICY)
    tracker.init(at(0), BOX)
    run(tracker, range(1, 6))
    runtime.first_is, taken = 0.2, len(runtime.embedded)
    runtime.rows.clear()
    doubted, *helped = run(tracker, range(6, 20))
    assert doubted.state == "uncertain"
    assert {track.state for track in helped} == {"tracking"}
    assert helped[-1].box == pytest.approx((30 + 3 * 19, 40, 26, 22), abs=0.3)
    assert runtime.rows == [1] + [2] * 13
    # No view is taken on the word of a view: errors cannot add up.
    assert len(runtime.embedded) == taken
    np.testing.assert_array_equal(tracker.targets[0].template_tokens, runtime.embedded[0][0])
    runtime.first_is = 1.0
    runtime.rows.clear()
    assert {track.state for track in run(tracker, range(20, 24))} == {"tracking"}
    assert runtime.rows == [2, 1, 1, 1]
    assert len(runtime.embedded) > taken


@pytest.mark.parametrize("policy", [replace(POLICY, refresh=0), replace(POLICY, sure=1.0), PLAIN])
def test_it_can_be_switched_off(runtime: Dimmed, policy: Recovery) -> None:
    tracker = Tracker(Network(runtime), recovery=policy)
    tracker.init(at(0), BOX)
    run(tracker, range(1, 6))
    runtime.first_is = 0.2
    tracks = run(tracker, range(6, 16))
    assert {track.state for track in tracks} == {"tracking" if policy is PLAIN else "uncertain"}
    assert len(runtime.embedded) == 1
    assert set(runtime.rows) == {1}


def test_a_second_template_that_is_not_sure_is_not_believed(runtime: Dimmed) -> None:
    tracker = Tracker(Network(runtime), recovery=POLICY)
    tracker.init(at(0), BOX)
    run(tracker, range(1, 6))
    runtime.first_is = 0.2
    faint = [scene((45, 40, 26, 22, (190, 0, 0)))] * 6
    tracks = [one(tracker.update(frame)) for frame in faint]
    assert {track.state for track in tracks} == {"uncertain"}
    assert all(track.confidence < 0.2 for track in tracks)


def test_targets_kept_apart_are_compared_by_their_first_templates(runtime: Dimmed) -> None:
    tracker = Tracker(Network(runtime), recovery=POLICY, exclusion=True)
    tracker.init(at(0), BOX)
    run(tracker, range(1, 6))
    runtime.first_is = 0.2
    run(tracker, range(6, 9))
    assert len(runtime.embedded) == 1
    assert set(runtime.rows) == {1}


def test_a_target_that_joins_later_gives_its_view_as_late(runtime: Dimmed) -> None:
    tracker = Tracker(Network(runtime), recovery=POLICY)
    tracker.init(at(0), {})
    for step in range(1, 9):
        tracker.update(at(step))
    tracker.add(at(8), (54, 40, 26, 22), id="late")
    for step, embedded in ((9, 1), (10, 1), (11, 2)):
        tracker.update(at(step))
        assert len(runtime.embedded) == embedded


def test_each_target_is_asked_for_in_its_own_rows(runtime: Dimmed) -> None:
    def both(step: int) -> Any:
        return scene((30 + 3 * step, 40, 26, 22, RED), (200, 150 - 2 * step, 30, 24, GREEN))

    tracker = Tracker(Network(runtime), recovery=POLICY)
    tracker.init(both(0), {"red": BOX, "green": (200, 150, 30, 24)})
    for step in range(1, 6):
        tracker.update(both(step))
    runtime.first_is = 0.2
    runtime.rows.clear()
    for step in range(6, 16):
        if step == 10:
            tracker.remove("green")
        if step == 12:
            tracker.add(both(11), (200, 128, 30, 24), id="again")
        tracks = tracker.update(both(step))
        assert isinstance(tracks, dict)
        for name, track in tracks.items():
            place = (30 + 3 * step, 40, 26, 22) if name == "red" else (200, 150 - 2 * step, 30, 24)
            assert track.box == pytest.approx(place, abs=0.3)
            assert track.state == ("uncertain" if name == "red" and step == 6 else "tracking")
    assert runtime.rows == [2, 3, 3, 3, 2, 2, 3, 3, 3, 3]


def test_a_target_that_came_back_is_looked_at_with_its_first_template_alone(runtime: Dimmed) -> None:
    policy = replace(POLICY, patience=2, despair=0.15, confirm=1, wide=False, most_growth=4.0)
    tracker = Tracker(Network(runtime), recovery=policy)
    tracker.init(at(0), BOX)
    run(tracker, range(1, 6))
    assert [one(tracker.update(scene())).state for _ in range(4)][-1] == "lost"
    assert one(tracker.update(at(6))).state == "tracking"
    runtime.rows.clear()
    assert one(tracker.update(at(7))).state == "tracking"
    assert runtime.rows == [1]


def test_a_view_carries_its_own_box_to_networks_that_need_one(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from blob_network import BLOB_CONFIG, write_blob_network

    path = write_blob_network(tmp_path / "boxed.onnx", BLOB_CONFIG.model_copy(update={"token_type": True}))
    runtime = Dimmed(Network.load(path, threads=1))
    tracker = Tracker(Network(runtime), recovery=POLICY)
    # Given too far to the left: the view is taken of the box that was found, in the middle of its own crop.
    tracker.init(at(0), (18, 40, 26, 22))
    run(tracker, range(1, 6))
    first, view = (boxes[0] for boxes in runtime.boxes)
    side = 2 * np.sqrt(26 * 22)
    assert view == pytest.approx([0.5, 0.5, 26 / side, 22 / side], abs=0.02)
    assert view == pytest.approx(first, abs=0.03)
    runtime.first_is = 0.2
    _, helped = run(tracker, range(6, 8))
    assert helped.state == "tracking"
    assert helped.box == pytest.approx((30 + 3 * 7, 40, 26, 22), abs=1)
