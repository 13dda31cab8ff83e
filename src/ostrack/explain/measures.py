"""Numbers about one inspection: what of the target was thrown away, and how much attention it got on the way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostrack.explain.inspection import Inspection
from ostrack.model import elimination as ce

__all__ = ["LayerMeasures", "Measures", "measure", "target_coverage"]

Floats = NDArray[np.float64]


def target_coverage(box_cxcywh: NDArray[np.float64], grid: int) -> Floats:
    """``(grid * grid,)`` share of each token's area that a box covers; cxcywh relative to the crop."""
    box = torch.from_numpy(np.asarray(box_cxcywh, dtype=np.float64)[None])
    out: Floats = ce.box_coverage(box, grid)[0].numpy()
    return out


@dataclass(frozen=True)
class LayerMeasures:
    """One layer.

    Attributes:
        layer: The block, counted from 0.
        tokens: Search tokens that enter it.
        dropped: Search tokens that it eliminates.
        target_dropped: Of these, tokens at least half covered by the target.
        target_lost: Share of the target's area in the crop whose tokens are gone after this layer; nan where the
            target lies outside the crop.
        target_attention: Of the attention that the deciding template tokens pay to the search region, the share that
            falls on the target; a token counts by the share of its area that the target covers.
        chance: What ``target_attention`` would be if all tokens got the same.
        zz: Template to template: mean share of a template token's attention, over its rows and the heads.
        zx: Template to search region, likewise; ``zz + zx = 1``.
        xz: Search region to template.
        xx: Search region to search region; ``xz + xx = 1``.
    """

    layer: int
    tokens: int
    dropped: int
    target_dropped: int
    target_lost: float
    target_attention: float
    chance: float
    zz: float
    zx: float
    xz: float
    xx: float


@dataclass(frozen=True)
class Measures:
    """All layers, and the outcome.

    Attributes:
        layers: In order.
        box: cxcywh relative to the search crop that was taken for the target.
        target_tokens: Tokens at least half covered by it.
        score: Peak of the score map before the window; nan for heads without one.
    """

    layers: tuple[LayerMeasures, ...]
    box: tuple[float, float, float, float]
    target_tokens: int
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; nan becomes None."""
        rows = [{key: _plain(value) for key, value in asdict(layer).items()} for layer in self.layers]
        return {
            "box_cxcywh": list(self.box),
            "target_tokens": self.target_tokens,
            "score": _plain(self.score),
            "layers": rows,
        }

    def table(self) -> str:
        """A table for people."""
        head = (
            f"{'layer':>5} {'search tokens':>14} {'target tokens':>14} {'target':>8} {'attention on':>13} "
            f"{'by':>7} | {'mean attention of a row to':<27}"
        )
        below = (
            f"{'':>5} {'':>14} {'dropped':>14} {'lost':>8} {'the target':>13} {'chance':>7} | "
            f"{'z>z':>6} {'z>x':>6} {'x>z':>6} {'x>x':>6}"
        )
        lines = [head, below]
        for row in self.layers:
            tokens = f"{row.tokens} -> {row.tokens - row.dropped}" if row.dropped else str(row.tokens)
            lost = f"{row.target_dropped} of {self.target_tokens}" if row.dropped else ""
            lines.append(
                f"{row.layer:>5} {tokens:>14} {lost:>14} {row.target_lost:>8.1%} {row.target_attention:>13.1%} "
                f"{row.chance:>7.1%} | {row.zz:>6.2f} {row.zx:>6.2f} {row.xz:>6.2f} {row.xx:>6.2f}"
            )
        return "\n".join(lines)


def measure(inspection: Inspection, box_cxcywh: NDArray[np.float64]) -> Measures:
    """Measure an inspection against a target.

    Args:
        inspection: What happened.
        box_cxcywh: ``(4,)`` the target relative to the search crop.
    """
    covered = target_coverage(box_cxcywh, inspection.grid)
    area = float(covered.sum())
    on_target = covered >= 0.5
    gone_at = {gone.layer: gone for gone in inspection.eliminations}
    rows = []
    for layer in range(inspection.depth):
        there = inspection.places(layer)
        gone = gone_at.get(layer)
        dropped = there[:0] if gone is None else gone.dropped
        paid = inspection.deciding_attention[layer].ravel()[there].astype(np.float64)
        zz, zx, xz, xx = inspection.quadrant_mass[layer].mean(0, dtype=np.float64).tolist()
        lost = covered[inspection.gone_after(layer).ravel()].sum() / area if area else np.nan
        total = paid.sum()
        rows.append(
            LayerMeasures(
                layer,
                len(there),
                len(dropped),
                int(on_target[dropped].sum()),
                float(lost),
                float((paid * covered[there]).sum() / total) if area and total else float("nan"),
                float(covered[there].mean()) if area else float("nan"),
                zz,
                zx,
                xz,
                xx,
            )
        )
    x, y, w, h = (float(value) for value in box_cxcywh)
    score = float("nan") if inspection.score_map is None else float(inspection.score_map.max())
    return Measures(tuple(rows), (x, y, w, h), int(on_target.sum()), score)


def _plain(value: float | int) -> float | int | None:
    return None if isinstance(value, float) and np.isnan(value) else value
