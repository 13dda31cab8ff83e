"""Which way up a decoded picture is shown: phones film on their side, and say so."""

from __future__ import annotations

import struct
from typing import TypeAlias

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

__all__ = ["Matrix", "display_matrix", "upright"]

Matrix: TypeAlias = tuple[int, int, int, int]


def display_matrix(picture: VideoFrame) -> Matrix:
    """The four numbers ``a, b, c, d`` by which players show a picture: ``(p, q)`` at ``(a p + c q, b p + d q)``."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, Buffer):
        return 1, 0, 0, 1
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    return a, b, c, d


def upright(picture: VideoFrame, matrix: Matrix) -> NDArray[np.uint8]:
    """Turn a decoded picture the way players show it.

    The eight right-angled orientations are applied exactly, others by the nearest of them.

    Returns:
        ``(H, W, 3)`` uint8 RGB, C-contiguous.
    """
    image = picture.to_ndarray(format="rgb24")
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    image = image[:, ::-1] if a < 0 else image
    image = image[::-1] if d < 0 else image
    return np.ascontiguousarray(image, np.uint8)
