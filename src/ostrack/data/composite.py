"""Composites: a cut-out target pasted on two views of a photo, with look-alikes and occluders.

Cheap labelled motion: the box is known exactly, distractors of the target's own kind are as many as wanted, and
the background moves apart from the target.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.data.annotations import AnnotatedImage, Box
from ostrack.data.images import cut_out, read_rgb
from ostrack.data.sampling import FramePair
from ostrack.errors import DataError

__all__ = ["CompositePairs", "paste", "warp_cut_out"]

_CANVAS = (384, 288)


def warp_cut_out(
    rgba: NDArray[np.uint8], side: float, aspect: float = 1.0, degrees: float = 0.0, flip: bool = False
) -> NDArray[np.uint8]:
    """Scale, stretch, turn and mirror a cut-out.

    Args:
        rgba: ``(h, w, 4)`` uint8.
        side: Geometric mean of the result's width and height before turning, pixels.
        aspect: Factor on width over height.
        degrees: Rotation.
        flip: Mirror left and right.

    Returns:
        ``(h', w', 4)`` uint8, trimmed to the solid part.
    """
    height, width = rgba.shape[:2]
    scale = side / np.sqrt(width * height)
    sx, sy = scale * np.sqrt(aspect), scale / np.sqrt(aspect)
    if max(sx, sy) < 0.5:
        # Two steps, or thin parts alias away.
        small = (max(round(width * sx * 1.5), 1), max(round(height * sy * 1.5), 1))
        rgba = np.asarray(cv2.resize(rgba, small, interpolation=cv2.INTER_AREA), np.uint8)
        sx, sy = sx * width / small[0], sy * height / small[1]
        height, width = rgba.shape[:2]
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = np.array([[cos * sx, -sin * sy], [sin * sx, cos * sy]])
    if flip:
        linear[:, 0] *= -1
    corners = linear @ np.array([[0, width, width, 0], [0, 0, height, height]], dtype=np.float64)
    low, high = corners.min(1), corners.max(1)
    out = np.maximum(np.ceil(high - low).astype(int), 1)
    # OpenCV counts from the middle of the first pixel, corners from its edge.
    matrix = np.column_stack([linear, linear @ np.full(2, 0.5) - low - 0.5])
    # Colours of transparent pixels bleed into the edge unless weighted by opacity.
    alpha = rgba[..., 3:].astype(np.float32) / 255
    premultiplied = np.dstack([rgba[..., :3] * alpha, alpha * 255]).astype(np.float32)
    warped = cv2.warpAffine(premultiplied, matrix, (int(out[0]), int(out[1])), flags=cv2.INTER_LINEAR)
    opacity = warped[..., 3:]
    colour = np.where(opacity > 1, warped[..., :3] * 255 / np.maximum(opacity, 1), 0)
    result = np.dstack([colour, opacity]).clip(0, 255).astype(np.uint8)
    solid = result[..., 3] > 127
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not rows.size:
        raise DataError("a cut-out vanished when scaled")
    return result[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def paste(canvas: NDArray[np.uint8], rgba: NDArray[np.uint8], x: int, y: int) -> None:
    """Blend a cut-out into a canvas in place; parts outside are cut off.

    Args:
        canvas: ``(H, W, 3)`` uint8.
        rgba: ``(h, w, 4)`` uint8.
        x: Left edge in the canvas, pixels.
        y: Top edge in the canvas, pixels.
    """
    height, width = canvas.shape[:2]
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + rgba.shape[1], width), min(y + rgba.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    part = rgba[y0 - y : y1 - y, x0 - x : x1 - x]
    alpha = part[..., 3:].astype(np.float32) / 255
    region = canvas[y0:y1, x0:x1]
    region[:] = (region + alpha * (part[..., :3].astype(np.float32) - region)).astype(np.uint8)


class CompositePairs:
    """Draws composites.

    Args:
        objects: Images with masks, or cut-outs.
        backgrounds: Photos; anything in them counts as background.
        distractors: Mean number of other objects in the search frame.
        occlusion: Chance that something covers part of the target in the search frame.
    """

    def __init__(
        self,
        objects: Sequence[AnnotatedImage],
        backgrounds: Sequence[AnnotatedImage],
        distractors: float = 2.0,
        occlusion: float = 0.25,
    ) -> None:
        self.kinds: dict[str, list[tuple[AnnotatedImage, int]]] = defaultdict(list)
        for image in objects:
            if image.cutout:
                self.kinds[image.source].append((image, 0))
            elif image.mask is not None:
                self.kinds[image.source] += [
                    (image, value)
                    for value, (_, _, w, h) in zip(image.mask_values, image.boxes, strict=True)
                    if min(w, h) >= 24
                ]
        self.names = [name for name in sorted(self.kinds) if self.kinds[name]]
        if not self.names:
            raise DataError("no cut-out, and no masked object of 24 pixels: composites need objects to paste")
        if not backgrounds:
            raise DataError("composites need background photos")
        self.backgrounds = backgrounds
        self.distractors, self.occlusion = distractors, occlusion
        weights = np.sqrt([len(self.kinds[name]) for name in self.names])
        self.weights = weights / weights.sum()

    def _object(self, rng: np.random.Generator, kind: str | None = None) -> tuple[str, NDArray[np.uint8]]:
        for _ in range(20):
            name = kind or self.names[int(rng.choice(len(self.names), p=self.weights))]
            image, value = self.kinds[name][int(rng.integers(len(self.kinds[name])))]
            rgba = cut_out(image.path, None if image.cutout else image.mask, value)
            if rgba is not None:
                return name, rgba
        raise DataError(f"no usable cut-out in 20 draws from {kind or 'all sources'}")

    def _views(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Two windows of one photo (a camera that moved a little), or of two photos (a cut in scenery)."""
        views = []
        photo = read_rgb(self.backgrounds[int(rng.integers(len(self.backgrounds)))].path)
        zoom, centre = rng.uniform(0.6, 1.0), rng.uniform(0.3, 0.7, 2)
        for second in (False, True):
            if second and rng.random() < 0.15:
                photo = read_rgb(self.backgrounds[int(rng.integers(len(self.backgrounds)))].path)
            height, width = photo.shape[:2]
            share = min(zoom * (np.exp(rng.normal(0, 0.05)) if second else 1.0), 1.0)
            w = min(width, height * _CANVAS[0] / _CANVAS[1]) * share
            h = w * _CANVAS[1] / _CANVAS[0]
            shift = rng.normal(0, 0.05, 2) if second else np.zeros(2)
            at = np.clip((centre + shift) * (width, height) - (w / 2, h / 2), 0, (width - w, height - h)).astype(int)
            window = photo[at[1] : at[1] + max(int(h), 1), at[0] : at[0] + max(int(w), 1)]
            views.append(np.asarray(cv2.resize(window, _CANVAS, interpolation=cv2.INTER_LINEAR), np.uint8))
        return views[0], views[1]

    def draw(self, rng: np.random.Generator) -> FramePair:
        """One composite pair."""
        template, search = self._views(rng)
        kind, target = self._object(rng)
        side = float(np.exp(rng.uniform(np.log(20), np.log(110))))
        tilt, aspect = rng.normal(0, 12), float(np.exp(rng.normal(0, 0.1)))
        first = warp_cut_out(target, side, aspect, tilt)
        scale = float(np.exp(rng.normal(0, 0.2)))
        second = warp_cut_out(
            target, max(side * scale, 14.0), aspect * float(np.exp(rng.normal(0, 0.12))), tilt + rng.normal(0, 10),
            flip=rng.random() < 0.1,
        )  # fmt: skip
        template_box = self._place(rng, template, first)
        self._scatter(rng, template, kind, side, template_box, 0.5)
        paste(template, first, int(template_box[0]), int(template_box[1]))
        search_box = self._place(rng, search, second)
        self._scatter(rng, search, kind, side, search_box, 1.0, target)
        paste(search, second, int(search_box[0]), int(search_box[1]))
        if rng.random() < self.occlusion:
            self._occlude(rng, search, search_box)
        return FramePair(template, _within(template_box), search, _within(search_box))

    def _place(self, rng: np.random.Generator, canvas: NDArray[np.uint8], rgba: NDArray[np.uint8]) -> Box:
        height, width = canvas.shape[:2]
        h, w = rgba.shape[:2]
        # Up to a fifth may stick out of the frame.
        x = int(rng.uniform(-0.2 * w, max(width - 0.8 * w, 0)))
        y = int(rng.uniform(-0.2 * h, max(height - 0.8 * h, 0)))
        return float(x), float(y), float(w), float(h)

    def _scatter(
        self,
        rng: np.random.Generator,
        canvas: NDArray[np.uint8],
        kind: str,
        side: float,
        box: Box,
        density: float,
        target: NDArray[np.uint8] | None = None,
    ) -> None:
        """Other objects near the target, most of its own kind, some of them its twin in other colours."""
        for _ in range(int(rng.poisson(self.distractors * density))):
            if target is not None and rng.random() < 0.15:
                rgba = target.copy()
                rgba[..., :3] = rgba[..., [[1, 2, 0], [2, 0, 1], [2, 1, 0]][int(rng.integers(3))]]
            else:
                _, rgba = self._object(rng, kind if rng.random() < 0.6 else None)
            other = warp_cut_out(rgba, max(side * float(np.exp(rng.normal(0, 0.3))), 14.0), 1.0, rng.normal(0, 15))
            reach = rng.uniform(0.8, 2.2) * max(box[2], box[3])
            angle = rng.uniform(0, 2 * np.pi)
            x = box[0] + box[2] / 2 + reach * np.cos(angle) - other.shape[1] / 2
            y = box[1] + box[3] / 2 + reach * np.sin(angle) - other.shape[0] / 2
            paste(canvas, other, int(x), int(y))

    def _occlude(self, rng: np.random.Generator, canvas: NDArray[np.uint8], box: Box) -> None:
        """Something in front of at most about half of the target."""
        _, rgba = self._object(rng)
        size = rng.uniform(0.4, 0.8) * np.sqrt(box[2] * box[3])
        other = warp_cut_out(rgba, max(size, 14.0), 1.0, rng.normal(0, 30))
        corner = rng.integers(0, 2, 2)
        x = box[0] + corner[0] * box[2] - other.shape[1] / 2
        y = box[1] + corner[1] * box[3] - other.shape[0] / 2
        paste(canvas, other, int(x), int(y))


def _within(box: Box) -> Box:
    """Part of a box inside the canvas: labels mark what is in the picture."""
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[0] + box[2], float(_CANVAS[0])), min(box[1] + box[3], float(_CANVAS[1]))
    return x0, y0, x1 - x0, y1 - y0
