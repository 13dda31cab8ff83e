"""Several trackers on one set, side by side: the numbers behind a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError
from ostrack.evaluate.files import find_result, read_confidences, read_results, read_run, read_times
from ostrack.evaluate.intervals import Comparison
from ostrack.evaluate.presence import call_absent
from ostrack.evaluate.protocols import PER_SEQUENCE
from ostrack.evaluate.scores import Report, without_nan
from ostrack.evaluate.scoring import score
from ostrack.evaluate.truth import truth_of
from ostrack.evaluate.vot import FAILED, TRACKED, SupervisedRun, score_vot, vot_truth

__all__ = ["NAMES", "Study", "study"]

Floats = NDArray[np.float64]

NAMES = {
    "success": "Success AUC", "precision": "Precision", "norm_precision": "Norm. precision", "op50": "OP50",
    "op75": "OP75", "ao": "AO", "sr50": "SR50", "sr75": "SR75", "eao": "EAO", "accuracy": "Accuracy",
    "robustness": "Failures / 100 frames", "failures": "Failures", "recall": "Recall", "f": "F", "overlap": "Overlap",
    "precision_20px": "Precision at 20 px", "norm_precision_20": "Norm. precision at 0.2",
}  # fmt: skip
"""Names of figures for people."""


@dataclass(frozen=True)
class Study:
    """Trackers on the same sequences.

    Attributes:
        dataset: Name of the set.
        protocol: Name of the protocol.
        reports: Scores by tracker, the best first.
        fps: Frames a second by tracker, where times are known.
        results: Boxes by tracker and sequence in the benchmark's own pixels; empty for supervised runs.
        notes: Lines on how it was made.
    """

    dataset: str
    protocol: str
    reports: dict[str, Report]
    fps: dict[str, float] = field(default_factory=dict)
    results: dict[str, dict[str, Floats]] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Report:
        """The best tracker's report."""
        return next(iter(self.reports.values()))

    @property
    def metrics(self) -> list[str]:
        """Names of the figures."""
        return list(self.first.scores)

    def pairs(self) -> dict[tuple[str, str], Comparison]:
        """Paired comparisons by the primary figure, of each tracker with each one below it."""
        named = self.reports
        return {(a, b): named[a].against(named[b]) for a, b in combinations(named, 2)}

    def worst(self, count: int) -> list[str]:
        """Sequences with the lowest primary figure, averaged over trackers; a lower place breaks ties."""
        metric = self.first.primary
        values = np.stack([report.values(metric) for report in self.reports.values()])
        order = np.argsort(np.nan_to_num(values, nan=1.0).mean(0), kind="stable")
        return [self.first.sequences[index] for index in order[:count].tolist()]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol,
            "primary": self.first.primary,
            "trackers": {
                name: {**report.to_dict(), "fps": self.fps.get(name)} for name, report in self.reports.items()
            },
            "pairs": [{"a": a, "b": b, **without_nan(found.to_dict())} for (a, b), found in self.pairs().items()],
            "notes": list(self.notes),
        }


def study(
    folders: Mapping[str, Path],
    sequences: Iterable[Sequence],
    protocol: str,
    dataset: str = "",
    absent: bool = False,
    absent_below: float = 0.5,
) -> Study:
    """Score several folders of results.

    Args:
        folders: Results by the name of their tracker.
        sequences: The set.
        protocol: One of :data:`ostrack.evaluate.PROTOCOLS`.
        dataset: Name of the set for the report.
        absent: Whether results of nan are allowed; they miss.
        absent_below: For ``presence``: confidence below which a tracker that writes its confidences says "absent".
            Rows of nan say so in any case.

    Raises:
        EvaluationError: Results do not fit the set; the message names file and line.
    """
    clips = list(sequences)
    if not folders or not clips:
        raise EvaluationError(f"nothing to compare: {len(folders)} folders of results, {len(clips)} sequences")
    lengths = {clip.name: len(clip) for clip in clips}
    reports: dict[str, Report] = {}
    results: dict[str, dict[str, Floats]] = {}
    fps: dict[str, float] = {}
    supervised = protocol == "vot"
    truth = truth_of(clips, sizes=protocol == "got10k")
    regions = vot_truth(clips) if supervised else None
    rule = PER_SEQUENCE.get(protocol)
    runs: dict[str, SupervisedRun] = {}
    for name, folder in folders.items():
        base = folder / "baseline" if supervised else folder
        if regions is not None:
            runs = {}
            for sequence in lengths:
                path = find_result(base, sequence)
                if path is None:
                    raise EvaluationError(f"{base}: no supervised run of {sequence}")
                runs[sequence] = read_run(path)
            reports[name] = score_vot(runs, regions.regions, regions.sizes, attributes=regions.attributes)
        else:
            nan = absent or protocol == "presence"
            results[name] = read_results(folder, lengths, nan, rule is not None and rule.longer_allowed)
            if protocol == "presence":
                sure = read_confidences(folder, lengths)
                results[name] |= call_absent({clip: results[name][clip] for clip in sure}, sure, absent_below)
            reports[name] = score(results[name], truth, protocol, absent="miss" if nan else "refuse")
        times = read_times(base, lengths)
        updates = [column[1:] for column in times.values()]
        if regions is not None:
            # Between a failure and the next start nothing is run.
            updates = [column[np.isin(runs[clip].codes, (TRACKED, FAILED))] for clip, column in times.items()]
        spent = sum(float(column.sum()) for column in updates)
        if spent > 0:
            fps[name] = sum(map(len, updates)) / spent
    order = sorted(reports, key=lambda name: -np.nan_to_num(reports[name].scores[reports[name].primary]))
    return Study(
        dataset or clips[0].dataset,
        protocol,
        {name: reports[name] for name in order},
        {name: fps[name] for name in order if name in fps},
        {name: results[name] for name in order if name in results},
        (f"Absent: rows of nan, and frames with a confidence below {absent_below:g}.",) * (protocol == "presence"),
    )
