"""Where the dashes of a box's outline lie, for whoever draws one with pens of its own."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Line", "dashes"]

Point = tuple[int, int]
Line = tuple[Point, Point]
"""Both ends, x and y in pixels."""


def dashes(
    box_xyxy: tuple[float, float, float, float], dash: float, period: float, circling: bool = False
) -> Iterator[Line]:
    """Pieces of the four edges; an edge without length has none.

    Args:
        box_xyxy: Left, top, right, bottom in pixels.
        dash: Length of a piece.
        period: From the start of one piece to that of the next; infinite for whole edges.
        circling: Lay them clockwise round the box, instead of from the left and from the top on every edge.
    """
    x1, y1, x2, y2 = box_xyxy
    top, right, bottom, left = (x1, y1, x2, y1), (x2, y1, x2, y2), (x1, y2, x2, y2), (x1, y1, x1, y2)
    if circling:
        bottom, left = (x2, y2, x1, y2), (x1, y2, x1, y1)
    for ax, ay, bx, by in (top, right, bottom, left):
        length = max(abs(bx - ax), abs(by - ay))
        at = 0.0
        while at < length:
            start, end = at / length, min(at + dash, length) / length
            yield (
                (round(ax + (bx - ax) * start), round(ay + (by - ay) * start)),
                (round(ax + (bx - ax) * end), round(ay + (by - ay) * end)),
            )
            at += period
