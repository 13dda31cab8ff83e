"""A process of its own for each piece of work on a visitor's file: decoding, tracking, drawing.

It is given one JSON object on its standard input, answers in JSON lines on its standard output, and knows nothing of
the server's database. Whatever a hostile file does to a decoder happens here, within limits on memory, processor time
and file size; a crash ends this process and becomes one plain line for the visitor.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from ostrack.errors import OSTrackError

__all__ = ["Report", "main", "set_limits"]

_WORK = {
    "prepare": "ostrack.serve.preparing",
    "track": "ostrack.serve.following",
    "refine": "ostrack.serve.refining",
    "export": "ostrack.serve.exporting",
    "camera": "ostrack.serve.camera",
}
_HEARTBEAT_S = 10.0
_START_S = 60.0
"""Heartbeats keep a slow start (a large network, a busy machine) from being taken for a stall, but only for so long."""


class Report:
    """Where work tells how it goes: one JSON line each."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def __call__(self, event: str, **fields: Any) -> None:
        """Tell the server something; ends the process where the server is gone."""
        line = json.dumps({"event": event, **fields}, allow_nan=False)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()


def set_limits(limits: Mapping[str, int]) -> None:
    """Bound what this process may use.

    Args:
        limits: ``memory`` and ``file`` in bytes, ``cpu`` in seconds. On Windows, which has no such limits, nothing
            happens.
    """
    if sys.platform == "win32":
        return
    import resource

    wanted = {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_FSIZE: limits["file"],
        resource.RLIMIT_CPU: limits["cpu"],
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # macOS knows some of these by name but refuses them.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


@contextlib.contextmanager
def _heartbeat(report: Report) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        ends = time.monotonic() + _START_S
        while not over.wait(_HEARTBEAT_S) and time.monotonic() < ends:
            report("alive")

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def main() -> None:
    """Do the work that standard input asks for; the exit code is 0 where it was done or failed with a plain reason."""
    # Libraries print to standard output now and then; that must not look like a report.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    report = Report(answers)
    request = json.loads(sys.stdin.buffer.readline())
    set_limits(request["limits"])
    try:
        with _heartbeat(report):
            work: Callable[[dict[str, Any], Report], None] = importlib.import_module(_WORK[request["kind"]]).work
            work(request, report)
        report("done")
    except BrokenPipeError:
        os._exit(1)  # the server is gone; nobody is left to tell
    except MemoryError:
        report("failed", message="It needs more memory than one video is allowed here; a smaller picture would do.")
    except OSTrackError as error:
        report("failed", message=" ".join(str(error).split()))
    except OSError as error:
        if error.errno not in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
            raise
        report("failed", message="It needs more space than the server has left.")


if __name__ == "__main__":
    main()
