"""Who noticed that the target is gone: precision, recall and F of saying "absent".

A result row of nan says that the target is absent on that frame; the ground truth says so by nan as well. Frames of
all sequences are pooled. Precision: of the frames called absent, how many are. Recall: of the absent frames, how many
were called so. F is their harmonic mean. ``overlap`` is the mean IoU on frames where the target is there (0 where the
tracker denies it), so a tracker that cries "absent" all the time pays for it. The first frame is given, hence left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.boxes import iou_xywh
from ostrack.errors import EvaluationError
from ostrack.evaluate.frames import any_nan
from ostrack.evaluate.scores import Report, Scores
from ostrack.evaluate.truth import Truth

__all__ = ["PresenceCounts", "call_absent", "score_presence", "threshold_for_f"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PresenceCounts:
    """Estimator of the presence figures.

    Attributes:
        right: ``(S,)`` frames called absent that are.
        called: ``(S,)`` frames called absent.
        absent: ``(S,)`` absent frames.
        overlap: ``(S,)`` sum of overlaps on frames with a target.
        present: ``(S,)`` frames with a target.
    """

    right: Floats
    called: Floats
    absent: Floats
    overlap: Floats
    present: Floats

    def __call__(self, multiplicity: Floats) -> dict[str, Floats]:
        """Figures of each draw of sequences; nan where they are not defined (nothing called, nothing absent)."""
        right, called, absent, overlap, present = (
            multiplicity @ counts for counts in (self.right, self.called, self.absent, self.overlap, self.present)
        )
        return {
            "precision": _ratio(right, called),
            "recall": _ratio(right, absent),
            "f": _ratio(2 * right, called + absent),
            "overlap": _ratio(overlap, present),
        }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.asarray(part / np.where(whole > 0, whole, np.nan), dtype=np.float64)


def score_presence(results: dict[str, Floats], truth: Truth) -> Report:
    """Score who noticed absence.

    Args:
        results: ``(N, 4)`` xywh by sequence; nan rows say "absent".
        truth: Ground truth.

    Returns:
        Figures ``precision``, ``recall``, ``f`` and ``overlap``; per sequence nan where not defined.
    """
    rows = []
    for name, boxes in truth.boxes.items():
        present = ~any_nan(boxes)
        if name in truth.visible:
            present &= truth.visible[name]
        absent, called = ~present[1:], any_nan(results[name])[1:]
        overlap = np.nan_to_num(iou_xywh(results[name], boxes))[1:]
        counts = [(absent & called).sum(), called.sum(), absent.sum(), overlap[~absent].sum(), (~absent).sum()]
        rows.append(np.array(counts, dtype=np.float64))
    estimator = PresenceCounts(*np.stack(rows, -1))
    overall = {name: float(value[0]) for name, value in estimator(np.ones((1, len(rows)))).items()}
    each = estimator(np.eye(len(rows)))
    owner = "protocol 'presence'"
    return Report(
        protocol="presence",
        scores=Scores(overall, owner),
        per_sequence={
            name: Scores({key: float(column[i]) for key, column in each.items()}, owner)
            for i, name in enumerate(truth.boxes)
        },
        frames={name: len(boxes) for name, boxes in truth.boxes.items()},
        curves={},
        primary="f",
        estimator=estimator,
        attributes=truth.attributes,
    )


def call_absent(
    results: Mapping[str, ArrayLike], confidence: Mapping[str, ArrayLike], threshold: float
) -> dict[str, Floats]:
    """Turn boxes with confidences into results that say "absent" below a threshold.

    Args:
        results: ``(N, 4)`` xywh by sequence.
        confidence: ``(N,)`` by sequence.
        threshold: Frames with a lower confidence become nan; the first frame is given and stays.

    Raises:
        EvaluationError: A sequence has no confidences, or not as many as boxes.
    """
    out = {}
    for name, boxes in results.items():
        if name not in confidence:
            raise EvaluationError(f"{name}: there are boxes but no confidences")
        rows, sure = np.array(boxes, dtype=np.float64), np.asarray(confidence[name], dtype=np.float64)
        if sure.shape != (len(rows),):
            raise EvaluationError(f"{name}: {len(rows)} boxes need as many confidences, got shape {sure.shape}")
        low = sure < threshold
        low[:1] = False
        rows[low] = np.nan
        out[name] = rows
    return out


def threshold_for_f(confidence: Mapping[str, ArrayLike], absent: Mapping[str, ArrayLike]) -> tuple[float, float]:
    """The threshold on a confidence that gives the best F of saying "absent", and that F.

    Args:
        confidence: ``(N,)`` by sequence.
        absent: ``(N,)`` bool by sequence.

    Raises:
        EvaluationError: No frame is absent, so no threshold is better than another.
    """
    scores = np.concatenate([np.asarray(confidence[name], dtype=np.float64)[1:] for name in absent])
    gone = np.concatenate([np.asarray(value, dtype=bool)[1:] for value in absent.values()])
    if not gone.any():
        raise EvaluationError("no frame of the ground truth is absent: F is not defined")
    order = np.argsort(scores, kind="stable")
    ordered, right = scores[order], np.cumsum(gone[order])
    f = 2 * right / (np.arange(1, len(order) + 1) + gone.sum())
    # Equal confidences fall on the same side: only the last of a run of equals is a possible cut.
    last = np.append(ordered[1:] != ordered[:-1], True)
    best = int(np.argmax(np.where(last, f, -1.0)))
    above = ordered[best + 1] if best + 1 < len(ordered) else np.nextafter(ordered[best], np.inf)
    return float((ordered[best] + above) / 2 if above > ordered[best] else above), float(f[best])
