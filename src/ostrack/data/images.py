"""Decoding images for training: RGB, RGBA cut-outs and masks."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.errors import DataError
from ostrack.pictures import decode

__all__ = ["cut_out", "read_mask", "read_rgb", "read_rgba"]


def _decode(path: Path, flags: int) -> NDArray[np.uint8]:
    try:
        blob = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    image = decode(blob, flags)
    if image is None:
        raise DataError(f"{path}: not an image that can be decoded")
    return image


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB.

    Raises:
        DataError: The file is missing or broken.
    """
    return np.asarray(cv2.cvtColor(_decode(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), dtype=np.uint8)


def read_mask(path: Path) -> NDArray[np.uint8]:
    """``(H, W)`` uint8: 0 is background, ``i + 1`` is box ``i``.

    Raises:
        DataError: The file is missing or broken.
    """
    return _decode(path, cv2.IMREAD_GRAYSCALE)


def read_rgba(path: Path) -> NDArray[np.uint8]:
    """``(H, W, 4)`` uint8 RGB and opacity.

    Raises:
        DataError: The file is missing, broken or has no alpha channel.
    """
    image = _decode(path, cv2.IMREAD_UNCHANGED)
    if image.ndim != 3 or image.shape[2] != 4:
        raise DataError(f"{path}: a cut-out needs an alpha channel, found shape {image.shape}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA), dtype=np.uint8)


@lru_cache(maxsize=512)
def cut_out(path: Path, mask: Path | None, value: int) -> NDArray[np.uint8] | None:
    """An object cut out along its mask (or alpha) and trimmed.

    Cached per process: every composite draws several, and masks are slow to decode for what they hold.

    Args:
        path: Image file, RGBA when ``mask`` is None.
        mask: Mask file.
        value: The object's value in the mask.

    Returns:
        ``(h, w, 4)`` uint8 RGBA; None when the object is empty, tiny or a sliver.

    Raises:
        DataError: A file is missing or broken, or image and mask differ in size.
    """
    if mask is None:
        rgba = read_rgba(path)
    else:
        rgb, labels = read_rgb(path), read_mask(mask)
        if rgb.shape[:2] != labels.shape:
            raise DataError(
                f"{mask}: mask of {labels.shape[1]}x{labels.shape[0]} for {path.name}: {rgb.shape[1]}x{rgb.shape[0]}"
            )
        alpha = np.where(labels == value, 255, 0).astype(np.uint8)
        # A hard mask edge would tell a pasted object from a real one.
        rgba = np.dstack([rgb, cv2.GaussianBlur(alpha, (3, 3), 0)])
    solid = rgba[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if rows.size < 16 or columns.size < 16:
        return None
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if solid[window].mean() < 0.25:
        return None
    return np.ascontiguousarray(rgba[window])
