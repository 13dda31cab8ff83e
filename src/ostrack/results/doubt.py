"""Where a person should look next: the frames in which a result is least to be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostrack.results.table import Result, TargetTrack

if TYPE_CHECKING:
    from ostrack.tracker import TargetId

__all__ = ["Suggestion", "suggest"]

_DOUBTFUL = 0.5


@dataclass(frozen=True)
class Suggestion:
    """A frame that is worth a drawn box.

    Attributes:
        id: The target.
        frame: Where to look.
        first: First frame of the doubtful stretch round it.
        last: Its last frame.
        doubt: Sum over the stretch of each frame's doubt: about how many frames a box here may mend.
        reason: One line for people.
    """

    id: TargetId
    frame: int
    first: int
    last: int
    doubt: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self)}


def suggest(result: Result, count: int = 5) -> list[Suggestion]:
    """The frames where a key frame helps most, the most doubtful stretch first.

    A frame's doubt is how far the passes forward and backward lie apart, one less their IoU; where one pass alone had
    a say, a half for an uncertain frame and one for a lost one. Neighbouring frames of doubt above a half make a
    stretch, of which the middle of the worst part is named. Where no stretch is that bad, single frames follow, worst
    first, a twentieth of the clip apart at least.

    Args:
        result: What :func:`ostrack.annotate` gave.
        count: How many at most.

    Raises:
        ValueError: ``count`` is less than 1.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
    stretches = [found for track in result.targets.values() for found in _stretches(track)]
    stretches.sort(key=lambda found: -found.doubt)
    apart = max(1, result.frame_count // 20)
    for found in sorted(_singles(result), key=lambda single: -single.doubt):
        if len(stretches) >= count:
            break
        if all(found.id != other.id or _distance(found.frame, other) >= apart for other in stretches):
            stretches.append(found)
    return stretches[:count]


def _distance(frame: int, other: Suggestion) -> int:
    return max(other.first - frame, frame - other.last, 0)


def _doubts(track: TargetTrack) -> NDArray[np.float64]:
    alone = np.select([track.states == "lost", track.states == "uncertain"], [1.0, _DOUBTFUL], 0.0)
    doubts = np.where(np.isnan(track.agreement), alone, 1 - track.agreement)
    return np.where(track.keyframes, 0.0, doubts)


def _stretches(track: TargetTrack) -> Iterator[Suggestion]:
    doubts = _doubts(track)
    bad = np.flatnonzero(doubts >= _DOUBTFUL)
    if not len(bad):
        return
    broken = (np.diff(bad) > 1) | (np.diff(track.frames[bad]) > 1)
    for rows in np.split(bad, np.flatnonzero(broken) + 1):
        worst = rows[doubts[rows] >= doubts[rows].max() - 0.05]
        yield _suggestion(track, int(worst[len(worst) // 2]), rows, float(doubts[rows].sum()))


def _singles(result: Result) -> Iterator[Suggestion]:
    for track in result.targets.values():
        doubts = _doubts(track)
        for row in np.flatnonzero((doubts > 0.1) & (doubts < _DOUBTFUL)).tolist():
            yield _suggestion(track, row, np.array([row]), float(doubts[row]))


def _suggestion(track: TargetTrack, row: int, rows: NDArray[np.int64], doubt: float) -> Suggestion:
    first, last = int(track.frames[rows[0]]), int(track.frames[rows[-1]])
    agreement, state = float(track.agreement[row]), track.states[row].item()
    why = f"the target is {state}" if np.isnan(agreement) else f"forward and backward overlap by {agreement:.2f} only"
    where = f"frames {first} to {last}" if last > first else "this frame"
    return Suggestion(track.id, int(track.frames[row]), first, last, doubt, f"{why}; doubtful: {where}")
