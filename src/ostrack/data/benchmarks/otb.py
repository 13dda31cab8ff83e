"""OTB-100: ``NAME/img/0001.jpg`` and ``NAME/groundtruth_rect.txt``, in MATLAB's 1-based pixels.

The labels of nine sequences cover only part of their images (David starts at image 300, BlurCar1 at 247; Diving,
Football1, Freeman3 and Freeman4 end early), Tiger1 leaves out its first five frames, Board's numbers have five digits,
Jogging and Skating2 hold two targets each, Human4 counts with its second, and delimiters differ from file to file.
``data/lists/otb100.json`` has the ranges of the benchmark's own configuration and its attributes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ostrack.data.benchmarks.collection import SequenceSet, numbered, paired, simple
from ostrack.data.labels import read_boxes, sequence_list
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage

__all__ = ["is_otb", "open_otb"]


def is_otb(storage: Storage) -> bool:
    """Whether a sequence of OTB-100 is there."""
    there = set(storage.list())
    entries = (entry for entry in sequence_list("otb100").values() if entry["folder"] in there)
    return any(storage.exists(f"{entry['folder']}/{entry['labels']}") for entry in entries)


def _read(storage: Storage, name: str) -> Sequence:
    entry = sequence_list("otb100")[name]
    labels = f"{entry['folder']}/{entry['labels']}"
    boxes = read_boxes(storage, labels, first_pixel=1)
    keys = numbered(storage, f"{entry['folder']}/img", entry["first"], entry["last"])
    # Labels and images are paired before frames are left out, so that a wrong file is noticed.
    paired(storage, name, keys, boxes, labels)
    boxes, keys = boxes[entry["skip"] :], keys[entry["skip"] :]
    frames = paired(storage, name, keys, boxes, labels)
    sequence = simple(name, frames, boxes, "otb100", first_pixel=1)
    return replace(sequence, attributes=tuple(entry["attributes"]))


def open_otb(storage: Storage, split: str = "") -> SequenceSet:
    """OTB-100; names as the benchmark's result files have them, ``Jogging-1`` and so on."""
    there = set(storage.list())
    listed = sequence_list("otb100")
    names = tuple(name for name, entry in listed.items() if entry["folder"] in there)
    missing = tuple(name for name in listed if name not in names)
    return SequenceSet("otb100", split, storage, names, partial(_read, storage), missing)
