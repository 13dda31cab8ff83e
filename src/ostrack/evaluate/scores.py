"""What scoring returns: figures, curves, and their breakdown by sequence and attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostrack.errors import EvaluationError
from ostrack.evaluate.intervals import Comparison, Estimator, Interval, bootstrap, compare_paired

__all__ = ["Curve", "Report", "Scores", "without_nan"]

Floats = NDArray[np.float64]


class Scores(Mapping[str, float]):
    """Named figures, read as ``scores.success`` or ``scores["success"]``."""

    def __init__(self, values: Mapping[str, float], owner: str = "these scores") -> None:
        self._values = dict(values)
        self._owner = owner

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> float:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"{self._owner} has no {name!r}, only {', '.join(self.__dict__.get('_values', ()))}")
        return self._values[name]

    def __repr__(self) -> str:
        return "Scores(" + ", ".join(f"{name}={value:.4f}" for name, value in self._values.items()) + ")"


@dataclass(frozen=True)
class Curve:
    """A figure over its threshold.

    Attributes:
        name: ``"success"``, ``"precision"``, ``"norm_precision"`` or ``"expected_overlap"``.
        thresholds: ``(K,)``.
        per_sequence: ``(S, K)``.
        weights: ``(S,)`` or ``(S, K)`` weight of a sequence in the mean.
    """

    name: str
    thresholds: Floats
    per_sequence: Floats
    weights: Floats

    @property
    def values(self) -> Floats:
        """``(K,)`` mean over sequences."""
        return self.mean()

    def mean(self, chosen: NDArray[np.bool_] | None = None) -> Floats:
        """``(K,)`` mean over the ``(S,)`` chosen sequences; all when not given."""
        weights = self.weights if self.weights.ndim == 2 else self.weights[:, None]
        if chosen is not None:
            weights = weights * chosen[:, None]
        total = weights.sum(0)
        return np.asarray((weights * self.per_sequence).sum(0) / np.where(total > 0, total, np.nan), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of one tracker on one set; ``report.success`` reads ``report.scores["success"]``.

    Attributes:
        protocol: Name of the protocol.
        scores: Figures over the whole set.
        per_sequence: Figures of each sequence.
        frames: Number of frames of each sequence.
        curves: Curves by name.
        primary: The figure that the benchmark ranks by.
        estimator: Computes the figures of any draw or choice of sequences.
        attributes: Attributes of each sequence, where known.
    """

    protocol: str
    scores: Scores
    per_sequence: dict[str, Scores]
    frames: dict[str, int]
    curves: dict[str, Curve]
    primary: str
    estimator: Estimator = field(repr=False)
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> float:
        if name.startswith("_"):
            raise AttributeError(name)
        scores: Scores = self.__dict__["scores"]
        if name not in scores:
            raise AttributeError(f"protocol {self.__dict__['protocol']!r} defines {', '.join(scores)}; not {name!r}")
        return scores[name]

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names in the order of ``curves[...].per_sequence``."""
        return tuple(self.per_sequence)

    def values(self, metric: str) -> Floats:
        """``(S,)`` values of one figure, one for each sequence; nan where a sequence says nothing about it."""
        return np.array([scores[metric] for scores in self.per_sequence.values()], dtype=np.float64)

    def intervals(self, level: float = 0.95, samples: int = 2000, seed: int = 0) -> dict[str, Interval]:
        """Bootstrap intervals over sequences, by figure."""
        return bootstrap(self.estimator, len(self.per_sequence), level, samples, seed)

    def by_attribute(self) -> dict[str, Scores]:
        """Figures over the sequences of each attribute, in alphabetical order."""
        names = sorted({name for found in self.attributes.values() for name in found})
        if not names:
            return {}
        rows = np.array([[float(name in self.attributes.get(seq, ())) for seq in self.per_sequence] for name in names])
        columns = self.estimator(rows)
        owner = f"protocol {self.protocol!r}"
        return {name: Scores({key: float(v[i]) for key, v in columns.items()}, owner) for i, name in enumerate(names)}

    def against(self, other: Report, metric: str | None = None, level: float = 0.95, seed: int = 0) -> Comparison:
        """Paired comparison with another tracker's report of the same sequences.

        Raises:
            EvaluationError: The reports are of different protocols or sequences.
        """
        metric = metric or self.primary
        if self.protocol != other.protocol:
            raise EvaluationError(f"cannot compare protocol {self.protocol!r} with {other.protocol!r}")
        if self.sequences != other.sequences:
            odd = sorted(set(self.sequences) ^ set(other.sequences))
            what = f"not in both: {', '.join(odd[:5])}" if odd else "in another order"
            raise EvaluationError(f"a paired comparison needs the same sequences in both reports; {what}")
        pair = [(report.estimator, report.values(metric)) for report in (self, other)]
        return compare_paired(metric, pair[0], pair[1], level=level, seed=seed)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON: figures, intervals, curves, sequences, attributes; None for nan."""
        plain: dict[str, object] = {
            "protocol": self.protocol,
            "primary": self.primary,
            "scores": dict(self.scores),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals().items()},
            "per_sequence": {
                name: {"frames": self.frames[name], **scores} for name, scores in self.per_sequence.items()
            },
            "per_attribute": {name: dict(scores) for name, scores in self.by_attribute().items()},
            "curves": {
                name: {"thresholds": curve.thresholds.tolist(), "values": curve.values.tolist()}
                for name, curve in self.curves.items()
            },
        }
        return {key: without_nan(value) for key, value in plain.items()}

    def table(self) -> str:
        """Figures with 95 % intervals as a Markdown table."""
        lines = ["| figure | value | 95 % interval |", "| --- | ---: | --- |"]
        for name, it in self.intervals().items():
            lines.append(f"| {name} | {it.value:.4f} | {it.low:.4f} to {it.high:.4f} |")
        return "\n".join(lines)


def without_nan(value: Any) -> Any:
    """The same nest of dicts, lists and numbers with None for nan, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
