"""Benchmarks filmed from drones: UAV123, UAV20L, UAV123@10fps, UAVDT (single object), DTB70.

UAV123 cuts 123 sequences out of 91 image folders, and UAV20L joins some of them again; the ranges of frames are in
``data/lists``, taken from the benchmark's own configuration. The lists add up to the published 112,578, 58,670 and
37,607 frames. Labels are in MATLAB's 1-based pixels; ``NaN`` marks absent frames.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

from ostrack.data.benchmarks.collection import SequenceSet, images_in, numbered, paired, simple
from ostrack.data.labels import read_boxes, read_flags, sequence_list
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage
from ostrack.pictures import natural_key

__all__ = ["is_dtb70", "is_uav", "is_uavdt", "open_dtb70", "open_uav", "open_uavdt"]

UAV_ATTRIBUTES = ("SV", "ARC", "LR", "FM", "FOC", "POC", "OV", "BC", "IV", "VC", "CM", "SOB")
_LABELS = {"uav123": "anno/UAV123", "uav20l": "anno/UAV20L", "uav123_10fps": "anno/UAV123_10fps"}
_IMAGES = {"uav123": "data_seq/UAV123", "uav20l": "data_seq/UAV123", "uav123_10fps": "data_seq/UAV123_10fps"}


def is_uav(kind: str, storage: Storage) -> bool:
    """Whether there are labels and images of that one of the three."""
    return bool(storage.list(_LABELS[kind]) and storage.list(_IMAGES[kind]))


def _read_uav(kind: str, storage: Storage, name: str) -> Sequence:
    entry = sequence_list(kind)[name]
    labels = f"{_LABELS[kind]}/{name}.txt"
    boxes = read_boxes(storage, labels, first_pixel=1)
    keys = numbered(storage, f"{_IMAGES[kind]}/{entry['folder']}", entry["first"], entry["last"])
    sequence = simple(name, paired(storage, name, keys, boxes, labels), boxes, kind, first_pixel=1)
    attributes = f"{_LABELS[kind]}/att/{name}.txt"
    if not storage.exists(attributes):
        return sequence
    flags = read_flags(storage, attributes, len(UAV_ATTRIBUTES))
    return replace(sequence, attributes=tuple(a for a, on in zip(UAV_ATTRIBUTES, flags, strict=True) if on))


def open_uav(kind: str, storage: Storage, split: str = "") -> SequenceSet:
    """``anno/UAV123/NAME.txt`` and ``data_seq/UAV123/FOLDER/000001.jpg`` (with the set's name in place of UAV123)."""
    there = {name.removesuffix(".txt") for name in storage.list(_LABELS[kind])}
    folders = set(storage.list(_IMAGES[kind]))
    listed = sequence_list(kind)
    names = tuple(sorted((n for n in listed if n in there and listed[n]["folder"] in folders), key=natural_key))
    missing = tuple(n for n in listed if n not in names)
    return SequenceSet(kind, split, storage, names, partial(_read_uav, kind, storage), missing)


def _uavdt_labels(storage: Storage) -> str:
    for folder in ("anno", "UAV-benchmark-SOT_v1.0/anno"):
        if any(re.fullmatch(r"S\d{4}_gt\.txt", name) for name in storage.list(folder)):
            return folder
    return ""


def _uavdt_images(storage: Storage) -> str:
    for folder in ("UAV-benchmark-S", "sequences"):
        if storage.list(folder):
            return f"{folder}/"
    return ""


def is_uavdt(storage: Storage) -> bool:
    """Whether there are label files ``anno/S0101_gt.txt``."""
    return bool(_uavdt_labels(storage))


def _read_uavdt(storage: Storage, name: str) -> Sequence:
    labels = f"{_uavdt_labels(storage)}/{name}_gt.txt"
    boxes = read_boxes(storage, labels, first_pixel=1)
    keys = images_in(storage, f"{_uavdt_images(storage)}{name}")
    return simple(name, paired(storage, name, keys, boxes, labels), boxes, "uavdt", first_pixel=1)


def open_uavdt(storage: Storage, split: str = "") -> SequenceSet:
    """``anno/S0101_gt.txt`` and ``UAV-benchmark-S/S0101/img000001.jpg``, 50 sequences."""
    folders = set(storage.list(_uavdt_images(storage).rstrip("/")))
    listed = [n.removesuffix("_gt.txt") for n in storage.list(_uavdt_labels(storage)) if n.endswith("_gt.txt")]
    names = tuple(name for name in listed if name in folders)
    missing = tuple(name for name in listed if name not in folders)
    return SequenceSet("uavdt", split, storage, names, partial(_read_uavdt, storage), missing)


def is_dtb70(storage: Storage) -> bool:
    """Whether a sequence of DTB70 is there."""
    listed = sequence_list("dtb70")
    return any(storage.exists(f"{name}/groundtruth_rect.txt") for name in storage.list() if name in listed)


def _read_dtb70(storage: Storage, name: str) -> Sequence:
    labels = f"{name}/groundtruth_rect.txt"
    boxes = read_boxes(storage, labels, first_pixel=1)
    frames = paired(storage, name, images_in(storage, f"{name}/img"), boxes, labels)
    return simple(name, frames, boxes, "dtb70", first_pixel=1)


def open_dtb70(storage: Storage, split: str = "") -> SequenceSet:
    """``NAME/img/00001.jpg`` and ``NAME/groundtruth_rect.txt``, 70 sequences."""
    there = set(storage.list())
    listed = sequence_list("dtb70")
    names = tuple(name for name in listed if name in there)
    missing = tuple(name for name in listed if name not in there)
    return SequenceSet("dtb70", split, storage, names, partial(_read_dtb70, storage), missing)
