"""What went wrong, in pictures: frames of a sequence with every tracker's box, round the moment one of them lost it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh, xywh_to_xyxy
from ostrack.dashes import dashes
from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError
from ostrack.evaluate.plots import style_of

__all__ = ["Filmstrip", "filmstrip", "first_loss", "pick_frames"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Filmstrip:
    """A few frames of a sequence.

    Attributes:
        sequence: Its name.
        frames: Which frames.
        pictures: Each encoded as JPEG; ground truth is dashed white, trackers have their colours.
        overlaps: ``(N,)`` overlap by tracker; nan where the target is absent.
        lost: By tracker, the frame from which it does not find back for a while; None where it never loses.
    """

    sequence: str
    frames: tuple[int, ...]
    pictures: tuple[bytes, ...]
    overlaps: dict[str, Floats]
    lost: dict[str, int | None]

    @property
    def absent(self) -> NDArray[np.bool_]:
        """``(N,)`` frames without a target."""
        first = next(iter(self.overlaps.values()))
        return np.isnan(first)


def first_loss(overlap: Floats, below: float = 0.1, least: int = 10) -> int | None:
    """The first frame of a stretch of at least ``least`` frames with a target and an overlap under ``below``.

    Frames without a target (nan) neither count nor break the stretch. A stretch that lasts to the end always counts.
    """
    seen = np.flatnonzero(~np.isnan(overlap))
    low = overlap[seen] < below
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(int))).reshape(-1, 2)
    for start, end in edges.tolist():
        if end - start >= least or end == len(seen):
            return int(seen[start])
    return None


def pick_frames(count: int, lost: int | None, pictures: int = 6) -> tuple[int, ...]:
    """Frames worth a look: the first, those round a loss, the last; evenly spread where nothing was lost."""
    if lost is None or count <= pictures:
        found = np.linspace(0, count - 1, min(pictures, count))
    else:
        step = max(2, count // 40)
        around = lost + step * np.arange(-1, pictures - 3)
        found = np.concatenate([[0], np.clip(around, 0, count - 1), [count - 1]])
    return tuple(sorted({round(value) for value in found.tolist()}))


def filmstrip(
    sequence: Sequence, results: Mapping[str, Floats], pictures: int = 6, width: int = 300, quality: int = 82
) -> Filmstrip:
    """Draw a filmstrip.

    Args:
        sequence: Frames and ground truth.
        results: ``(N, 4)`` xywh by tracker, 0-based pixels, in the order of the palette.
        pictures: How many frames.
        width: Of each picture, pixels.
        quality: Of the JPEGs.

    Raises:
        DataError: A frame cannot be read.
        EvaluationError: A picture cannot be encoded.
    """
    # iou_xywh gives nan where the truth is nan; a tracker's own nan is a miss.
    overlaps = {name: iou_xywh(np.nan_to_num(rows), sequence.boxes) for name, rows in results.items()}
    lost = {name: first_loss(overlap) for name, overlap in overlaps.items()}
    losses = [frame for frame in lost.values() if frame is not None]
    frames = pick_frames(len(sequence), min(losses, default=None), pictures)
    drawn = tuple(_picture(sequence, results, frame, width, quality) for frame in frames)
    return Filmstrip(sequence.name, frames, drawn, overlaps, lost)


def _window(boxes: list[Floats], width: int, height: int) -> tuple[int, int, int, int]:
    """Part of the frame to show (left, top, width, height): all boxes and some ground, in the frame's shape."""
    known = np.stack([box for box in boxes if np.isfinite(box).all()] or [np.array([0.0, 0, width, height])])
    low, high = known[:, :2].min(0), (known[:, :2] + known[:, 2:]).max(0)
    frame = np.array([width, height], dtype=np.float64)
    around = 8 * np.sqrt(known[0, 2:].prod())
    share = float(np.clip(max(((high - low) / frame).max() * 1.25, around / width), 0.35, 1.0))
    size = np.round(share * frame)
    corner = np.clip(np.round((low + high - size) / 2), 0, frame - size)
    x, y, w, h = (int(value) for value in (*corner.tolist(), *size.tolist()))
    return x, y, w, h


def _picture(sequence: Sequence, results: Mapping[str, Floats], frame: int, width: int, quality: int) -> bytes:
    image, truth = sequence.frames[frame], sequence.boxes[frame]
    x, y, w, h = _window([truth, *(rows[frame] for rows in results.values())], image.shape[1], image.shape[0])
    # Drawn at twice the size and shrunk by the page, so lines stay sharp.
    scale = 2 * width / w
    larger = cv2.resize(image[y : y + h, x : x + w], (2 * width, round(scale * h)), interpolation=cv2.INTER_AREA)
    canvas = np.asarray(cv2.cvtColor(larger, cv2.COLOR_RGB2BGR), np.uint8)
    shift = np.array([x, y, 0, 0], dtype=np.float64)
    if np.isfinite(truth).all():
        _dashed(canvas, xywh_to_xyxy((truth - shift) * scale))
    for index, rows in enumerate(results.values()):
        if np.isfinite(rows[frame]).all():
            colour = style_of(index)[0]
            bgr = tuple(int(colour[i : i + 2], 16) for i in (5, 3, 1))
            left, top, wide, high = (round(value) for value in ((rows[frame] - shift) * scale).tolist())
            cv2.rectangle(canvas, (left, top), (left + wide, top + high), bgr, 3, cv2.LINE_AA)
    label = str(frame)
    cv2.putText(canvas, label, (8, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (0, 0, 0), 8, cv2.LINE_AA)
    cv2.putText(canvas, label, (8, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (255, 255, 255), 3, cv2.LINE_AA)
    done, blob = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise EvaluationError(f"{sequence.name}: frame {frame} cannot be encoded as JPEG")
    return blob.tobytes()


def _dashed(canvas: NDArray[np.uint8], box_xyxy: Floats) -> None:
    left, top, right, bottom = box_xyxy.tolist()
    for start, end in dashes((left, top, right, bottom), 10, 20):
        cv2.line(canvas, start, end, (0, 0, 0), 5, cv2.LINE_AA)
        cv2.line(canvas, start, end, (255, 255, 255), 3, cv2.LINE_AA)
