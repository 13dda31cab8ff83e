"""One picture of the video: the frame with its box on the left, what the network looked at on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.explain.measures import Measures
from ostrack.explain.panels import FOUND, TRUTH, Image, Tile, draw_box, label
from ostrack.explain.sheets import elimination_tile, score_tiles

if TYPE_CHECKING:
    from ostrack.explain.clip import Explained

__all__ = ["beside", "film_frame", "framed"]

_SIDE = 320
_WIDE, _TALL = 860, 2 * (_SIDE + 40) + 8
_MARGIN = 12


def film_frame(explained: Explained, measures: Measures) -> Image:
    """``(752, 1224, 3)`` uint8 RGB: frame with box and numbers; search crop with struck-out tokens; score map."""
    inspection, truth = explained.inspection, explained.truth
    crop = explained.image.shape
    counts = [len(inspection.places(0)), *(len(gone.kept) for gone in inspection.eliminations)]
    last = inspection.depth - 1
    lost = measures.layers[-1].target_lost
    tokens = " -> ".join(map(str, counts)) + " tokens"
    what = "of the target" if truth is not None else "of the found box"
    tiles = [
        Tile(
            elimination_tile(inspection, last, truth, _SIDE, by_layer=False),
            ("search region, eliminated tokens struck out", f"{tokens}; {lost:.0%} {what} lost"),
        )
    ]
    for tile in score_tiles(inspection, truth, _SIDE)[:1]:
        tiles.append(Tile(tile.image, tile.caption))
    x, y, w, h = explained.box
    found = np.array([x + w / 2, y + h / 2, w, h]) / (crop[1], crop[0], crop[1], crop[0])
    score = "" if np.isnan(measures.score) else f"   score {measures.score:.2f}"
    return beside(framed(explained.image, found, f"frame {explained.frame}{score}"), tiles)


def framed(image: Image, box: NDArray[np.float64], caption: str, known: bool = False) -> Image:
    """A captioned frame half-way up a field of fixed size, with a box (cxcywh relative to it; dashed if known)."""
    height, width = image.shape[:2]
    scale = min(_WIDE / width, (_TALL - 24) / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrinks = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = draw_box(
        np.asarray(cv2.resize(image, size, interpolation=shrinks), np.uint8), box, TRUTH if known else FOUND, known
    )
    field = np.full((_TALL, _WIDE, 3), 255, np.uint8)
    top = (_TALL - 24 - size[1]) // 2
    label(field, caption, 0, top + 15, size=0.55)
    field[top + 24 : top + 24 + size[1], : size[0]] = large
    return field


def beside(field: Image, tiles: list[Tile]) -> Image:
    """The frame's field and, in a column at its right, tiles; a margin all round."""
    column = np.full((_TALL, _SIDE + 20, 3), 255, np.uint8)
    top = 0
    for tile in tiles:
        image = tile.render()[:, : _SIDE + 8]
        column[top : top + image.shape[0], 12 : 12 + image.shape[1]] = image[: _TALL - top]
        top += image.shape[0] + 4
    margin = ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0))
    return np.pad(np.concatenate([field, column], 1), margin, constant_values=255)
