"""A camera or stream that breaks is opened again, with growing pauses in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from ostrack.errors import SourceError
from ostrack.video.source import Frame, Source

__all__ = ["Reconnecting"]

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_TOLD = 20
"""Breaks told one by one; a stream that breaks all night must not fill memory with its story."""


class Reconnecting(Source):
    """An endless source that is opened again when it ends.

    Frame numbers go on where they stopped; times go on by the clock, so the gap shows in them and nowhere else.

    Attributes:
        breaks: How often it came back.

    Args:
        source: The opened source.
        reopen: Opens it again.
        patience_s: How long to try before giving up, counted from each break; 0 takes the first end for the end.
    """

    live = True

    def __init__(self, source: Source, reopen: Callable[[], Source], patience_s: float) -> None:
        super().__init__(source.name)
        self.fps, self.size, self.frame_count = source.fps, source.size, None
        self.breaks = 0
        self._source, self._reopen, self._patience_s = source, reopen, patience_s
        self._closing = threading.Event()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Deliver frames until it is closed, or has been away for longer than ``patience_s``."""
        offset, shift_s, index, time_s = 0, 0.0, -1, 0.0
        arrived = time.monotonic()
        while True:
            # Those before the start count too: a break among them must not begin the count anew.
            for frame in self._whole():
                index, time_s, arrived = offset + frame.index, shift_s + frame.time_s, time.monotonic()
                if index >= start:
                    yield Frame(index, time_s, frame.image)
            if self._closing.is_set():
                return
            if not self._patience_s:
                for problem in self._source.problems:
                    self._problem(problem)
                return
            why = f"{self.name}: broke off at frame {index + 1} ({self._source.broken or 'the stream ended'})"
            if not self._open_again(why, arrived):
                return
            offset, shift_s = index + 1, time_s + max(1 / self.fps, time.monotonic() - arrived)

    def _whole(self) -> Iterator[Frame]:
        """The source's own frames; it is quiet, since what it would tell may be made good for."""
        self._source.quiet = True
        try:
            yield from self._source.frames()
        except SourceError as error:
            if not self._patience_s:
                raise
            self._source.broken = str(error)
        finally:
            self._source.close()

    def _open_again(self, why: str, arrived: float) -> bool:
        """Try until it is back; False where it was given up or closed."""
        pause, last = _FIRST_PAUSE_S, why
        while not self._closing.wait(min(pause, max(0.0, arrived + self._patience_s - time.monotonic()))):
            try:
                source = self._reopen()
            except SourceError as error:
                last = str(error)
            else:
                if source.size == self.size:
                    self._source = source
                    self.breaks += 1
                    away = time.monotonic() - arrived
                    if self.breaks <= _TOLD:
                        self._problem(f"{why}; it came back after {away:.1f} s")
                    return True
                source.close()
                (a, b), (c, d) = self.size, source.size
                self._problem(f"{why}; it came back with {c}x{d} pictures in place of {a}x{b}, which ends the run")
                return False
            if time.monotonic() - arrived >= self._patience_s:
                self._problem(f"{why}; it did not come back within {self._patience_s:g} s ({last})")
                return False
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return False

    def stop(self) -> None:
        """Stop trying."""
        self._closing.set()

    def close(self) -> None:
        """Stop trying and close what is open."""
        self.stop()
        self._source.close()
