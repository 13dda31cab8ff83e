"""Whether an exported network says what the torch network says: on noise, on made-up scenes, on real frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ostrack.export_crops import Crops
from ostrack.model.heads import decode_center
from ostrack.model.ostrack import OSTrack, Prediction
from ostrack.runtimes import Maps, Runtime

__all__ = ["Agreement", "compare"]


@dataclass(frozen=True)
class Agreement:
    """How two forms of one network compare.

    Attributes:
        samples: Pairs of crops tried.
        swapped: Pairs on which another set of candidates was eliminated: scores equal to the last bits may fall
            either way, and the maps after that are those of another choice, so these pairs are left out below.
        max_difference: Largest difference of any map, box or score; nan where one of them is no number.
    """

    samples: int
    swapped: int
    max_difference: float

    def text(self) -> str:
        """One line for people."""
        same = "" if not self.swapped else f", other candidates eliminated on {self.swapped}"
        return f"largest difference {self.max_difference:.1e} on {self.samples} pairs of crops{same}"


def compare(net: OSTrack, runtime: Runtime, tried: Crops) -> Agreement:
    """Run both, row by row and as one batch.

    Args:
        net: The torch network, in evaluation mode.
        runtime: The other form of it.
        tried: What to run them on.

    Returns:
        How they compare.
    """
    worst, swapped, count = 0.0, 0, len(tried.template)
    for rows in [*(slice(i, i + 1) for i in range(count)), slice(0, 3)]:
        inputs = [np.ascontiguousarray(array[rows]) for array in (tried.template, tried.search, tried.template_box)]
        boxes = inputs[2] if net.config.needs_template_box else None
        found = runtime.search(runtime.embed(inputs[0], boxes), inputs[1])
        with torch.inference_mode():
            expected = net(*map(torch.from_numpy, inputs))
        same = _same_eliminated(expected, found)
        if rows.start == rows.stop - 1:
            swapped += int(not same[0])
        worst = float(np.maximum(worst, _difference(expected, found, same)))
    return Agreement(count, swapped, worst)


def _same_eliminated(expected: Prediction, found: Maps) -> NDArray[np.bool_]:
    """For each row, whether every layer eliminated the same set."""
    same = np.ones(len(expected.boxes), dtype=np.bool_)
    for gone, other in zip(found.eliminated, expected.eliminated, strict=True):
        same &= (np.sort(gone, 1) == other.sort(1).values.numpy()).all(1)
    return same


def _difference(expected: Prediction, found: Maps, rows: NDArray[np.bool_]) -> float:
    if not rows.any():
        return 0.0
    if found.score is None or found.size is None or found.offset is None:
        pairs: list[tuple[ArrayLike | None, Tensor | None]] = [(found.boxes, expected.boxes)]
        pairs.append((found.confidence, expected.score))
    else:
        # Two peaks of equal height may fall either way; the box must be the one at the exported maps' own peak.
        score, size, offset = found.score[:, None], found.size, found.offset
        decoded = decode_center(torch.from_numpy(score), torch.from_numpy(size), torch.from_numpy(offset))[0]
        pairs = [(found.boxes, decoded), (score, expected.score_map), (size, expected.size_map)]
        pairs.append((offset, expected.offset_map))
    return float(np.max([np.abs(np.asarray(a)[rows].astype(np.float64) - np.asarray(b)[rows]).max() for a, b in pairs]))
