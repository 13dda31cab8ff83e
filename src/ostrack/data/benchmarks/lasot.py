"""LaSOT and its extension: ``CLASS/CLASS-1/img/00000001.jpg`` with boxes, full occlusion and out-of-view marks.

A frame counts as visible where the target is neither fully occluded nor out of view and its box has an area; occluded
targets keep their box. LaSOT numbers pixels from 1; the extension does not say and is read as it is.
"""

from __future__ import annotations

import re
from functools import partial

from ostrack.data.benchmarks.collection import SequenceSet, images_in, paired, pick_split
from ostrack.data.labels import has_box, read_boxes, read_flags, sequence_list
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage
from ostrack.errors import DataError

__all__ = ["EXTENSION_CLASSES", "is_lasot", "open_lasot"]

EXTENSION_CLASSES = (
    "atv", "badminton", "cosplay", "dancingshoe", "footbag", "frisbee", "jianzi", "lantern", "misc", "opossum",
    "paddle", "raccoon", "rhino", "skatingshoe", "wingsuit",
)  # fmt: skip
_FIRST_PIXEL = {"lasot": 1, "lasot_ext": 0}


def _split_names(kind: str, split: str) -> list[str]:
    if kind == "lasot_ext":
        return [f"{name}-{i}" for name in EXTENSION_CLASSES for i in range(1, 11)]
    test = sequence_list("lasot_test")
    return [
        f"{name}-{i}"
        for name, numbers in test.items()
        for i in range(1, 21)
        if split == "all" or (i in numbers) == (split == "test")
    ]


def _folders(kind: str, storage: Storage) -> dict[str, str]:
    """Sequence name to folder; sequences may lie in class folders or directly below the root."""
    classes = set(EXTENSION_CLASSES if kind == "lasot_ext" else sequence_list("lasot_test"))
    found = {}
    for name in storage.list():
        if name in classes:
            found.update({child: f"{name}/{child}" for child in storage.list(name)})
        elif re.sub(r"-\d+$", "", name) in classes:
            found[name] = name
    return {name: folder for name, folder in found.items() if re.fullmatch(r".+-\d+", name)}


def is_lasot(kind: str, storage: Storage) -> bool:
    """Whether a sequence of that one of the two is there."""
    folders = list(_folders(kind, storage).values())[:20]
    # In class folders the boxes are enough: a set that lost its other labels should not pass for somebody's own clips.
    return any(
        storage.exists(f"{folder}/full_occlusion.txt")
        or ("/" in folder and storage.exists(f"{folder}/groundtruth.txt"))
        for folder in folders
    )


def _read(kind: str, storage: Storage, folders: dict[str, str], name: str) -> Sequence:
    folder = folders[name]
    labels = f"{folder}/groundtruth.txt"
    boxes = read_boxes(storage, labels, _FIRST_PIXEL[kind])
    count = len(boxes)
    hidden = read_flags(storage, f"{folder}/full_occlusion.txt", count) != 0
    outside = read_flags(storage, f"{folder}/out_of_view.txt", count) != 0
    keys = images_in(storage, f"{folder}/img")
    if len(keys) < count:
        raise DataError(
            f"{name}: {len(keys)} frames in {storage.where(folder)}/img but {count} boxes in groundtruth.txt"
        )
    # monkey-17 has more images than labels; the labels decide.
    frames = paired(storage, name, keys[:count], boxes, labels)
    visible = ~hidden & ~outside & has_box(boxes)
    return Sequence(
        name,
        frames,
        boxes,
        visible,
        dataset=kind,
        first_pixel=_FIRST_PIXEL[kind],
        frame_labels={"full_occlusion": hidden, "out_of_view": outside},
    )


def open_lasot(kind: str, storage: Storage, split: str = "") -> SequenceSet:
    """LaSOT (``test`` 280 sequences, ``train`` 1,120, ``all``) or the extension (150)."""
    if kind == "lasot":
        split = pick_split(kind, split, ("test", "train", "all"))
    folders = _folders(kind, storage)
    listed = _split_names(kind, split)
    names = tuple(name for name in listed if name in folders)
    missing = tuple(name for name in listed if name not in folders)
    return SequenceSet(kind, split, storage, names, partial(_read, kind, storage, folders), missing)
