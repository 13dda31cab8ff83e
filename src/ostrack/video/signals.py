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
    """Let SIGINT, SIGTERM and SIGHUP end the run between two frames, so that no line or packet is cut in half.

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

    numbers = [signal.SIGINT, signal.SIGTERM]
    # A terminal that is closed; under nohup it is to be ignored, and stays so.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
