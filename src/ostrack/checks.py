"""What may be tracked: frames and boxes as users hand them over."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.errors import BoxError

__all__ = ["Box", "Frame", "check_box", "check_frame", "check_id", "shown"]

Frame: TypeAlias = NDArray[np.uint8]
"""``(H, W, 3)`` uint8 RGB."""
Box: TypeAlias = tuple[float, float, float, float]
"""x, y, w, h in frame pixels."""

# A box many times the frame is a slip of units, and its template would hold next to nothing of the frame.
_MOST_FRAMES = 4


def check_frame(frame: Frame) -> None:
    """Refuse what is no RGB image.

    Raises:
        ValueError: Says what was found.
    """
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"frame is a {type(frame).__name__}, expected a numpy array (H, W, 3) uint8 RGB")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"frame is {frame.dtype} {frame.shape}, expected (H, W, 3) uint8 RGB")


def check_id(id: Any) -> int | str:
    """What names a target: a whole number, numpy's too, or a name.

    Raises:
        BoxError: Neither, or an empty one.
    """
    if isinstance(id, np.integer):
        return int(id)
    if isinstance(id, bool) or not isinstance(id, (int, str)) or id == "":
        raise BoxError(f"a target's id is {shown(id)}, expected a name or a whole number")
    return id


def shown(value: Any) -> str:
    """A value that somebody gave, as messages show it."""
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_box(frame: Frame, box: ArrayLike) -> Box:
    """Refuse a box that cannot be tracked.

    Args:
        frame: ``(H, W, 3)``.
        box: ``(4,)`` xywh in pixels.

    Returns:
        The same numbers.

    Raises:
        BoxError: Not four numbers, not finite, no area, wholly outside the frame, or many times larger.
    """
    height, width = frame.shape[:2]
    try:
        numbers = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError(f"box {box!r}: expected four numbers x, y, w, h") from error
    if numbers.shape != (4,):
        raise BoxError(f"box {box!r}: expected four numbers x, y, w, h")
    x, y, w, h = numbers.tolist()
    shown = f"box {x:g},{y:g},{w:g},{h:g}"
    if not np.isfinite(numbers).all():
        raise BoxError(f"{shown}: not finite, expected x, y, w, h in pixels of a {width} x {height} frame")
    if w <= 0 or h <= 0:
        raise BoxError(f"{shown}: width and height must be positive (frame {width} x {height})")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise BoxError(f"{shown}: wholly outside the frame of {width} x {height}")
    if w > _MOST_FRAMES * width or h > _MOST_FRAMES * height:
        raise BoxError(f"{shown}: more than {_MOST_FRAMES} times the frame of {width} x {height}")
    return x, y, w, h
