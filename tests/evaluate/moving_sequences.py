"""Labelled clips of a coloured rectangle that moves over black, exact by construction."""

from __future__ import annotations

import numpy as np

from ostrack.data.sequence import ArrayFrames, Sequence

COLOURS = ((220, 40, 30), (30, 200, 60), (60, 80, 230), (200, 200, 40), (200, 60, 200))


def moving(
    name: str, frames: int = 12, width: int = 160, height: int = 120, seed: int = 0, first_pixel: int = 0
) -> Sequence:
    """A rectangle of one colour on a smooth path; boxes are whole pixels."""
    rng = np.random.default_rng(seed)
    size = rng.integers(18, 30, 2)
    time = np.arange(frames)[:, None]
    start, speed = rng.uniform(30, 60, 2), rng.uniform(-1.5, 3, 2)
    corners = np.clip(
        np.round(start + speed * time + 3 * np.sin(time / 3 + seed)), 0, [width - size[0], height - size[1]]
    )
    images = []
    for x, y in corners.astype(int):
        image = np.zeros((height, width, 3), np.uint8)
        image[y : y + size[1], x : x + size[0]] = COLOURS[seed % len(COLOURS)]
        images.append(image)
    boxes = np.concatenate([corners, np.tile(size, (frames, 1))], 1).astype(np.float64)
    attributes = ("fast",) if np.abs(speed).max() > 2 else ("slow",)
    shown = np.ones(frames, dtype=bool)
    return Sequence(name, ArrayFrames(images, name), boxes, shown, attributes, dataset="toy", first_pixel=first_pixel)


def toy_set(count: int = 4, wide: str = "") -> list[Sequence]:
    """Several clips; the one named ``wide`` has wider frames."""
    return [moving(f"clip{i}", 10 + 3 * i, 240 if f"clip{i}" == wide else 160, seed=i) for i in range(count)]
