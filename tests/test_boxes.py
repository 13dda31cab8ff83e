"""Box arithmetic: formats, overlap, clipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ostrack import boxes

number = st.floats(-1e4, 1e4)
length = st.floats(0, 1e4)
xywh = st.tuples(number, number, length, length).map(np.array)
frame_side = st.integers(1, 5000)


@given(xywh)
def test_formats_convert_there_and_back(box: NDArray[np.float64]) -> None:
    assert boxes.xyxy_to_xywh(boxes.xywh_to_xyxy(box)) == pytest.approx(box, abs=1e-9)
    assert boxes.cxcywh_to_xywh(boxes.xywh_to_cxcywh(box)) == pytest.approx(box, abs=1e-9)
    assert boxes.xyxy_to_cxcywh(boxes.cxcywh_to_xyxy(box)) == pytest.approx(box, abs=1e-9)


def test_formats_by_hand() -> None:
    assert boxes.xywh_to_xyxy([10, 20, 30, 40]).tolist() == [10, 20, 40, 60]
    assert boxes.xywh_to_cxcywh([[10, 20, 30, 40]] * 2).tolist() == [[25, 40, 30, 40]] * 2


def test_boxes_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"4 numbers on the last axis, got shape \(5,\)"):
        boxes.xywh_to_xyxy(np.zeros(5))


def test_iou_by_hand() -> None:
    a = [0, 0, 10, 10]
    assert boxes.iou_xywh(a, [[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10], [2, 2, 5, 5]]) == pytest.approx(
        [1, 1 / 3, 0, 0.25]
    )
    assert boxes.iou_xywh([0, 0, 0, 0], [0, 0, 0, 0]) == 0
    assert np.isnan(boxes.iou_xywh(a, [np.nan] * 4))


@given(xywh, xywh)
def test_iou_is_symmetric_and_bounded(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    value = boxes.iou_xywh(a, b)
    assert 0 <= value <= 1
    assert value == pytest.approx(boxes.iou_xywh(b, a))


@given(xywh, frame_side, frame_side, st.floats(0, 20))
def test_clipped_boxes_lie_in_the_frame(box: NDArray[np.float64], width: int, height: int, margin: float) -> None:
    x, y, w, h = boxes.clip_xywh(box, width, height, margin)
    assert 0 <= x <= x + w <= width + 1e-9
    assert 0 <= y <= y + h <= height + 1e-9
    assert w >= min(margin, width) - 1e-9
    assert h >= min(margin, height) - 1e-9


@given(st.integers(0, 300), st.integers(0, 200), st.integers(10, 20), st.integers(10, 40))
def test_boxes_inside_are_not_touched(x: int, y: int, w: int, h: int) -> None:
    assert boxes.clip_xywh([x, y, w, h], 320, 240, 10).tolist() == [x, y, w, h]


def test_clip_equals_the_official_one(primitives: dict[str, NDArray[np.float64]]) -> None:
    clipped = boxes.clip_xywh(primitives["clip.in"], 320, 240, margin=10)
    assert np.array_equal(clipped, primitives["clip.out_h240_w320_m10"])
