"""One tracker over one sequence: once through, or supervised with restarts after failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError
from ostrack.evaluate.peers import Estimate, Follower
from ostrack.evaluate.polygons import region_iou
from ostrack.evaluate.vot import FAILED, SKIPPED, STARTED, TRACKED, SupervisedRun

__all__ = ["Followed", "follow", "follow_supervised"]

Floats = NDArray[np.float64]
Tick = Callable[[int], None]


@dataclass(frozen=True)
class Followed:
    """What a tracker said about a sequence.

    Attributes:
        sequence: Name of the sequence.
        boxes: ``(N, 4)`` xywh, 0-based pixels; the first row is the box that was given.
        scores: ``(N,)`` confidence; 1 on the first frame, nan where the tracker gives none.
        times: ``(N,)`` seconds spent in the tracker, without reading frames; the first is the start.
        run: The restarts, for a supervised run; ``boxes`` has nan where it has codes.
    """

    sequence: str
    boxes: Floats
    scores: Floats
    times: Floats
    run: SupervisedRun | None = None


def _check(found: Estimate, sequence: Sequence, index: int) -> None:
    """Refuse an answer that is no box."""
    if not (np.isfinite(found.box).all() and (found.box[2:] >= 0).all()):
        raise EvaluationError(f"{sequence.name}: the tracker answered {found.box.tolist()} at frame {index}")


def _first_box(sequence: Sequence, index: int = 0) -> Floats:
    box: Floats = sequence.boxes[index]
    if not np.isfinite(box).all():
        raise EvaluationError(f"{sequence.name}: frame {index} has no box to start from")
    return box


def follow(
    follower: Follower, sequence: Sequence, tick: Tick | None = None, stop: threading.Event | None = None
) -> Followed:
    """Run once through a sequence.

    Args:
        follower: The tracker.
        sequence: Frames, and the box of the first.
        tick: Called with 1 after each frame.
        stop: Ends the run early when set.

    Raises:
        EvaluationError: The first frame has no box, the tracker answers with no number, or the run was stopped.
        Exception: Whatever the tracker itself raises.
    """
    count = len(sequence)
    boxes, scores, times = np.full((count, 4), np.nan), np.ones(count), np.zeros(count)
    boxes[0] = _first_box(sequence)
    for index in range(count):
        if stop is not None and stop.is_set():
            raise EvaluationError(f"{sequence.name}: stopped at frame {index} of {count}")
        frame = sequence.frames[index]
        start = time.perf_counter()
        if index == 0:
            follower.init(frame, boxes[0].copy())
            times[0] = time.perf_counter() - start
        else:
            found = follower.update(frame)
            times[index] = time.perf_counter() - start
            boxes[index], scores[index] = found.box, found.score
            _check(found, sequence, index)
        if tick is not None:
            tick(1)
    return Followed(sequence.name, boxes, scores, times)


def follow_supervised(
    follower: Follower,
    sequence: Sequence,
    tick: Tick | None = None,
    stop: threading.Event | None = None,
    skip: int = 5,
) -> Followed:
    """Run under VOT's supervision: a frame without overlap is a failure, and ``skip`` frames later it starts anew.

    Args:
        follower: The tracker.
        sequence: Frames and labels; polygons are used where there are some. Frames without label are not judged, and
            a restart waits for the next labelled one.
        tick: Called with 1 after each frame.
        stop: Ends the run early when set.
        skip: Frames from a failure to the next start.

    Raises:
        EvaluationError: The first frame has no box, the tracker answers with no number, or the run was stopped.
        Exception: Whatever the tracker itself raises.
    """
    count = len(sequence)
    target = sequence.boxes if sequence.region is None else sequence.region
    labelled = np.isfinite(target.sum(-1) + sequence.boxes.sum(-1))
    boxes, scores, times = np.full((count, 4), np.nan), np.ones(count), np.zeros(count)
    codes = np.full(count, SKIPPED, dtype=np.int64)
    _first_box(sequence)
    next_start, tracking = 0, False
    for index in range(count):
        if stop is not None and stop.is_set():
            raise EvaluationError(f"{sequence.name}: stopped at frame {index} of {count}")
        if tracking:
            frame = sequence.frames[index]
            start = time.perf_counter()
            found = follower.update(frame)
            times[index] = time.perf_counter() - start
            _check(found, sequence, index)
            bounds = (frame.shape[1] - 1, frame.shape[0] - 1)
            if labelled[index] and region_iou(found.box[None], target[index : index + 1], bounds)[0] <= 0:
                codes[index], tracking, next_start = FAILED, False, index + skip
            else:
                codes[index], boxes[index], scores[index] = TRACKED, found.box, found.score
        elif index >= next_start and labelled[index]:
            frame = sequence.frames[index]
            start = time.perf_counter()
            follower.init(frame, sequence.boxes[index].copy())
            times[index] = time.perf_counter() - start
            codes[index], tracking = STARTED, True
        if tick is not None:
            tick(1)
    return Followed(sequence.name, boxes, scores, times, SupervisedRun(boxes, codes))
