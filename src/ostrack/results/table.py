"""Finished tracks of one clip: columns for each target, rows for whoever writes them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import os

    import supervision

    from ostrack.checks import Box
    from ostrack.results.doubt import Suggestion
    from ostrack.tracker import State, TargetId

__all__ = ["Label", "Media", "Result", "TargetTrack", "label_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Media:
    """The clip that boxes belong to; files in which boxes are relative or that play videos need it.

    Attributes:
        name: Path or address.
        fps: Frames per second.
        size: Width and height in pixels.
        frames: Number of frames; None where nobody knows.
    """

    name: str
    fps: float
    size: tuple[int, int]
    frames: int | None = None


@dataclass(frozen=True)
class Label:
    """Where a target is in one frame of a finished result.

    Attributes:
        id: Name or number of the target.
        box: x, y, w, h in pixels.
        score: As the tracker gave it; 1 where a person drew the box; nan where a network gives none.
        state: ``"tracking"``, ``"uncertain"`` or ``"lost"``.
        frame: 0-based frame of the clip.
        keyframe: Whether a person drew the box.
        agreement: IoU of the passes forward and backward; nan where only one pass had a say.
        confidence: Probability that the box is right, as the tracker gave it; 1 where a person drew it, nan where
            nothing is known.
        label: Class of the target; empty where it is the one of :func:`label_of`.
    """

    id: TargetId
    box: Box
    score: float
    state: State
    frame: int
    keyframe: bool = False
    agreement: float = math.nan
    confidence: float = math.nan
    label: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; nan becomes None."""
        numbers = {"score": self.score, "confidence": self.confidence, "agreement": self.agreement}
        plain = {"id": self.id, "frame": self.frame, "box": list(self.box), "state": self.state}
        return (
            plain
            | {"keyframe": self.keyframe}
            | {key: None if math.isnan(value) else round(value, 4) for key, value in numbers.items()}
            | ({"label": self.label} if self.label else {})
        )


@dataclass(frozen=True)
class TargetTrack:
    """One target through the clip, a row for each frame in which it was followed.

    Attributes:
        id: Name or number.
        label: What kind of thing it is, the class of formats that have classes.
        frames: ``(N,)`` int64, ascending.
        times: ``(N,)`` seconds since the first frame.
        boxes: ``(N, 4)`` xywh in pixels.
        scores: ``(N,)``.
        states: ``(N,)`` strings.
        keyframes: ``(N,)`` bool, boxes drawn by a person.
        agreement: ``(N,)`` IoU of the two passes; nan where only one had a say.
        confidences: ``(N,)`` probability that the box is right; nan where nothing is known.
    """

    id: TargetId
    label: str
    frames: NDArray[np.int64]
    times: Floats
    boxes: Floats
    scores: Floats
    states: NDArray[np.str_]
    keyframes: NDArray[np.bool_]
    agreement: Floats
    confidences: Floats

    def __len__(self) -> int:
        return len(self.frames)

    def at(self, row: int) -> Label:
        """One row."""
        x, y, w, h = self.boxes[row].tolist()
        state: State = self.states[row].item()
        return Label(
            self.id,
            (x, y, w, h),
            float(self.scores[row]),
            state,
            int(self.frames[row]),
            bool(self.keyframes[row]),
            float(self.agreement[row]),
            float(self.confidences[row]),
            "" if self.label == label_of(self.id) else self.label,
        )


@dataclass(frozen=True)
class Result:
    """All targets of one clip.

    Attributes:
        media: The clip.
        targets: By id, in the order they were given.
        problems: One line for each thing that could not be done.
        interrupted: Whether it was stopped before its end; what was finished is here.
        looked: Stretches of frames that were looked at, first and one behind the last of each; None where all were.
            Of others nobody knows what they show.
    """

    media: Media
    targets: Mapping[TargetId, TargetTrack]
    problems: tuple[str, ...] = ()
    interrupted: bool = False
    looked: tuple[tuple[int, int], ...] | None = None

    @property
    def frame_count(self) -> int:
        """Frames of the clip, or as many as are known to exist."""
        seen = max((int(track.frames[-1]) + 1 for track in self.targets.values() if len(track)), default=0)
        return max(seen, self.media.frames or 0)

    def looked_at(self, first: int = 0, stop: int | None = None) -> Iterator[int]:
        """Frames of a stretch that were looked at; of all where no stretch is given."""
        end = self.frame_count if stop is None else stop
        stretches = ((0, self.frame_count),) if self.looked is None else self.looked
        for place in range(bisect_right(stretches, first, key=itemgetter(1)), len(stretches)):
            begin, behind = stretches[place]
            if begin >= end:
                break
            yield from range(max(begin, first), min(behind, end))

    def rows(self) -> Iterator[tuple[int, float, dict[TargetId, Label]]]:
        """Frame, time in seconds and its labels, for each frame that has any."""
        place = dict.fromkeys(self.targets, 0)
        tracks = [track for track in self.targets.values() if len(track)]
        for frame in np.unique(np.concatenate([track.frames for track in tracks])).tolist() if tracks else []:
            labels: dict[TargetId, Label] = {}
            time_s = 0.0
            for track in tracks:
                row = place[track.id]
                if row < len(track) and track.frames[row] == frame:
                    labels[track.id], time_s = track.at(row), float(track.times[row])
                    place[track.id] = row + 1
            yield frame, time_s, labels

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Write a file or folder; see :func:`ostrack.results.save`."""
        from ostrack.results.formats import save

        save(self, path, format)

    def to_supervision(self) -> list[supervision.Detections]:
        """One ``supervision.Detections`` for each frame of the clip, empty where nothing was seen.

        ``confidence`` is the tracker's, its raw score where it has none. ``tracker_id`` counts targets from 1 in their
        order, ``class_id`` their labels from 0; ``data`` holds their ids under ``"target"``, labels under
        ``"class_name"`` and states under ``"state"``. Lost targets are left out.

        Raises:
            OSTrackError: The package supervision is not installed.
        """
        from ostrack.results.exchange import to_supervision

        return to_supervision(self)

    def suggest(self, count: int = 5) -> list[Suggestion]:
        """Frames where a drawn box would help most; see :func:`ostrack.results.doubt.suggest`."""
        from ostrack.results.doubt import suggest

        return suggest(self, count)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the clip and every row."""
        media = {**vars(self.media), "size": list(self.media.size)}
        rows = [
            {"time": round(time_s, 4), **label.to_dict()}
            for _, time_s, found in self.rows()
            for label in found.values()
        ]
        return {"media": media, "rows": rows, "problems": list(self.problems), "interrupted": self.interrupted}

    def text(self) -> str:
        """One line for people."""
        count = sum(map(len, self.targets.values()))
        states = [str(state) for track in self.targets.values() for state in track.states]
        doubtful, lost = states.count("uncertain"), states.count("lost")
        how = "interrupted with" if self.interrupted else "labelled"
        keys = sum(int(track.keyframes.sum()) for track in self.targets.values())
        return (
            f"{self.media.name}: {how} {count} boxes of {len(self.targets)} targets from {keys} drawn ones; "
            f"{doubtful} uncertain, {lost} lost"
        )


def label_of(id: TargetId) -> str:
    """The class of a target that nobody gave one: its name, or ``object`` for numbers."""
    return id if isinstance(id, str) else "object"
