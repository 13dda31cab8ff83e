"""Training pairs from still images: an object, a part of one, or an object of a detection set."""

from __future__ import annotations

from collections.abc import Sequence as Items

import numpy as np
from numpy.typing import NDArray

from ostrack.data.annotations import AnnotatedImage, Box
from ostrack.data.benchmarks.collection import ImageSet
from ostrack.data.images import read_rgb
from ostrack.data.sampling import FramePair, pick
from ostrack.data.sequence import LabelledImage
from ostrack.errors import DataError

__all__ = ["ObjectPairs", "StillPairs"]

# Grey levels; a part with less contrast is sky or wall and cannot be found again.
_PLAIN = 15.0


class StillPairs:
    """One box of one annotated image as template and target alike; crops and colours differ afterwards.

    Args:
        images: Images with boxes.
        min_side: Boxes with a smaller geometric mean side are passed over.
        parts: Chance that the target is a part of what the box holds. Whole objects alone teach to outline objects,
            whatever the template's box says; a part is told from the rest by the template only.
    """

    def __init__(self, images: Items[AnnotatedImage], min_side: float = 12.0, parts: float = 0.0) -> None:
        self.items = [
            (image, i)
            for image in images
            for i, (_, _, w, h) in enumerate(image.boxes)
            if w * h >= min_side**2 and w * h < 0.8 * image.size[0] * image.size[1] and 0.1 < w / h < 10
        ]
        if not self.items:
            raise DataError("no image with a usable box: nothing to draw pairs from")
        # Crowded images would otherwise be drawn once per box.
        weights = np.array([len(image.boxes) ** -0.5 for image, _ in self.items])
        self.edges = np.cumsum(weights / weights.sum())
        self.min_side, self.parts = min_side, parts

    def draw(self, rng: np.random.Generator) -> FramePair:
        """One box of one image, or a part of it, twice."""
        image, index = self.items[pick(self.edges, rng)]
        pixels, box = read_rgb(image.path), image.boxes[index]
        if self.parts and rng.random() < self.parts:
            box = _part(pixels, box, self.min_side, rng)
        return FramePair(pixels, box, pixels, box, target=f"{image.path}: box {index}", scene=str(image.path))


def _part(pixels: NDArray[np.uint8], box: Box, min_side: float, rng: np.random.Generator) -> Box:
    """A box within a box, of 0.35 to 0.8 of its sides; all of it where no part is large and rich enough."""
    x, y, w, h = box
    for _ in range(3):
        part_w, part_h = w * rng.uniform(0.35, 0.8), h * rng.uniform(0.35, 0.8)
        left, top = x + (w - part_w) * rng.random(), y + (h - part_h) * rng.random()
        inside = pixels[max(int(top), 0) : int(top + part_h), max(int(left), 0) : int(left + part_w)]
        if part_w * part_h >= min_side**2 and inside.size and inside.std() > _PLAIN:
            return left, top, part_w, part_h
    return box


class ObjectPairs:
    """One object of a set of labelled images as template and target alike; every object is drawn equally often.

    Args:
        images: Labelled images.
        min_side: Objects narrower or lower than this many pixels are refused (official: never, though 50 was meant).
    """

    def __init__(self, images: Items[LabelledImage] | ImageSet, min_side: float = 0.0) -> None:
        counts = np.array([len(image) for image in images])
        if not counts.sum():
            raise DataError("no image with an object: nothing to draw pairs from")
        self.images, self.min_side = images, min_side
        self.ends = np.cumsum(counts)

    def draw(self, rng: np.random.Generator) -> FramePair:
        """One object of one image, twice."""
        number = int(rng.integers(self.ends[-1]))
        at = int(np.searchsorted(self.ends, number, side="right"))
        image = self.images[at]
        index = number - int(self.ends[at]) + len(image)
        x, y, w, h = (float(value) for value in image.boxes[index])
        if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0 and min(w, h) >= self.min_side):
            raise DataError(f"{image.name}: box {x:g},{y:g},{w:g},{h:g}; expected sides of at least {self.min_side:g}")
        pixels = image.frames[0]
        box, target = (x, y, w, h), f"{image.name}: box {index}"
        return FramePair(pixels, box, pixels, box, target=target, scene=image.name)
