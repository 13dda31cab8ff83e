"""Runs that end between two frames when somebody asks them to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["stop_on_request"]


@contextmanager
def stop_on_request(wake: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """Let SIGINT and SIGTERM end the run between two frames, so that no line or packet is cut in half.

    A second SIGINT raises KeyboardInterrupt at once. Other threads than the main one cannot catch signals.

    Args:
        wake: Called by the first signal, to end a wait for the next frame; must not lock anything.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        if wake is not None:
            wake()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
