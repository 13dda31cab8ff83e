"""GOT-10k: ``val/GOT-10k_Val_000001/00000001.jpg`` with boxes, absence, cover and cut-by-image labels.

A frame counts as visible where the target is not absent, its cover level (0 to 8) is above 0 and its box has an area.
The test split has the box of the first frame only.

Training splits. ``train`` is all 9,335 sequences (9,335 is also what a list of the official code calls full). The
official code divides them by 0-based position: ``val_1401`` against ``train_7934``; and, for VOT, ``vot_val`` (1,249)
and ``vot_train`` (7,086) are those two without the 1,000 sequences whose use VOT forbids. In making these, 1-based
sequence numbers were compared with 0-based positions, so the neighbour of each forbidden sequence was left out
instead. The names reproduce that, for networks were trained so; ``vot_clean`` leaves out the forbidden sequences
themselves (8,335).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ostrack.data.benchmarks.collection import SequenceSet, images_in, paired, pick_split
from ostrack.data.frames import StoredFrames
from ostrack.data.labels import has_box, read_boxes, read_flags, read_lines, sequence_list
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage
from ostrack.errors import DataError

__all__ = ["SPLITS", "is_got10k", "open_got10k", "train_names"]

SPLITS = ("val", "test", "train", "train_7934", "val_1401", "vot_train", "vot_val", "vot_clean")
_TRAIN_COUNT = 9335


def train_names(split: str) -> list[str]:
    """Names of a training split, computed from the two published lists.

    Args:
        split: One of :data:`SPLITS` other than ``val`` and ``test``.

    Returns:
        Sequence names in order of their number.
    """
    lists = sequence_list("got10k_train")
    everything = set(range(_TRAIN_COUNT))
    validation, prohibited = set(lists["val_1401"]), set(lists["vot_prohibited"])
    positions = {
        "train": everything,
        "train_7934": everything - validation,
        "val_1401": validation,
        "vot_train": everything - validation - prohibited,
        "vot_val": validation - prohibited,
        "vot_clean": everything - {number - 1 for number in prohibited},
    }[split]
    return [f"GOT-10k_Train_{position + 1:06d}" for position in sorted(positions)]


def _folder(storage: Storage, split: str) -> str:
    part = split if split in {"val", "test"} else "train"
    if storage.list(part):
        return f"{part}/"
    # A split's own folder may have been given as the root.
    return "" if any(n.startswith(f"GOT-10k_{part.capitalize()}_") for n in storage.list()) else f"{part}/"


def is_got10k(storage: Storage) -> bool:
    """Whether there is a folder of GOT-10k sequences."""
    return any(n.startswith("GOT-10k_") for part in ("val", "test", "train", "") for n in storage.list(part)[:3])


def _read(storage: Storage, prefix: str, name: str) -> Sequence:
    folder = f"{prefix}{name}"
    keys = images_in(storage, folder)
    labels = f"{folder}/groundtruth.txt"
    boxes = read_boxes(storage, labels)
    if len(boxes) == 1 and name.startswith("GOT-10k_Test_"):
        boxes = np.concatenate([boxes, np.full((len(keys) - 1, 4), np.nan)])
        visible = has_box(boxes)
        return Sequence(name, StoredFrames(storage, tuple(keys)), boxes, visible, dataset="got10k")
    frames = paired(storage, name, keys, boxes, labels)
    absent = read_flags(storage, f"{folder}/absence.label", len(keys)) != 0
    level = read_flags(storage, f"{folder}/cover.label", len(keys))
    cut = read_flags(storage, f"{folder}/cut_by_image.label", len(keys)) != 0
    visible = ~absent & (level > 0) & has_box(boxes)
    return Sequence(
        name, frames, boxes, visible, cover=level / 8, dataset="got10k", frame_labels={"absent": absent, "cut": cut}
    )


def open_got10k(storage: Storage, split: str = "") -> SequenceSet:
    """GOT-10k; the split is ``val`` when none is named and it is there, else the first that is."""
    if not split:
        split = next(
            (part for part in ("val", "test", "train") if storage.list(_folder(storage, part).rstrip("/"))), ""
        )
    split = pick_split("got10k", split, SPLITS)
    prefix = _folder(storage, split)
    there = {name: None for name in storage.list(prefix.rstrip("/")) if name.startswith("GOT-10k_")}
    if not there:
        raise DataError(f"{storage.where(prefix.rstrip('/'))}: no GOT-10k sequences; the split {split} needs them")
    if split in {"val", "test"}:
        listed = read_lines(storage, f"{prefix}list.txt") if storage.exists(f"{prefix}list.txt") else list(there)
    else:
        listed = train_names(split)
    names = tuple(name for name in listed if name in there)
    missing = tuple(name for name in listed if name not in there)
    return SequenceSet("got10k", split, storage, names, partial(_read, storage, prefix), missing)
