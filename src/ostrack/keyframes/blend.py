"""Two passes over the same frames, one from either side, made into one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ostrack.boxes import iou_xywh
from ostrack.keyframes.passes import Steps
from ostrack.recovery import STATES
from ostrack.results import Label

if TYPE_CHECKING:
    from ostrack.tracker import TargetId

__all__ = ["AGREE", "blend", "single"]

AGREE = 0.5
"""IoU below which two passes follow different things, so that a box between them would fit neither."""

_LOST = STATES.index("lost")
_LEAST = 1e-3


def blend(id: TargetId, forward: Steps, backward: Steps, first: int, last: int) -> list[Label]:
    """One label for each frame that both passes saw.

    Each pass weighs by how near its key frame is and by its confidence; one that has lost the target has no say. Where
    both have one and their boxes overlap by :data:`AGREE`, the box is their weighted mean, and the frame is as doubtful
    as the surer of them. Where they disagree, the weightier one's box stands and the frame is ``uncertain``.

    Args:
        id: The target.
        forward: Steps of the pass from the key frame before, ascending.
        backward: Steps of the pass from the key frame behind, ascending; the same frames.
        first: The key frame before.
        last: The key frame behind.

    Returns:
        Labels in ascending order of frames.
    """
    share = (backward.frames - first) / (last - first)
    trust_f = np.clip(np.nan_to_num(forward.confidences), _LEAST, 1.0)
    trust_b = np.clip(np.nan_to_num(backward.confidences), _LEAST, 1.0)
    blind_f, blind_b = forward.states == _LOST, backward.states == _LOST
    # Where both have lost it, both have a say again: their guesses are all there is.
    weight_f = (1 - share) * trust_f * (~blind_f | blind_b)
    weight_b = share * trust_b * (~blind_b | blind_f)
    overlap = iou_xywh(forward.boxes, backward.boxes)
    mean = (weight_f[:, None] * forward.boxes + weight_b[:, None] * backward.boxes) / (weight_f + weight_b)[:, None]
    rows = zip(forward.frames.tolist(), overlap.tolist(), (weight_f >= weight_b).tolist(), strict=True)
    labels = []
    for row, (frame, iou, ahead) in enumerate(rows):
        both = bool(blind_f[row] == blind_b[row])
        agree = iou >= AGREE or not both
        chosen = forward if ahead else backward
        box = mean[row] if agree else chosen.boxes[row]
        states = (int(forward.states[row]), int(backward.states[row]))
        state = min(states) if agree else max(1, min(states))
        x, y, w, h = box.tolist()
        score = float(chosen.scores[row])
        # Where the passes part, one of them is wrong, whatever it thinks of itself.
        sure = float(chosen.confidences[row]) * (1.0 if agree else iou)
        agreement = iou if both else math.nan
        labels.append(Label(id, (x, y, w, h), score, STATES[state], frame, False, agreement, sure))
    return labels


def single(id: TargetId, steps: Steps) -> list[Label]:
    """The labels of a stretch that one pass alone has seen, as it saw them."""
    labels = []
    for row, frame in enumerate(steps.frames.tolist()):
        x, y, w, h = steps.boxes[row].tolist()
        score, state, sure = float(steps.scores[row]), STATES[int(steps.states[row])], float(steps.confidences[row])
        labels.append(Label(id, (x, y, w, h), score, state, frame, confidence=sure))
    return labels
