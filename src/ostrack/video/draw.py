"""Boxes, names and scores drawn into frames, and a sheet of small pictures that shows a whole run at a glance."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.dashes import dashes
from ostrack.errors import OutputError

if TYPE_CHECKING:
    from ostrack.tracker import TargetId, Track

__all__ = ["ContactSheet", "colour", "draw_tracks"]

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]
Corner = tuple[int, int]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN = (math.sqrt(5) - 1) / 2


def colour(index: int) -> Colour:
    """RGB colour of the ``index``-th target; neighbours in number lie far apart on the colour circle."""
    hue = (0.36 + index * _GOLDEN) % 1.0
    r, g, b = colorsys.hsv_to_rgb(hue, 0.85 if index % 2 == 0 else 0.6, 1.0)
    return round(r * 255), round(g * 255), round(b * 255)


def draw_tracks(image: Image, tracks: Mapping[TargetId, Track], order: Sequence[TargetId] | None = None) -> Image:
    """Draw every target's box with its name and score.

    Line and letters grow with the frame. A lost target's box is dashed. The number of a lone target is left out, and
    so is a score that the network does not give.

    Args:
        image: ``(H, W, 3)`` uint8 RGB; not changed.
        tracks: The targets by id, xywh in pixels.
        order: All targets of the clip, so that each keeps its colour while others come and go; those of ``tracks``
            where None.

    Returns:
        A copy with the drawing.
    """
    canvas = np.array(image, dtype=np.uint8, order="C")
    height, width = canvas.shape[:2]
    thick = max(2 if min(height, width) >= 160 else 1, round(min(height, width) / 240))
    labels: list[tuple[str, Corner, Corner, Colour]] = []
    places = {name: index for index, name in enumerate(tracks if order is None else order)}
    for name, track in tracks.items():
        paint = colour(places[name])
        x, y, w, h = track.box
        first = (round(x), round(y))
        # Pixel i covers [i, i + 1]: the last pixel of a box lies one before its right and bottom edge.
        last = (max(first[0], round(x + w) - 1), max(first[1], round(y + h) - 1))
        if track.state == "lost":
            _dashed(canvas, first, last, paint, thick)
        else:
            _outline(canvas, first, last, paint, thick)
        called = [str(name)] if len(tracks) > 1 or isinstance(name, str) else []
        score = [] if math.isnan(track.score) else [f"{track.score:.2f}"]
        state = [] if track.state == "tracking" else [track.state]
        if words := [*called, *score, *state]:
            labels.append((" ".join(words), first, last, paint))
    taken: list[tuple[int, int, int, int]] = []
    for text, first, last, paint in labels:
        taken.append(_label(canvas, text, first, last, paint, taken))
    return canvas


def _outline(canvas: Image, first: tuple[int, int], last: tuple[int, int], paint: Colour, thick: int) -> None:
    """Four filled bars inside the box: OpenCV's own lines have round corners and lie astride the edge."""
    (x1, y1), (x2, y2) = first, last
    in_x, in_y = min(thick, x2 - x1 + 1) - 1, min(thick, y2 - y1 + 1) - 1
    for corner, opposite in (
        ((x1, y1), (x2, y1 + in_y)),
        ((x1, y2 - in_y), (x2, y2)),
        ((x1, y1), (x1 + in_x, y2)),
        ((x2 - in_x, y1), (x2, y2)),
    ):
        cv2.rectangle(canvas, corner, opposite, paint, cv2.FILLED)


def _dashed(canvas: Image, first: tuple[int, int], last: tuple[int, int], paint: Colour, thick: int) -> None:
    for start, end in dashes((*first, *last), 5 * thick, 10 * thick):
        cv2.line(canvas, start, end, paint, thick)


def _label(
    canvas: Image, text: str, first: Corner, last: Corner, paint: Colour, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int]:
    """Write at a box, clear of the labels that are there; returns left, top, right, bottom of the label's plate."""
    height, width = canvas.shape[:2]
    scale = max(0.45, min(height, width) / 900)
    weight = max(1, round(scale * 1.5))
    (text_w, text_h), below = cv2.getTextSize(text, _FONT, scale, weight)
    pad = max(2, text_h // 3)
    box_w, box_h = text_w + 2 * pad, text_h + below + 2 * pad
    left = min(max(0, first[0]), max(0, width - box_w))
    # Above the box where there is room, else below it, else inside; always within the frame.
    tops = [top for top in (first[1] - box_h, last[1] + 1) if 0 <= top <= height - box_h]
    tops += [max(0, first[1]), max(0, last[1] + 1 - box_h)]
    plates = [(left, top, left + box_w, top + box_h) for top in tops]
    free = (plate for plate in plates if not any(_meet(plate, other) for other in taken))
    plate = next(free, plates[0])
    left, top = plate[:2]
    cv2.rectangle(canvas, (left, top), (plate[2] - 1, plate[3] - 1), paint, cv2.FILLED)
    dark = 0.299 * paint[0] + 0.587 * paint[1] + 0.114 * paint[2] > 110
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(canvas, text, (left + pad, top + pad + text_h), _FONT, scale, ink, weight, cv2.LINE_AA)
    return plate


def _meet(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


class ContactSheet:
    """Evenly spaced pictures of a stream whose length nobody knows beforehand.

    Keeps every ``stride``-th picture, small; when there are too many, every other one goes and the stride doubles.

    Attributes:
        seen: Pictures offered so far.

    Args:
        count: Pictures on the finished sheet.
        width: Width of each in pixels.
    """

    def __init__(self, count: int = 12, width: int = 400) -> None:
        if count < 1 or width < 16:
            raise ValueError(f"a contact sheet needs count >= 1 and width >= 16, got {count} and {width}")
        self._count, self._width = count, width
        self._kept: list[tuple[str, Image]] = []
        self._stride, self.seen = 1, 0

    def add(self, image: Image, caption: str) -> None:
        """Offer the next picture: ``(H, W, 3)`` uint8 RGB."""
        if self.seen % self._stride == 0:
            height = max(1, round(image.shape[0] * self._width / image.shape[1]))
            small = cv2.resize(image, (self._width, height), interpolation=cv2.INTER_AREA)
            self._kept.append((caption, np.asarray(small, np.uint8)))
            if len(self._kept) > 4 * self._count:
                self._kept, self._stride = self._kept[::2], self._stride * 2
        self.seen += 1

    def render(self, columns: int = 4) -> Image:
        """The sheet, ``(H, W, 3)`` uint8 RGB, pictures in reading order.

        Raises:
            ValueError: Nothing was added.
        """
        if not self._kept:
            raise ValueError("a contact sheet of no pictures")
        count = min(self._count, len(self._kept))
        chosen = [self._kept[round(i)] for i in np.linspace(0, len(self._kept) - 1, count)]
        columns = min(columns, count)
        rows, tall = math.ceil(count / columns), max(image.shape[0] for _, image in chosen)
        sheet = np.zeros((rows * tall, columns * self._width, 3), np.uint8)
        for place, (caption, image) in enumerate(chosen):
            top, left = place // columns * tall, place % columns * self._width
            tile = image.copy()
            (text_w, text_h), below = cv2.getTextSize(caption, _FONT, 0.45, 1)
            tile[-text_h - below - 6 :, : text_w + 10] //= 4
            place_of_text = (5, tile.shape[0] - below - 2)
            cv2.putText(tile, caption, place_of_text, _FONT, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
            sheet[top : top + tile.shape[0], left : left + self._width] = tile
        return sheet

    def save(self, path: Path, columns: int = 4) -> None:
        """Write the sheet as an image in the format of the suffix.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            done, data = cv2.imencode(path.suffix, cv2.cvtColor(self.render(columns), cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise OutputError(f"{path}: no image format has the suffix {path.suffix!r}") from error
        if not done:
            raise OutputError(f"{path}: the sheet could not be encoded")
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
