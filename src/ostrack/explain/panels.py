"""What the pictures are made of: crops with heat maps, struck-out tokens and boxes, colour bars, captions, grids.

Colours are told apart by colour-blind readers: viridis for amounts, Okabe and Ito's orange and sky blue for boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.crop import IMAGENET_MEAN, IMAGENET_STD
from ostrack.dashes import dashes
from ostrack.errors import OutputError

__all__ = [
    "FOUND", "FRAME", "TRUTH", "Image", "Tile", "colour_bar", "draw_box", "fit", "grid_of", "heat", "label",
    "outline_tokens", "picture", "save_png", "strike_out", "viridis",
]  # fmt: skip

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

FOUND: Colour = (230, 159, 0)
TRUTH: Colour = (255, 255, 255)
FRAME: Colour = (213, 94, 0)
_NOW: Colour = (0, 114, 178)
_INK, _SOFT, _PAPER = (27, 31, 36), (92, 102, 112), (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TEXT = 0.45
_LINE = 18
_GAP = 10
_TABLE = np.asarray(cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_VIRIDIS), np.uint8)[0, :, ::-1]


def picture(normalised: NDArray[np.float32]) -> Image:
    """``(3, S, S)`` normalised RGB back to ``(S, S, 3)`` uint8."""
    image = normalised.transpose(1, 2, 0) * IMAGENET_STD + IMAGENET_MEAN
    return np.asarray(np.clip(np.rint(255 * image), 0, 255), np.uint8)


def fit(image: Image, side: int) -> Image:
    """A square image at another size."""
    shrinks = side < image.shape[0]
    return np.asarray(
        cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
    )


def viridis(values: NDArray[np.floating], low: float, high: float) -> Image:
    """``(...)`` values to ``(..., 3)`` uint8 RGB; what lies outside the range takes the colour of its end."""
    share = np.clip((np.nan_to_num(values) - low) / max(high - low, 1e-12), 0, 1)
    return np.asarray(_TABLE[np.rint(255 * share).astype(np.intp)])


def heat(image: Image, values: NDArray[np.floating], low: float, high: float) -> Image:
    """Values on a grid over an image: the hue tells the value, the brightness still shows the picture.

    Args:
        image: ``(S, S, 3)``.
        values: ``(g, g)``; where nan, the token is gone and drawn as such.
        low: Value of the darkest colour.
        high: Value of the lightest colour.
    """
    side = image.shape[0]
    large = np.asarray(cv2.resize(viridis(values, low, high), (side, side), interpolation=cv2.INTER_NEAREST))
    light = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[..., None] / 255.0
    mixed = np.clip(large * (0.62 + 0.2 * light) + 85 * light, 0, 255).astype(np.uint8)
    return strike_out(mixed, np.isnan(values), np.zeros(values.shape, np.bool_))


def strike_out(image: Image, before: NDArray[np.bool_], now: NDArray[np.bool_]) -> Image:
    """Tokens that are gone: pale with grey strokes where they went before, with blue strokes where they go now.

    Args:
        image: ``(S, S, 3)``.
        before: ``(g, g)`` eliminated by earlier layers.
        now: ``(g, g)`` eliminated by this layer.
    """
    canvas = image.copy()
    side, grid = image.shape[0], before.shape[0]
    edges = np.rint(np.linspace(0, side, grid + 1)).astype(int)
    slope = np.add.outer(np.arange(side), np.arange(side))
    step = max(4, round(side / grid / 2))
    stroke = slope % step < max(1, step // 3)
    for row, column in np.argwhere(before | now).tolist():
        part = (slice(edges[row], edges[row + 1]), slice(edges[column], edges[column + 1]))
        fresh = bool(now[row, column])
        pale = 0.25 * canvas[part] + 0.75 * 235
        paint = np.array(_NOW if fresh else (150, 156, 163))
        canvas[part] = np.where(stroke[part][..., None], paint, pale).astype(np.uint8)
    return canvas


def outline_tokens(image: Image, tokens: NDArray[np.bool_], paint: Colour = FRAME) -> Image:
    """Frames round the tokens of a ``(g, g)`` mask."""
    canvas = image.copy()
    edges = np.rint(np.linspace(0, image.shape[0], tokens.shape[0] + 1)).astype(int)
    for row, column in np.argwhere(tokens).tolist():
        ends = (int(edges[column]), int(edges[row])), (int(edges[column + 1]) - 1, int(edges[row + 1]) - 1)
        cv2.rectangle(canvas, *ends, paint, 2)
    return canvas


def draw_box(
    image: Image, box_cxcywh: NDArray[np.float64], paint: Colour = FOUND, dashed: bool = False, thick: int = 2
) -> Image:
    """A box relative to the image, cxcywh, with a dark edge so that it shows on any ground."""
    canvas = image.copy()
    height, width = image.shape[:2]
    cx, cy, w, h = (box_cxcywh * (width, height, width, height)).tolist()
    dash, period = (9.0, 16.0) if dashed else (math.inf, math.inf)
    lines = list(dashes((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), dash, period, circling=True))
    for pen, ink in ((thick + 2, (0, 0, 0)), (thick, paint)):
        for start, end in lines:
            cv2.line(canvas, start, end, ink, pen, cv2.LINE_AA)
    return canvas


def label(image: Image, text: str, left: int, base: int, soft: bool = False, size: float = _TEXT) -> int:
    """Write on an image, in place; returns the width in pixels."""
    cv2.putText(image, text, (left, base), _FONT, size, _SOFT if soft else _INK, 1, cv2.LINE_AA)
    return int(cv2.getTextSize(text, _FONT, size, 1)[0][0])


def colour_bar(width: int, low: float, high: float, unit: str = "") -> Image:
    """``(h, width, 3)`` bar with its two ends written under it."""
    out = np.full((_LINE + 12, width, 3), _PAPER, np.uint8)
    out[2:10] = viridis(np.linspace(0, 1, width), 0, 1)[None]
    label(out, f"{low:.2g}", 0, 24, soft=True, size=0.4)
    right = f"{high:.2g} {unit}".strip()
    text = cv2.getTextSize(right, _FONT, 0.4, 1)[0][0]
    label(out, right, width - text, 24, soft=True, size=0.4)
    return out


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Attributes:
        image: ``(h, w, 3)`` uint8 RGB.
        caption: Lines above it.
        bar: Below it, as wide as the image; None for none.
    """

    image: Image
    caption: tuple[str, ...]
    bar: Image | None = None

    def render(self) -> Image:
        """Caption, image and bar, ``(H, W, 3)``; wider than the image where the caption is."""
        width = max([self.image.shape[1], *(cv2.getTextSize(t, _FONT, _TEXT, 1)[0][0] + 2 for t in self.caption)])
        head = np.full((_LINE * len(self.caption) + 4, width, 3), _PAPER, np.uint8)
        for number, text in enumerate(self.caption):
            label(head, text, 0, 13 + _LINE * number, soft=number > 0)
        parts = [head, _widened(self.image, width)]
        if self.bar is not None:
            parts.append(_widened(self.bar, width))
        return np.concatenate(parts)


def _widened(image: Image, width: int) -> Image:
    return np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=_PAPER[0])


def grid_of(rows: list[tuple[str, list[Tile]]], note: tuple[str, ...] = ()) -> Image:
    """Rows of tiles under their titles, on white, with notes at the foot.

    Args:
        rows: Title (empty for none) and tiles of each row.
        note: Lines at the foot.
    """
    blocks: list[Image] = []
    for title, tiles in rows:
        made = [tile.render() for tile in tiles]
        tall = max(image.shape[0] for image in made)
        parts = [
            np.pad(image, ((0, tall - image.shape[0]), (0, _GAP), (0, 0)), constant_values=_PAPER[0]) for image in made
        ]
        row = np.concatenate(parts, 1)
        if title:
            wide = max(row.shape[1], cv2.getTextSize(title, _FONT, 0.55, 1)[0][0] + 4)
            head = np.full((26, wide, 3), _PAPER, np.uint8)
            label(head, title, 0, 17, size=0.55)
            blocks.append(np.concatenate([head, _widened(row, wide)]))
        else:
            blocks.append(row)
        blocks.append(np.full((_GAP, blocks[-1].shape[1], 3), _PAPER, np.uint8))
    for text in note:
        line = np.full((_LINE, cv2.getTextSize(text, _FONT, 0.4, 1)[0][0] + 4, 3), _PAPER, np.uint8)
        label(line, text, 0, 12, soft=True, size=0.4)
        blocks.append(line)
    width = max(block.shape[1] for block in blocks)
    sheet = np.concatenate([_widened(block, width) for block in blocks])
    return np.pad(sheet, ((_GAP, _GAP), (_GAP, _GAP), (0, 0)), constant_values=_PAPER[0])


def save_png(path: Path, image: Image) -> Path:
    """Write ``(H, W, 3)`` uint8 RGB.

    Raises:
        OutputError: It cannot be written.
    """
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise OutputError(f"{path}: the picture could not be encoded")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    return path
