"""Rows of a batch dealt to threads, each of which runs whole searches of its own.

Threads that share the work of one search wait for one another in each of its hundreds of operators: two of them finish
it in well over half the time of one. With a row or more for each thread there is no need to wait. Many rows in one call
cost more than in several, for what lies between two operators then no longer fits the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ostrack.runtimes import FloatArray

__all__ = ["Feed", "Found", "Lanes"]

Feed: TypeAlias = Mapping[str, FloatArray]
Found: TypeAlias = Mapping[str, NDArray[Any]]

# Rows of one call: more are slower, and their intermediate values take memory.
_AT_ONCE = 2


class Lanes:
    """Runs batches through one or several copies of a program that has one thread each."""

    def __init__(
        self, count: int, alone: Callable[[int, Feed], Found] | None, together: Callable[[Feed], Found]
    ) -> None:
        """Set up.

        Args:
            count: Lanes, each a thread.
            alone: Runs some rows in the lane of this number, from 0, with one thread; None where ``together``
                has but one.
            together: Runs some rows with all threads.
        """
        self._count, self._together = count, together
        self._alone = alone or (lambda _, feed: together(feed))
        # A single lane is the calling thread.
        self._map = ThreadPoolExecutor(count, "ostrack-lane").map if count > 1 else map

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Run a batch.

        Args:
            feed: Inputs by name, a row for each target.

        Returns:
            Outputs by name, rows in the order of the inputs.
        """
        rows = len(next(iter(feed.values())))
        each = rows // self._count
        if each == 0:
            return dict(self._together(feed))

        def one_lane(lane: int) -> list[Found]:
            end = (lane + 1) * each
            starts = range(lane * each, end, _AT_ONCE)
            return [self._alone(lane, _rows(feed, start, min(start + _AT_ONCE, end))) for start in starts]

        parts = [part for found in self._map(one_lane, range(self._count)) for part in found]
        if rows % self._count:
            # A last row in one lane would leave the others idle.
            parts.append(self._together(_rows(feed, each * self._count, rows)))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows(feed: Feed, start: int, end: int) -> dict[str, FloatArray]:
    return {name: values[start:end] for name, values in feed.items()}
