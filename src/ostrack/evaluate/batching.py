"""Several sequences in one call of the network.

Each sequence runs in a thread of its own with a tracker of its own, exactly as it would alone; what they share is the
network. A call waits until every running sequence has made one, then all of them go through the network together. So
no rule of the tracker is written twice, and frames are decoded in parallel besides.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ostrack.errors import NetworkError
from ostrack.network import Network
from ostrack.runtimes import FloatArray, Maps

__all__ = ["SharedRuntime"]


@dataclass
class _Ticket:
    tokens: FloatArray
    searches: FloatArray
    answer: Maps | None = None
    done: bool = False


class SharedRuntime:
    """A runtime that gathers the calls of several threads into one.

    Attributes:
        config: Architecture of the network.
        name: The network's name.
        description: What runs it.
        token_width: Width of a template token.
        calls: Calls of the network so far.
        rows: Rows that went through it; ``rows / calls`` is the batch size that was reached.
    """

    def __init__(self, network: Network) -> None:
        """Share a network."""
        self._network = network
        self.config = network.config
        self.name = network.name
        self.description = network.runtime
        self.token_width = network.token_width
        self.calls = 0
        self.rows = 0
        self._changed = threading.Condition()
        self._running = 0
        self._waiting: list[_Ticket] = []

    @contextmanager
    def member(self) -> Iterator[None]:
        """While the block runs, calls wait for this thread's too."""
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._run_if_complete()

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        """Embed this thread's templates, without waiting: it is done once for each target."""
        return self._network.embed(templates, template_boxes)

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Wait for the others, run together, return this thread's rows.

        Raises:
            NetworkError: The shared call failed; the thread that made it raises the cause.
        """
        # The tracker reuses its arrays in the next frame only, after this returns: no copy is needed.
        ticket = _Ticket(tokens, searches)
        with self._changed:
            self._waiting.append(ticket)
            self._run_if_complete()
            self._changed.wait_for(lambda: ticket.done)
        if ticket.answer is None:
            raise NetworkError(f"{self.name}: the call shared by several sequences failed")
        return ticket.answer

    def _run_if_complete(self) -> None:
        """Run what waits, if everybody does; called with the lock held."""
        if not self._waiting or len(self._waiting) < self._running:
            return
        tickets, self._waiting = self._waiting, []
        try:
            maps = self._network.search(
                np.concatenate([ticket.tokens for ticket in tickets]),
                np.concatenate([ticket.searches for ticket in tickets]),
            )
            self.calls += 1
            self.rows += len(maps)
            start = 0
            for ticket in tickets:
                ticket.answer = _rows(maps, start, start + len(ticket.tokens))
                start += len(ticket.tokens)
        finally:
            for ticket in tickets:
                ticket.done = True
            self._changed.notify_all()


def _rows(maps: Maps, start: int, end: int) -> Maps:
    """Rows ``start`` to ``end`` of every array."""

    def cut(array: FloatArray | None) -> FloatArray | None:
        return None if array is None else array[start:end]

    return Maps(
        maps.boxes[start:end],
        cut(maps.score),
        cut(maps.size),
        cut(maps.offset),
        cut(maps.confidence),
        tuple(array[start:end] for array in maps.eliminated),
    )
