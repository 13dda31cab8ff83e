"""Key frames in, finished pieces of the clip out, one after the other."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostrack.keyframes.blend import blend, single
from ostrack.keyframes.passes import Pass, Steps, Store
from ostrack.keyframes.plan import Drawn, Span, TargetPlan, fit, parse_keyframes, read_keyframes, spans
from ostrack.results import Label
from ostrack.tracker import Tracker
from ostrack.video.clip import Clip, open_clip
from ostrack.video.run import Progress
from ostrack.video.source import SourceWarning

if TYPE_CHECKING:
    from ostrack.tracker import TargetId

__all__ = ["STEP", "Segment", "annotate_segments", "check_options", "plans_of", "run_segments"]

STEP = 100
"""Frames a step: what a killed run loses at most."""


@dataclass(frozen=True)
class Segment:
    """A finished piece of one target's way.

    Attributes:
        id: The target.
        first: First frame of the piece.
        last: Last frame, included.
        labels: One for each frame that can be read, ascending.
        times: Their times in seconds.
    """

    id: TargetId
    first: int
    last: int
    labels: tuple[Label, ...]
    times: tuple[float, ...]


def annotate_segments(
    source: str | os.PathLike[str] | Clip,
    keyframes: Any,
    *,
    tracker: Tracker | None = None,
    work: str | os.PathLike[str] | None = None,
    step: int = STEP,
    fps: float | None = None,
    progress: Progress | None = None,
    **tracker_options: Any,
) -> Iterator[Segment]:
    """Label a clip piece by piece; what a program that shows its progress calls.

    Pieces come target by target; within the stretch between two key frames from its end to its front, since the pass
    backward completes them. Together they hold each labelled frame of each target once. With ``work``, calling it again
    with one more key frame tracks anew only what touches that frame, and takes the rest from disk.

    Args:
        source: A video file, a folder of images, or a clip from :func:`ostrack.video.open_clip`, which saves the first
            look through the file when several calls follow.
        keyframes: See :func:`ostrack.keyframes.parse_keyframes`; or the path of a JSON file.
        tracker: A tracker to use; made from ``tracker_options`` where None.
        work: Folder for finished steps; nothing is kept where None.
        step: Frames a step.
        fps: Frame rate to assume where the source states none.
        progress: Called after each frame with the number tracked and the total, where the stretch between two key
            frames counts twice. An exception that it raises ends the run; what is finished stays in ``work``.
        **tracker_options: ``network``, ``runtime``, ``device``, ``threads``, ... of :class:`ostrack.Tracker`.

    Raises:
        BoxError: Key frames that cannot be used.
        SourceError: The source cannot be read.
        OutputError: ``work`` cannot be written.
        NetworkError: The network cannot be used.
        ValueError: Arguments that contradict each other.
    """
    plans = plans_of(keyframes)
    check_options(step, tracker, tracker_options)

    def pieces() -> Iterator[Segment]:
        clip = source if isinstance(source, Clip) else open_clip(source, fps)
        kept, problems = fit(plans, clip.name, clip.frame_count, clip.size)
        for problem in (*clip.problems, *problems):
            warnings.warn(problem, SourceWarning, stacklevel=3)
        follower = tracker if tracker is not None else Tracker(**tracker_options)
        yield from run_segments(clip, kept, follower, Path(work) if work is not None else None, step, progress)

    return pieces()


def check_options(step: int, tracker: Tracker | None, tracker_options: dict[str, Any]) -> None:
    """Refuse a step of no frames, and options for a tracker that is ready.

    Raises:
        ValueError: Names the argument.
    """
    if step < 1:
        raise ValueError(f"step must be 1 or more, got {step}")
    if tracker is not None and tracker_options:
        raise ValueError(f"a ready tracker takes no options, got {', '.join(tracker_options)}")


def plans_of(keyframes: Any) -> tuple[TargetPlan, ...]:
    """Key frames from what a caller gave: values, or the path of a file."""
    if isinstance(keyframes, (str, os.PathLike)):
        return read_keyframes(Path(keyframes))
    return parse_keyframes(keyframes)


def run_segments(
    clip: Clip,
    plans: tuple[TargetPlan, ...],
    tracker: Tracker,
    work: Path | None,
    step: int,
    progress: Progress | None,
) -> Iterator[Segment]:
    """The pieces of targets whose key frames all lie in the clip."""
    todo = [span for plan in plans for span in spans(plan, clip.frame_count)]
    total, done = sum(span.steps for span in todo), 0
    store = Store(work, clip, tracker)

    def tick(frames: int) -> None:
        nonlocal done
        done += frames
        if progress is not None:
            progress(done, total)

    for span in todo:
        yield from _pieces(_Way(clip, tracker, step, store, tick), span)


@dataclass(frozen=True)
class _Way:
    """What all passes of a run share."""

    clip: Clip
    tracker: Tracker
    step: int
    store: Store
    tick: Callable[[int], None]

    def go(self, id: TargetId, key: Drawn, last: int) -> Iterator[Steps]:
        return iter(Pass(self.clip, self.tracker, id, key, last, self.step, self.store, self.tick))


def _pieces(way: _Way, span: Span) -> Iterator[Segment]:
    forward: list[Steps] = []
    if span.start is not None:
        yield _drawn(way.clip, span.id, span.start)
        if span.last > span.start.frame:
            for steps in way.go(span.id, span.start, span.last):
                forward.append(steps)
                if span.end is None and len(steps):
                    yield _piece(way.clip, span.id, steps, single(span.id, steps))
    if span.end is None:
        return
    first = span.first if span.start is None else span.start.frame + 1
    if first > span.last:
        return
    ahead = Steps.join(forward) if forward else None
    for steps in way.go(span.id, span.end, first):
        if not len(steps):
            continue
        steps = Steps.join([steps])
        if ahead is None or span.start is None:
            labels = single(span.id, steps)
        else:
            # Both passes pass over the same images that cannot be read.
            part = ahead.within(int(steps.frames[0]), int(steps.frames[-1]))
            labels = blend(span.id, part, steps, span.start.frame, span.end.frame)
        yield _piece(way.clip, span.id, steps, labels)


def _piece(clip: Clip, id: TargetId, steps: Steps, labels: list[Label]) -> Segment:
    # Times are asked for now: steps that were kept may be of a run with another frame rate.
    times = tuple(clip.time(frame) for frame in steps.frames.tolist())
    return Segment(id, int(steps.frames[0]), int(steps.frames[-1]), tuple(labels), times)


def _drawn(clip: Clip, id: TargetId, key: Drawn) -> Segment:
    label = Label(id, key.box, 1.0, "tracking", key.frame, keyframe=True, confidence=1.0)
    return Segment(id, key.frame, key.frame, (label,), (clip.time(key.frame),))
