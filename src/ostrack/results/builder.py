"""Finished tracks from rows that come in any order."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from ostrack.recovery import STATES
from ostrack.results.table import Label, Media, Result, TargetTrack, label_of
from ostrack.targets import TargetId

__all__ = ["ResultBuilder", "Stretches"]

_COLUMNS = 11


class Stretches:
    """Frames in rising order, kept as their stretches."""

    def __init__(self, frames: Iterable[int] = ()) -> None:
        self._found: list[tuple[int, int]] = []
        for frame in frames:
            self.add(frame)

    def add(self, frame: int) -> None:
        """Note the next one."""
        if self._found and self._found[-1][1] == frame:
            self._found[-1] = (self._found[-1][0], frame + 1)
        else:
            self._found.append((frame, frame + 1))

    @property
    def found(self) -> tuple[tuple[int, int], ...]:
        """First and one behind the last of each."""
        return tuple(self._found)


class ResultBuilder:
    """Collects rows in any order and makes a :class:`Result`; 88 bytes a row, so that a day of video fits in memory.

    Args:
        labels: Class of each target; see :func:`label_of` for those that are missing.
    """

    def __init__(self, labels: Mapping[TargetId, str] | None = None) -> None:
        self._labels = dict(labels or {})
        self._rows: dict[TargetId, array[float]] = {}

    def open(self, id: TargetId) -> None:
        """Give a target its place in the order, even if it never gets a row."""
        self._rows.setdefault(id, array("d"))

    def add(self, time_s: float, label: Label) -> None:
        """Set one target's row in one frame; a later row for the same frame replaces it."""
        state = STATES.index(label.state)
        if label.label:
            self._labels.setdefault(label.id, label.label)
        given = (label.score, state, label.keyframe, label.agreement, label.confidence)
        row = (label.frame, time_s, *label.box, *given)
        self._rows.setdefault(label.id, array("d")).extend(row)

    def build(
        self,
        media: Media,
        problems: tuple[str, ...] = (),
        interrupted: bool = False,
        absent: Iterable[int] | None = None,
    ) -> Result:
        """The result so far.

        Args:
            media: The clip.
            problems: What could not be done.
            interrupted: Whether it was stopped before its end: of frames without rows nobody knows what they show.
            absent: Frames without rows that are known to be empty, where of others nobody knows; None where all are.
        """
        tracks = {id: self._track(id) for id in self._rows}
        looked = None
        if interrupted or absent is not None:
            frames = {frame for track in tracks.values() for frame in track.frames.tolist()}
            looked = Stretches(sorted(frames.union(absent or ()))).found
        return Result(media, tracks, problems, interrupted, looked)

    def _track(self, id: TargetId) -> TargetTrack:
        rows = np.array(self._rows[id], np.float64).reshape(-1, _COLUMNS)
        # Of several rows for one frame the last one counts: reversed, unique finds it first.
        frames, places = np.unique(rows[::-1, 0].astype(np.int64), return_index=True)
        rows = rows[::-1][places]
        return TargetTrack(
            id,
            self._labels.get(id, label_of(id)),
            frames,
            rows[:, 1],
            rows[:, 2:6],
            rows[:, 6],
            np.array(STATES, np.str_)[rows[:, 7].astype(np.int64)],
            rows[:, 8].astype(np.bool_),
            rows[:, 9],
            rows[:, 10],
        )
