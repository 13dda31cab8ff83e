"""Frames written as an H.264 MP4 that browsers play.

While it grows, the file is a fragmented MP4: whatever ends the program, all finished fragments play. Closing it
copies the packets, without encoding anew, into a plain MP4 with its index in front, which replaces the first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from ostrack.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["VIDEO_SUFFIXES", "VideoSink"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov")

_TICKS = 90_000
"""Clock of the time stamps, per second: fits every common frame rate and a camera's own pace."""
_FRAGMENT_S = 2.0
_FIRST_FRAGMENTS = (0.1, 0.5, 1.0)
"""Seconds at which the first fragments end, so that a program killed early leaves something that plays."""
_BT709 = 1


class VideoSink:
    """An MP4 file being written, a context manager.

    Colours are BT.709 in limited range and say so. Odd sizes are cut by one pixel to even ones, as 4:2:0 needs.

    Args:
        path: The file, overwritten; ``.mp4``, ``.m4v`` or ``.mov``.
        fps: Nominal frame rate; the frames' own times decide when they are shown.
        quality: x264's constant rate factor: 18 is hard to tell from the source, 23 is x264's default.

    Raises:
        OutputError: The suffix is another or the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float, quality: int = 20) -> None:
        self.path = Path(path)
        # Whole, for FFmpeg would take what stands before a colon in a name for a protocol.
        self._place = self.path.absolute()
        if self.path.suffix.lower() not in VIDEO_SUFFIXES:
            raise OutputError(f"{self.path}: video is written as {', '.join(VIDEO_SUFFIXES)}")
        self.frames = 0
        self._rate = Fraction(fps).limit_denominator(1001)
        self._quality = quality
        self._size: tuple[int, int] | None = None
        self._zero: float | None = None
        self._last_tick = -1
        self._first_ends = list(_FIRST_FRAGMENTS)
        self._closed = False
        try:
            # Opened by us first: PyAV's own message does not tell a missing folder from a missing permission.
            self.path.open("wb").close()
            self._container = av.open(
                str(self._place),
                "w",
                format="mp4",
                # skip_trailer: writing an index at the end, FFmpeg would forget that the last frames did not fit.
                options={"movflags": "frag_keyframe+empty_moov+default_base_moof+skip_trailer", "flush_packets": "1"},
            )
        except (OSError, av.error.FFmpegError) as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from error

    def _start(self, image: NDArray[np.uint8]) -> None:
        height, width = image.shape[:2]
        if width < 2 or height < 2:
            raise OutputError(f"{self.path}: a {width}x{height} frame is too small for H.264")
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width & ~1, height & ~1, "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(self._rate * _FRAGMENT_S))
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = int(ColorRange.MPEG)
        # Slices in place of frame threads, and a short look ahead: six frames wait in the encoder, on any machine,
        # where by default there would be a dozen and one more for each thread; files grow by a fiftieth.
        parameters = "sliced-threads=1:rc-lookahead=5"
        context.options = {"preset": "veryfast", "crf": str(self._quality), "x264-params": parameters}
        self._stream, self._size = stream, (width, height)

    def write(self, image: NDArray[np.uint8], time_s: float) -> None:
        """Append one frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, all of one size.
            time_s: When it is shown, in seconds; the first frame's counts as zero, later ones must not go back.

        Raises:
            OutputError: The disk is full, or the size changed; all whole fragments stay playable.
        """
        if self._closed:
            raise OutputError(f"{self.path}: is closed")
        if self._size is None:
            self._start(image)
            self._zero = time_s
        if self._size != (image.shape[1], image.shape[0]):
            raise OutputError(
                f"{self.path}: frame {self.frames} is {image.shape[1]}x{image.shape[0]}, not {self._size}"
            )
        tick = max(self._last_tick + 1, round((time_s - (self._zero or 0.0)) * _TICKS))
        even = np.ascontiguousarray(image[: self._stream.height, : self._stream.width])
        picture = VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts, picture.time_base = tick, Fraction(1, _TICKS)
        # A fragment ends where a key frame comes.
        if self._first_ends and tick >= self._first_ends[0] * _TICKS:
            picture.pict_type = PictureType.I
            while self._first_ends and tick >= self._first_ends[0] * _TICKS:
                self._first_ends.pop(0)
        self._last_tick = tick
        try:
            self._mux(picture)
        except (OSError, av.error.FFmpegError) as error:
            left = self._give_up()
            raise OutputError(f"{self.path}: cannot write frame {self.frames} ({error.strerror}); {left}") from error
        self.frames += 1

    def _mux(self, picture: VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file; may be called more than once.

        Raises:
            OutputError: The rest could not be written; what is whole stays.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._size is not None:
                self._mux(None)
            self._container.close()
        except (OSError, av.error.FFmpegError) as error:
            left = self._give_up()
            raise OutputError(f"{self.path}: could not be finished ({error.strerror}); {left}") from error
        if self.frames:
            self._put_index_in_front()
        else:
            self.path.unlink(missing_ok=True)  # a file without a frame opens nowhere

    def _give_up(self) -> str:
        """Close after a write that failed, cut off the fragment that did not fit, and say what is left."""
        self._closed = True
        with suppress(OSError, av.error.FFmpegError):
            self._container.close()
        if not self._place.is_file():
            return "it is gone"
        try:
            os.truncate(self._place, _end_of_whole_fragments(self._place))
            with av.open(str(self._place)) as kept:
                frames = sum(1 for packet in kept.demux(video=0) if packet.size)
        except (OSError, av.error.FFmpegError):
            frames = 0
        if not frames:
            self._place.unlink(missing_ok=True)
            return "no frame of it can be played, so it was removed"
        return f"its first {frames} frames stay playable"

    def _put_index_in_front(self) -> None:
        plain = self._place.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            with (
                av.open(str(self._place)) as source,
                av.open(str(plain), "w", format="mp4", options={"movflags": "faststart"}) as target,
            ):
                stream = source.streams.video[0]
                copy = target.add_stream_from_template(stream)
                first: int | None = None
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue  # the empty packet that ends the stream
                    # Fragments begin late by the delay of x264's B-frames; a plain file can begin at zero.
                    first = packet.pts if first is None else first
                    packet.pts, packet.dts = packet.pts - first, packet.dts - first
                    packet.stream = copy
                    target.mux(packet)
            plain.replace(self.path)
        except (OSError, av.error.FFmpegError) as error:
            raise OutputError(
                f"{self.path}: plays, but its index could not be put in front ({error.strerror})"
            ) from error
        finally:
            plain.unlink(missing_ok=True)  # a second Ctrl-C may come here too

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _end_of_whole_fragments(path: Path) -> int:
    """Where the last box of pictures ends that is whole; boxes of MP4 begin with their length and name."""
    end, size = 0, path.stat().st_size
    with path.open("rb") as file:
        start = 0
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if length < 8 or start + length > size:
                break
            start += length
            if head[4:] == b"mdat":
                end = start
            file.seek(start)
    return end
