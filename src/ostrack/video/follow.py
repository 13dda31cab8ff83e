"""The loop at the heart of a run: frames in, tracks out, targets joining at their own frames."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ostrack.errors import SourceError
from ostrack.tracker import TargetId, Track, Tracker
from ostrack.video.source import Frame, Source, SourceWarning
from ostrack.video.targets import Start

__all__ = ["Log", "Tracks", "follow"]

Tracks: TypeAlias = dict[TargetId, Track]


@dataclass
class Log:
    """What a run has to tell beside its tracks.

    Attributes:
        seconds: Time in the tracker's updates.
        updates: How many these were.
        given: Targets whose box in the current frame was given, not found.
        problems: One line for each target that was never followed.
        runtime: What runs the network.
    """

    seconds: float = 0.0
    updates: int = 0
    given: frozenset[TargetId] = frozenset()
    problems: list[str] = field(default_factory=list)
    runtime: str = ""


def follow(
    source: Source, tracker: Tracker, starts: Sequence[Start], max_frames: int | None, log: Log
) -> Iterator[tuple[Frame, Tracks]]:
    """Follow targets from the frames on in which they begin.

    Args:
        source: Read from the first of these frames on.
        tracker: Started anew.
        starts: Targets in the order of their frames.
        max_frames: Stop after so many.
        log: Written to as it goes.

    Yields:
        Each frame with the targets that have begun.

    Raises:
        SourceError: The first frame cannot be read.
        BoxError: A box cannot be tracked.
    """
    waiting = list(starts)
    first, done, index = starts[0].frame, -1, starts[0].frame
    for done, frame in enumerate(source.frames(first)):
        index = frame.index
        due = _due(waiting, frame.index, source, log)
        log.given = frozenset(start.id for start in due)
        tracks: Tracks
        if done == 0:
            if not due:
                raise SourceError(f"{source.name}: frame {first}, which the boxes belong to, cannot be read")
            tracks = tracker.init(frame.image, {start.id: start.box for start in due})
        else:
            began = time.perf_counter()
            found = tracker.update(frame.image)
            log.seconds += time.perf_counter() - began
            log.updates += 1
            tracks = found if isinstance(found, dict) else {found.id: found}
            for start in due:
                tracks[start.id] = tracker.add(frame.image, start.box, start.id)
        yield frame, tracks
        if done + 1 == max_frames:
            break
    if done < 0:
        raise SourceError(f"{source.name}: no frame can be read from frame {first} on")
    for start in waiting:
        _missed(source, start, f"the run ended after frame {index}", log)


def _due(waiting: list[Start], index: int, source: Source, log: Log) -> list[Start]:
    """Take the targets out of ``waiting`` that begin here; those whose frame was passed over are told of."""
    due: list[Start] = []
    while waiting and waiting[0].frame <= index:
        start = waiting.pop(0)
        # Nobody knows beforehand which frames of a live source will be seen: the next one stands for it.
        if start.frame == index or source.live:
            due.append(start)
        else:
            _missed(source, start, "this frame cannot be read", log)
    return due


def _missed(source: Source, start: Start, why: str, log: Log) -> None:
    problem = f"{source.name}: target {start.id!r} begins at frame {start.frame}, but {why}; it was not followed"
    log.problems.append(problem)
    warnings.warn(problem, SourceWarning, stacklevel=4)
