"""VOT's supervised protocol: restart after failures; expected average overlap, accuracy, robustness.

A run has one entry a frame: a box or polygon, or a code: 1 started here, 2 failed here (overlap 0), 0 skipped. The
tracker is started again ``skip`` = 5 frames after a failure. Regions are rectangles or polygons, compared exactly
inside the image (the official code draws them into pixels first, which moves the expected overlap by about .001).

* accuracy: mean overlap over the frames of all sequences, without the 10 frames from each start on (burn-in);
* robustness: failures per 100 frames; ``failures`` is their number;
* expected average overlap: a run falls into fragments, each from a start to a failure or to the end. The expected
  overlap at length ``n`` is the mean over fragments of the mean overlap of frames 2 to ``n``; a fragment that ended in
  failure counts at every length, filled with zeros, one that the clip's end cut off only up to its own length. The
  figure is its mean over the lengths 100 to 356 (VOT2016 to 2018; 46 to 291 in VOT2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.data.sequence import Sequence as Clip
from ostrack.errors import EvaluationError
from ostrack.evaluate.polygons import region_iou
from ostrack.evaluate.scores import Curve, Report, Scores

__all__ = ["FAILED", "SKIPPED", "STARTED", "TRACKED", "SupervisedRun", "VotSums", "VotTruth", "score_vot", "vot_truth"]

Floats = NDArray[np.float64]
SKIPPED, STARTED, FAILED, TRACKED = 0, 1, 2, -1


@dataclass(frozen=True)
class SupervisedRun:
    """One run of a tracker over one sequence under supervision.

    Attributes:
        regions: ``(N, 4)`` xywh or ``(N, 2 * K)`` polygons; nan where there is only a code.
        codes: ``(N,)`` int: -1 tracked, 1 started, 2 failed, 0 skipped.
    """

    regions: Floats
    codes: NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: Sequence[ArrayLike], name: str = "run") -> SupervisedRun:
        """From one entry a frame: one number is a code, four or an even number from six are a region.

        Raises:
            EvaluationError: An entry is neither; or the first is no start. Frames are counted from 0.
        """
        entries = [np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in rows]
        widths = {len(entry) for entry in entries if len(entry) > 1}
        if len(widths) > 1 or any(width < 4 or width % 2 for width in widths):
            raise EvaluationError(f"{name}: entries are a code, 4 numbers or a polygon, got {sorted(widths)} numbers")
        codes = np.full(len(entries), TRACKED, dtype=np.int64)
        regions = np.full((len(entries), widths.pop() if widths else 4), np.nan)
        for frame, entry in enumerate(entries):
            if len(entry) > 1:
                regions[frame] = entry
            elif entry[0] in (SKIPPED, STARTED, FAILED):
                codes[frame] = int(entry[0])
            else:
                raise EvaluationError(f"{name}: frame {frame} has code {entry[0]:g}; expected 0, 1, 2 or a region")
        if not len(codes) or codes[0] != STARTED:
            raise EvaluationError(f"{name}: a supervised run begins with code 1 (started)")
        return cls(regions, codes)

    @property
    def fragments(self) -> list[tuple[int, int, bool]]:
        """Start, end (not included) and whether it failed there, of each stretch of tracking."""
        starts = np.flatnonzero(self.codes == STARTED).tolist()
        failures = np.flatnonzero(self.codes == FAILED).tolist()
        out = []
        for index, start in enumerate(starts):
            limit = starts[index + 1] if index + 1 < len(starts) else len(self.codes)
            failed = next((frame for frame in failures if start <= frame < limit), None)
            out.append((start, limit if failed is None else failed, failed is not None))
        return out


@dataclass(frozen=True)
class VotSums:
    """Estimator of the VOT figures: all are ratios of sums over sequences.

    Attributes:
        overlap: ``(S,)`` sum of overlaps after burn-in.
        counted: ``(S,)`` number of those frames.
        failures: ``(S,)``.
        frames: ``(S,)``.
        expected: ``(S, K)`` sum over fragments of their mean overlap up to each length of the interval.
        alive: ``(S, K)`` number of fragments that count at each length.
    """

    overlap: Floats
    counted: Floats
    failures: Floats
    frames: Floats
    expected: Floats
    alive: Floats

    def __call__(self, multiplicity: Floats) -> dict[str, Floats]:
        """Figures of each draw of sequences; nan where a draw holds nothing to compute them from."""
        counted, alive = multiplicity @ self.counted, multiplicity @ self.alive
        curve = (multiplicity @ self.expected) / np.where(alive > 0, alive, np.nan)
        known = np.isfinite(curve)
        lengths = known.sum(-1)
        failures, frames = multiplicity @ self.failures, multiplicity @ self.frames
        return {
            "eao": np.where(known, curve, 0.0).sum(-1) / np.where(lengths > 0, lengths, np.nan),
            "accuracy": (multiplicity @ self.overlap) / np.where(counted > 0, counted, np.nan),
            "robustness": 100 * failures / np.where(frames > 0, frames, np.nan),
            "failures": failures,
        }


def _fragment_sums(run: SupervisedRun, overlap: Floats, length: int) -> tuple[Floats, Floats]:
    """``(length,)`` sum of mean overlaps and number of fragments at lengths 1, 2, ... ``length``."""
    total, alive = np.zeros(length), np.zeros(length)
    for start, end, failed in run.fragments:
        row = np.zeros(length)
        part = np.nan_to_num(overlap[start:end])[:length]
        row[: len(part)] = part
        # The frame of the start is given, so the mean at length n is over frames 2 to n.
        mean = np.append(0.0, np.cumsum(row[1:]) / np.arange(1, length))
        lasts = length if failed else min(end - start, length)
        total[:lasts] += mean[:lasts]
        alive[:lasts] += 1
    return total, alive


def score_vot(
    results: Mapping[str, SupervisedRun | Sequence[ArrayLike] | Sequence[SupervisedRun]],
    truth: Mapping[str, ArrayLike],
    sizes: Mapping[str, tuple[int, int]] | None = None,
    *,
    interval: tuple[int, int] = (100, 356),
    burn_in: int = 10,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
) -> Report:
    """Score supervised runs.

    Args:
        results: By sequence, a run, its rows (see :meth:`SupervisedRun.from_rows`), or several runs of a tracker that
            is not deterministic; they share the weight of one.
        truth: ``(N, 4)`` xywh or ``(N, 8)`` polygons by sequence.
        sizes: Width and height of the frames; without them regions are not clipped to the image.
        interval: First and last fragment length of the expected average overlap.
        burn_in: Frames from each start that accuracy leaves out.
        attributes: Names by sequence, for the breakdown.

    Returns:
        Figures ``eao``, ``accuracy``, ``robustness``, ``failures``; the curve ``expected_overlap``.

    Raises:
        EvaluationError: A sequence is missing, or has another number of frames than its ground truth.
    """
    missing = [name for name in truth if name not in results]
    if missing or not truth:
        raise EvaluationError(f"results lack {len(missing)} of {len(truth)} sequences: {', '.join(missing[:5])}")
    columns: dict[str, list[float]] = {"overlap": [], "counted": [], "failures": [], "frames": []}
    expected, alive = [], []
    for name, regions in truth.items():
        target = np.asarray(regions, dtype=np.float64)
        sums = np.zeros(4)
        curves = np.zeros((2, interval[1]))
        runs = _runs(results[name], name)
        for run in runs:
            if len(run.codes) != len(target):
                raise EvaluationError(f"{name}: {len(run.codes)} results for {len(target)} frames of ground truth")
            # VOT's image reaches from the centre of its first pixel to that of its last, hence one less.
            bounds = (sizes[name][0] - 1, sizes[name][1] - 1) if sizes and name in sizes else None
            overlap = region_iou(run.regions, target, bounds)
            counted = run.codes == TRACKED
            for start in np.flatnonzero(run.codes == STARTED):
                counted[start : start + burn_in] = False
            counted &= np.isfinite(overlap)
            sums += [overlap[counted].sum(), counted.sum(), (run.codes == FAILED).sum(), len(target)]
            curves += _fragment_sums(run, overlap, interval[1])
        for key, value in zip(columns, sums / len(runs), strict=True):
            columns[key].append(value)
        expected.append(curves[0] / len(runs))
        alive.append(curves[1] / len(runs))
    lengths = slice(interval[0] - 1, interval[1])
    total, count = np.stack(expected), np.stack(alive)
    column = {key: np.array(values) for key, values in columns.items()}
    estimator = VotSums(expected=total[:, lengths], alive=count[:, lengths], **column)
    overall = {name: float(value[0]) for name, value in estimator(np.ones((1, len(truth)))).items()}
    each = estimator(np.eye(len(truth)))
    owner = "protocol 'vot'"
    mean = total / np.where(count > 0, count, 1.0)
    return Report(
        protocol="vot",
        scores=Scores(overall, owner),
        per_sequence={
            name: Scores({key: float(column[i]) for key, column in each.items()}, owner) for i, name in enumerate(truth)
        },
        frames={name: len(np.asarray(regions)) for name, regions in truth.items()},
        curves={"expected_overlap": Curve("expected_overlap", np.arange(1.0, interval[1] + 1), mean, count)},
        primary="eao",
        estimator=estimator,
        attributes={name: tuple(names) for name, names in (attributes or {}).items()},
    )


@dataclass(frozen=True)
class VotTruth:
    """Ground truth for :func:`score_vot`, by sequence.

    Attributes:
        regions: ``(N, 4)`` xywh or ``(N, 8)`` polygons.
        sizes: Width and height of the frames.
        attributes: Names of the challenges that a sequence shows.
    """

    regions: dict[str, Floats]
    sizes: dict[str, tuple[int, int]]
    attributes: dict[str, tuple[str, ...]]


def vot_truth(sequences: Iterable[Clip]) -> VotTruth:
    """Ground truth of sequences: their polygons, or boxes where they have none; reads each first frame for its size."""
    truth = VotTruth({}, {}, {})
    for clip in sequences:
        height, width = clip.frames[0].shape[:2]
        truth.regions[clip.name] = clip.boxes if clip.region is None else clip.region
        truth.sizes[clip.name] = (width, height)
        truth.attributes[clip.name] = clip.attributes
    return truth


def _runs(value: SupervisedRun | Sequence[ArrayLike] | Sequence[SupervisedRun], name: str) -> list[SupervisedRun]:
    if isinstance(value, SupervisedRun):
        return [value]
    runs = [item for item in value if isinstance(item, SupervisedRun)]
    if runs:
        return runs
    return [SupervisedRun.from_rows([item for item in value if not isinstance(item, SupervisedRun)], name)]
