"""Trackers as users write them, for tests of the runner: classes with init and update that know nothing of ostrack."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Brightest:
    """Puts the first box's size round the centre of mass of the light."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        self.size = np.array(box[2:])

    def update(self, image: NDArray[np.uint8]) -> list[float]:
        rows, columns = np.nonzero(image.sum(-1) > 100)
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
        return [*(centre - self.size / 2 + self.shift), *self.size]


class Still:
    """Never moves."""

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        self.box = box

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.box


class Asleep(Still):
    """Notes its process below the folder ``ASLEEP``, and sleeps."""

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        (Path(os.environ["ASLEEP"]) / f"{os.getpid()}.pid").touch()
        time.sleep(600)
        return self.box


class _OnWide:
    """Does something bad on frames wider than 200 pixels."""

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        self.box = box

    def bad(self) -> Any:
        raise NotImplementedError

    def update(self, image: NDArray[np.uint8]) -> Any:
        return self.bad() if image.shape[1] > 200 else self.box


class RaisesOnWide(_OnWide):
    """Raises."""

    def bad(self) -> Any:
        raise ArithmeticError("no idea\nwhere it is")


class NanOnWide(_OnWide):
    """Answers with no number."""

    def bad(self) -> Any:
        return [1, 2, float("nan"), 4]


class NegativeOnWide(_OnWide):
    """Answers with a box turned inside out."""

    def bad(self) -> Any:
        return [1, 2, -3, 4]


class Slow(Still):
    """Takes at least ten milliseconds a frame."""

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        time.sleep(0.01)
        return super().update(image)


class WordsOnWide(_OnWide):
    """Answers with no box."""

    def bad(self) -> Any:
        return "over there"


class DiesOnWide(_OnWide):
    """Takes its process with it, as a crash in native code does."""

    def bad(self) -> Any:
        os._exit(3)


class NoUpdate:
    """Is no tracker."""

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        self.box = box


class TellsItsNode:
    """Answers with a box that names the Ray node it runs on, and does not begin before a second node has work too."""

    def __init__(self, meet: str) -> None:
        self.meet = Path(meet)

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        import ray

        node = ray.get_runtime_context().get_node_id()
        (self.meet / node).touch()
        ends = time.monotonic() + 120
        while len(list(self.meet.iterdir())) < 2 and time.monotonic() < ends:
            time.sleep(0.05)
        self.place = int(node[:6], 16)

    def update(self, image: NDArray[np.uint8]) -> list[float]:
        return [self.place, 0, 10, 10]


class AlwaysRaises:
    """Cannot do a thing."""

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        raise ArithmeticError("never")

    def update(self, image: NDArray[np.uint8]) -> None:
        raise ArithmeticError("never")
