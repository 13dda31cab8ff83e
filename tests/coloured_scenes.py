"""Frames of plain rectangles, which a network that finds one colour can follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from ostrack.tracker import Track

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SIZE = (240, 320)


def scene(*rectangles: tuple[int, int, int, int, tuple[int, int, int]], size: tuple[int, int] = SIZE) -> Any:
    """A black frame with rectangles x, y, w, h of one colour each."""
    frame = np.zeros((*size, 3), np.uint8)
    for x, y, w, h, colour in rectangles:
        frame[y : y + h, x : x + w] = colour
    return frame


def one(track: Track | dict[Any, Track]) -> Track:
    """The track of a single target."""
    assert isinstance(track, Track)
    return track
