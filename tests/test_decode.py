"""From maps to boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.crop import cut_crop
from ostrack.decode import decode, hann_window
from ostrack.runtimes import Maps


def maps_with_a_peak(cxcywh: NDArray[np.float64], grid: int) -> Maps:
    """What a perfect network would answer for a target at this place of its crop."""
    column, row = np.clip((cxcywh[:2] * grid).astype(int), 0, grid - 1)
    score = np.full((1, grid, grid), 1e-4, np.float32)
    score[0, row, column] = 0.9
    size, offset = np.zeros((1, 2, grid, grid), np.float32), np.zeros((1, 2, grid, grid), np.float32)
    size[0, :, row, column] = cxcywh[2:]
    offset[0, :, row, column] = cxcywh[:2] * grid - [column, row]
    return Maps(np.zeros((1, 4), np.float32), score, size, offset, np.array([0.9], np.float32))


@pytest.mark.parametrize("size", [8, 16, 24])
def test_windows_equal_the_official_ones(primitives: dict[str, NDArray[Any]], size: int) -> None:
    assert hann_window(size) == pytest.approx(primitives[f"hann.{size}"], abs=1e-6)


def test_the_window_has_a_strength() -> None:
    assert np.array_equal(hann_window(16, 0.0), np.ones((16, 16)))
    assert hann_window(16, 0.5) == pytest.approx(0.5 + 0.5 * hann_window(16))


@given(
    st.tuples(st.floats(-200, 500), st.floats(-200, 400), st.floats(2, 600), st.floats(2, 600)),
    st.tuples(st.floats(-0.45, 0.45), st.floats(-0.45, 0.45)),
    st.floats(0.5, 2),
    st.sampled_from([16, 24]),
)
def test_a_planted_peak_comes_back_as_the_planted_box(
    last: tuple[float, float, float, float], shift: tuple[float, float], growth: float, grid: int
) -> None:
    crop = cut_crop(np.zeros((240, 320, 3), np.uint8), last, 4.0, 32)
    w, h = last[2] * growth, last[3] / growth
    x = crop.origin[0] + crop.side * (0.5 + shift[0]) - w / 2
    y = crop.origin[1] + crop.side * (0.5 + shift[1]) - h / 2
    peaks = decode(maps_with_a_peak(crop.from_frame((x, y, w, h)), grid))
    assert crop.to_frame(peaks.boxes[0]) == pytest.approx((x, y, w, h), abs=1e-6 * crop.side)
    assert peaks.scores[0] == pytest.approx(0.9)


def test_the_window_prefers_the_middle_but_the_score_stays_raw() -> None:
    score = np.zeros((1, 16, 16), np.float32)
    score[0, 7, 8], score[0, 1, 1] = 0.6, 0.8
    zeros = np.zeros((1, 2, 16, 16), np.float32)
    maps = Maps(np.zeros((1, 4), np.float32), score, zeros, zeros)
    near, far = decode(maps), decode(maps, window=0.0)
    assert near.cells.tolist() == [[8, 7]]
    assert near.scores[0] == pytest.approx(0.6)
    assert far.cells.tolist() == [[1, 1]]
    assert far.scores[0] == pytest.approx(0.8)


def test_rows_of_a_batch_are_decoded_apart() -> None:
    wanted = np.array([[0.3, 0.6, 0.2, 0.1], [0.55, 0.4, 0.3, 0.5]])
    each = [maps_with_a_peak(box, 16) for box in wanted]
    boxes, score, size, offset = (
        np.concatenate([getattr(maps, key) for maps in each]) for key in ("boxes", "score", "size", "offset")
    )
    batch = Maps(boxes, score, size, offset)
    assert decode(batch).boxes == pytest.approx(wanted, abs=1e-6)


def test_heads_without_maps_have_said_their_box() -> None:
    boxes = np.array([[0.5, 0.5, 0.2, 0.3]], np.float32)
    corner = decode(Maps(boxes, confidence=np.array([0.7], np.float32)))
    assert corner.boxes == pytest.approx(boxes)
    assert corner.scores == pytest.approx([0.7])
    assert corner.cells.tolist() == [[-1, -1]]
    assert np.isnan(decode(Maps(boxes)).scores[0])


def test_overlap_of_a_decoded_box_is_whole() -> None:
    crop = cut_crop(np.zeros((240, 320, 3), np.uint8), (10.3, 200.8, 33, 21), 5.0, 32)
    box = (25.0, 190.0, 31.0, 24.0)
    decoded = crop.to_frame(decode(maps_with_a_peak(crop.from_frame(box), 24)).boxes[0])
    assert iou_xywh(decoded, box) > 0.999


def test_cells_that_are_no_numbers_are_never_the_peak() -> None:
    maps = maps_with_a_peak(np.array([0.55, 0.6, 0.2, 0.3]), 16)
    assert maps.score is not None
    maps.score[0, 0, 0] = maps.score[0, 7, 7] = np.nan
    peaks = decode(maps)
    assert peaks.scores[0] == pytest.approx(0.9)
    assert peaks.boxes[0] == pytest.approx([0.55, 0.6, 0.2, 0.3], abs=1e-6)
    assert peaks.rivals[0] == pytest.approx(1e-4)
    maps.score[:] = np.nan
    assert decode(maps).scores[0] == 0
