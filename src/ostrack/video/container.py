"""Video files and network streams, decoded by PyAV."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ostrack.errors import SourceError
from ostrack.orientation import display_matrix, upright
from ostrack.video.source import DEFAULT_FPS, URL, Frame, Source

__all__ = ["TIMEOUT_S", "Clock", "ContainerSource", "Pictures", "address", "ends_early", "reason_of"]


TIMEOUT_S = (10.0, 15.0)
"""To connect, and between two packets; only for URLs."""


_LENGTH = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d*)?)")
_SLACK_S = 2.0


class Pictures:
    """The pictures of a video stream, in the order they are shown.

    Attributes:
        hidden: Packets of an edited file so far that are never shown.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self.hidden = 0
        self._container, self._stream = container, stream

    def __iter__(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            self.hidden += packet.is_discard
            for frame in packet.decode():
                if isinstance(frame, VideoFrame):
                    yield frame


class Clock:
    """Seconds from the first picture to each; they go forward, even where time stamps are missing or repeated.

    Attributes:
        zero: The first picture's own time stamp, in seconds.
        last: Time of the last picture; one frame before zero until there is one.
        until: When it ends.
    """

    def __init__(self, fps: float) -> None:
        self._pause = 1 / fps
        self.zero: float | None = None
        self.last = -self._pause
        self.until = 0.0

    def __call__(self, picture: VideoFrame) -> float:
        """Time of the next picture."""
        stamp = None if picture.time is None else float(picture.time)
        if self.last < 0:
            self.zero = stamp
        after = self.last + self._pause
        time_s = after if stamp is None or self.zero is None else stamp - self.zero
        self.last = time_s if time_s > self.last else after
        own = picture.duration and picture.time_base and float(picture.duration * picture.time_base)
        self.until = self.last + (own or self._pause)
        return self.last


def ends_early(container: InputContainer, pictures: Pictures, read: int, clock: Clock) -> bool:
    """Whether a file was to hold more than what was read.

    Args:
        container: The file.
        pictures: What was read of it.
        read: Their number.
        clock: Their times.
    """
    stream = container.streams.video[0]
    if stream.frames:
        # One frame of slack: some writers count a last frame that has no picture.
        return stream.frames - pictures.hidden - read > 1
    # Matroska counts no frames, but says how long each stream is.
    stated = _LENGTH.fullmatch(stream.metadata.get("DURATION", ""))
    if stated is None:
        return False
    hours, minutes, seconds = stated.groups()
    end_s = (clock.zero or 0.0) + clock.until
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds) - end_s > _SLACK_S


class ContainerSource(Source):
    """A video file or stream.

    Decoding keeps the decoder's default slice threads: with frame threads it hides at which frame a file broke.

    Args:
        location: What PyAV opens.
        name: What messages call it.
        fps: Frame rate to assume where the container states none.

    Raises:
        SourceError: It cannot be opened, holds no video or not one frame can be decoded.
    """

    def __init__(self, location: str, name: str, fps: float | None = None) -> None:
        super().__init__(name)
        remote = "://" in location
        options = {"rtsp_transport": "tcp"} if location.startswith("rtsp") else {}
        try:
            self._container = av.open(
                location, options=options, timeout=TIMEOUT_S if remote else None, metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError) as error:
            raise SourceError(f"{name}: cannot be read as a video ({reason_of(error)})") from error
        try:
            self._read_header(fps)
        except SourceError:
            self.close()
            raise

    def _read_header(self, fps: float | None) -> None:
        if not self._container.streams.video:
            raise SourceError(f"{self.name}: holds no video stream")
        self._stream = self._container.streams.video[0]
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else (fps or DEFAULT_FPS)
        self._stated = self._stream.frames or None
        self.frame_count = self._stated or self._estimated_count()
        self._pictures = Pictures(self._container, self._stream)
        self._decoded = self._decode()
        # The first frame is decoded at once: it proves that there is one and tells the upright size.
        self._first = next(self._decoded, None)
        if self._first is None:
            raise SourceError(f"{self.name}: not one frame can be decoded ({self.broken or 'the stream is empty'})")
        # Read once: PyAV's side data and its frame hold each other, so asking every frame would pile them up.
        self._matrix = display_matrix(self._first)
        height, width = upright(self._first, self._matrix).shape[:2]
        self.size = (width, height)

    def _estimated_count(self) -> int | None:
        seconds: float | None = None
        if self._stream.duration and self._stream.time_base:
            seconds = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration:
            seconds = self._container.duration / av.time_base
        return round(seconds * self.fps) if seconds and seconds > 0 else None

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            yield from self._pictures
        except (av.error.FFmpegError, OSError) as error:
            self.broken = reason_of(error)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Deliver the frames from ``start`` on, once; see :meth:`Source.frames`."""
        index, size, clock = -1, None, Clock(self.fps)
        first, self._first = self._first, None
        if first is None:
            raise SourceError(f"{self.name}: was read already; open it again")
        for index, picture in enumerate(itertools.chain((first,), self._decoded)):
            time_s = clock(picture)
            if index < start:
                continue
            image = upright(picture, self._matrix)
            size = size or image.shape
            if image.shape != size:
                self.broken = f"the picture changes from {size[1]}x{size[0]} to {image.shape[1]}x{image.shape[0]}"
                index -= 1
                break
            yield Frame(index, time_s, image)
        self._end(index + 1, clock, start)

    def _end(self, read: int, clock: Clock, start: int) -> None:
        if self.broken is None and ends_early(self._container, self._pictures, read, clock):
            self.broken = "the file ends early"
        if self.broken is not None:
            total = f" of {self._stated}" if self._stated else ""
            self._problem(
                f"{self.name}: broke off at frame {read}{total} ({self.broken}); the {read} frames before it were kept"
            )
        if read <= start:
            raise self._too_short(start, read)

    def close(self) -> None:
        """Close the container."""
        self._container.close()


def address(place: str) -> str:
    """What FFmpeg opens: a URL as it is, a file by its whole path.

    In ``2026-01-31T12:30:00.mp4`` FFmpeg would take what stands before the first colon for a protocol.
    """
    return place if URL.match(place) else str(Path(place).absolute())


def reason_of(error: Exception) -> str:
    """What FFmpeg or the system says of an error, in one line."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
