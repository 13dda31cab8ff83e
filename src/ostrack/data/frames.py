"""Frames of a clip, decoded one by one: image files in a storage, or a video file."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from ostrack.data.storage import Storage
from ostrack.errors import DataError
from ostrack.orientation import display_matrix, upright
from ostrack.pictures import decode_rgb

__all__ = ["VIDEO_SUFFIXES", "StoredFrames", "VideoFrames", "suffix"]

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"})

# Containers whose packets say when each picture is shown, and a codec that puts pictures into them which never are.
_TELLING, _HIDING = frozenset({"mov", "mp4", "matroska", "webm"}), frozenset({"vp8", "libvpx"})
# Frames that are decoded to get ahead before seeking is worth it.
_STEPS = 64


def suffix(name: str) -> str:
    """Lower-case suffix of a key, with its dot."""
    stem, dot, end = name.rpartition(".")
    return f".{end.lower()}" if dot and stem and "/" not in end else ""


@dataclass(frozen=True)
class StoredFrames:
    """Frames that lie in a storage, one image file each.

    Attributes:
        storage: Where they lie.
        keys: One key for each frame.
    """

    storage: Storage
    keys: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8 RGB."""
        key = self.keys[index]
        blob = self.storage.read(key)
        image = decode_rgb(blob)
        if image is None:
            raise DataError(f"{self.storage.where(key)}: not an image that can be decoded ({len(blob)} bytes)")
        return image

    def name(self, index: int) -> str:
        """Full name of the frame's file."""
        return self.storage.where(self.keys[index])


@dataclass(frozen=True)
class _Index:
    """Where the frames of a video are; frames are numbered in the order they are shown, as by the tracker.

    Attributes:
        count: How many can be decoded.
        stamps: Time stamp of each, increasing; None where they tell no order, so that frames must be counted.
        matrix: How to turn a picture upright, see :func:`ostrack.orientation.upright`.
    """

    count: int
    stamps: tuple[int, ...] | None
    matrix: tuple[int, int, int, int]


def _open(storage: Storage, key: str) -> InputContainer:
    path = storage.local(key)
    try:
        # By its whole path: FFmpeg would take what stands before a colon for a protocol.
        place = io.BytesIO(storage.read(key)) if path is None else str(path.absolute())
        # A title in some other encoding says nothing about the pictures.
        container = av.open(place, mode="r", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{storage.where(key)}: not a video that can be read: {error}") from None
    if not container.streams.video:
        container.close()
        raise DataError(f"{storage.where(key)}: not a video that can be read: it holds no video stream")
    if not _has_decoder(container):
        container.close()
        raise DataError(f"{storage.where(key)}: not a video that can be read: no decoder for its codec")
    return container


def _has_decoder(container: InputContainer) -> bool:
    try:
        # PyAV's types know of a codec context only; there is none where FFmpeg has no decoder.
        return bool(container.streams.video[0].codec_context)
    except AttributeError:
        return False


@lru_cache(maxsize=1024)
def _index(storage: Storage, key: str) -> _Index:
    """Look through a video once: at its packets where they tell, at its pictures where they do not."""
    packets: list[int] = []
    with _open(storage, key) as container:
        stream = container.streams.video[0]
        if _TELLING & set(container.format.name.split(",")) and stream.codec_context.name not in _HIDING:
            # Edited files keep packets that are decoded and not shown.
            found = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
            packets = sorted(pts for pts in found if pts is not None)
            packets = packets if len(set(packets)) == len(found) else []
    shown: list[int | None] = []
    with _open(storage, key) as container, suppress(av.FFmpegError):
        for frame in container.decode(container.streams.video[0]):
            if not shown:
                matrix = display_matrix(frame)
                if frame.pts in packets:
                    # What is cut out of a longer video may begin with pictures that lack what they were made from.
                    stamps = tuple(packets[packets.index(frame.pts) :])
                    return _Index(len(stamps), stamps, matrix)
            shown.append(frame.pts)
    if not shown:
        raise DataError(f"{storage.where(key)}: not a video that can be read: not one frame can be decoded")
    known = tuple(pts for pts in shown if pts is not None)
    told = len(known) == len(shown) and all(a < b for a, b in pairwise(known))
    return _Index(len(shown), known if told else None, matrix)


class _Reader:
    """An open video that yields frames by number; forward steps decode on, others seek."""

    def __init__(self, storage: Storage, key: str) -> None:
        self.storage, self.key, self.index = storage, key, _index(storage, key)
        self.name = storage.where(key)
        self._rewind()

    def _rewind(self) -> None:
        self.container = _open(self.storage, self.key)
        self.stream = self.container.streams.video[0]
        self.decoded: Iterator[av.VideoFrame] = self.container.decode(self.stream)
        self.next: int | None = 0

    def read(self, number: int) -> NDArray[np.uint8]:
        stamps = self.index.stamps
        try:
            frame = None
            if self.next is not None and 0 <= number - self.next < (_STEPS if stamps else self.index.count):
                frame = self._find(number)
            if frame is None and stamps is not None:
                self.container.seek(stamps[number], stream=self.stream)
                self.decoded = self.container.decode(self.stream)
                frame = self._find(number)
            if frame is None:
                # Some containers seek behind what they were asked for.
                self.container.close()
                self._rewind()
                frame = self._find(number)
        except av.FFmpegError as error:
            self.next = None
            raise DataError(f"{self.name}: frame {number} cannot be decoded: {error}") from None
        if frame is None:
            raise DataError(f"{self.name}: frame {number} of {self.index.count} cannot be decoded")
        return upright(frame, self.index.matrix)

    def _find(self, number: int) -> av.VideoFrame | None:
        """Decode on to a frame; None where it does not come."""
        here, self.next = self.next, None
        stamps = self.index.stamps
        for frame in self.decoded:
            if stamps is None:
                if here == number:
                    self.next = number + 1
                    return frame
                here = None if here is None else here + 1
            elif frame.pts is not None and frame.pts >= stamps[number]:
                self.next = number + 1 if frame.pts == stamps[number] else None
                return frame if self.next else None
        return None


def _opened(storage: Storage, key: str, pid: int) -> _Reader:
    """A new reader; of a process of its own, hence ``pid``: a decoder cannot be shared after a fork."""
    return _Reader(storage, key)


class _Readers(threading.local):
    """The last few readers of each thread: sequences that run side by side must not close each other's."""

    def __init__(self) -> None:
        self.last = lru_cache(maxsize=4)(_opened)


_readers = _Readers()


@dataclass(frozen=True)
class VideoFrames:
    """Frames of a video file, upright; reading in order is fast, jumping costs a seek to the key frame before.

    Attributes:
        storage: Where the file lies.
        key: Its key.
    """

    storage: Storage
    key: str

    def __len__(self) -> int:
        return _index(self.storage, self.key).count

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8 RGB."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"{self.storage.where(self.key)}: frame {index} of {count}")
        return _readers.last(self.storage, self.key, os.getpid()).read(index % count)

    def name(self, index: int) -> str:
        """The file and the frame's index."""
        return f"{self.storage.where(self.key)}#{index}"
