"""Benchmarks and training sets in the layouts they are downloaded in.

>>> from ostrack.data.benchmarks import load          # doctest: +SKIP
>>> lasot = load("datasets/LaSOT", split="test")      # doctest: +SKIP
>>> sequence = lasot["airplane-1"]                    # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ostrack.data.benchmarks import coco, drone, got10k, lasot, nfs, otb, plain, tnl2k, trackingnet, vid, vot
from ostrack.data.benchmarks.collection import Collection, ImageSet, SequenceSet
from ostrack.data.storage import Storage, SubStorage, open_storage
from ostrack.errors import DataError

__all__ = ["KINDS", "Collection", "ImageSet", "Kind", "SequenceSet", "load", "load_sequences", "recognise"]


@dataclass(frozen=True)
class Kind:
    """A layout that can be read.

    Attributes:
        title: Name for people.
        layout: What makes it, in one line.
        matches: Whether a storage has it.
        open: Opens it; takes the storage and a split.
    """

    title: str
    layout: str
    matches: Callable[[Storage], bool]
    open: Callable[[Storage, str], Collection[Any]]


KINDS: dict[str, Kind] = {
    "trackingnet": Kind(
        "TrackingNet", "TEST/anno and TEST/frames, TRAIN_0/ ...",
        trackingnet.is_trackingnet, trackingnet.open_trackingnet,
    ),
    "got10k": Kind("GOT-10k", "val/GOT-10k_Val_000001/, train/ or test/", got10k.is_got10k, got10k.open_got10k),
    "lasot": Kind(
        "LaSOT", "CLASS/CLASS-1/ with img/, groundtruth.txt, full_occlusion.txt and out_of_view.txt",
        partial(lasot.is_lasot, "lasot"), partial(lasot.open_lasot, "lasot"),
    ),
    "lasot_ext": Kind(
        "LaSOT extension", "as LaSOT, with the classes atv, badminton, ...",
        partial(lasot.is_lasot, "lasot_ext"), partial(lasot.open_lasot, "lasot_ext"),
    ),
    "uav123": Kind(
        "UAV123", "anno/UAV123/NAME.txt and data_seq/UAV123/",
        partial(drone.is_uav, "uav123"), partial(drone.open_uav, "uav123"),
    ),
    "uav20l": Kind(
        "UAV20L", "anno/UAV20L/NAME.txt and data_seq/UAV123/",
        partial(drone.is_uav, "uav20l"), partial(drone.open_uav, "uav20l"),
    ),
    "uav123_10fps": Kind(
        "UAV123@10fps", "anno/UAV123_10fps/NAME.txt and data_seq/UAV123_10fps/",
        partial(drone.is_uav, "uav123_10fps"), partial(drone.open_uav, "uav123_10fps"),
    ),
    "uavdt": Kind("UAVDT", "anno/S0101_gt.txt and UAV-benchmark-S/S0101/", drone.is_uavdt, drone.open_uavdt),
    "dtb70": Kind("DTB70", "Animal1/img/ and Animal1/groundtruth_rect.txt, ...", drone.is_dtb70, drone.open_dtb70),
    "otb100": Kind("OTB-100", "Basketball/img/ and Basketball/groundtruth_rect.txt, ...", otb.is_otb, otb.open_otb),
    "nfs": Kind("Need for Speed", "NAME/30/NAME/ and NAME/30/NAME.txt (or 240)", nfs.is_nfs, nfs.open_nfs),
    "tnl2k": Kind("TNL2K", "NAME/imgs/, NAME/groundtruth.txt and NAME/language.txt", tnl2k.is_tnl2k, tnl2k.open_tnl2k),
    "vot": Kind("VOT", "list.txt, NAME/groundtruth.txt and NAME/color/", vot.is_vot, vot.open_vot),
    "vid": Kind("ImageNet VID", "Annotations/VID/train/ and Data/VID/train/, or cache.json", vid.is_vid, vid.open_vid),
    "coco": Kind(
        "COCO form", "annotations/instances_train2017.json or another JSON of that form", coco.is_coco, coco.open_coco
    ),
    "folder": Kind(
        "labelled clips", "NAME/img/ (or a video) with NAME/groundtruth.txt", plain.is_plain, plain.open_plain
    ),
}  # fmt: skip
"""Every kind, the more specific first: a root that matches several is taken for the first of them."""

# Of these there is one part only.
_WHOLE = frozenset({
    "otb100", "uav123", "uav20l", "uav123_10fps", "uavdt", "dtb70", "tnl2k", "vot", "folder",
})  # fmt: skip


def recognise(storage: Storage) -> tuple[str, Storage] | None:
    """Kind of a data set, and the storage to open: a single folder in the root (a packed archive) is entered.

    Returns:
        Name in :data:`KINDS` and storage; None when no layout fits.
    """
    inner = storage
    for _ in range(3):
        for name, kind in KINDS.items():
            if name != "folder" and kind.matches(inner):
                return name, inner
        children = inner.list()
        if len(children) != 1:
            break
        inner = SubStorage(inner, children[0])
    # Labelled clips are looked for in depth, so that any set below would fit: last, and from the outermost folder.
    return ("folder", storage) if KINDS["folder"].matches(storage) else None


def load(root: Path | str, kind: str = "auto", split: str = "") -> Collection[Any]:
    """Open a data set.

    Args:
        root: Folder, zip archive or LMDB.
        kind: Name in :data:`KINDS`, or ``"auto"``.
        split: Part of the set (see the kind's ``open``); empty for the usual one.

    Returns:
        Sequences, or labelled images for ``"coco"``; labels are read at access.

    Raises:
        DataError: Nothing is there, the layout is another one than asked for, or nothing of the split is there. One
            line says what was found and expected.
    """
    storage = open_storage(root)
    if kind != "auto" and kind not in KINDS:
        raise DataError(f"unknown kind of data set {kind!r}; choose auto or one of {', '.join(KINDS)}")
    found = recognise(storage)
    if kind != "auto" and (found is None or found[0] != kind):
        inner = found[1] if found is not None else storage
        if not KINDS[kind].matches(inner):
            wanted = f"expected {KINDS[kind].title} ({KINDS[kind].layout})"
            if found is not None:
                raise DataError(f"{root}: {wanted}, but this is {KINDS[found[0]].title}; its kind is {found[0]!r}")
            raise DataError(f"{root}: {wanted}; found {_contents(storage)}")
        found = (kind, inner)
    if found is None:
        raise DataError(f"{root}: no known layout; found {_contents(storage)}; 'ostrack data kinds' lists them")
    if split and found[0] in _WHOLE:
        raise DataError(f"{root}: {KINDS[found[0]].title}: this set has no splits, asked for {split!r}")
    opened = KINDS[found[0]].open(found[1], split)
    if not opened.names:
        raise DataError(
            f"{root}: {KINDS[found[0]].title} without a single sequence of the split {split or 'asked for'!r}"
        )
    return opened


def load_sequences(root: Path | str, kind: str = "auto", split: str = "") -> SequenceSet:
    """As :func:`load`, for sets of sequences only.

    Raises:
        DataError: Also when the set holds still images.
    """
    opened = load(root, kind, split)
    if opened.kind == "coco":
        raise DataError(f"{root}: still images with boxes, not sequences")
    return opened


def _contents(storage: Storage) -> str:
    names = storage.list()
    if not names:
        return "nothing at all"
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
