"""What happens on each frame: overlap, centre distance, and whether there was a target at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.evaluate.protocols import Rule

__all__ = ["FrameErrors", "any_nan", "frame_errors", "share_above", "share_within"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FrameErrors:
    """Per-frame quantities of one sequence under one rule.

    Attributes:
        overlap: ``(N,)`` intersection over union; -1 where the target is absent, so no threshold is passed.
        distance: ``(N,)`` centre distance in pixels; where absent -1 (a hit) or inf (a miss).
        norm_distance: ``(N,)`` centre distance over the target's width and height; where absent -1 or inf.
        valid: ``(N,)`` bool, whether the protocol sees a target.
    """

    overlap: Floats
    distance: Floats
    norm_distance: Floats
    valid: NDArray[np.bool_]

    def where_valid(self) -> FrameErrors:
        """Only the frames with a target."""
        keep = self.valid
        return FrameErrors(self.overlap[keep], self.distance[keep], self.norm_distance[keep], keep[keep])


def any_nan(rows: Floats) -> NDArray[np.bool_]:
    """``(N,)`` whether a row of ``(N, K)`` holds a nan."""
    return np.asarray(np.isnan(rows).any(-1), dtype=np.bool_)


def _repeat_empty(boxes: Floats) -> Floats:
    empty = boxes[:, 2:].min(-1) == 0
    if not empty.any():
        return boxes
    source = np.maximum.accumulate(np.where(empty, 0, np.arange(len(boxes))))
    return boxes[source]


def frame_errors(result: Floats, truth: Floats, rule: Rule, visible: NDArray[np.bool_] | None = None) -> FrameErrors:
    """Measure one sequence.

    Args:
        result: ``(N, 4)`` xywh; nan rows are frames without a box and miss where the target is there.
        truth: ``(N, 4)`` xywh in the same pixels; nan where the target is absent.
        rule: The protocol.
        visible: ``(N,)`` further frames to treat as absent where False.

    Returns:
        One number per frame.
    """
    absent = any_nan(truth)
    needed = np.nan_to_num(truth)[:, 0 if rule.present == "positive" else 2 :]
    valid = ~absent & (needed.min(-1) > 0)
    if visible is not None:
        valid &= visible
    result = result.copy()
    result[0] = truth[0]
    if rule.repeat_empty:
        result = _repeat_empty(result)
    if rule.rounded:
        result, truth = np.round(result), np.round(truth)
    # nan compares False, so an absent target or a missing result can only land where the rule puts it below.
    offset = result[:, :2] + result[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2
    size = np.where(valid[:, None], truth[:, 2:], 1.0)
    missing = any_nan(offset)
    overlap = np.where(missing, 0.0, iou_xywh(result, truth))
    distance = np.where(missing, np.inf, np.hypot(offset[:, 0], offset[:, 1]))
    norm_distance = np.where(missing, np.inf, np.hypot(offset[:, 0] / size[:, 0], offset[:, 1] / size[:, 1]))
    lost = absent if rule.nan_misses else np.zeros(len(truth), dtype=bool)
    if rule.nan_misses and visible is not None:
        lost = lost | ~visible
    overlap[~valid] = -1.0
    distance[~valid] = np.where(lost[~valid], np.inf, -1.0 if rule.absent_precise else np.inf)
    norm_distance[~valid] = np.where(lost[~valid], np.inf, -1.0 if rule.absent_norm_precise else np.inf)
    return FrameErrors(overlap, distance, norm_distance, valid)


def share_above(values: Floats, thresholds: Floats) -> Floats:
    """``(K,)`` share of ``(N,)`` values strictly above each threshold."""
    ordered = np.sort(values)
    return np.asarray(1.0 - np.searchsorted(ordered, thresholds, side="right") / len(values), dtype=np.float64)


def share_within(values: Floats, thresholds: Floats) -> Floats:
    """``(K,)`` share of ``(N,)`` values at or below each threshold."""
    return np.asarray(np.searchsorted(np.sort(values), thresholds, side="right") / len(values), dtype=np.float64)
