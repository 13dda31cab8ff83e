"""Work: follow targets forward from the boxes that were given, all in one pass over the video."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostrack.serve.media import open_upload
from ostrack.serve.worker import Report
from ostrack.tracker import Box, Track, Tracker
from ostrack.video.source import Frame, Source, SourceWarning

__all__ = ["Span", "follow", "row_of", "work"]


@dataclass(frozen=True)
class Span:
    """A target followed from frame ``first``, where it is in ``box``, to before frame ``stop``."""

    target: int
    first: int
    stop: int
    box: Box


def work(request: dict[str, Any], report: Report) -> None:
    """Follow.

    Args:
        request: ``source``, ``name``, ``network``, ``threads``, ``spans``.
        report: ``tracks`` with the rows of one frame, ``progress``.
    """
    warnings.simplefilter("ignore", SourceWarning)
    spans = [Span(**{**span, "box": tuple(span["box"])}) for span in request["spans"]]
    first, stop = min(span.first for span in spans), max(span.stop for span in spans)
    tracker = Tracker(request["network"], threads=request["threads"])
    with open_upload(Path(request["source"]), request["name"]) as source:
        for frame, tracks in follow(source, tracker, spans):
            rows = [row_of(target, frame.index, track) for target, track in tracks.items()]
            report("tracks", rows=rows)
            report("progress", done=frame.index + 1 - first, total=stop - first)


def follow(source: Source, tracker: Tracker, spans: list[Span]) -> Iterator[tuple[Frame, dict[int, Track]]]:
    """Run a tracker over a source, with targets that come and go.

    Args:
        source: Freshly opened.
        tracker: Without targets.
        spans: Those of one target must not overlap.

    Yields:
        Every frame from the first span's start to the last one's stop, with the tracks of the targets that are there.

    Raises:
        BoxError: A box cannot be tracked.
        SourceError: The source ends before the first span.
    """
    starts: dict[int, list[Span]] = {}
    for span in spans:
        starts.setdefault(span.first, []).append(span)
    stops: dict[int, int] = {}
    last = max(span.stop for span in spans)
    for frame in source.frames(min(starts)):
        if frame.index >= last:
            return
        coming = starts.get(frame.index, [])
        for target in [key for key, stop in stops.items() if stop <= frame.index]:
            tracker.remove(target)
            del stops[target]
        found = tracker.update(frame.image) if stops else {}
        tracks: dict[int, Track] = {}
        for track in (found if isinstance(found, dict) else {found.id: found}).values():
            tracks[int(track.id)] = track
        for span in coming:
            tracks[span.target] = tracker.add(frame.image, span.box, id=span.target)
            stops[span.target] = span.stop
        yield frame, tracks


def row_of(target: int, frame: int, track: Track) -> list[Any]:
    """A track as plain values: target, frame, x, y, w, h, score, confidence, state."""
    numbers = [None if math.isnan(value) else float(value) for value in (track.score, track.confidence)]
    return [target, frame, *map(float, track.box), *numbers, track.state]
