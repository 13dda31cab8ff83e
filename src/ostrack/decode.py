"""From maps to boxes: the window that prefers small motion, the peak, the box at the peak, the runner-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ostrack.runtimes import FloatArray, Maps

__all__ = ["Peaks", "decode", "hann_window"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Peaks:
    """The chosen cell of each search crop and what it says.

    Attributes:
        boxes: ``(B, 4)`` float64 cxcywh relative to the search crop.
        scores: ``(B,)`` float64, score of the cell before the window, 0 where it is no number; nan where the head
            gives none.
        cells: ``(B, 2)`` int64, column and row of the cell; -1 where the head has no map.
        windowed: ``(B,)`` float64, score of the cell under the window; nan where the head has no map.
        rivals: ``(B,)`` float64, best score outside the chosen box, before the window; nan where the head has no map.
    """

    boxes: Floats
    scores: Floats
    cells: NDArray[np.int64]
    windowed: Floats
    rivals: Floats


@lru_cache(maxsize=8)
def hann_window(size: int, strength: float = 1.0) -> FloatArray:
    """Factors for a score map that favour its middle.

    Args:
        size: Side of the map.
        strength: 1 is the official window, ``0.5 * (1 - cos(2 pi / (n + 1) * k))`` for k = 1..n on each axis; 0
            is none; between them the factors are mixed.

    Returns:
        ``(size, size)`` float32, read-only.
    """
    line = 0.5 * (1 - np.cos(2 * np.pi / (size + 1) * np.arange(1, size + 1)))
    window = (1 - strength + strength * np.outer(line, line)).astype(np.float32)
    window.flags.writeable = False
    return window


def decode(maps: Maps, window: float | Sequence[float] = 1.0, closed: NDArray[np.bool_] | None = None) -> Peaks:
    """Pick one box per search crop.

    The cell is the peak of the windowed score; its centre is ``(index + offset) / S`` on each axis, its size the
    size map there. Heads without maps have said their box already.

    Args:
        maps: What the network answered.
        window: Strength of the window, see :func:`hann_window`; one for all crops or one for each.
        closed: ``(B, S, S)`` cells that may not be chosen, such as those that hold another target.

    Returns:
        Boxes, scores, cells and runners-up.
    """
    batch = len(maps)
    if maps.score is None or maps.size is None or maps.offset is None:
        unknown = np.full(batch, np.nan)
        scores = unknown if maps.confidence is None else maps.confidence.astype(np.float64)
        cells = np.full((batch, 2), -1, dtype=np.int64)
        return Peaks(maps.boxes.astype(np.float64), scores, cells, unknown, unknown)
    side = maps.score.shape[-1]
    # A cell that is no number, as when 16 bits overflow, says nothing: it must not be taken for the peak.
    flat = np.nan_to_num(maps.score.reshape(batch, -1), nan=0.0)
    if closed is not None:
        flat = np.where(closed.reshape(batch, -1), np.float32(0), flat)
    strengths = [window] if isinstance(window, (int, float)) else window
    weighed = flat * np.stack([hann_window(side, strength).ravel() for strength in strengths])
    best = weighed.argmax(1)
    rows = np.arange(batch)
    cells = np.stack([best % side, best // side], -1)
    offset = maps.offset.reshape(batch, 2, -1)[rows, :, best]
    size = maps.size.reshape(batch, 2, -1)[rows, :, best]
    centre = (cells.astype(np.float32) + offset) / np.float32(side)
    return Peaks(
        boxes=np.concatenate([centre, size], -1).astype(np.float64),
        scores=flat[rows, best].astype(np.float64),
        cells=cells,
        windowed=weighed[rows, best].astype(np.float64),
        rivals=_outside(flat.reshape(batch, side, side), cells, size),
    )


def _outside(score: FloatArray, cells: NDArray[np.int64], size: FloatArray) -> Floats:
    """Highest score beyond each chosen box: parts of the target light up too, and are no rivals of it."""
    side = score.shape[-1]
    # Never less than the cell's neighbours, which share its peak; a size that is no number hides no more than these.
    reach = np.maximum(np.nan_to_num(size * side / 2, posinf=side), 1.0)
    steps = np.arange(side)
    beyond = np.abs(steps - cells[:, :, None]) > reach[:, :, None]
    outside = beyond[:, 0, None, :] | beyond[:, 1, :, None]
    rivals: FloatArray = np.where(outside, score, np.float32(0)).max((1, 2))
    return rivals.astype(np.float64)
