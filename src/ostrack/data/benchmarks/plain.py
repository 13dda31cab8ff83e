"""Your own clips: folders or videos with one label file each, in 0-based pixels.

Any of these, directly below the root or one or two folders deep; the sequence's name is its path:

* ``NAME/img/*.jpg`` (or the images in ``NAME`` itself) with ``NAME/groundtruth.txt`` or ``.csv``;
* ``NAME/anything.mp4`` with ``NAME/groundtruth.txt`` or ``.csv``;
* ``NAME.mp4`` with ``NAME.txt`` or ``NAME.csv`` beside it.

A text file has one ``x,y,w,h`` for each frame and ``nan`` where the target is absent. A CSV file may have the header
``frame,x,y,w,h`` (any order, further columns are passed over); frames count from 0, those not listed are not labelled.
The CSV files that this package writes of one target are such: where their column ``state`` says ``lost``, it is absent.
Clips without a label file are left out and named in the set's ``unlabelled``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ostrack.data.benchmarks.collection import SequenceSet, images_in, simple
from ostrack.data.frames import VIDEO_SUFFIXES, StoredFrames, VideoFrames, suffix
from ostrack.data.labels import read_boxes, read_lines
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage
from ostrack.errors import DataError
from ostrack.pictures import IMAGE_SUFFIXES, natural_key

__all__ = ["is_plain", "open_plain"]

_LABEL_FILES = ("groundtruth.txt", "groundtruth.csv")
_DEPTH = 3
_NUMBER = re.compile(r"\bnan\b|\d\.?e[+-]?\d")


def _label_file(storage: Storage, folder: str) -> str | None:
    return next((f"{folder}/{file}" for file in _LABEL_FILES if storage.exists(f"{folder}/{file}")), None)


def _find(storage: Storage, folder: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, str, str]]:
    """Name, key of the frames (folder or video) and key of the labels of each sequence; empty where it has none."""
    names = sorted(storage.list(folder), key=natural_key)
    prefix = f"{folder}/" if folder else ""
    labels = _label_file(storage, folder) if folder else None
    videos = [name for name in names if suffix(name) in VIDEO_SUFFIXES]
    if labels is not None:
        if "img" in names:
            yield folder, f"{prefix}img", labels
        elif any(suffix(name) in IMAGE_SUFFIXES for name in names) or not videos:
            yield folder, folder, labels
        else:
            yield folder, prefix + videos[0], labels
        return
    for video in videos:
        stem = video.rpartition(".")[0]
        beside = next((f"{prefix}{stem}{end}" for end in (".txt", ".csv") if f"{stem}{end}" in names), None)
        yield f"{prefix}{stem}", prefix + video, beside or ""
    if folder and "img" in names and any(suffix(name) in IMAGE_SUFFIXES for name in storage.list(f"{prefix}img")):
        yield folder, f"{prefix}img", ""
        return
    below = False
    if depth:
        for name in names:
            if suffix(name) not in IMAGE_SUFFIXES and not storage.exists(prefix + name):
                for found in _find(storage, prefix + name, depth - 1):
                    below = True
                    yield found
    # A single picture among folders is a cover, not a clip.
    if folder and not below and sum(suffix(name) in IMAGE_SUFFIXES for name in names) > 1:
        yield folder, folder, ""


def is_plain(storage: Storage) -> bool:
    """Whether a labelled clip is there."""
    return any(labels for _, _, labels in _find(storage))


def _is_header(line: str) -> bool:
    """Whether a line names columns: it has letters that are part of no number, as ``nan`` and ``1e+02`` are."""
    return any(letter.isalpha() for letter in _NUMBER.sub("", line.lower()))


def _read_table(storage: Storage, key: str, count: int) -> NDArray[np.float64]:
    """Boxes of a CSV file with a header; frames that it does not list are nan."""
    lines = read_lines(storage, key)
    reader = csv.DictReader(lines)
    columns = ("frame", "x", "y", "w", "h")
    fields = [field.strip().lower() for field in reader.fieldnames or ()]
    if not set(columns) <= set(fields):
        raise DataError(
            f"{storage.where(key)}:1: expected the columns {','.join(columns)}, found {','.join(fields)[:80]!r}"
        )
    reader.fieldnames = fields
    boxes = np.full((count, 4), np.nan)
    listed = set()
    for number, row in enumerate(reader, 2):
        try:
            frame = int(row["frame"])
            box = [float(row[column]) for column in columns[1:]]
        except (TypeError, ValueError):
            raise DataError(
                f"{storage.where(key)}:{number}: expected numbers, found {lines[number - 1][:60]!r}"
            ) from None
        if not 0 <= frame < count:
            raise DataError(f"{storage.where(key)}:{number}: frame {frame}, but the clip has frames 0 to {count - 1}")
        if frame in listed:
            raise DataError(f"{storage.where(key)}:{number}: frame {frame} a second time; expected one target's boxes")
        listed.add(frame)
        # A tracker goes on writing where it lost the target last.
        if row.get("state") == "lost":
            continue
        if np.isfinite(box).all() and box[2] > 0 and box[3] > 0:
            boxes[frame] = box
    return boxes


def _read(storage: Storage, found: dict[str, tuple[str, str]], name: str) -> Sequence:
    source, labels = found[name]
    frames = (
        VideoFrames(storage, source)
        if suffix(source) in VIDEO_SUFFIXES and storage.exists(source)
        else StoredFrames(storage, tuple(images_in(storage, source)))
    )
    count = len(frames)
    first = (read_lines(storage, labels) or [""])[0]
    boxes = _read_table(storage, labels, count) if _is_header(first) else read_boxes(storage, labels)
    if len(boxes) != count:
        raise DataError(
            f"{name}: {count} frames in {storage.where(source)} but {len(boxes)} boxes in {storage.where(labels)}"
        )
    return simple(name, frames, boxes, "folder", first_pixel=0)


def open_plain(storage: Storage, split: str = "") -> SequenceSet:
    """Every labelled clip below the root."""
    clips = list(_find(storage))
    found = {name: (source, labels) for name, source, labels in clips if labels}
    unlabelled = tuple(name for name, _, labels in clips if not labels)
    return SequenceSet("folder", split, storage, tuple(found), partial(_read, storage, found), unlabelled=unlabelled)
