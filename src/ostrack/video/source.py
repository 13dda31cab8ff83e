"""Where frames come from: a video file, a folder of images, a camera or a stream, one frame in memory at a time.

Every kind delivers the same :class:`Frame`. Damage in the middle of a source does not throw away what came before
it: the frames up to the break are delivered and one :class:`SourceWarning` says where it broke.
"""

from __future__ import annotations

import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ostrack.errors import SourceError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DEFAULT_FPS", "RECONNECT_S", "Frame", "Source", "SourceWarning", "check_fps", "open_source"]

DEFAULT_FPS = 25.0
"""Assumed where a source does not say: folders of images, and streams without a rate."""

RECONNECT_S = 30.0
"""How long a broken camera or stream is tried again before the run ends."""

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class SourceWarning(UserWarning):
    """A source broke off or skipped something; what was delivered before stays valid."""


@dataclass(frozen=True)
class Frame:
    """One picture of a source.

    Attributes:
        index: 0-based position in the source (skipped images keep their number).
        time_s: Seconds since the first frame of the source.
        image: ``(H, W, 3)`` uint8 RGB, upright, C-contiguous.
    """

    index: int
    time_s: float
    image: NDArray[np.uint8]


class Source(ABC):
    """A context manager and iterable of frames; streamed, to be read once from front to back.

    Attributes:
        name: What error messages call it: the path, URL or ``camera N``.
        fps: Frames per second, stated or assumed.
        size: Width and height of the upright frames in pixels.
        frame_count: Number of frames as the source states it, estimated from its duration where only that is
            known, None where nothing is (cameras, streams).
        live: Whether frames arrive at their own pace; a slow reader then misses some.
        problems: One line for each thing that went wrong without ending the program.
        broken: Why reading ended before its time; None where it came to its end or has not ended yet.
        quiet: Whether problems are noted only, and no :class:`SourceWarning` tells of them.
        dropped: Frames that arrived and were passed over, because newer ones came before they were asked for.
    """

    name: str
    fps: float
    size: tuple[int, int]
    frame_count: int | None
    live: bool = False
    dropped: int = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self.broken: str | None = None
        self.quiet = False

    @abstractmethod
    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Deliver the frames from 0-based index ``start`` on; what lies before is passed over cheaply.

        Raises:
            SourceError: The source ends before ``start``.
        """

    def stop(self) -> None:  # noqa: B027 (files need none: their next frame is there at once)
        """Let :meth:`frames` end rather than wait for a frame to come; takes no lock, so a signal may call it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or device; may be called more than once."""

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _problem(self, message: str) -> None:
        self.problems.append(message)
        if not self.quiet:
            warnings.warn(message, SourceWarning, stacklevel=3)

    def _too_short(self, start: int, found: int) -> SourceError:
        return SourceError(f"{self.name}: has {found} frames, so it cannot start at frame {start} (counted from 0)")


def check_fps(fps: float | None) -> None:
    """Refuse a frame rate that no clip can have.

    Raises:
        SourceError: Not a positive number.
    """
    if fps is not None and not 0 < fps < float("inf"):
        raise SourceError(f"fps must be a positive number, got {fps}")


def open_source(
    spec: str | os.PathLike[str] | int, fps: float | None = None, reconnect_s: float = RECONNECT_S
) -> Source:
    """Open whatever ``spec`` names.

    Args:
        spec: A video file, a folder of images (jpg, png, bmp, webp, tiff; in natural order), a camera index (an int
            or a string of digits; write ``./0`` for a file of that name) or a URL (``rtsp://``, ``http://``, ...).
        fps: Frame rate to assume for a folder, a camera or a stream that states none.
        reconnect_s: How long to try again when a camera or an endless stream breaks; 0 lets it end at once.

    Returns:
        The opened source; its first frame has been decoded, so it is known to be readable.

    Raises:
        SourceError: Nothing there, or nothing that can be read as pictures.
    """
    check_fps(fps)
    if not 0 <= reconnect_s < float("inf"):
        raise SourceError(f"reconnect_s must be a number of seconds, 0 or more, got {reconnect_s}")
    # The readers are imported where they are used: each needs another library.
    if isinstance(spec, int) or (isinstance(spec, str) and spec.isdecimal()):
        from ostrack.video.live import CameraSource

        return CameraSource(int(spec), fps, reconnect_s)
    text = os.fspath(spec)
    if URL.match(text):
        from ostrack.video.container import ContainerSource
        from ostrack.video.live import LatestFrames
        from ostrack.video.reconnect import Reconnecting

        stream = ContainerSource(text, text, fps)
        if stream.frame_count is not None:
            return stream
        return LatestFrames(Reconnecting(stream, lambda: ContainerSource(text, text, fps), reconnect_s))
    path = Path(text)
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if path.is_dir():
        from ostrack.video.folder import FolderSource

        return FolderSource(path, fps)
    from ostrack.video.container import ContainerSource, address

    if path.is_file() and path.stat().st_size == 0:
        raise SourceError(f"{path}: the file is empty")
    return ContainerSource(address(text), text, fps)
