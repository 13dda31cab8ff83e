"""Numbers of all explained frames: a table, JSON, and their files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ostrack.checks import Box
from ostrack.explain.measures import Measures
from ostrack.whole import write_whole

__all__ = ["Report", "write_report"]


@dataclass(frozen=True)
class Report:
    """Numbers of all frames and the files that were written.

    Attributes:
        network: What was looked into.
        by_truth: Whether the target is the ground truth; else what was found.
        frames: Number, box (xywh, pixels) and measures of each frame.
        outputs: Files.
    """

    network: str
    by_truth: bool
    frames: tuple[tuple[int, Box, Measures], ...]
    outputs: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [{"frame": number, "box": list(box), **found.to_dict()} for number, box, found in self.frames]
        return {"network": self.network, "target": "ground truth" if self.by_truth else "found box", "frames": rows}

    def table(self) -> str:
        """The one frame's measures, or by layer the mean over all frames."""
        if len(self.frames) == 1:
            return self.frames[0][2].table()
        lines = [
            f"mean over {len(self.frames)} frames; the target is "
            f"{'the ground truth' if self.by_truth else 'the box that was found'}",
            f"{'layer':>5} {'search tokens':>14} {'target lost':>12} {'worst frame':>16} {'attention on':>13} {'by':>7}"
            f" | {'mean attention of a row to':<27}",
            f"{'':>5} {'':>14} {'(its area)':>12} {'':>16} {'the target':>13} {'chance':>7}"
            f" | {'z>z':>6} {'z>x':>6} {'x>z':>6} {'x>x':>6}",
        ]
        for layer in range(len(self.frames[0][2].layers)):
            rows = [found.layers[layer] for _, _, found in self.frames]
            tokens, dropped = (_mean(getattr(row, name) for row in rows) for name in ("tokens", "dropped"))
            count = f"{tokens:.0f} -> {tokens - dropped:.0f}" if dropped else f"{tokens:.0f}"
            lost = [row.target_lost for row in rows]
            # A search region that the target has left tells nothing of how much of it was lost.
            most = max((share for share in lost if not math.isnan(share)), default=0.0)
            worst = f"{most:.0%} (frame {self.frames[lost.index(most)][0]})" if most else ""
            shares = " ".join(f"{_mean(getattr(row, name) for row in rows):>6.2f}" for name in ("zz", "zx", "xz", "xx"))
            seen, chance = (_mean(getattr(row, name) for row in rows) for name in ("target_attention", "chance"))
            lines.append(
                f"{layer:>5} {count:>14} {_mean(lost):>12.1%} {worst:>16} {seen:>13.1%} {chance:>7.1%} | {shares}"
            )
        return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def write_report(report: Report, out: Path, outputs: list[Path]) -> Report:
    """Write ``explain.json`` and ``explain.txt`` to a folder, and add them to the report's files."""
    texts = {
        out / "explain.json": json.dumps(report.to_dict(), indent=1) + "\n",
        out / "explain.txt": report.table() + "\n",
    }
    for path, text in texts.items():
        write_whole(path, text)
    return replace(report, outputs=(*outputs, *texts))
