"""Two targets must not end on one object: who keeps a box that several claim, and where the others look instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.checks import Box
from ostrack.crop import Crop
from ostrack.looking import View
from ostrack.recovery import Sighting

__all__ = ["cells_within", "claim", "close_by", "overlaps", "share_out", "share_view"]

# Boxes that overlap by more than half are one object, as success counts them.
_SAME = 0.5
# A second choice much fainter than the first is background.
_LEAST_SHARE = 0.5
# Distance of two middles over that at which their boxes touch, from which on motion counts.
_CLOSE = 1.3
# Distance from the expected place at which a claim is worth 60 %, over the target's own size.
_REACH = 0.5


def claim(found: Sighting, expected: Box) -> float:
    """How good a target's claim to a box is: its score there, less where the target was not expected.

    Look-alikes have the same score; only their motion tells them apart.

    Args:
        found: What the network points at.
        expected: Where the target's last motion would have brought it.
    """
    x, y, w, h = expected
    shift = np.hypot(found.box[0] + found.box[2] / 2 - x - w / 2, found.box[1] + found.box[3] / 2 - y - h / 2)
    score = found.score if np.isfinite(found.score) else 1.0
    return float(score * np.exp(-0.5 * (shift / (_REACH * np.sqrt(w * h))) ** 2))


def overlaps(box: Box, taken: Sequence[Box]) -> bool:
    """Whether a box is on the same object as any of the others."""
    return bool(taken) and bool((iou_xywh(np.array(box), np.array(taken)) > _SAME).any())


def close_by(box: Box, others: Sequence[Box]) -> bool:
    """Whether another target is so near that only its motion tells which of the two a box belongs to."""
    x, y, w, h = box
    return any(
        abs(x + w / 2 - a - c / 2) < _CLOSE * (w + c) / 2 and abs(y + h / 2 - b - d / 2) < _CLOSE * (h + d) / 2
        for a, b, c, d in others
    )


def share_out(
    found: Sequence[Sighting], claims: Sequence[float], look_again: Callable[[int, list[Box]], Sighting | None]
) -> list[Sighting | None]:
    """Give each object to one target, the best claim first.

    Args:
        found: First choice of each target.
        claims: How good each claim is.
        look_again: Called with a target's index and the boxes that are taken; its best choice outside them, or None.

    Returns:
        What each target gets; None where nothing but others' boxes is in sight.
    """
    taken: list[Box] = []
    shares: list[Sighting | None] = list(found)
    for index in sorted(range(len(found)), key=lambda i: -claims[i]):
        share: Sighting | None = found[index]
        if overlaps(found[index].box, taken):
            share = look_again(index, taken)
            if share is not None and (
                overlaps(share.box, taken) or not share.score >= _LEAST_SHARE * found[index].score
            ):
                share = None
        shares[index] = share
        if share is not None:
            taken.append(share.box)
    return shares


def share_view(view: View, rows: Sequence[int], expected: Sequence[Box]) -> list[Sighting | None]:
    """Give each object in a view to one target.

    Args:
        view: What the network showed.
        rows: The look of each target in it.
        expected: Where each target's last motion would have brought it.

    Returns:
        As :func:`share_out`.
    """
    found, grid = view.sightings(), view.network.config.search_grid

    def look_again(index: int, taken: list[Box]) -> Sighting | None:
        closed = np.zeros((len(view.looks), grid, grid), np.bool_)
        closed[rows[index]] = cells_within(view.crops[rows[index]], taken, grid)
        return view.sightings(closed)[rows[index]]

    claims = [claim(found[row], place) for row, place in zip(rows, expected, strict=True)]
    return share_out([found[row] for row in rows], claims, look_again)


def cells_within(crop: Crop, boxes: Sequence[Box], grid: int) -> NDArray[np.bool_]:
    """Cells of a score map whose middle lies in any of the boxes.

    Args:
        crop: The search crop of the map.
        boxes: xywh in frame pixels.
        grid: Side of the map.

    Returns:
        ``(S, S)``, rows first.
    """
    middles = (np.arange(grid) + 0.5) / grid
    inside = np.zeros((grid, grid), dtype=np.bool_)
    for cx, cy, w, h in crop.from_frame(np.array(boxes)):
        inside |= (np.abs(middles - cy) <= h / 2)[:, None] & (np.abs(middles - cx) <= w / 2)
    return inside
