"""Changes of shape, colour and sharpness, and the jitter of the box that the search region is cut round."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.data.annotations import Box

__all__ = ["Photometric", "jitter_box", "stretch", "to_grey"]


def jitter_box(box: Box, centre: float, scale: float, rng: np.random.Generator) -> Box:
    """Move and rescale a box at random (paper's search jitter; method of the official code).

    Width and height are each multiplied by ``exp(N(0, scale))``; the centre moves uniformly by up to
    ``centre / 2`` times the new geometric mean side, so the target's centre stays inside a crop whose factor
    exceeds ``centre``.

    Args:
        box: xywh in pixels.
        centre: Range of the shift (official: 3 for factor 4, 4.5 for factor 5; 0 for templates).
        scale: Standard deviation of the log size (official: 0.25 and 0.5; 0 for templates).
        rng: Source of randomness.

    Returns:
        xywh in pixels.
    """
    x, y, w, h = box
    new_w, new_h = np.array([w, h]) * np.exp(rng.standard_normal(2) * scale)
    shift = np.sqrt(new_w * new_h) * centre * (rng.random(2) - 0.5)
    cx, cy = x + 0.5 * w + shift[0], y + 0.5 * h + shift[1]
    return float(cx - new_w / 2), float(cy - new_h / 2), float(new_w), float(new_h)


def stretch(
    frame: NDArray[np.uint8], box: Box, deviation: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Box]:
    """Change a frame's aspect at random and its area hardly; a box goes with it, exactly.

    Args:
        frame: ``(H, W, 3)`` uint8.
        box: xywh in its pixels.
        deviation: Standard deviation of the log of the change of width over height; 0 changes nothing.
        rng: Source of randomness.

    Returns:
        The frame and the box.
    """
    if not deviation:
        return frame, box
    height, width = frame.shape[:2]
    half = rng.standard_normal() * deviation / 2
    new_width, new_height = max(round(width * np.exp(half)), 1), max(round(height * np.exp(-half)), 1)
    resized = np.asarray(cv2.resize(frame, (new_width, new_height), interpolation=cv2.INTER_LINEAR), np.uint8)
    (x, y, w, h), across, down = box, new_width / width, new_height / height
    return resized, (x * across, y * down, w * across, h * down)


def to_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB without colour, three equal channels."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


@dataclass(frozen=True)
class Photometric:
    """Independent change of each crop.

    Attributes:
        brightness: Factor drawn from ``1 +- brightness`` (paper: 0.2).
        contrast: The same for contrast round the mean.
        saturation: The same for colour.
        blur: Chance of blur: Gaussian, or along a line as by motion.
        coarse: Chance of losing detail by scaling down and up, as small targets have it.
        noise: Chance of sensor noise.
    """

    brightness: float = 0.2
    contrast: float = 0.0
    saturation: float = 0.0
    blur: float = 0.0
    coarse: float = 0.0
    noise: float = 0.0

    def __call__(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8 RGB to the same."""
        change, decide = rng.uniform(-1, 1, 3), rng.random(3)
        if decide[0] < self.coarse:
            size = image.shape[1], image.shape[0]
            share = rng.uniform(0.25, 0.7)
            small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
            image = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        if decide[1] < self.blur:
            image = _blur(image, rng)
        values = image.astype(np.float32)
        if self.saturation:
            grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
            values += (values - grey[..., None]) * np.float32(change[0] * self.saturation)
        if self.contrast:
            values += (values - values.mean()) * np.float32(change[1] * self.contrast)
        values *= np.float32(1 + change[2] * self.brightness)
        if decide[2] < self.noise:
            values += rng.standard_normal(values.shape, dtype=np.float32) * np.float32(rng.uniform(2, 10))
        return np.asarray(np.rint(values.clip(0, 255)), np.uint8)


def _blur(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0)), np.uint8)
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    direction = rng.uniform(0, np.pi)
    middle = (length - 1) / 2
    reach = np.array([np.cos(direction), np.sin(direction)]) * middle
    start, end = np.round(middle - reach).astype(int), np.round(middle + reach).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
