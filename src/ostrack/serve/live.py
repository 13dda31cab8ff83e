"""News of jobs to whoever watches them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

__all__ = ["Hub"]

_MOST_WAITING = 2000


class Hub:
    """Hands messages of working threads to watchers in the event loop.

    A watcher that reads too slowly is let go (it gets None); it comes back and asks for the whole state.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: dict[str, set[asyncio.Queue[str | None]]] = {}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say where watchers live."""
        self._loop = loop

    def watch(self, job: str) -> asyncio.Queue[str | None]:
        """Begin to watch; call in the event loop."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._watchers.setdefault(job, set()).add(queue)
        return queue

    def leave(self, job: str, queue: asyncio.Queue[str | None]) -> None:
        """Stop watching; may be called more than once."""
        watchers = self._watchers.get(job, set())
        watchers.discard(queue)
        if not watchers:
            self._watchers.pop(job, None)

    def watched(self, job: str) -> bool:
        """Whether anybody watches a job."""
        return job in self._watchers

    def tell(self, job: str, message: dict[str, Any]) -> None:
        """Send a message to all who watch a job; from any thread."""
        if self._loop is None or self._loop.is_closed() or job not in self._watchers:
            return
        self._loop.call_soon_threadsafe(self._spread, job, json.dumps(message, allow_nan=False))

    def _spread(self, job: str, text: str) -> None:
        for queue in list(self._watchers.get(job, ())):
            if queue.qsize() >= _MOST_WAITING:
                self.leave(job, queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(text)
