"""Learn what a network's scores are worth, from labelled clips: frames with the target in sight, and without.

Each clip is followed from its first frame, by the network as it is. That alone would teach that nearly every box is
right, so each clip's target is also looked for where it is not: in its own frames with the target painted over, and in
other clips' frames, round their targets. Every figure told is by cross-validation over clips: a clip's frames are
judged by a calibration that has not seen its target; its frames may have been negatives of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.calibration import FEATURES, Calibration, calibration_error, features, fit
from ostrack.checks import Box, Frame
from ostrack.data.sequence import Sequence as LabelledClip
from ostrack.errors import DataError, NetworkError
from ostrack.looking import Gaze, Look
from ostrack.network import Network
from ostrack.recovery import Sighting
from ostrack.runtimes import FloatArray

__all__ = ["Observations", "Reliability", "error_of", "learn", "observe", "paint_over"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_LEAST_CLIPS = 3
# Frames followed in a clip, and in each of its episodes without a target. Negatives are then about a third of all.
_FOLLOWED = 60
_WITHOUT = 5
_OTHERS = 3
# Painted beyond the box, over its size: labels often cut off the rim of what they mean.
_RIM = 0.15
_RIGHT = 0.5
# The score alone always takes part; the others where they help on clips that the fit did not see.
_SUBSETS = ((0,), (0, 1), (0, 2), (0, 1, 2))


@dataclass(frozen=True)
class Observations:
    """What a network showed, frame by frame.

    Attributes:
        evidence: ``(N, F)`` features, see :data:`ostrack.calibration.FEATURES`.
        right: ``(N,)`` whether the box overlapped the target by more than half.
        present: ``(N,)`` whether the target was in the frame.
        clip: ``(N,)`` int64, number of the clip that the template came from.
        names: The clips.
    """

    evidence: Floats
    right: Bools
    present: Bools
    clip: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Reliability:
    """A calibration, and how it fared on clips that it had not seen.

    Attributes:
        calibration: Learnt from all clips.
        confidence: ``(N,)`` of each frame, by a calibration that has not seen its clip.
        right: ``(N,)`` whether the box was right.
        present: ``(N,)`` whether the target was in the frame.
        raw_error: Expected calibration error of the raw score, for comparison.
    """

    calibration: Calibration
    confidence: Floats
    right: Bools
    present: Bools
    raw_error: float

    def text(self) -> str:
        """Figures for people."""
        used = [name for name, weight in zip(FEATURES, self.calibration.weights, strict=True) if weight]
        sure = self.confidence >= 0.5
        kept = f"{self.right[sure].mean():.0%}" if sure.any() else "none"
        lines = [
            f"{self.calibration.frames} frames of {self.calibration.clips} clips, "
            f"{self.right.mean():.0%} with a right box; learnt from {', '.join(used)}",
            f"expected calibration error {self.calibration.error:.3f} on clips left out "
            f"(the raw score: {self.raw_error:.3f})",
            f"boxes with confidence over a half: {kept} are right",
        ]
        if not self.present.all():
            claimed = (self.confidence[~self.present] >= 0.5).mean()
            lines.append(f"frames without the target: {claimed:.0%} have a confidence over a half")
        return "\n".join(lines)


def observe(
    network: Network, clips: Sequence[LabelledClip], progress: Callable[[int, int], None] | None = None
) -> Observations:
    """Run a network over clips, with and without their targets.

    Args:
        network: The network; its own calibration, if any, plays no part.
        clips: At least three, each with a labelled first frame.
        progress: Called with the clips done and all clips.

    Raises:
        DataError: Too few clips, or a clip without a first box.
        NetworkError: The network's head gives no score.
    """
    if len(clips) < _LEAST_CLIPS:
        raise DataError(f"{len(clips)} clips: a calibration needs at least {_LEAST_CLIPS}, of different things")
    gaze, chance = Gaze(network), np.random.default_rng(0)
    evidence, right, present, owner = [], [], [], []
    for number, clip in enumerate(clips):
        if not np.isfinite(clip.boxes[0]).all():
            raise DataError(f"{clip.name}: its first frame has no box")
        tokens = gaze.embed(clip.frames[0], _box(clip, 0)).tokens
        rest = [index for index in range(len(clips)) if index != number]
        others = chance.choice(rest, min(_OTHERS, len(rest)), replace=False)
        for episode in (_followed(clip), _covered(clip, chance), *(_crossed(clips[k], chance) for k in others)):
            for found, truth in _watch(gaze, tokens, episode):
                if np.isnan(found.score):
                    raise NetworkError(f"{network.name}: its head gives no score, so there is nothing to calibrate")
                evidence.append((found.score, found.windowed, found.rival))
                right.append(bool(np.nan_to_num(iou_xywh(found.box, truth)) > _RIGHT))
                present.append(bool(np.isfinite(truth).all()))
                owner.append(number)
        if progress is not None:
            progress(number + 1, len(clips))
    columns = np.array(evidence, dtype=np.float64).T
    names = tuple(clip.name for clip in clips)
    return Observations(features(*columns), np.array(right), np.array(present), np.array(owner), names)


def learn(seen: Observations) -> Reliability:
    """Fit a calibration, and judge it by clips left out, the choice of features included.

    Raises:
        DataError: Too few clips have right boxes, or wrong ones.
    """
    for kind, boxes in (("right", seen.right), ("wrong", ~seen.right)):
        # Two clips at a time are left out.
        if (clips := len(np.unique(seen.clip[boxes]))) < _LEAST_CLIPS:
            raise DataError(
                f"{int(boxes.sum())} of {len(boxes)} boxes are {kind}, in {clips} of {len(seen.names)} clips; expected "
                f"some in {_LEAST_CLIPS} clips or more"
            )
    known = np.asarray(np.isfinite(seen.evidence).all(0))
    subsets = [subset for subset in _SUBSETS if known[list(subset)].all()]
    everything = np.ones(len(seen.right), dtype=np.bool_)
    sure = np.empty(len(seen.right))
    for number in np.unique(seen.clip):
        inside = seen.clip != number
        weights, bias = _fit(seen, _best_subset(seen, subsets, inside), inside)
        sure[~inside] = _probability(seen, weights, bias)[~inside]
    weights, bias = _fit(seen, _best_subset(seen, subsets, everything), everything)
    calibration = Calibration(
        weights=tuple(weights.tolist()),
        bias=bias,
        error=round(calibration_error(sure, seen.right), 4),
        clips=len(seen.names),
        frames=len(seen.right),
    )
    raw = 1 / (1 + np.exp(-seen.evidence[:, 0]))
    return Reliability(calibration, sure, seen.right, seen.present, calibration_error(raw, seen.right))


def error_of(calibration: Calibration, seen: Observations) -> float:
    """Expected calibration error, on these frames, of a calibration learnt elsewhere."""
    sure = _probability(seen, np.array(calibration.weights), calibration.bias)
    return calibration_error(sure, seen.right)


def paint_over(frame: Frame, box_xywh: Floats) -> Frame:
    """The frame without what is in the box, filled in from around it.

    Args:
        frame: ``(H, W, 3)`` uint8.
        box_xywh: ``(4,)`` in pixels.
    """
    height, width = frame.shape[:2]
    x, y, w, h = box_xywh.tolist()
    left, top = int(max(0, x - _RIM * w)), int(max(0, y - _RIM * h))
    right, bottom = int(min(width, x + (1 + _RIM) * w)), int(min(height, y + (1 + _RIM) * h))
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = 255
    return np.asarray(cv2.inpaint(np.ascontiguousarray(frame), mask, 3, cv2.INPAINT_TELEA), np.uint8)


_Episode: TypeAlias = Iterator[tuple[Frame, Box, Floats]]
"""Frames, each with the box to look round if it is the first, and the target's box; nan where it is absent."""


def _followed(clip: LabelledClip) -> _Episode:
    for index in range(1, min(len(clip), _FOLLOWED + 1)):
        yield clip.frames[index], _box(clip, 0), clip.boxes[index]


def _covered(clip: LabelledClip, chance: np.random.Generator) -> _Episode:
    labelled = np.flatnonzero(np.isfinite(clip.boxes).all(-1))
    start = int(chance.integers(0, max(1, len(labelled) - _WITHOUT)))
    for index in labelled[start : start + _WITHOUT].tolist():
        yield paint_over(clip.frames[index], clip.boxes[index]), _box(clip, index), np.full(4, np.nan)


def _crossed(other: LabelledClip, chance: np.random.Generator) -> _Episode:
    labelled = np.flatnonzero(np.isfinite(other.boxes).all(-1))
    start = int(chance.integers(0, max(1, len(labelled) - _WITHOUT)))
    for index in labelled[start : start + _WITHOUT].tolist():
        yield other.frames[index], _box(other, index), np.full(4, np.nan)


def _watch(gaze: Gaze, tokens: FloatArray, episode: _Episode) -> Iterator[tuple[Sighting, Floats]]:
    """Follow through an episode as a plain tracker does."""
    box: Box | None = None
    for frame, start, truth in episode:
        look = Look(start if box is None else box, gaze.network.config.search_factor, 1.0)
        (found,) = gaze(frame, [look], tokens).sightings()
        box = found.box
        yield found, truth


def _box(clip: LabelledClip, index: int) -> Box:
    x, y, w, h = clip.boxes[index].tolist()
    return x, y, w, h


def _fit(seen: Observations, subset: tuple[int, ...], inside: Bools) -> tuple[Floats, float]:
    """Weights of all features, 0 for those outside the subset."""
    weights = np.zeros(len(FEATURES))
    weights[list(subset)], bias = fit(seen.evidence[inside][:, subset], seen.right[inside])
    return weights, bias


def _probability(seen: Observations, weights: Floats, bias: float) -> Floats:
    used = np.flatnonzero(weights)
    return np.asarray(1 / (1 + np.exp(-(seen.evidence[:, used] @ weights[used] + bias))), dtype=np.float64)


def _best_subset(seen: Observations, subsets: Sequence[tuple[int, ...]], inside: Bools) -> tuple[int, ...]:
    """Features with the least surprise at clips that the fit did not see; more of them only where that is clear.

    Clear means by more than one standard error over clips: with few of them, a richer fit is better by chance.
    """
    clips = np.unique(seen.clip[inside])
    losses = np.empty((len(subsets), len(clips)))
    for row, subset in zip(losses, subsets, strict=True):
        for column, number in enumerate(clips):
            out = inside & (seen.clip == number)
            p = _probability(seen, *_fit(seen, subset, inside & ~out))[out]
            row[column] = -np.log(np.where(seen.right[out], p, 1 - p) + 1e-9).mean()
    best = 0
    for index in range(1, len(subsets)):
        gain = losses[best] - losses[index]
        if gain.mean() > gain.std(ddof=1) / np.sqrt(len(clips)):
            best = index
    return subsets[best]
