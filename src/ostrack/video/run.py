"""A source in, tracks out: frame by frame to whoever iterates, or to the end into files."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, overload

from numpy.typing import ArrayLike

from ostrack.errors import BoxError
from ostrack.tracker import TargetId, Tracker
from ostrack.video.follow import Log, Tracks, follow
from ostrack.video.outputs import Outputs
from ostrack.video.signals import stop_on_request
from ostrack.video.source import RECONNECT_S, Frame, Source, open_source
from ostrack.video.targets import Start, check_inside, parse_starts, read_starts

__all__ = ["Progress", "Summary", "track"]

PathLike: TypeAlias = str | os.PathLike[str]
Boxes: TypeAlias = (
    Mapping[TargetId, Any]
    | Mapping[str, Any]
    | Mapping[int, Any]
    | Sequence[Start]
    | Sequence[Mapping[str, Any]]
    | Path
)
"""Targets by id, a list of them, or a JSON file; see :func:`ostrack.video.targets.parse_starts`."""
Progress: TypeAlias = Callable[[int, int | None], None]
"""Called after each frame with the number done and, where known, of how many."""


@dataclass(frozen=True)
class Summary:
    """What a run to the end did.

    Attributes:
        source: Name of the source.
        frames: Frames tracked, the one with the given box included.
        fps: Frames per second of the tracker alone; nan for a single frame.
        seconds: The whole run, with reading, drawing and writing.
        mean_score: Mean over targets and frames, without the given ones; nan if there are none.
        outputs: Files written.
        interrupted: Whether Ctrl-C (or a request to terminate) ended it.
        problems: One line for each thing that the source could not deliver.
        dropped: Frames of a live source that came while the tracker was busy, and were passed over.
        runtime: What ran the network, on which device and in which precision.
    """

    source: str
    frames: int
    fps: float
    seconds: float
    mean_score: float
    outputs: tuple[Path, ...]
    interrupted: bool
    problems: tuple[str, ...]
    dropped: int = 0
    runtime: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; nan becomes None."""
        values: dict[str, Any] = {**vars(self)}
        values |= {key: None for key, value in values.items() if isinstance(value, float) and math.isnan(value)}
        return values | {"outputs": [str(path) for path in self.outputs], "problems": list(self.problems)}

    def text(self) -> str:
        """One line for people."""
        how = "interrupted after" if self.interrupted else "tracked"
        score = "" if math.isnan(self.mean_score) else f", mean score {self.mean_score:.3f}"
        speed = "" if math.isnan(self.fps) else f", tracker {self.fps:.1f} fps"
        speed += f" with {self.runtime}" if self.runtime else ""
        dropped = f", {self.dropped} frames dropped" if self.dropped else ""
        return f"{self.source}: {how} {self.frames} frames in {self.seconds:.1f} s{speed}{score}{dropped}"


@overload
def track(
    source: PathLike | int | Source,
    box: ArrayLike | None = None,
    *,
    boxes: Boxes | None = None,
    tracker: Tracker | None = None,
    save_video: None = None,
    save_tracks: None = None,
    save_sheet: None = None,
    start: int = 0,
    max_frames: int | None = None,
    fps: float | None = None,
    reconnect_s: float = RECONNECT_S,
    progress: Progress | None = None,
    overwrite: bool = True,
    **tracker_options: Any,
) -> Iterator[tuple[Frame, Tracks]]: ...


@overload
def track(
    source: PathLike | int | Source,
    box: ArrayLike | None = None,
    *,
    boxes: Boxes | None = None,
    tracker: Tracker | None = None,
    save_video: PathLike | None = None,
    save_tracks: PathLike | Sequence[PathLike] | None = None,
    save_sheet: PathLike | None = None,
    start: int = 0,
    max_frames: int | None = None,
    fps: float | None = None,
    reconnect_s: float = RECONNECT_S,
    progress: Progress | None = None,
    overwrite: bool = True,
    **tracker_options: Any,
) -> Summary: ...


def track(
    source: PathLike | int | Source,
    box: ArrayLike | None = None,
    *,
    boxes: Boxes | None = None,
    tracker: Tracker | None = None,
    save_video: PathLike | None = None,
    save_tracks: PathLike | Sequence[PathLike] | None = None,
    save_sheet: PathLike | None = None,
    start: int = 0,
    max_frames: int | None = None,
    fps: float | None = None,
    reconnect_s: float = RECONNECT_S,
    progress: Progress | None = None,
    overwrite: bool = True,
    **tracker_options: Any,
) -> Iterator[tuple[Frame, Tracks]] | Summary:
    """Follow one box or several through a video.

    Without ``save_...`` this is a lazy iterator over frames and their tracks, the first being the given boxes::

        for frame, tracks in track("clip.mp4", box=(x, y, w, h)):
            print(frame.index, tracks[0].box)

    With any of them it runs to the end and returns a :class:`Summary`; Ctrl-C then ends it early with all files
    closed and complete (a second Ctrl-C does not wait for the current frame). Before the first frame is done there
    is nothing to keep, and KeyboardInterrupt goes through.

    Args:
        source: File, folder of images, camera index, URL (see :func:`ostrack.video.open_source`) or an opened source,
            which stays open.
        box: ``(4,)`` xywh in pixels of frame ``start``; this target's id is 0.
        boxes: Several targets in place of ``box``: ``{id: (x, y, w, h)}``, or for those that come later
            ``{id: {"frame": 40, "box": (x, y, w, h)}}``, a list of ``{"id": ..., "frame": ..., "box": ...}``, or the
            path of a JSON file of one of these. Frames count from the source's beginning; tracking begins at the first.
            A target whose frame never comes is named in a warning and in ``Summary.problems``.
        tracker: A tracker to use; made from ``tracker_options`` where None.
        save_video: MP4 with the boxes drawn in.
        save_tracks: One or several of ``.csv``, ``.json``, ``.jsonl``, ``.txt`` (MOTChallenge), ``.coco.json``,
            ``.xml`` (CVAT), ``.yolo`` (a folder).
        save_sheet: Image with evenly spaced frames of the run.
        start: 0-based frame of boxes that do not name theirs.
        max_frames: Stop after so many frames, the first included.
        fps: Frame rate to assume where the source states none.
        reconnect_s: How long to try again when a camera or stream breaks; 0 ends the run at once.
        progress: Called after each frame with the number done and the total or None.
        overwrite: Whether existing output files may be replaced.
        **tracker_options: ``network``, ``runtime``, ``device``, ``threads``, ``faithful``, ... of
            :class:`ostrack.tracker.Tracker`.

    Raises:
        SourceError: The source cannot be read, or has no frame ``start``.
        OutputError: An output cannot be written; before any tracking where that can be known.
        BoxError: A box cannot be tracked.
        NetworkError: The network cannot be used.
        ValueError: Arguments that contradict each other.
    """
    if (box is None) == (boxes is None):
        raise BoxError("give either box=(x, y, w, h) or boxes={id: (x, y, w, h)}")
    if tracker is not None and tracker_options:
        raise ValueError(f"a ready tracker takes no options, got {', '.join(tracker_options)}")
    if start < 0 or (max_frames is not None and max_frames < 1):
        raise ValueError(f"start must be 0 or more and max_frames 1 or more, got {start} and {max_frames}")
    starts = _starts(box, boxes, start)
    texts = [save_tracks] if isinstance(save_tracks, (str, os.PathLike)) else list(save_tracks or ())
    outputs = Outputs(
        Path(save_video) if save_video is not None else None,
        tuple(Path(path) for path in texts),
        Path(save_sheet) if save_sheet is not None else None,
    )
    outputs.check(source, boxes, overwrite)

    def run(opened: Source, log: Log) -> Iterator[tuple[Frame, Tracks]]:
        for found in starts:
            check_inside(found.box, opened.size, f"target {found.id!r}" if len(starts) > 1 else "the target")
        follower = tracker if tracker is not None else Tracker(**tracker_options)
        log.runtime = follower.network.runtime
        return follow(opened, follower, starts, max_frames, log)

    first = starts[0].frame
    if not outputs.paths:
        return _lazily(source, fps, reconnect_s, run, first, max_frames, progress)
    with _opened(source, fps, reconnect_s) as opened:
        return _to_the_end(opened, run, outputs, _total(opened, first, max_frames), progress)


def _starts(box: ArrayLike | None, boxes: Boxes | None, start: int) -> tuple[Start, ...]:
    if boxes is None:
        return parse_starts({0: box}, start)
    return read_starts(Path(boxes), start) if isinstance(boxes, (str, os.PathLike)) else parse_starts(boxes, start)


_Run: TypeAlias = Callable[[Source, Log], Iterator[tuple[Frame, Tracks]]]


def _lazily(
    source: PathLike | int | Source, fps: float | None, reconnect_s: float, run: _Run, start: int,
    max_frames: int | None, progress: Progress | None,
) -> Iterator[tuple[Frame, Tracks]]:  # fmt: skip
    with _opened(source, fps, reconnect_s) as opened:
        total = _total(opened, start, max_frames)
        for done, (frame, tracks) in enumerate(run(opened, Log()), 1):
            yield frame, tracks
            if progress is not None:
                progress(done, total)


def _to_the_end(source: Source, run: _Run, outputs: Outputs, total: int | None, progress: Progress | None) -> Summary:
    began, log = time.perf_counter(), Log()
    frames, scores, count = 0, 0.0, 0
    with stop_on_request(source.stop) as stop, ExitStack() as files:
        write: Callable[[Frame, Tracks], None] | None = None
        try:
            for frame, tracks in run(source, log):
                # Files are opened, and so emptied, only after the tracker has accepted the boxes.
                write = write or outputs.open(files, source)
                write(frame, tracks)
                frames += 1
                found = [track.score for track in tracks.values() if track.id not in log.given]
                known = [score for score in found if not math.isnan(score)]
                scores, count = scores + sum(known), count + len(known)
                if progress is not None:
                    progress(frames, total)
                if stop.is_set():
                    break
        except KeyboardInterrupt:
            stop.set()
        if write is None:
            raise KeyboardInterrupt
    return Summary(
        source=source.name,
        frames=frames,
        fps=log.updates / log.seconds if log.seconds else math.nan,
        seconds=time.perf_counter() - began,
        mean_score=scores / count if count else math.nan,
        outputs=outputs.paths,
        interrupted=stop.is_set(),
        problems=(*source.problems, *log.problems),
        dropped=source.dropped,
        runtime=log.runtime,
    )


@contextmanager
def _opened(source: PathLike | int | Source, fps: float | None, reconnect_s: float) -> Iterator[Source]:
    if isinstance(source, Source):
        yield source
    else:
        with open_source(source, fps, reconnect_s) as opened:
            yield opened


def _total(source: Source, start: int, max_frames: int | None) -> int | None:
    left = None if source.frame_count is None else max(0, source.frame_count - start)
    return left if max_frames is None else max_frames if left is None else min(left, max_frames)
