"""Pairs out of clips, images and mixtures by the official rules, and nothing left to chance but the generator."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.data.sampling import ClipPairs, FramePair, Mixture, Negatives, NothingUsableError
from ostrack.data.sequence import ArrayFrames, Sequence
from ostrack.errors import DataError


def _clip(visible: list[bool], name: str = "clip") -> Sequence:
    """Frames of one pixel whose value is their number; boxes whose x is it too."""
    count = len(visible)
    frames = ArrayFrames([np.full((1, 1, 3), i % 256, np.uint8) for i in range(count)])
    boxes = np.column_stack([np.arange(count), np.zeros(count), np.full((count, 2), 5.0)])
    boxes[~np.array(visible)] = np.nan
    return Sequence(name, frames, boxes, np.array(visible))


def _frames(pair: FramePair) -> tuple[int, int]:
    assert pair.template_box[0] % 256 == pair.template[0, 0, 0]
    assert pair.search_box[0] % 256 == pair.search[0, 0, 0]
    return int(pair.template_box[0]), int(pair.search_box[0])


@given(
    visible=st.lists(st.booleans(), min_size=20, max_size=300).filter(lambda seen: sum(seen) >= 5),
    gap=st.integers(1, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_causal_pairs_go_forward_to_a_visible_frame_within_the_gap(visible: list[bool], gap: int, seed: int) -> None:
    clip = _clip(visible)
    source = ClipPairs([clip], gap, "causal", min_frames=20, min_visible=5)
    first, second = _frames(source.draw(np.random.default_rng(seed)))
    assert first < second
    assert visible[first]
    assert visible[second]
    if second - first >= max(gap, 2):
        # The gap has grown: some template had nothing visible within it.
        assert np.diff(np.flatnonzero(visible)).max() >= max(gap, 2)


def test_causal_pairs_cover_the_whole_gap_evenly() -> None:
    source = ClipPairs([_clip([True] * 500)], 200, "causal", 20, 5)
    rng = np.random.default_rng(0)
    drawn = np.array([_frames(source.draw(rng)) for _ in range(6000)])
    distance = drawn[:, 1] - drawn[:, 0]
    # Official: the search frame is in t + 1 ... t + 199.
    assert distance.min() == 1
    assert distance.max() == 199
    early = distance[drawn[:, 0] < 300]
    assert early.mean() == pytest.approx(100, abs=4)


def test_the_gap_grows_while_there_is_no_other_visible_frame() -> None:
    visible = [i in (0, 100, 200, 300, 400) for i in range(401)]
    source = ClipPairs([_clip(visible)], 10, "causal", 20, 5)
    rng = np.random.default_rng(3)
    distances = Counter(np.diff(_frames(source.draw(rng)))[0] for _ in range(50))
    assert set(distances) == {100}


def test_pairs_of_any_order_go_both_ways() -> None:
    source = ClipPairs([_clip([True] * 50)], 7, "any")
    rng = np.random.default_rng(0)
    distance = np.array([np.diff(_frames(source.draw(rng)))[0] for _ in range(800)])
    assert distance.min() == -7
    assert distance.max() == 7


@pytest.mark.parametrize(
    "visible", [[True], [True] * 19, [True] * 4 + [False] * 30, [False] * 40], ids=["one", "short", "hidden", "absent"]
)
def test_clips_that_are_too_short_or_hidden_are_refused_by_name(visible: list[bool]) -> None:
    source = ClipPairs([_clip(visible, "bad-7")], 200, "causal", 20, 5)
    with pytest.raises(
        DataError, match=r"bad-7: \d+ frames, \d+ of them with a visible target; expected at least 20 and 5"
    ):
        source.draw(np.random.default_rng(0))


def test_boxes_without_an_area_are_named() -> None:
    clip = _clip([True] * 30)
    clip.boxes[:, 2] = 0
    with pytest.raises(DataError, match=r"memory\[\d+\]: box \d+,0,0,5 of clip has no area"):
        ClipPairs([clip]).draw(np.random.default_rng(0))


def test_no_clips_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="nothing to draw pairs from"):
        ClipPairs([])


class _Constant:
    def __init__(self, value: float, fail: int = 0) -> None:
        self.value, self.fail = value, fail

    def draw(self, rng: np.random.Generator) -> FramePair:
        if self.fail:
            self.fail -= 1
            raise DataError(f"source {self.value:g} is broken")
        image = np.zeros((2, 2, 3), np.uint8)
        return FramePair(image, (self.value, 0, 1, 1), image, (self.value, 0, 1, 1))


def test_a_mixture_keeps_its_shares() -> None:
    mixture, rng = (
        Mixture([_Constant(0), _Constant(1), _Constant(2), _Constant(3)], [1, 1, 1, 1]),
        np.random.default_rng(0),
    )
    counts = Counter(mixture.draw(rng).template_box[0] for _ in range(4000))
    assert all(counts[value] == pytest.approx(1000, abs=120) for value in range(4))
    uneven = Mixture([_Constant(0), _Constant(1), _Constant(2)], [3, 0, 1])
    counts = Counter(uneven.draw(rng).template_box[0] for _ in range(2000))
    assert counts[1] == 0
    assert counts[0] == pytest.approx(1500, abs=100)


def test_a_broken_source_cannot_leave_its_share_to_the_others() -> None:
    mixture = Mixture([_Constant(0), _Constant(1, fail=10**6)], [1, 1], ["good", "bad"])
    rng = np.random.default_rng(0)
    message = "bad: no usable pair in 200 draws; the last failed by: source 1 is broken"
    with pytest.raises(NothingUsableError, match=message):
        [mixture.draw(rng) for _ in range(50)]


def test_skips_are_carried_with_the_pair() -> None:
    pair = Mixture([_Constant(4, fail=3)], [1]).draw(np.random.default_rng(0))
    assert pair.skipped == 3
    assert pair.reason == "source 4 is broken"


def test_negatives_cross_two_pairs() -> None:
    source = Negatives(Mixture([_Constant(0), _Constant(1)], [1, 1]))
    rng = np.random.default_rng(1)
    pairs = [source.draw(rng) for _ in range(400)]
    assert not any(pair.present for pair in pairs)
    # Template and search region come from a draw each.
    counts = Counter((pair.template_box[0], pair.search_box[0]) for pair in pairs)
    assert all(counts[a, b] == pytest.approx(100, abs=40) for a in (0, 1) for b in (0, 1))


def test_a_target_is_never_said_to_be_absent_from_its_own_clip() -> None:
    # Boxes tell the clips apart: their second number is the clip's.
    clips = [_clip([True] * 30, f"clip{number}") for number in range(2)]
    for number, clip in enumerate(clips):
        clip.boxes[:, 1] = number
    source = Mixture([Negatives(Mixture([ClipPairs(clips)], [1]))], [1], ["negatives"])
    rng = np.random.default_rng(0)
    pairs = [source.draw(rng) for _ in range(60)]
    assert all(pair.template_box[1] != pair.search_box[1] for pair in pairs)
    alone = Mixture([Negatives(Mixture([ClipPairs(clips[:1])], [1]))], [1], ["negatives"])
    with pytest.raises(NothingUsableError, match=r"negatives: .* clip0: drawn twice, expected two targets to cross"):
        alone.draw(rng)


def test_weights_that_make_no_mixture_are_refused() -> None:
    for weights in ([], [1, 2], [-1.0], [0.0]):
        with pytest.raises(DataError, match="non-negative weights"):
            Mixture([_Constant(0)], weights)
