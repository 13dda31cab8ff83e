"""A set of sequences that reads each one when asked, and what the readers of all sets share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ostrack.data.frames import StoredFrames, suffix
from ostrack.data.labels import has_box
from ostrack.data.sequence import FrameList, LabelledImage, Sequence
from ostrack.data.storage import Storage
from ostrack.errors import DataError
from ostrack.pictures import IMAGE_SUFFIXES, natural_key

__all__ = [
    "Collection",
    "ImageSet",
    "SequenceSet",
    "images_in",
    "numbered",
    "paired",
    "pick_split",
    "simple",
]

Item = TypeVar("Item", Sequence, LabelledImage)


@dataclass(frozen=True)
class Collection(Generic[Item]):
    """Sequences (or labelled images) of one data set, in the set's order; labels are read at access.

    Attributes:
        kind: Name of the set's kind, e.g. ``"lasot"``.
        split: Part of the set, or an empty string.
        storage: Where it lies.
        names: What can be read.
        read: Reads one by name.
        missing: What the published list holds beside these and is not there.
        unlabelled: Clips that are there without a label file.
        left_out: Boxes of images that were left out because they have no area.
        clip_of: The clip that a sequence is of, by its name: its own, but where a clip has several targets.
    """

    kind: str
    split: str
    storage: Storage
    names: tuple[str, ...]
    read: Callable[[str], Item] = field(repr=False)
    missing: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    left_out: int = 0
    clip_of: Callable[[str], str] = field(default=str, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, key: int | str) -> Item: ...
    @overload
    def __getitem__(self, key: slice) -> Collection[Item]: ...
    def __getitem__(self, key: int | str | slice) -> Item | Collection[Item]:
        """One by position or name, or a smaller collection.

        Raises:
            DataError: The labels cannot be read, or no sequence has that name.
        """
        if isinstance(key, slice):
            names = self.names[key]
            return Collection(self.kind, self.split, self.storage, names, self.read, self.missing, clip_of=self.clip_of)
        if isinstance(key, int):
            return self.read(self.names[key])
        if key not in self.names:
            raise DataError(f"{self.storage.where()}: no sequence {key!r} among {len(self.names)} of {self.kind}")
        return self.read(key)

    def __iter__(self) -> Iterator[Item]:
        return (self.read(name) for name in self.names)


SequenceSet = Collection[Sequence]
ImageSet = Collection[LabelledImage]


def _in_order(names: list[str]) -> bool:
    """Whether sorted names are numbers of one width behind one prefix: telling that is cheaper than sorting again."""
    head = re.split(r"\d", names[0], maxsplit=1)[0] if names else ""
    width, start = len(names[0]) if names else 0, len(head)
    return all(len(n) == width and n.startswith(head) and n[start:].partition(".")[0].isdigit() for n in names)


def images_in(storage: Storage, folder: str) -> list[str]:
    """Keys of the images directly in a folder, in order of their numbers.

    Raises:
        DataError: There are none.
    """
    names = [name for name in storage.list(folder) if suffix(name) in IMAGE_SUFFIXES]
    if not _in_order(names):
        names.sort(key=natural_key)
    if not names:
        raise DataError(f"{storage.where(folder)}: no images there")
    return [f"{folder}/{name}" if folder else name for name in names]


def numbered(storage: Storage, folder: str, first: int, last: int) -> list[str]:
    """Keys of the images numbered ``first`` to ``last`` (whatever the zeros in front), for shared image folders.

    Raises:
        DataError: A number is missing; the message names the first.
    """
    by_number: dict[int, str] = {}
    for key in images_in(storage, folder):
        digits = re.search(r"(\d+)\.\w+$", key)
        if digits:
            by_number[int(digits[1])] = key
    for number in range(first, last + 1):
        if number not in by_number:
            raise DataError(
                f"{storage.where(folder)}: no frame {number} (of {first} to {last}) among {len(by_number)} images"
            )
    return [by_number[number] for number in range(first, last + 1)]


def paired(storage: Storage, name: str, keys: list[str], boxes: NDArray[np.float64], labels: str) -> StoredFrames:
    """Frames of a sequence, after checking that there is one box for each.

    Raises:
        DataError: The counts differ; the message names the label file and both.
    """
    if len(keys) != len(boxes):
        folder = keys[0].rpartition("/")[0]
        raise DataError(
            f"{name}: {len(keys)} frames in {storage.where(folder)} but {len(boxes)} boxes in {storage.where(labels)}"
        )
    return StoredFrames(storage, tuple(keys))


def simple(name: str, frames: FrameList, boxes: NDArray[np.float64], dataset: str, first_pixel: int) -> Sequence:
    """A sequence of a set that tells nothing but boxes: the target is visible wherever its box has an area."""
    return Sequence(name, frames, boxes, has_box(boxes), dataset=dataset, first_pixel=first_pixel)


def pick_split(kind: str, split: str, splits: tuple[str, ...]) -> str:
    """The split asked for, or the first when none is.

    Raises:
        DataError: The set has no such split.
    """
    if not split:
        return splits[0]
    if split not in splits:
        raise DataError(f"{kind} has no split {split!r}; choose from {', '.join(splits)}")
    return split
