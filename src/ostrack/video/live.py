"""Cameras and endless streams: read as fast as they deliver, keep the newest frame for whoever is slower."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.errors import SourceError
from ostrack.video.reconnect import Reconnecting
from ostrack.video.source import DEFAULT_FPS, RECONNECT_S, Frame, Source

__all__ = ["CameraSource", "LatestFrames", "rgb_of"]


class LatestFrames(Source):
    """The newest frame of another source, read in a thread of its own.

    A tracker slower than its camera would otherwise fall behind without end, since drivers and network stacks
    queue frames. The queue here holds one: whatever is newest. Frames that nobody fetched in time are missing from the
    indices and counted in ``dropped``.
    """

    live = True

    def __init__(self, inner: Source) -> None:
        super().__init__(inner.name)
        self._inner = inner
        self.fps, self.size, self.frame_count = inner.fps, inner.size, None
        self.problems = inner.problems
        self._ready = threading.Condition()
        self._newest: Frame | None = None
        self._failure: SourceError | None = None
        self._ended = False
        self._closing = False
        self._thread: threading.Thread | None = None

    def _read(self, start: int) -> None:
        failure: SourceError | None = SourceError(f"{self.name}: the thread that reads it stopped unexpectedly")
        try:
            for frame in self._inner.frames(start):
                with self._ready:
                    if self._closing:
                        break
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._ready.notify()
            failure = None
        except SourceError as error:
            failure = error
        finally:
            with self._ready:
                self._failure, self._ended = failure, True
                self._ready.notify()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Deliver the newest frame each time, until the stream ends or :meth:`stop` or :meth:`close` is called."""
        self._thread = threading.Thread(target=self._read, args=(start,), name=f"reads {self.name}", daemon=True)
        self._thread.start()
        while True:
            with self._ready:
                # Woken up now and then so that Ctrl-C is noticed while a stream is silent.
                while self._newest is None and not self._ended and not self._closing:
                    self._ready.wait(0.2)
                frame, self._newest = self._newest, None
                if frame is None:
                    if self._failure is not None:
                        raise self._failure
                    return
            yield frame

    def stop(self) -> None:
        """Deliver nothing more; see :meth:`Source.stop`."""
        self._closing = True

    def close(self) -> None:
        """Stop the thread, then close the inner source."""
        self.stop()
        if isinstance(self._inner, Reconnecting):
            self._inner.stop()
        if self._thread is not None:
            self._thread.join(timeout=2)
            if self._thread.is_alive():
                return  # blocked in a read that its own time-out ends; closing under it would crash
        self._inner.close()


class _Camera(Source):
    """Every frame of a camera, at its own pace."""

    def __init__(self, index: int, fps: float | None) -> None:
        super().__init__(f"camera {index}")
        level = cv2.utils.logging.getLogLevel()
        # OpenCV tells every backend that it tried in vain; ours is the one line that counts.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        self._capture = cv2.VideoCapture(index)
        cv2.utils.logging.setLogLevel(level)
        self._opened_s = time.monotonic()
        opened, image = self._capture.read() if self._capture.isOpened() else (False, None)
        if not opened or image is None:
            self._capture.release()
            raise SourceError(f"{self.name}: cannot be opened; is it connected, allowed and free?")
        self.size = (int(image.shape[1]), int(image.shape[0]))
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or fps or DEFAULT_FPS
        self.frame_count = None

    def frames(self, start: int = 0) -> Iterator[Frame]:
        index = 0
        began: float | None = None
        while self._capture.isOpened():
            grabbed, image = self._capture.read()
            now = time.monotonic()
            began = now if began is None else began
            if not grabbed or image is None:
                self.broken = "no picture came"
                self._problem(f"{self.name}: broke off at frame {index}; the {index} frames before it were kept")
                return
            if index >= start:
                yield Frame(index, now - began, rgb_of(image, self.name))
            index += 1

    def close(self) -> None:
        self._capture.release()


class CameraSource(LatestFrames):
    """A local camera by its index.

    Raises:
        SourceError: There is no such camera, or another program holds it.
    """

    def __init__(self, index: int, fps: float | None = None, reconnect_s: float = RECONNECT_S) -> None:
        super().__init__(Reconnecting(_Camera(index, fps), lambda: _Camera(index, fps), reconnect_s))


def rgb_of(image: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """A camera's picture as the tracker takes it.

    Args:
        image: ``(H, W)``, ``(H, W, 1)``, BGR ``(H, W, 3)`` or BGRA ``(H, W, 4)``; uint8, or uint16 of the full range.
        name: What messages call the camera.

    Returns:
        ``(H, W, 3)`` uint8 RGB; transparency is left out.

    Raises:
        SourceError: Another shape or kind of number.
    """
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    channels = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    codes = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
    if image.dtype != np.uint8 or channels not in codes:
        raise SourceError(f"{name}: delivers {image.dtype} {image.shape}, expected 1, 3 or 4 channels of 8 or 16 bits")
    return np.asarray(cv2.cvtColor(image, codes[channels]), np.uint8)
