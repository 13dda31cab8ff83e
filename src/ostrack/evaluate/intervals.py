"""How sure a figure is: bootstrap over sequences, and paired comparison of two trackers.

Sequences, not frames, are what a benchmark draws at random: the frames of one clip fail together. So the bootstrap
draws whole sequences with replacement. A draw is a row of multiplicities (how often each sequence was drawn), and
every protocol here can compute its figures from such a row: a mean is a weighted mean, pooled frames are a ratio of
sums, an expected overlap is a ratio of summed curves. One matrix product then serves thousands of draws, and the same
call with a row of zeros and ones gives the figure of an attribute's sequences.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Comparison", "Estimator", "Interval", "WeightedMean", "bootstrap", "compare_paired", "draw"]

Floats = NDArray[np.float64]
Estimator = Callable[[Floats], dict[str, Floats]]
"""Maps ``(B, S)`` multiplicities of ``S`` sequences to ``(B,)`` values of each figure."""

_SAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure between two bounds.

    Attributes:
        value: The figure itself.
        low: Lower bound.
        high: Upper bound.
        level: Share of bootstrap draws between the bounds.
    """

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        """The same of a difference, signs shown."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    def to_dict(self) -> dict[str, float]:
        """Plain numbers for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}


@dataclass(frozen=True)
class Comparison:
    """Tracker A minus tracker B on the same sequences.

    Attributes:
        metric: Name of the figure.
        difference: A minus B, with its bootstrap interval.
        chance_better: Share of draws in which A is better than B; ties count half.
        p_value: Two-sided sign-flip permutation test on the per-sequence differences; nan for figures that are no
            mean of sequences.
        wins: Sequences on which A is better.
        losses: Sequences on which B is better.
        ties: Sequences on which both are equal.
    """

    metric: str
    difference: Interval
    chance_better: float
    p_value: float
    wins: int
    losses: int
    ties: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "metric": self.metric,
            "difference": self.difference.to_dict(),
            "chance_better": self.chance_better,
            "p_value": self.p_value,
            "wins": self.wins,
            "losses": self.losses,
            "ties": self.ties,
        }


@dataclass(frozen=True)
class WeightedMean:
    """Estimator of figures that are means over sequences, or over the frames of all sequences.

    Attributes:
        values: ``(S,)`` per figure; nan where a sequence says nothing about it.
        weights: ``(S,)``: ones for a mean over sequences, frame counts for one over frames.
    """

    values: dict[str, Floats]
    weights: Floats

    def __call__(self, multiplicity: Floats) -> dict[str, Floats]:
        """Figures of each draw; nan where a draw holds nothing."""
        out: dict[str, Floats] = {}
        for name, values in self.values.items():
            weights = np.where(np.isnan(values), 0.0, self.weights)
            total = multiplicity @ weights
            out[name] = (multiplicity @ (weights * np.nan_to_num(values))) / np.where(total > 0, total, np.nan)
        return out


def draw(sequences: int, samples: int = _SAMPLES, seed: int = 0) -> Floats:
    """``(samples, sequences)`` multiplicities of bootstrap draws; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    share = np.full(sequences, 1.0 / sequences)
    return rng.multinomial(sequences, share, size=samples).astype(np.float64)


def bootstrap(
    estimator: Estimator, sequences: int, level: float = 0.95, samples: int = _SAMPLES, seed: int = 0
) -> dict[str, Interval]:
    """Percentile intervals of every figure.

    Args:
        estimator: Figures from multiplicities.
        sequences: Number of sequences.
        level: Share of draws between the bounds.
        samples: Number of draws.
        seed: Seed of the draws.

    Returns:
        Interval by figure; its value is that of the sequences themselves.
    """
    values = estimator(np.ones((1, sequences)))
    draws = estimator(draw(sequences, samples, seed))
    tail = 50 * (1 - level)
    out = {}
    for name, sampled in draws.items():
        known = sampled[np.isfinite(sampled)]
        low, high = np.percentile(known, [tail, 100 - tail]) if len(known) else (np.nan, np.nan)
        out[name] = Interval(float(values[name][0]), float(low), float(high), level)
    return out


def compare_paired(
    metric: str,
    first: tuple[Estimator, Floats],
    second: tuple[Estimator, Floats],
    level: float = 0.95,
    samples: int = _SAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two trackers on the same sequences, drawn together.

    Args:
        metric: Figure to compare; larger is better.
        first: Estimator of A and its ``(S,)`` per-sequence values.
        second: The same of B, in the same order of sequences.
        level: Share of draws between the bounds.
        samples: Number of draws and of permutations.
        seed: Seed of both.
    """
    difference = first[1] - second[1]
    count = len(difference)
    ones, drawn = np.ones((1, count)), draw(count, samples, seed)
    value = float(first[0](ones)[metric][0] - second[0](ones)[metric][0])
    sampled = first[0](drawn)[metric] - second[0](drawn)[metric]
    tail = 50 * (1 - level)
    sampled = sampled[np.isfinite(sampled)]
    low, high = np.percentile(sampled, [tail, 100 - tail]) if len(sampled) else (np.nan, np.nan)
    better = float(np.mean((sampled > 0) + 0.5 * (sampled == 0))) if len(sampled) else float("nan")
    known = difference[np.isfinite(difference)]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(samples, len(known)))
    flipped = np.abs(signs @ known)
    # The observed assignment is one of the permutations, so it counts itself: p is never 0.
    p_value = float((1 + np.sum(flipped >= abs(known.sum()) - 1e-12)) / (samples + 1)) if len(known) else float("nan")
    wins, losses = int((known > 0).sum()), int((known < 0).sum())
    interval = Interval(value, float(low), float(high), level)
    return Comparison(metric, interval, better, p_value, wins, losses, len(known) - wins - losses)
