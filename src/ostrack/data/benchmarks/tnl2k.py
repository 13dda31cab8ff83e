"""TNL2K: tracking by sentence or box; 0-based pixels. The sentence, ``language.txt``, is not read."""

from __future__ import annotations

from functools import partial

from ostrack.data.benchmarks.collection import SequenceSet, images_in, paired, simple
from ostrack.data.labels import read_boxes
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage

__all__ = ["is_tnl2k", "open_tnl2k"]


def is_tnl2k(storage: Storage) -> bool:
    """Whether a sequence folder with ``imgs/`` and a sentence is there."""
    return any(storage.exists(f"{n}/language.txt") and storage.list(f"{n}/imgs") for n in storage.list()[:5])


def _read_tnl2k(storage: Storage, name: str) -> Sequence:
    labels = f"{name}/groundtruth.txt"
    boxes = read_boxes(storage, labels)
    frames = paired(storage, name, images_in(storage, f"{name}/imgs"), boxes, labels)
    return simple(name, frames, boxes, "tnl2k", first_pixel=0)


def open_tnl2k(storage: Storage, split: str = "") -> SequenceSet:
    """``NAME/imgs/00001.jpg`` (or png), ``NAME/groundtruth.txt``; test and training sequences lie in two roots."""
    names = tuple(name for name in storage.list() if storage.exists(f"{name}/groundtruth.txt"))
    return SequenceSet("tnl2k", split, storage, names, partial(_read_tnl2k, storage))
