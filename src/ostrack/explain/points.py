"""Results of the elimination laboratory: settings, measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostrack.data.sequence import Sequence as Clip
from ostrack.errors import EvaluationError
from ostrack.evaluate import Report
from ostrack.explain.settings import Setting

__all__ = ["Extent", "Point", "Sweep"]


@dataclass(frozen=True)
class Extent:
    """Which frames of each sequence are tracked.

    Attributes:
        frames: At most so many, the first one counted.
        every: Take every so-manyth frame; the target then moves faster.
    """

    frames: int = 40
    every: int = 2

    def indices(self, clip: Clip) -> list[int]:
        """Frame numbers, from the first one with a target on.

        Raises:
            EvaluationError: Fewer than two frames are left.
        """
        start = int(clip.visible.argmax())
        found = list(range(start, len(clip), self.every))[: self.frames]
        if len(found) < 2 or not clip.visible[start]:
            raise EvaluationError(f"{clip.name}: fewer than two frames from the first one with a target on")
        return found


@dataclass(frozen=True)
class Point:
    """One setting, measured.

    Attributes:
        setting: What was tried.
        report: Accuracy, by sequence too.
        macs: Mean multiply-accumulates of a pass by the paper's count (linear and convolution layers).
        full_macs: With the products inside the attention.
        kept: Mean number of search tokens that are left at the end.
        ms: Median milliseconds of a forward pass.
        passes: Passes measured.
    """

    setting: Setting
    report: Report
    macs: float
    full_macs: float
    kept: float
    ms: float
    passes: int

    @property
    def success(self) -> float:
        """Area under the success curve, mean over sequences."""
        return float(self.report.scores["success"])

    @property
    def precision(self) -> float:
        """Share of frames within 20 px, mean over sequences."""
        return float(self.report.scores["precision"])


@dataclass(frozen=True)
class Sweep:
    """All settings of one network.

    Attributes:
        network: Its name.
        points: Settings in the order of :func:`~ostrack.explain.settings.settings_of`; the first eliminates nothing.
        sequences: Names.
        extent: Frames of each.
        threads: Of torch.
        machine: What it ran on.
    """

    network: str
    points: tuple[Point, ...]
    sequences: tuple[str, ...]
    extent: Extent
    threads: int
    machine: str

    @property
    def frames(self) -> int:
        """Frames tracked by each setting, first ones left out."""
        return self.points[0].passes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        full = self.points[0].report
        rows = []
        for point in self.points:
            gap = point.report.against(full).difference
            rows.append(
                {
                    "axis": point.setting.axis,
                    "label": point.setting.label,
                    "elimination": point.setting.describe(),
                    "success": point.success,
                    "precision": point.precision,
                    "success_minus_none": [gap.value, gap.low, gap.high],
                    "macs": point.macs,
                    "full_macs": point.full_macs,
                    "search_tokens_left": point.kept,
                    "ms": point.ms,
                    "per_sequence": {name: point.report.per_sequence[name]["success"] for name in self.sequences},
                }
            )
        return {
            "network": self.network,
            "sequences": len(self.sequences),
            "frames": self.frames,
            "extent": vars(self.extent),
            "threads": self.threads,
            "machine": self.machine,
            "settings": rows,
        }
