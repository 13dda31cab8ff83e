"""Need for Speed, 100 sequences at 240 frames a second and at 30; left, top, right, bottom in 0-based pixels."""

from __future__ import annotations

import re
from functools import partial

import numpy as np

from ostrack.data.benchmarks.collection import SequenceSet, images_in, paired, pick_split
from ostrack.data.labels import has_box, read_lines, sequence_list, without_empty
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage
from ostrack.errors import DataError
from ostrack.pictures import natural_key

__all__ = ["is_nfs", "open_nfs"]


def _nfs_names(storage: Storage, rate: str) -> list[str]:
    return [name for name in storage.list() if storage.exists(f"{name}/{rate}/{name}.txt")]


def is_nfs(storage: Storage) -> bool:
    """Whether a sequence of Need for Speed is there."""
    listed = sequence_list("nfs_30")
    return any(
        storage.exists(f"{name}/{rate}/{name}.txt")
        for name in storage.list()
        if name in listed
        for rate in ("30", "240")
    )


def _read_nfs(storage: Storage, rate: str, name: str) -> Sequence:
    labels = f"{name}/{rate}/{name}.txt"
    keys = images_in(storage, f"{name}/{rate}/{name}")
    rows = []
    for number, line in enumerate(read_lines(storage, labels), 1):
        # Track id, left, top, right, bottom, frame, lost, occluded, generated, "label".
        tokens = line.split('"')[0].split()[:9]
        if len(tokens) < 9 or not all(re.fullmatch(r"-?\d+(\.\d+)?", token) for token in tokens):
            raise DataError(
                f"{storage.where(labels)}:{number}: expected 9 numbers (track, left, top, right, bottom, frame, lost, "
                f"occluded, generated) and a label, found {line[:60]!r}"
            )
        rows.append([float(token) for token in tokens])
    table = np.array(rows)
    # Labels are made at 240 frames a second; the 30 Hz version shows every eighth frame of them.
    if rate == "30" and len(table) > 4 * len(keys):
        table = table[::8]
    # Ten sequences have one label less than images, whichever the rate.
    if abs(len(table) - len(keys)) == 1:
        count = min(len(table), len(keys))
        table, keys = table[:count], keys[:count]
    boxes = without_empty(np.column_stack([table[:, 1:3], table[:, 3:5] - table[:, 1:3]]))
    lost, occluded = table[:, 6] != 0, table[:, 7] != 0
    return Sequence(
        name,
        paired(storage, name, keys, boxes, labels),
        boxes,
        ~lost & has_box(boxes),
        dataset="nfs",
        frame_labels={"lost": lost, "occluded": occluded},
    )


def open_nfs(storage: Storage, split: str = "") -> SequenceSet:
    """``NAME/30/NAME/00001.jpg`` and ``NAME/30/NAME.txt`` (left, top, right, bottom), 100 sequences.

    Splits: ``30`` (with motion blur; the published figures) and ``240`` frames a second.
    """
    split = pick_split("nfs", split, ("30", "240"))
    names = tuple(sorted(_nfs_names(storage, split), key=natural_key))
    missing = tuple(name for name in sequence_list("nfs_30") if name not in names)
    return SequenceSet("nfs", split, storage, names, partial(_read_nfs, storage, split), missing)
