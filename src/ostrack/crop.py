"""The square crop round a target and the map back: the only home of pixel conventions.

The crop of a box ``x, y, w, h`` with factor ``f`` is an axis-aligned square of ``ceil(sqrt(w * h) * f)`` frame
pixels centred on the box, its corner rounded to whole pixels; what lies outside the frame is black; it is
resized bilinearly to ``size x size``. Relative crop coordinates run from 0 (left or top edge of the first
pixel) to 1 (right or bottom edge of the last one), so

    frame = origin + relative * side

holds exactly for a resize that aligns pixel areas, as OpenCV's does. The official code instead takes the
unrounded centre of the box as the middle of the crop (wrong by up to half a frame pixel), labels with
``(size - 1) / 2`` as the middle, and drops the last row and column of a crop that ends exactly at the frame's
edge. ``faithful=True`` reproduces each of these, for networks and results that must equal the published ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Crop", "box_in_crop", "crop_side", "cut_crop", "normalise"]

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
# What each of the 256 values of each channel becomes, (3, 256).
_NORMALISED = np.arange(256, dtype=np.float32) * (1.0 / (255.0 * IMAGENET_STD))[:, None]
_NORMALISED += (-IMAGENET_MEAN / IMAGENET_STD)[:, None]
# Above this many frame pixels per crop pixel, padded crops are sampled from the frame itself: at most 1 grey level off.
_LARGE = 4


@dataclass(frozen=True)
class Crop:
    """Where a crop was cut from, and its pixels.

    Attributes:
        image: ``(size, size, 3)`` uint8, in the colour order of the frame.
        origin: Left and top edge in the frame, pixels; whole numbers, may be negative.
        side: Side in frame pixels.
        centre: Unrounded centre of the box the crop was made for, frame pixels.
    """

    image: NDArray[np.uint8]
    origin: tuple[int, int]
    side: int
    centre: tuple[float, float]

    @property
    def size(self) -> int:
        """Side of the resized crop in pixels."""
        return int(self.image.shape[0])

    @property
    def resize_factor(self) -> float:
        """Crop pixels per frame pixel."""
        return self.size / self.side

    def to_frame(self, box_cxcywh: ArrayLike, faithful: bool = False) -> NDArray[np.float64]:
        """Map boxes in relative crop coordinates to the frame.

        Args:
            box_cxcywh: ``(..., 4)`` cxcywh relative to the crop, in [0, 1] inside it.
            faithful: Ignore that the crop's corner was rounded, as the official tracker does.

        Returns:
            ``(..., 4)`` xywh in frame pixels, not clipped.
        """
        box = np.asarray(box_cxcywh, dtype=np.float64) * self.side
        origin = np.array(self.centre) - 0.5 * self.side if faithful else np.array(self.origin, dtype=np.float64)
        centre, size = box[..., :2] + origin, box[..., 2:]
        return np.concatenate([centre - size / 2, size], -1)

    def from_frame(self, box_xywh: ArrayLike) -> NDArray[np.float64]:
        """Map boxes in frame pixels to relative crop coordinates (inverse of :meth:`to_frame`).

        Args:
            box_xywh: ``(..., 4)`` xywh in frame pixels.

        Returns:
            ``(..., 4)`` cxcywh relative to the crop.
        """
        box = np.asarray(box_xywh, dtype=np.float64)
        centre = box[..., :2] + box[..., 2:] / 2 - np.array(self.origin, dtype=np.float64)
        return np.concatenate([centre, box[..., 2:]], -1) / self.side


def _warp(frame: NDArray[np.uint8], left: int, top: int, scale: float, size: int) -> NDArray[np.uint8]:
    """The crop without its padding in memory: a target that fills a 4K frame would pad to 11520 x 11520."""
    matrix = np.array([[scale, 0, left + 0.5 * scale - 0.5], [0, scale, top + 0.5 * scale - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(frame, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(warped, np.uint8)


def crop_side(box_xywh: ArrayLike, factor: float) -> int:
    """Side of the crop in frame pixels: ``ceil(sqrt(w * h) * factor)``.

    Raises:
        ValueError: The box has no area or is not finite.
    """
    x, y, w, h = (float(v) for v in np.asarray(box_xywh, dtype=np.float64))
    if not (math.isfinite(x + y + w * h) and w > 0 and h > 0):
        raise ValueError(f"a box needs finite numbers and a positive width and height, got {x:g},{y:g},{w:g},{h:g}")
    return math.ceil(math.sqrt(w * h) * factor)


def cut_crop(frame: NDArray[np.uint8], box_xywh: ArrayLike, factor: float, size: int, faithful: bool = False) -> Crop:
    """Cut the square crop round a box.

    Args:
        frame: ``(H, W, 3)`` uint8.
        box_xywh: ``(4,)`` xywh in frame pixels.
        factor: Side of the crop over the square root of the box's area (paper: 2 for the template, 4 or 5 for
            the search region).
        size: Side of the result in pixels.
        faithful: Reproduce the official off-by-one at the frame's right and bottom edge.

    Returns:
        The crop; parts outside the frame are black.

    Raises:
        ValueError: The box has no area.
    """
    x, y, w, h = (float(v) for v in np.asarray(box_xywh, dtype=np.float64))
    side = crop_side(box_xywh, factor)
    cx, cy = x + 0.5 * w, y + 0.5 * h
    # Python's round: halves go to the even neighbour, as in the official code.
    left, top = round(cx - 0.5 * side), round(cy - 0.5 * side)
    height, width = frame.shape[:2]
    right, bottom = left + side, top + side
    lost = 1 if faithful else 0
    inner_right = width - lost if right >= width else right
    inner_bottom = height - lost if bottom >= height else bottom
    patch = frame[max(top, 0) : max(inner_bottom, 0), max(left, 0) : max(inner_right, 0)]
    if patch.size == 0:
        image = np.zeros((size, size, 3), dtype=np.uint8)
        return Crop(image, (left, top), side, (cx, cy))
    if patch.shape[:2] != (side, side):
        if side > _LARGE * size and not faithful:
            return Crop(_warp(frame, left, top, side / size, size), (left, top), side, (cx, cy))
        pad_left, pad_top = max(0, -left), max(0, -top)
        pad_right = side - pad_left - patch.shape[1]
        pad_bottom = side - pad_top - patch.shape[0]
        border = (pad_top, pad_bottom, pad_left, pad_right)
        patch = np.asarray(cv2.copyMakeBorder(patch, *border, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)
    image = np.asarray(cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    return Crop(image, (left, top), side, (cx, cy))


def box_in_crop(box_xywh: ArrayLike, crop_box_xywh: ArrayLike, factor: float, size: int) -> NDArray[np.float64]:
    """Official training label of a box in the crop cut round another one.

    The middle of the crop is ``(size - 1) / 2`` here and the rounding of its corner is ignored; use
    :meth:`Crop.from_frame` unless that behaviour is what you want.

    Args:
        box_xywh: ``(4,)`` target in frame pixels.
        crop_box_xywh: ``(4,)`` box that the crop was cut round.
        factor: Crop factor.
        size: Side of the resized crop.

    Returns:
        ``(4,)`` xywh over ``size``.
    """
    x, y, w, h = np.asarray(box_xywh, dtype=np.float64)
    ex, ey, ew, eh = np.asarray(crop_box_xywh, dtype=np.float64)
    scale = size / crop_side(crop_box_xywh, factor)
    cx = (size - 1) / 2 + (x + 0.5 * w - ex - 0.5 * ew) * scale
    cy = (size - 1) / 2 + (y + 0.5 * h - ey - 0.5 * eh) * scale
    return np.array([cx - 0.5 * w * scale, cy - 0.5 * h * scale, w * scale, h * scale]) / size


def normalise(image: NDArray[np.uint8], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """ImageNet-normalise RGB images and put channels first.

    Args:
        image: ``(..., S, S, 3)`` uint8 RGB.
        out: ``(..., 3, S, S)`` float32 to write into, such as a place in a batch.

    Returns:
        ``(..., 3, S, S)`` float32; ``out`` where it was given.

    Raises:
        ValueError: The images are not uint8 with three channels.
    """
    if image.dtype != np.uint8 or image.ndim < 3 or image.shape[-1] != 3:
        raise ValueError(f"expected (..., S, S, 3) uint8, got {image.shape} {image.dtype}")
    *lead, height, width, _ = image.shape
    if out is None:
        out = np.empty((*lead, 3, height, width), dtype=np.float32)
    if not lead:
        _normalise_one(image, out)
        return out
    for index in np.ndindex(*lead):
        _normalise_one(image[index], out[index])
    return out


def _normalise_one(image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    # A table in OpenCV takes less than two passes of arithmetic in numpy, and gives the same floats.
    for channel, plane in enumerate(cv2.split(image)):
        target = out[channel]
        if target.flags.c_contiguous:
            cv2.LUT(plane, _NORMALISED[channel], dst=target)
        else:
            target[:] = cv2.LUT(plane, _NORMALISED[channel])
