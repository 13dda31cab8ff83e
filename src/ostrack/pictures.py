"""Image files, for clips to follow and clips to train on alike: which there are, in what order, and what they hold."""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["IMAGE_SUFFIXES", "decode", "decode_rgb", "natural_key"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key that puts ``img2`` before ``img10``; the name itself breaks ties such as ``1`` and ``01``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts], name


def decode(data: bytes | NDArray[np.uint8], flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8] | None:
    """Decode an image file.

    Args:
        data: What the file holds.
        flags: OpenCV's ``IMREAD_...``.

    Returns:
        ``(H, W)``, BGR ``(H, W, 3)`` or BGRA ``(H, W, 4)`` uint8, the upper half of 16-bit numbers; None where it is no
        image that can be decoded.
    """
    blob = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(blob, flags) if blob.size else None
    except cv2.error:  # a damaged header that claims more pixels than OpenCV takes
        return None
    if image is None:
        return None
    if image.dtype == np.uint16:
        image = np.right_shift(image.astype(np.uint16), 8)
    return np.asarray(image, np.uint8)


def decode_rgb(data: bytes | NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """``(H, W, 3)`` uint8 RGB, turned as EXIF says; None where it is no image that can be decoded."""
    image = decode(data)
    return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
