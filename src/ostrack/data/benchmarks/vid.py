"""ImageNet VID: one sequence for each labelled track of a training clip.

Either from the clips' own files, ``Annotations/VID/train/SET/CLIP/000000.xml`` and ``Data/.../000000.JPEG``:
a track then runs from its first to its last labelled frame, nan where it is missing in between. Or from a
``cache.json`` as the official code makes and puts into its LMDB: a list of ``set_id``, ``vid_id``, ``start_frame``,
``anno`` (xywh) and ``target_visible``. A frame counts as visible where the object is not marked occluded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ostrack.data.benchmarks.collection import SequenceSet
from ostrack.data.frames import StoredFrames
from ostrack.data.labels import has_box, parse_json, read_text, without_empty
from ostrack.data.sequence import Sequence
from ostrack.data.storage import Storage
from ostrack.errors import DataError

__all__ = ["is_vid", "open_vid"]

_LABELS = "Annotations/VID/train"
_IMAGES = "Data/VID/train"

# A few fields of machine-written files of one form: an XML parser would be slower on a million of them, and is
# open to entity tricks.
_OBJECT = re.compile(r"<object>(.*?)</object>", re.DOTALL)
_FIELD = re.compile(r"<(trackid|occluded|xmin|xmax|ymin|ymax)>\s*(-?\d+)\s*</\1>")

_Row = tuple[float, float, float, float, bool]


def is_vid(storage: Storage) -> bool:
    """Whether clips of ImageNet VID are there."""
    return storage.exists("cache.json") or bool(storage.list(_LABELS))


@lru_cache(maxsize=2)
def _cache(storage: Storage) -> list[dict[str, Any]]:
    loaded = parse_json(storage, "cache.json")
    keys = {"set_id", "vid_id", "start_frame", "anno", "target_visible"}
    if not isinstance(loaded, list) or not all(isinstance(e, dict) and keys <= set(e) for e in loaded):
        raise DataError(f"{storage.where('cache.json')}: expected a list of objects with {', '.join(sorted(keys))}")
    return loaded


def _read_cached(storage: Storage, name: str) -> Sequence:
    entry = _cache(storage)[int(name.rpartition("#")[2])]
    boxes = without_empty(np.array(entry["anno"], dtype=np.float64).reshape(-1, 4))
    visible = np.array(entry["target_visible"], dtype=bool) & has_box(boxes)
    clip = f"{_IMAGES}/ILSVRC2015_VID_train_{entry['set_id']:04d}/ILSVRC2015_train_{entry['vid_id']:08d}"
    first = int(entry["start_frame"])
    keys = tuple(f"{clip}/{number:06d}.JPEG" for number in range(first, first + len(boxes)))
    return Sequence(name, StoredFrames(storage, keys), boxes, visible, dataset="vid", scene=clip)


def _tracks(storage: Storage, clip: str) -> dict[int, dict[int, _Row]]:
    """Track to frame to x, y, w, h, occluded."""
    tracks: dict[int, dict[int, _Row]] = defaultdict(dict)
    for file in storage.list(f"{_LABELS}/{clip}"):
        key = f"{_LABELS}/{clip}/{file}"
        for found in _OBJECT.findall(read_text(storage, key)):
            fields = {field: int(value) for field, value in _FIELD.findall(found)}
            try:
                x, y = fields["xmin"], fields["ymin"]
                row = (float(x), float(y), float(fields["xmax"] - x), float(fields["ymax"] - y))
                tracks[fields["trackid"]][int(file.partition(".")[0])] = (*row, bool(fields.get("occluded", 0)))
            except (KeyError, ValueError) as error:
                raise DataError(f"{storage.where(key)}: an object without {error}") from None
    return tracks


_tracks_of = lru_cache(maxsize=8)(_tracks)


def _read_track(storage: Storage, name: str) -> Sequence:
    clip, _, track = name.rpartition("#")
    rows = _tracks_of(storage, clip)[int(track)]
    first, last = min(rows), max(rows)
    boxes = np.full((last - first + 1, 4), np.nan)
    visible = np.zeros(len(boxes), dtype=bool)
    for number, (x, y, w, h, occluded) in rows.items():
        if w > 0 and h > 0:
            boxes[number - first] = x, y, w, h
            visible[number - first] = not occluded
    keys = tuple(f"{_IMAGES}/{clip}/{number:06d}.JPEG" for number in range(first, last + 1))
    return Sequence(name, StoredFrames(storage, keys), boxes, visible, dataset="vid", scene=clip)


def _clip_of(name: str) -> str:
    return name.rpartition("#")[0]


def open_vid(storage: Storage, split: str = "") -> SequenceSet:
    """Tracks of the training clips, named ``SET/CLIP#TRACK`` (or ``CLIP#POSITION`` out of ``cache.json``).

    Without ``cache.json`` this reads all label files once, over a million in the full set.
    """
    if storage.exists("cache.json"):
        names = tuple(f"ILSVRC2015_train_{e['vid_id']:08d}#{i}" for i, e in enumerate(_cache(storage)))
        return SequenceSet("vid", split, storage, names, partial(_read_cached, storage), clip_of=_clip_of)
    clips = [f"{part}/{clip}" for part in storage.list(_LABELS) for clip in storage.list(f"{_LABELS}/{part}")]
    names = tuple(f"{clip}#{track}" for clip in clips for track in sorted(_tracks(storage, clip)))
    return SequenceSet("vid", split, storage, names, partial(_read_track, storage), clip_of=_clip_of)
