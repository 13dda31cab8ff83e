"""VOT challenges: ``list.txt``, ``NAME/groundtruth.txt`` and ``NAME/color/00000001.jpg`` (first years: ``NAME/*.jpg``).

A row of labels is a rectangle (4 numbers), a polygon (8; other counts of corners keep their bounding box only), a mask
(``m`` x, y, w, h and runs of background and target pixels) or a single number where the target is not labelled. Boxes
are the bounding boxes of polygons and masks; ``nan`` marks absent frames of the long-term sets.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ostrack.data.benchmarks.collection import SequenceSet, images_in, paired
from ostrack.data.frames import suffix
from ostrack.data.labels import has_box, read_flags, read_lines, read_text, without_empty
from ostrack.data.sequence import Sequence, polygon_to_xywh
from ostrack.data.storage import Storage
from ostrack.errors import DataError

__all__ = ["is_vot", "mask_box", "open_vot"]


def is_vot(storage: Storage) -> bool:
    """Whether ``list.txt`` names a folder with labels."""
    if not storage.exists("list.txt"):
        return False
    return any(storage.exists(f"{name}/groundtruth.txt") for name in read_lines(storage, "list.txt")[:5])


def mask_box(numbers: list[int]) -> NDArray[np.float64]:
    """Bounding box of a mask in VOT's run-length form.

    Args:
        numbers: x, y, w, h of the window, then lengths of runs in row order, background first.

    Returns:
        ``(4,)`` xywh; nan where no pixel belongs to the target.

    Raises:
        ValueError: The runs do not fit in the window.
    """
    x, y, w, h, *runs = numbers
    if w < 0 or h < 0 or sum(runs) > w * h or min(runs, default=0) < 0:
        raise ValueError(f"runs of {sum(runs)} pixels do not fit in a window of {w} x {h}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    mask = np.zeros(w * h, dtype=bool)
    mask[: len(flat)] = flat
    rows, columns = np.nonzero(mask.reshape(h, w))
    if not rows.size:
        return np.full(4, np.nan)
    low = np.array([columns.min(), rows.min()], dtype=np.float64)
    size = np.array([columns.max(), rows.max()]) - low + 1
    return np.concatenate([low + np.array([x, y]), size])


def _parse(line: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Box ``(4,)`` and polygon ``(8,)`` of one row; nan where it has none."""
    none = np.full(8, np.nan)
    if line.startswith("m"):
        return mask_box([int(token) for token in line[1:].split(",")]), none
    values = np.array([float(token) for token in line.replace("\t", ",").split(",")])
    if len(values) == 1:
        return np.full(4, np.nan), none
    if len(values) == 4:
        x, y, w, h = values
        return values, np.array([x, y, x + w, y, x + w, y + h, x, y + h])
    if len(values) >= 6 and len(values) % 2 == 0:
        return polygon_to_xywh(values), values if len(values) == 8 else none
    raise ValueError(f"{len(values)} numbers")


def _folder_of_images(storage: Storage, name: str) -> str:
    description = f"{name}/sequence"
    if storage.exists(description):
        for line in read_lines(storage, description):
            key, _, value = line.partition("=")
            if key.strip() in {"channels.color", "channels.ir"}:
                return str(PurePosixPath(name) / PurePosixPath(value.strip()).parent)
    return f"{name}/color" if storage.list(f"{name}/color") else name


def _read(storage: Storage, name: str) -> Sequence:
    labels = f"{name}/groundtruth.txt"
    boxes, polygons = [], []
    for number, line in enumerate(read_text(storage, labels).rstrip().splitlines(), 1):
        try:
            box, polygon = _parse(line.strip())
        except ValueError as error:
            raise DataError(
                f"{storage.where(labels)}:{number}: expected a rectangle, polygon or mask: {line[:60]!r} ({error})"
            ) from None
        boxes.append(box)
        polygons.append(polygon)
    if not boxes:
        raise DataError(f"{storage.where(labels)}: empty; expected one region for each frame")
    table, region = np.array(boxes), np.array(polygons)
    present = has_box(table)
    table, region = without_empty(table), np.where(present[:, None], region, np.nan)
    frames = paired(storage, name, images_in(storage, _folder_of_images(storage, name)), table, labels)
    marks = {}
    for file in storage.list(name):
        if suffix(file) in {".tag", ".label"}:
            # Tag files may stop after the last marked frame.
            count = len(read_text(storage, f"{name}/{file}").split())
            flags = np.zeros(len(table), dtype=bool)
            flags[:count] = read_flags(storage, f"{name}/{file}", min(count, len(table))) != 0
            marks[file.rpartition(".")[0]] = flags
    attributes = tuple(sorted(mark for mark, flags in marks.items() if flags.any()))
    return Sequence(
        name,
        frames,
        table,
        present,
        attributes=attributes,
        region=region if np.isfinite(region).any() else None,
        dataset="vot",
        frame_labels=marks,
    )


def open_vot(storage: Storage, split: str = "") -> SequenceSet:
    """The sequences of ``list.txt``."""
    listed = read_lines(storage, "list.txt")
    names = tuple(name for name in listed if storage.exists(f"{name}/groundtruth.txt"))
    missing = tuple(name for name in listed if name not in names)
    return SequenceSet("vot", split, storage, names, partial(_read, storage), missing)
