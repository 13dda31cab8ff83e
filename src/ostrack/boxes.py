"""Box formats and the arithmetic on them, in numpy.

A box is four numbers on the last axis. Coordinates are continuous: pixel ``i`` covers ``[i, i + 1]``, so a
box that covers exactly the pixels 10..19 of a row has ``x = 10`` and ``w = 10``.

* ``xywh``: left, top, width, height (what users and benchmarks hand over);
* ``cxcywh``: centre and size (what the network predicts);
* ``xyxy``: left, top, right, bottom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "clip_xywh",
    "cxcywh_to_xywh",
    "cxcywh_to_xyxy",
    "iou_xywh",
    "xywh_to_cxcywh",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywh",
]

Boxes = NDArray[np.float64]


def _split(boxes: ArrayLike) -> tuple[Boxes, Boxes]:
    array = np.asarray(boxes, dtype=np.float64)
    if array.shape[-1:] != (4,):
        raise ValueError(f"boxes need 4 numbers on the last axis, got shape {array.shape}")
    return array[..., :2], array[..., 2:]


def xywh_to_xyxy(boxes: ArrayLike) -> Boxes:
    """``(..., 4)`` xywh to ``(..., 4)`` xyxy."""
    corner, size = _split(boxes)
    return np.concatenate([corner, corner + size], -1)


def xyxy_to_xywh(boxes: ArrayLike) -> Boxes:
    """``(..., 4)`` xyxy to ``(..., 4)`` xywh."""
    first, second = _split(boxes)
    return np.concatenate([first, second - first], -1)


def xywh_to_cxcywh(boxes: ArrayLike) -> Boxes:
    """``(..., 4)`` xywh to ``(..., 4)`` cxcywh."""
    corner, size = _split(boxes)
    return np.concatenate([corner + size / 2, size], -1)


def cxcywh_to_xywh(boxes: ArrayLike) -> Boxes:
    """``(..., 4)`` cxcywh to ``(..., 4)`` xywh."""
    centre, size = _split(boxes)
    return np.concatenate([centre - size / 2, size], -1)


def cxcywh_to_xyxy(boxes: ArrayLike) -> Boxes:
    """``(..., 4)`` cxcywh to ``(..., 4)`` xyxy."""
    return xywh_to_xyxy(cxcywh_to_xywh(boxes))


def xyxy_to_cxcywh(boxes: ArrayLike) -> Boxes:
    """``(..., 4)`` xyxy to ``(..., 4)`` cxcywh."""
    return xywh_to_cxcywh(xyxy_to_xywh(boxes))


def iou_xywh(a: ArrayLike, b: ArrayLike) -> Boxes:
    """Intersection over union of paired boxes.

    Args:
        a: ``(..., 4)`` xywh.
        b: ``(..., 4)`` xywh, broadcast against ``a``.

    Returns:
        ``(...)`` in [0, 1]; 0 where both boxes are empty; nan where a coordinate is nan.
    """
    corner_a, size_a = _split(a)
    corner_b, size_b = _split(b)
    low = np.maximum(corner_a, corner_b)
    high = np.minimum(corner_a + size_a, corner_b + size_b)
    inter = np.clip(high - low, 0, None).prod(-1)
    union = size_a.prod(-1) + size_b.prod(-1) - inter
    ratio = inter / np.where(union > 0, union, np.where(np.isnan(union), np.nan, 1.0))
    return np.asarray(np.minimum(ratio, 1.0))  # slivers far from the origin round to a little more


def clip_xywh(box: ArrayLike, width: float, height: float, margin: float = 0.0) -> Boxes:
    """Cut boxes to a frame so that at least ``margin`` pixels of each side remain.

    With ``margin=10`` this is the rule of the official tracker: the left edge lies in ``[0, W - 10]``, the right
    one in ``[10, W]``, and no side is shorter than 10 px. The margin never exceeds the frame itself.

    Args:
        box: ``(..., 4)`` xywh in pixels.
        width: Frame width in pixels.
        height: Frame height in pixels.
        margin: Least width and height of the result, in pixels.

    Returns:
        ``(..., 4)`` xywh within ``[0, width] x [0, height]``.
    """
    corner, size = _split(box)
    frame = np.array([width, height], dtype=np.float64)
    least = np.minimum(margin, frame)
    low = np.clip(corner, 0, frame - least)
    high = np.clip(corner + size, least, frame)
    return np.concatenate([low, np.maximum(high - low, least)], -1)
