"""GOT-10k: the frames of all sequences in one pool.

Rules of its toolkit: the first frame is left out; a frame counts where the target is seen (``cover > 0``); both boxes
are brought into the image; the average overlap AO and the success rates SR are means over all frames of all
sequences, so a long sequence weighs more; the success curve has 101 thresholds.

The toolkit's way into the image is kept because the published figures depend on it: the left and top edge move
inside *without* shortening the box, and only then width and height are cut at the right and bottom edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.evaluate.frames import any_nan, share_above
from ostrack.evaluate.intervals import WeightedMean
from ostrack.evaluate.scores import Curve, Report, Scores
from ostrack.evaluate.truth import Truth

__all__ = ["into_image", "score_pooled"]

Floats = NDArray[np.float64]
_THRESHOLDS = np.linspace(0, 1, 101)


def into_image(boxes: Floats, width: float, height: float) -> Floats:
    """Bring ``(N, 4)`` xywh into the image the way GOT-10k's toolkit does."""
    frame = np.array([width, height], dtype=np.float64)
    corner = np.clip(boxes[:, :2], 0, frame)
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0, frame - corner)], -1)


def score_pooled(results: dict[str, Floats], truth: Truth) -> Report:
    """Score by GOT-10k's rules.

    Args:
        results: ``(N, 4)`` xywh by sequence, already checked against ``truth``.
        truth: Ground truth; ``cover`` and ``sizes`` are used where known, otherwise every labelled frame counts
            and boxes stay as they are.

    Returns:
        Figures ``ao``, ``sr50``, ``sr75``; the curve ``success``.
    """
    overlaps: dict[str, Floats] = {}
    for name, boxes in truth.boxes.items():
        result, target = results[name][1:], boxes[1:]
        seen = ~any_nan(target)
        if name in truth.cover:
            seen &= truth.cover[name][1:] > 0
        elif name in truth.visible:
            seen &= truth.visible[name][1:]
        if name in truth.sizes:
            result, target = (into_image(value, *truth.sizes[name]) for value in (result, target))
        overlaps[name] = np.nan_to_num(iou_xywh(result[seen], target[seen]))
    counts = np.array([len(value) for value in overlaps.values()], dtype=np.float64)
    filled = [value if len(value) else np.full(1, np.nan) for value in overlaps.values()]
    values = {
        "ao": np.array([value.mean() for value in filled]),
        "sr50": np.array([np.nan if np.isnan(value[0]) else np.mean(value > 0.5) for value in filled]),
        "sr75": np.array([np.nan if np.isnan(value[0]) else np.mean(value > 0.75) for value in filled]),
    }
    estimator = WeightedMean(values, counts)
    overall = {name: float(value[0]) for name, value in estimator(np.ones((1, len(counts)))).items()}
    curve = np.stack(
        [share_above(value, _THRESHOLDS) if len(value) else 0 * _THRESHOLDS for value in overlaps.values()]
    )
    owner = "protocol 'got10k'"
    return Report(
        protocol="got10k",
        scores=Scores(overall, owner),
        per_sequence={
            name: Scores({key: float(column[i]) for key, column in values.items()}, owner)
            for i, name in enumerate(overlaps)
        },
        frames={name: len(boxes) for name, boxes in truth.boxes.items()},
        curves={"success": Curve("success", _THRESHOLDS, curve, counts)},
        primary="ao",
        estimator=estimator,
        attributes=truth.attributes,
    )
