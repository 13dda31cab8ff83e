"""A clip whose frames can be read from any place, forwards and backwards, with a bounded number of them in memory.

A video is decoded once from end to end, without converting pictures, to learn every frame's time stamp and where
decoding can begin. Reading later seeks to such a place and compares time stamps, so frame numbers are those of
:func:`ostrack.video.open_source`, whatever the container's own index says. Backwards, a stretch that fits the buffer is
decoded forwards and handed over in reverse; a long group of pictures is so decoded more than once, never kept.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.video.frame import VideoFrame

from ostrack.errors import SourceError
from ostrack.orientation import display_matrix, upright
from ostrack.video.container import TIMEOUT_S, Clock, Pictures, address, ends_early, reason_of
from ostrack.video.folder import FolderSource
from ostrack.video.source import DEFAULT_FPS, URL, Frame, check_fps

__all__ = ["Clip", "open_clip"]

_BUFFER_BYTES = 256 * 2**20
_LEAST_FRAMES = 4


class Clip(ABC):
    """Frames 0 to ``frame_count - 1``, as often and from where one likes; no file stays open between two readings.

    Attributes:
        name: Path or address.
        fps: Frames per second.
        size: Width and height of the upright frames.
        frame_count: How many frames can be read, counted and not estimated.
        problems: One line for each thing that cannot be read.
        decoded: Pictures decoded so far, the first pass included.
    """

    name: str
    fps: float
    size: tuple[int, int]
    frame_count: int
    problems: tuple[str, ...] = ()
    decoded: int = 0

    @abstractmethod
    def forward(self, first: int, last: int) -> Iterator[Frame]:
        """Frames ``first`` to ``last``, both included; images that cannot be read are missing."""

    @abstractmethod
    def backward(self, first: int, last: int) -> Iterator[Frame]:
        """The same from ``last`` down to ``first``."""

    def time(self, index: int) -> float:
        """Seconds from the first frame to this one."""
        return index / self.fps


def open_clip(path: str | os.PathLike[str], fps: float | None = None, buffer_bytes: int = _BUFFER_BYTES) -> Clip:
    """Open a video file (or one behind a URL that has an end) or a folder of images.

    Args:
        path: Which.
        fps: Frame rate to assume where it states none.
        buffer_bytes: How much memory decoded pictures may take while reading backwards; never fewer than four.

    Raises:
        SourceError: It cannot be read, or is a camera or a stream, which cannot be read backwards.
    """
    check_fps(fps)
    text = os.fspath(path)
    if URL.match(text):
        return _VideoClip(text, fps, buffer_bytes)
    if text.isdecimal() and not Path(text).exists():
        raise SourceError(f"camera {text}: cannot be read backwards; give a video file or a folder of images")
    place = Path(text)
    if not place.exists():
        raise SourceError(f"{place}: no such file or folder")
    if place.is_dir():
        return _FolderClip(place, fps)
    if place.stat().st_size == 0:
        raise SourceError(f"{place}: the file is empty")
    return _VideoClip(text, fps, buffer_bytes)


class _FolderClip(Clip):
    def __init__(self, folder: Path, fps: float | None) -> None:
        self._source = FolderSource(folder, fps)
        self._source.quiet = True
        self.name, self.fps, self.size = self._source.name, self._source.fps, self._source.size
        self.frame_count = self._source.frame_count or 0

    def forward(self, first: int, last: int) -> Iterator[Frame]:
        return self._read(range(first, last + 1))

    def backward(self, first: int, last: int) -> Iterator[Frame]:
        return self._read(range(last, first - 1, -1))

    def _read(self, indices: range) -> Iterator[Frame]:
        for index in indices:
            frame = self._source.at(index)
            self.problems = tuple(dict.fromkeys(self._source.problems))
            if frame is not None:
                self.decoded += 1
                yield frame


class _VideoClip(Clip):
    def __init__(self, location: str, fps: float | None, buffer_bytes: int) -> None:
        self.name = location
        self._buffer_bytes = buffer_bytes
        self._stamps: list[int | None] = []
        self._times: list[float] = []
        self._entries: list[int] = []
        self._scan(fps)
        self.frame_count = len(self._stamps)
        self._places = {stamp: index for index, stamp in enumerate(self._stamps)}
        # Without a time stamp of its own for each frame, decoding can begin at the front only.
        self._seekable = None not in self._places and len(self._places) == len(self._stamps)

    def _open(self) -> av.container.InputContainer:
        try:
            timeout = TIMEOUT_S if URL.match(self.name) else None
            return av.open(address(self.name), timeout=timeout, metadata_errors="replace")
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{self.name}: cannot be read as a video ({reason_of(error)})") from error

    def _scan(self, fps: float | None) -> None:
        first: VideoFrame | None = None
        broken: str | None = None
        with self._open() as container:
            if not container.streams.video:
                raise SourceError(f"{self.name}: holds no video stream")
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else (fps or DEFAULT_FPS)
            if URL.match(self.name) and not (stream.frames or stream.duration or container.duration):
                raise SourceError(f"{self.name}: a stream without an end cannot be read backwards")
            clock, pictures = Clock(self.fps), Pictures(container, stream)
            try:
                for picture in pictures:
                    if first is None:
                        first = picture
                        self._matrix = display_matrix(picture)
                        self._picture_bytes = max(1, sum(plane.buffer_size for plane in picture.planes))
                        height, width = upright(picture, self._matrix).shape[:2]
                        self.size = (width, height)
                    if (picture.width, picture.height) != (first.width, first.height):
                        broken = f"the picture changes to {picture.width}x{picture.height}"
                        break
                    if picture.key_frame:
                        self._entries.append(len(self._stamps))
                    self._stamps.append(picture.pts)
                    self._times.append(clock(picture))
            except (av.error.FFmpegError, OSError) as error:
                broken = reason_of(error)
            stated = stream.frames
            if broken is None and ends_early(container, pictures, len(self._stamps), clock):
                broken = "the file ends early"
        if first is None:
            raise SourceError(f"{self.name}: not one frame can be decoded ({broken or 'the stream is empty'})")
        self.decoded = count = len(self._stamps)
        if broken is not None:
            total = f" of {stated}" if stated else ""
            self.problems = (f"{self.name}: broke off at frame {count}{total} ({broken})",)

    def time(self, index: int) -> float:
        return self._times[index]

    def forward(self, first: int, last: int) -> Iterator[Frame]:
        for index, picture in self._pictures(first, last):
            yield Frame(index, self._times[index], upright(picture, self._matrix))

    def backward(self, first: int, last: int) -> Iterator[Frame]:
        # Decoded pictures are kept as they come, most often a byte and a half a pixel, half of what RGB would take.
        room = max(_LEAST_FRAMES, self._buffer_bytes // self._picture_bytes)
        while last >= first:
            begin = max(first, last - room + 1)
            kept: deque[tuple[int, VideoFrame]] = deque(self._pictures(begin, last))
            while kept:
                index, picture = kept.pop()
                yield Frame(index, self._times[index], upright(picture, self._matrix))
            last = begin - 1

    def _pictures(self, first: int, last: int) -> Iterator[tuple[int, VideoFrame]]:
        """Decoded pictures of these frames: from the nearest place to begin, and if that fails from the front."""
        entry = max((index for index in self._entries if index <= first), default=0) if self._seekable else 0
        wanted = first
        for begin in dict.fromkeys((entry, 0)):
            for index, picture in self._decode(begin):
                if index > wanted:
                    break  # it began too late or left frames out
                if index == wanted:
                    yield index, picture
                    wanted += 1
                    if wanted > last:
                        return
        raise SourceError(f"{self.name}: frame {wanted} cannot be read a second time; has the file changed?")

    def _decode(self, begin: int) -> Iterator[tuple[int, VideoFrame]]:
        with self._open() as container:
            stream = container.streams.video[0]
            stamp = self._stamps[begin]
            try:
                if begin and stamp is not None:
                    container.seek(stamp, stream=stream)
                for number, picture in enumerate(container.decode(stream)):
                    self.decoded += 1
                    index = self._places.get(picture.pts, -1) if self._seekable else number
                    yield index, picture
            except (av.error.FFmpegError, OSError):
                return  # where the first pass broke off too; what is missing is told of by whoever asked for it
