"""One tracker in a process of its own, which follows a clip whenever it is told to and says how long each frame took.

A process for each, so that the memory is its own, and a tracker that crashes takes nobody along. It is given a
:class:`Task` as JSON in its only argument, answers on standard output with one line of JSON for each line that it
reads from standard input, and ends with the input::

    python -m ostrack.benchmark_worker '{"source": "small", ...}'
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.checks import Frame
from ostrack.errors import SourceError
from ostrack.evaluate.peers import TrackerSpec, open_network, open_tracker
from ostrack.latency import ClockedRuntime
from ostrack.machine import peak_memory_mb
from ostrack.network import Network
from ostrack.tracker import Tracker
from ostrack.video import open_source

__all__ = ["Task", "follow", "main", "read_frames"]

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What to run on what.

    Attributes:
        source: Tracker, see :class:`ostrack.evaluate.peers.TrackerSpec`.
        options: Its options.
        search_path: Where to look for modules.
        clip: Video file or folder of images.
        box: xywh in pixels of frame ``start``.
        start: 0-based frame that the box belongs to.
        frames: Frames to follow at most, that one not counted.
        canvas: Width and height to fit the frames into, black where they do not fill it; None leaves them as they are.
        targets: Targets to follow; those beyond the first have boxes a little beside it.
        threads: Threads of OpenCV; its own choice where None.
    """

    source: str
    clip: str
    box: tuple[float, float, float, float]
    options: tuple[tuple[str, str], ...] = ()
    search_path: tuple[str, ...] = ()
    start: int = 0
    frames: int = 30
    canvas: tuple[int, int] | None = None
    targets: int = 1
    threads: int | None = None

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Read what :meth:`to_json` wrote."""
        values = json.loads(text)
        values["options"] = tuple((name, value) for name, value in values["options"])
        return cls(**values)

    def to_json(self) -> str:
        """In a line."""
        return json.dumps(asdict(self))


def read_frames(task: Task) -> tuple[list[Frame], Boxes]:
    """The frames of a task, fitted into its canvas, and its boxes, ``(targets, 4)`` xywh.

    Raises:
        SourceError: The clip cannot be read, or holds less than two frames from ``start`` on.
    """
    with open_source(task.clip) as source:
        images = [frame.image for frame in islice(source.frames(task.start), task.frames + 1)]
    if len(images) < 2:
        raise SourceError(f"{task.clip}: {len(images)} frames from frame {task.start} on, expected 2 or more")
    box = np.array(task.box, dtype=np.float64)
    if task.canvas is not None:
        height, width = images[0].shape[:2]
        scale = min(task.canvas[0] / width, task.canvas[1] / height)
        images, box = [_fit(image, scale, task.canvas) for image in images], box * scale
    beside = 0.04 * np.array([(math.cos(2.4 * i), math.sin(2.4 * i)) if i else (0, 0) for i in range(task.targets)])
    return images, np.concatenate([box[:2] + beside * box[2:], np.tile(box[2:], (task.targets, 1))], 1)


def _fit(image: Frame, scale: float, canvas: tuple[int, int]) -> Frame:
    width, height = canvas
    fitted = np.zeros((height, width, 3), np.uint8)
    resized = cv2.resize(image, None, fx=scale, fy=scale)[:height, :width]
    fitted[: resized.shape[0], : resized.shape[1]] = resized
    return fitted


def follow(task: Task, frames: list[Frame], boxes: Boxes) -> Iterator[dict[str, Any]]:
    """Say that the tracker is ready, then follow the clip once for each further item that is asked for.

    Yields:
        ``{"runtime": ...}``; then ``{"ms": [...], "network_ms": [...], "box": [...]}`` with milliseconds of every
        frame, those of the network among them where it is one of ours, and the first target's last box.

    Raises:
        OSTrackError: The tracker cannot be opened.
    """
    spec = TrackerSpec(task.source, task.options, task.search_path)
    network = open_network(spec)
    clock = None if network is None else ClockedRuntime(network)
    shared = None if clock is None or network is None else Network(clock, network.calibration)
    if task.targets > 1:
        if shared is None:
            raise ValueError(f"{spec.label}: {task.targets} targets at once are for trackers of this package")
        many: Tracker | None = Tracker(shared)
    else:
        many, make = None, open_tracker(spec, shared)
    others = f"OpenCV {cv2.__version__}" if spec.kind == "opencv" else "its own code"
    yield {"runtime": others if network is None else network.runtime}
    while True:
        times, in_network, last = [], [], boxes[0]
        if many is not None:
            many.init(frames[0], dict(enumerate(boxes)))
        else:
            follower = make()
            follower.init(frames[0], boxes[0])
        for frame in frames[1:]:
            if clock is not None:
                clock.seconds = 0.0
            began = time.perf_counter()
            if many is not None:
                tracks = many.update(frame)
            else:
                last = follower.update(frame).box
            times.append(1e3 * (time.perf_counter() - began))
            if clock is not None:
                in_network.append(1e3 * clock.seconds)
            if many is not None and isinstance(tracks, dict):
                last = np.array(tracks[0].box)
        yield {"ms": times, "network_ms": in_network, "box": [float(value) for value in last]}


def main() -> None:
    """Answer until the input ends; the last answer is the memory."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What a library prints must not be taken for an answer.
    os.dup2(2, 1)
    task = Task.from_json(sys.argv[1])
    if task.threads is not None:
        cv2.setNumThreads(task.threads)
    frames, boxes = read_frames(task)
    rounds = follow(task, frames, boxes)
    print(json.dumps(next(rounds)), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(next(rounds)), file=answers, flush=True)
    peak = peak_memory_mb()
    kept = sum(frame.nbytes for frame in frames) / 1e6
    print(json.dumps({"peak_mb": None if peak is None else peak - kept}), file=answers, flush=True)


if __name__ == "__main__":
    main()
