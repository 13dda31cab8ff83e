"""Drawn clips a trained tracker can follow: patterned objects over cluttered scenes, boxes exact by construction."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.data.sequence import ArrayFrames, Sequence

Image = NDArray[np.uint8]
Path2 = Callable[[float], tuple[float, float, float, float]]
"""Time in [0, 1] to centre x, centre y, width and height in pixels."""


def scene(rng: np.random.Generator, width: int, height: int) -> Image:
    """Soft clouds of colour with lines and discs over them, as clutter."""
    coarse = rng.uniform(40, 215, (6, 8, 3)).astype(np.float32)
    image = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    for _ in range(60):
        colour = rng.uniform(30, 225, 3).tolist()
        at = (int(rng.integers(width)), int(rng.integers(height)))
        if rng.random() < 0.5:
            cv2.circle(image, at, int(rng.integers(3, 16)), colour, -1, cv2.LINE_AA)
        else:
            to = (at[0] + int(rng.integers(-60, 60)), at[1] + int(rng.integers(-60, 60)))
            cv2.line(image, at, to, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0).clip(0, 255), np.uint8)


def thing(rng: np.random.Generator, side: int = 128) -> tuple[Image, NDArray[np.float32]]:
    """An oval thing of patches and stripes, and how much of each pixel it covers."""
    image = np.empty((side, side, 3), np.uint8)
    image[:] = rng.integers(40, 220, 3)
    for _ in range(7):
        corners = rng.integers(0, side, (4, 2)).astype(np.int32)
        cv2.fillConvexPoly(image, cv2.convexHull(corners), rng.integers(20, 240, 3).tolist(), cv2.LINE_AA)
    cv2.circle(image, (side // 3, side // 3), side // 9, (250, 250, 250), -1, cv2.LINE_AA)
    cv2.circle(image, (side // 3, side // 3), side // 22, (10, 10, 10), -1, cv2.LINE_AA)
    cover = np.zeros((side, side), np.uint8)
    cv2.ellipse(cover, (side // 2, side // 2), (side // 2 - 1, side // 2 - 1), 0, 0, 360, 255, -1, cv2.LINE_AA)
    return image, cover.astype(np.float32) / 255


def paste(frame: Image, what: tuple[Image, NDArray[np.float32]], place: tuple[float, float, float, float]) -> None:
    """Draw a thing into a frame, in place; ``place`` is cxcywh in pixels."""
    image, cover = what
    side = image.shape[0]
    cx, cy, w, h = place
    matrix = np.array([[w / side, 0, cx - w / 2], [0, h / side, cy - h / 2]])
    size = frame.shape[1], frame.shape[0]
    drawn = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_AREA)
    share = cv2.warpAffine(cover, matrix, size)[..., None]
    frame[:] = np.rint(frame * (1 - share) + drawn * share)


def _sequence(name: str, frames: list[Image], places: list[tuple[float, float, float, float]]) -> Sequence:
    boxes = np.array([(cx - w / 2, cy - h / 2, w, h) for cx, cy, w, h in places])
    return Sequence(name, ArrayFrames(frames, name), boxes, np.ones(len(frames), dtype=bool))


def render(name: str, path: Path2, seed: int, others: tuple[Path2, ...] = (), bar: bool = False) -> Sequence:
    """48 frames of 320 x 240 in which a thing moves along a path.

    Args:
        name: Name of the sequence.
        path: Of the target.
        seed: Of scene and things.
        others: Paths of other things, drawn before the target.
        bar: Whether an upright bar stands in front of everything.
    """
    rng = np.random.default_rng(seed)
    back, target = scene(rng, 320, 240), thing(rng)
    rest = [thing(rng) for _ in others]
    frames, places = [], []
    for time in np.linspace(0, 1, 48):
        frame = back.copy()
        for what, along in zip(rest, others, strict=True):
            paste(frame, what, along(time))
        paste(frame, target, path(time))
        if bar:
            frame[:, 150:166] = (70, 60, 50)
        light = 1 + 0.15 * np.sin(5 * time)
        noisy = frame * light + rng.normal(0, 4, frame.shape)
        frames.append(noisy.clip(0, 255).astype(np.uint8))
        places.append(path(time))
    return _sequence(name, frames, places)


def grows(time: float) -> tuple[float, float, float, float]:
    """Across the picture, nearer and wider."""
    return 70 + 170 * time, 120 + 50 * np.sin(6 * time), 34 + 44 * time, 40 + 30 * time


def crosses(time: float) -> tuple[float, float, float, float]:
    """Left to right at one size."""
    return 60 + 200 * time, 120 + 10 * np.sin(9 * time), 46, 38


def against(time: float) -> tuple[float, float, float, float]:
    """Right to left, where ``crosses`` goes."""
    return 260 - 200 * time, 132, 46, 38


def swings(time: float) -> tuple[float, float, float, float]:
    """To and fro behind a bar, small."""
    return 158 + 70 * np.sin(7 * time), 110 + 60 * time, 30, 36


def clips() -> list[Sequence]:
    """Growth and a change of shape, another thing on the way, a bar in front."""
    return [
        render("grows", grows, seed=3),
        render("crosses", crosses, seed=5, others=(against,)),
        render("behind-a-bar", swings, seed=8, bar=True),
    ]
