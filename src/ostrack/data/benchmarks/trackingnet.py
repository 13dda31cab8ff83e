"""TrackingNet: chunks ``TRAIN_0`` to ``TRAIN_11`` and ``TEST``, each with ``anno/`` and ``frames/``; 0-based pixels."""

from __future__ import annotations

from functools import partial

import numpy as np

from ostrack.data.benchmarks.collection import SequenceSet, images_in, paired, pick_split, simple
from ostrack.data.frames import StoredFrames
from ostrack.data.labels import read_boxes
from ostrack.data.sequence import Sequence
from ostrack.data.storage import FolderStorage, LmdbStorage, Storage, SubStorage, ZipStorage
from ostrack.errors import DataError

__all__ = ["is_trackingnet", "open_trackingnet"]

_CHUNKS = ("TEST", *(f"TRAIN_{i}" for i in range(12)))


def _chunk(storage: Storage, chunk: str) -> Storage | None:
    """One of TrackingNet's chunks: a folder, or ``TRAIN_0_lmdb`` beside the others."""
    if storage.list(f"{chunk}/anno"):
        return SubStorage(storage, chunk)
    if isinstance(storage, FolderStorage) and (storage.root / f"{chunk}_lmdb" / "data.mdb").is_file():
        return LmdbStorage(storage.root / f"{chunk}_lmdb")
    return None


def is_trackingnet(storage: Storage) -> bool:
    """Whether one of the chunks is there."""
    return any(_chunk(storage, chunk) is not None for chunk in _CHUNKS)


def _read_trackingnet(chunks: dict[str, Storage], name: str) -> Sequence:
    storage = chunks[name]
    labels = f"anno/{name}.txt"
    boxes = read_boxes(storage, labels)
    zipped = f"zips/{name}.zip"
    if not storage.list(f"frames/{name}") and storage.exists(zipped):
        # As downloaded: the frames of each sequence still in their own archive.
        archive = storage.local(zipped)
        if archive is None:
            raise DataError(f"{storage.where(zipped)}: an archive inside an archive; unpack the outer one")
        frames_storage: Storage = ZipStorage(archive)
        keys = images_in(frames_storage, "")
    else:
        frames_storage, keys = storage, images_in(storage, f"frames/{name}")
    if len(boxes) == 1 and len(keys) > 1:
        # The test chunk has the first box only.
        boxes = np.concatenate([boxes, np.full((len(keys) - 1, 4), np.nan)])
    paired(frames_storage, name, keys, boxes, labels)
    return simple(name, StoredFrames(frames_storage, tuple(keys)), boxes, "trackingnet", first_pixel=0)


def open_trackingnet(storage: Storage, split: str = "") -> SequenceSet:
    """``TRAIN_0/anno/NAME.txt`` and ``TRAIN_0/frames/NAME/0.jpg`` (or ``zips/NAME.zip``).

    Splits: ``test`` (511 sequences), ``train`` (all twelve chunks that are there), ``train_0`` ... ``train_11``.
    """
    splits = ("test", "train", *(chunk.lower() for chunk in _CHUNKS[1:]))
    if not split:
        split = "test" if _chunk(storage, "TEST") is not None else "train"
    split = pick_split("trackingnet", split, splits)
    wanted = _CHUNKS[1:] if split == "train" else (split.upper(),)
    chunks: dict[str, Storage] = {}
    missing = []
    for chunk in wanted:
        part = _chunk(storage, chunk)
        if part is None:
            missing.append(chunk)
            continue
        names = (name for name in part.list("anno") if name.endswith(".txt"))
        chunks.update((name.removesuffix(".txt"), part) for name in names)
    return SequenceSet("trackingnet", split, storage, tuple(chunks), partial(_read_trackingnet, chunks), tuple(missing))
