"""A video as a strip of JPEG pictures: what the page shows.

Browsers play few codecs, and none of them promises which frame a player shows at a given time. So the page does not
play the video: it paints frame ``i`` of this strip and the boxes of frame ``i`` in one go. Any file that decodes can
be shown, stepping is exact in both directions, and pictures and boxes cannot drift apart.

Two files: ``strip.jpgs`` holds the pictures one after the other, ``strip.index`` one record of 16 bytes a frame (where
its picture ends, when it is shown). A range of frames is one contiguous read, and a strip that still grows can be read
up to its last record. Only the standard library is needed to read it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["STRIP_SIDE", "Strip", "StripWriter"]

STRIP_SIDE = 960
"""Longest side of its pictures in pixels; about 50 kB each."""

_RECORD = struct.Struct("<Qd")
_PICTURES, _INDEX = "strip.jpgs", "strip.index"


class StripWriter:
    """Writes a strip into a folder, a context manager; what stands there is replaced."""

    def __init__(self, folder: Path) -> None:
        self._pictures = (folder / _PICTURES).open("wb")
        self._index = (folder / _INDEX).open("wb")
        self.frames = 0
        self.bytes = 0

    def write(self, jpeg: bytes, time_s: float) -> None:
        """Append one picture; readers see it when it is whole."""
        self._pictures.write(jpeg)
        self._pictures.flush()
        self.bytes += len(jpeg)
        self._index.write(_RECORD.pack(self.bytes, time_s))
        self._index.flush()
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pictures.close()
        self._index.close()


class Strip:
    """Reads the strip of a folder, which may still grow."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __len__(self) -> int:
        index = self._folder / _INDEX
        return index.stat().st_size // _RECORD.size if index.is_file() else 0

    def times(self) -> list[float]:
        """Seconds at which each frame is shown; the first is 0."""
        return [time_s for _, time_s in self._records(0, len(self))]

    def read(self, first: int, count: int) -> list[bytes]:
        """JPEG pictures of up to ``count`` frames from ``first`` on; fewer, or none, where the strip ends."""
        count = min(count, len(self) - first)
        if first < 0 or count <= 0:
            return []
        before = self._records(first - 1, 1)[0][0] if first else 0
        ends = [end for end, _ in self._records(first, count)]
        with (self._folder / _PICTURES).open("rb") as file:
            file.seek(before)
            data = file.read(ends[-1] - before)
        starts = [before, *ends[:-1]]
        return [data[start - before : end - before] for start, end in zip(starts, ends, strict=True)]

    def _records(self, first: int, count: int) -> list[tuple[int, float]]:
        if count <= 0:
            return []
        with (self._folder / _INDEX).open("rb") as file:
            file.seek(first * _RECORD.size)
            data = file.read(count * _RECORD.size)
        whole = len(data) - len(data) % _RECORD.size
        return [(int(end), float(time_s)) for end, time_s in _RECORD.iter_unpack(data[:whole])]
