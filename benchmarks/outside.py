"""Trackers of a ``peers.py`` under the contract that :mod:`ostrack.evaluate.peers` knows as ``module:Class``.

``peers.py`` has ``peer(name)`` that returns an object with ``init(bgr, xywh)`` and ``update(bgr)``, xywh or None where
the target is lost. Used as ``outside:Outside`` with the options ``file`` and ``name``.
"""

from __future__ import annotations

import importlib.util
import os

import numpy as np
from numpy.typing import NDArray


class Outside:
    """One of them, given RGB; a lost target keeps its last box."""

    def __init__(self, file: str, name: str, threads: int = 1) -> None:
        """Load it.

        Args:
            file: The ``peers.py``.
            name: Which of its trackers.
            threads: CPU threads, handed over in PEER_THREADS.
        """
        os.environ["PEER_THREADS"] = str(threads)
        spec = importlib.util.spec_from_file_location("peers", file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self._tracker = module.peer(name)
        self._last = np.zeros(4)

    def init(self, image: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        """Start on a frame."""
        self._last = box
        self._tracker.init(np.ascontiguousarray(image[..., ::-1]), box)

    def update(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Box in the next frame."""
        found = self._tracker.update(np.ascontiguousarray(image[..., ::-1]))
        if found is not None:
            self._last = np.asarray(found, dtype=np.float64)
        return self._last
