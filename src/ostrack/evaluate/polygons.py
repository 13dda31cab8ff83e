"""Exact overlap of boxes and polygons inside the image, for many frames at once.

Clipping a closed path by a half-plane is done without branching: a vertex outside is moved onto the line, and each
edge that crosses it gets its crossing point. What runs along the line encloses nothing, so the shoelace area is that
of the clipped shape, for convex and other simple polygons alike. Two polygons are cut into signed triangles from
their first corner; the overlap of the polygons is the signed sum of the overlaps of their triangles.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["area", "corners", "region_iou"]

Floats = NDArray[np.float64]


def corners(regions: ArrayLike) -> Floats:
    """``(N, 4)`` xywh boxes or ``(N, 2 * K)`` polygons to ``(N, K, 2)`` corners.

    Raises:
        ValueError: Rows have neither 4 numbers nor an even count of 6 or more.
    """
    rows = np.asarray(regions, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 4 or rows.shape[1] % 2:
        raise ValueError(f"regions are rows of x, y, w, h or x1, y1, x2, y2, ...; got shape {rows.shape}")
    if rows.shape[1] > 4:
        return rows.reshape(len(rows), -1, 2)
    x, y, w, h = rows.T
    return np.stack([np.stack(p, -1) for p in ((x, y), (x + w, y), (x + w, y + h), (x, y + h))], 1)


def area(path: Floats, signed: bool = False) -> Floats:
    """``(N,)`` area enclosed by ``(N, K, 2)`` paths."""
    x, y = path[..., 0], path[..., 1]
    twice = (x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(-1)
    return np.asarray(twice / 2 if signed else np.abs(twice) / 2, dtype=np.float64)


def _clip(path: Floats, normal: Floats, offset: Floats) -> Floats:
    """Keep what lies where ``normal . p >= offset``; ``(N, K, 2)`` to ``(N, 2 * K, 2)``.

    ``normal`` is ``(N, 2)``, not of zero length, and ``offset`` ``(N,)``.
    """
    depth = path @ normal[:, :, None]
    depth = depth[..., 0] - offset[:, None]
    length = (normal**2).sum(-1)[:, None]
    moved = path - (np.minimum(depth, 0) / length)[..., None] * normal[:, None]
    following, next_depth = np.roll(path, -1, 1), np.roll(depth, -1, 1)
    crossing = (depth > 0) != (next_depth > 0)
    step = depth / np.where(crossing, depth - next_depth, 1.0)
    met = np.where(crossing[..., None], path + step[..., None] * (following - path), moved)
    return np.stack([moved, met], 2).reshape(len(path), -1, 2)


def _clip_to_box(path: Floats, low: Floats, high: Floats) -> Floats:
    """Clip ``(N, K, 2)`` to boxes given by their ``(N, 2)`` corners."""
    for axis in (0, 1):
        normal = np.zeros_like(low)
        normal[:, axis] = 1
        path = _clip(path, normal, low[:, axis])
        path = _clip(path, -normal, -high[:, axis])
    return path


def _triangle_overlap(first: Floats, second: Floats, low: Floats | None, high: Floats | None) -> Floats:
    """Signed overlap of ``(N, 3, 2)`` triangles, inside boxes where given."""
    turn = np.sign(area(second, signed=True))
    path = first
    for index in range(3):
        start, end = second[:, index], second[:, (index + 1) % 3]
        normal = np.stack([start[:, 1] - end[:, 1], end[:, 0] - start[:, 0]], -1) * turn[:, None]
        normal = np.where((turn == 0)[:, None], 1.0, normal)
        path = _clip(path, normal, (normal * start).sum(-1))
    if low is not None and high is not None:
        path = _clip_to_box(path, low, high)
    return area(path, signed=True) * turn


def region_iou(first: ArrayLike, second: ArrayLike, bounds: tuple[float, float] | None = None) -> Floats:
    """Intersection over union of paired regions, clipped to the image.

    Args:
        first: ``(N, 4)`` xywh or ``(N, 2 * K)`` polygons.
        second: The same, N rows as well; the two kinds may differ.
        bounds: Width and height of the image; no clipping when not given.

    Returns:
        ``(N,)`` in [0, 1]; 0 where both are empty; nan where a coordinate is nan.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    unknown = np.isnan(a.sum(-1)) | np.isnan(b.sum(-1))
    a, b = a.copy(), b.copy()
    a[unknown] = b[unknown] = 0.0
    low = high = None
    if bounds is not None:
        low, high = np.zeros((len(a), 2)), np.tile(np.asarray(bounds, dtype=np.float64), (len(a), 1))
    if b.shape[1] == 4:
        inter = _inside_box(a, b, low, high)
    elif a.shape[1] == 4:
        inter = _inside_box(b, a, low, high)
    else:
        fans = [_fan(corners(region)) for region in (a, b)]
        inter = np.abs(sum((_triangle_overlap(x, y, low, high) for x, y in product(*fans)), np.zeros(len(a))))
    sizes = [area(corners(r) if low is None or high is None else _clip_to_box(corners(r), low, high)) for r in (a, b)]
    union = sizes[0] + sizes[1] - inter
    iou = np.clip(inter / np.where(union > 0, union, 1.0), 0, 1)
    return np.asarray(np.where(unknown, np.nan, iou), dtype=np.float64)


def _inside_box(region: Floats, box: Floats, low: Floats | None, high: Floats | None) -> Floats:
    start, end = box[:, :2], box[:, :2] + box[:, 2:]
    if low is not None and high is not None:
        start, end = np.clip(start, low, high), np.clip(end, low, high)
    return area(_clip_to_box(corners(region), start, np.maximum(start, end)))


def _fan(path: Floats) -> list[Floats]:
    return [path[:, [0, k, k + 1]] for k in range(1, path.shape[1] - 1)]
