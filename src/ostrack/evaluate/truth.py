"""Ground truth and results side by side: what can be scored, and what is wrong with the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError
from ostrack.evaluate.frames import any_nan

__all__ = ["Truth", "check_results", "truth_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Ground truth of a set, by sequence, in the benchmark's own pixels.

    Attributes:
        boxes: ``(N, 4)`` xywh; nan where the target is absent.
        visible: ``(N,)`` bool, where the set tells.
        cover: ``(N,)`` share of the target that is seen, where the set tells.
        sizes: Width and height of the frames, where known.
        attributes: Names of the challenges that a sequence shows.
    """

    boxes: dict[str, Floats]
    visible: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    cover: dict[str, Floats] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)


def truth_of(sequences: Iterable[Sequence], sizes: bool = False) -> Truth:
    """Ground truth of sequences, shifted back to the pixels of the benchmark's own files.

    Args:
        sequences: The sequences.
        sizes: Read the first frame of each for its width and height (GOT-10k clips boxes to the image).

    Raises:
        EvaluationError: Two sequences share a name.
    """
    truth = Truth({})
    for seq in sequences:
        if seq.name in truth.boxes:
            raise EvaluationError(f"two sequences are called {seq.name!r}")
        truth.boxes[seq.name] = seq.boxes + np.array([seq.first_pixel, seq.first_pixel, 0, 0], dtype=np.float64)
        truth.visible[seq.name] = seq.visible
        truth.attributes[seq.name] = seq.attributes
        if seq.cover is not None:
            truth.cover[seq.name] = seq.cover
        if sizes:
            height, width = seq.frames[0].shape[:2]
            truth.sizes[seq.name] = (width, height)
    return truth


def boxes_of(values: ArrayLike, name: str, what: str) -> Floats:
    """``(N, 4)`` float64 of one sequence.

    Raises:
        EvaluationError: It is not a table of four numbers a row, or is empty.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 4 or not len(array):
        raise EvaluationError(f"{name}: {what} must be (frames, 4) boxes x, y, w, h, got shape {array.shape}")
    return array


def check_results(
    results: Mapping[str, ArrayLike],
    truth: Truth,
    protocol: str,
    longer_allowed: bool = False,
    absent: str = "refuse",
) -> dict[str, Floats]:
    """Match results with the ground truth.

    Args:
        results: ``(N, 4)`` xywh by sequence; sequences that the truth does not know are left out.
        truth: Ground truth.
        protocol: Name for messages.
        longer_allowed: Cut results that are longer than the ground truth.
        absent: What a nan row means where the target is there: ``"refuse"`` or ``"miss"``.

    Returns:
        Results of exactly the truth's sequences, in its order.

    Raises:
        EvaluationError: A sequence is missing, has another number of frames, an infinite or half-given box, a negative
            size, or no box where the protocol wants one. Frames are counted from 0.
    """
    missing = [name for name in truth.boxes if name not in results]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise EvaluationError(f"results lack {len(missing)} of {len(truth.boxes)} sequences: {shown}")
    out = {}
    for name, boxes in truth.boxes.items():
        rows = boxes_of(results[name], name, "results")
        if longer_allowed and len(rows) > len(boxes):
            rows = rows[: len(boxes)]
        if len(rows) != len(boxes):
            raise EvaluationError(f"{name}: {len(rows)} results for {len(boxes)} frames of ground truth")
        unset = np.isnan(rows).sum(-1)
        _refuse(name, rows, np.isinf(rows).sum(-1) > 0, "is infinite")
        _refuse(name, rows, (unset > 0) & (unset < 4), "is nan in part; all four nan say 'absent'")
        _refuse(name, rows, (rows[:, 2:] < 0).sum(-1) > 0, "has a negative size")
        if absent == "refuse":
            claimed = (unset == 4) & ~any_nan(boxes)
            claimed[0] = False
            advice = (
                f"is nan while the target is there; protocol {protocol!r} wants a box (absent='miss' counts a miss)"
            )
            _refuse(name, rows, claimed, advice)
        out[name] = rows
    return out


def _refuse(name: str, rows: Floats, wrong: NDArray[np.bool_], reason: str) -> None:
    if wrong.any():
        frame = int(wrong.argmax())
        box = ", ".join(f"{value:g}" for value in rows[frame])
        raise EvaluationError(f"{name}: result of frame {frame} ({box}) {reason}")
