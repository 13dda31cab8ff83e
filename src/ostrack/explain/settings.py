"""What the elimination laboratory tries: one axis at a time, round the network's own elimination."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from ostrack.config import EliminationQuery, OSTrackConfig
from ostrack.errors import EvaluationError

__all__ = ["AXES", "Axes", "Setting", "settings_of"]

AXES = ("none", "ratio", "layers", "query", "mass")
"""Groups of settings, in the order they are shown."""


@dataclass(frozen=True)
class Axes:
    """Values to try on each axis; the other axes keep the network's own.

    Attributes:
        ratios: Keep ratios, each for all of the network's eliminating layers.
        layers: Eliminating layers; empty for the network's own ones moved to every possible depth.
        queries: Which template tokens decide.
        masses: Shares of the score to keep (adaptive number of tokens).
    """

    ratios: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6, 0.5, 0.3)
    layers: tuple[tuple[int, ...], ...] = ()
    queries: tuple[EliminationQuery, ...] = get_args(EliminationQuery)
    masses: tuple[float, ...] = (0.99, 0.97, 0.95, 0.9, 0.8)


@dataclass(frozen=True)
class Setting:
    """One way of eliminating.

    Attributes:
        axis: One of :data:`AXES`.
        label: What is varied, such as ``"keep 0.5"``.
        config: The network's, with this elimination.
    """

    axis: str
    label: str
    config: OSTrackConfig

    @property
    def key(self) -> str:
        """The same for settings that eliminate alike, on whichever axis."""
        fields = ("elimination_layers", "keep_ratios", "keep_mass", "elimination_query")
        values = self.config.model_dump(mode="json", include=set(fields))
        if values["keep_mass"] is not None:
            values["keep_ratios"] = None
        if not values["elimination_layers"]:
            values["elimination_query"] = None
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def describe(self) -> str:
        """Layers, amounts and query in a line."""
        config = self.config
        if not config.elimination_layers:
            return "nothing eliminated"
        what = "keep" if config.keep_mass is None else "mass"
        amounts = config.keep_ratios if config.keep_mass is None else config.keep_mass
        shown = f"{amounts[0]:g}" if len(set(amounts)) == 1 else "/".join(f"{value:g}" for value in amounts)
        return f"layers {','.join(map(str, config.elimination_layers))}; {what} {shown}; {config.elimination_query}"


def settings_of(config: OSTrackConfig, axes: Axes | None = None) -> list[Setting]:
    """All settings to try, those of one axis together.

    Args:
        config: The network's own; one that eliminates nothing is varied round three layers spread evenly over its
            depth, the official place and ratio.
        axes: Values to try; the default ones where None.

    Raises:
        EvaluationError: A value does not fit the network; names it.
    """
    axes = axes or Axes()
    base = config.model_copy(update={"keep_mass": None})
    if not base.elimination_layers:
        layers = tuple(dict.fromkeys(config.depth * k // 4 for k in (1, 2, 3)))
        base = _changed(base, "the official place", elimination_layers=layers, keep_ratios=(0.7,) * len(layers))
    count = len(base.elimination_layers)
    out = [Setting("none", "none", base.without_elimination())]
    for ratio in axes.ratios:
        label = f"keep {ratio:g}"
        out.append(Setting("ratio", label, _changed(base, label, keep_ratios=(ratio,) * count)))
    for layers in axes.layers or _moved(base):
        label = f"layers {','.join(map(str, layers))}"
        # As many ratios as layers: the own ones, or the first of them where the number differs.
        ratios = base.keep_ratios if len(layers) == count else (base.keep_ratios[0],) * len(layers)
        out.append(Setting("layers", label, _changed(base, label, elimination_layers=layers, keep_ratios=ratios)))
    for query in axes.queries:
        out.append(Setting("query", query, _changed(base, f"query {query}", elimination_query=query)))
    for mass in axes.masses:
        label = f"mass {mass:g}"
        out.append(Setting("mass", label, _changed(base, label, keep_mass=(mass,) * count)))
    return out


def _moved(config: OSTrackConfig) -> Sequence[tuple[int, ...]]:
    """The eliminating layers at every depth where they fit, distances kept."""
    layers = config.elimination_layers
    room = config.depth - (layers[-1] - layers[0])
    return [tuple(layer - layers[0] + first for layer in layers) for first in range(room)]


def _changed(config: OSTrackConfig, what: str, **fields: Any) -> OSTrackConfig:
    try:
        return OSTrackConfig(**(config.model_dump() | fields))
    except ValueError as error:
        raise EvaluationError(f"{what}: {error}") from error
