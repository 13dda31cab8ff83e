"""``score``: results and ground truth in, a report by the named protocol out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError
from ostrack.evaluate.frames import frame_errors, share_above, share_within
from ostrack.evaluate.intervals import WeightedMean
from ostrack.evaluate.pooled import score_pooled
from ostrack.evaluate.presence import score_presence
from ostrack.evaluate.protocols import PER_SEQUENCE, Rule, check_protocol
from ostrack.evaluate.scores import Curve, Report, Scores
from ostrack.evaluate.truth import Truth, boxes_of, check_results, truth_of
from ostrack.evaluate.vot import SupervisedRun, VotTruth, score_vot, vot_truth

__all__ = ["score"]

Floats = NDArray[np.float64]


def score(
    results: Mapping[str, ArrayLike] | Mapping[str, SupervisedRun],
    truth: Mapping[str, ArrayLike] | Truth | Iterable[Sequence],
    protocol: str = "otb",
    *,
    visible: Mapping[str, ArrayLike] | None = None,
    cover: Mapping[str, ArrayLike] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
    absent: Literal["refuse", "miss"] = "refuse",
    leave_out_absent: bool = False,
) -> Report:
    """Score the results of one tracker.

    Args:
        results: ``(N, 4)`` xywh by sequence, in the benchmark's own pixels; a row of nan says "absent".
        truth: ``(N, 4)`` xywh by sequence in the same pixels, nan where the target is absent; or a :class:`Truth`,
            or the sequences themselves.
        protocol: One of :data:`ostrack.evaluate.PROTOCOLS`. For ``vot`` results are supervised runs and the truth
            may be polygons, see :func:`ostrack.evaluate.score_vot`, which has more options.
        visible: ``(N,)`` bool by sequence: further frames to treat as absent.
        cover: ``(N,)`` by sequence, share of the target that is seen (``got10k``).
        sizes: Width and height of the frames by sequence (``got10k`` brings boxes into the image).
        attributes: Names by sequence, for the breakdown.
        absent: What a nan result means while the target is there: an error, or a miss. ``presence`` always takes it.
        leave_out_absent: Count only frames where the protocol sees a target (``exclude_invalid_frames`` of the
            official code) instead of its rules for absent frames. ``got10k`` always does; ``presence`` cannot.

    Returns:
        Figures, curves, and their breakdown.

    Raises:
        EvaluationError: Unknown protocol, or results that do not fit the ground truth.
    """
    check_protocol(protocol)
    if protocol == "vot":
        return _score_vot(cast("Mapping[str, SupervisedRun]", results), truth, sizes, attributes)
    known = _truth(truth, protocol)
    known = Truth(
        known.boxes,
        {**known.visible, **{name: column > 0 for name, column in _columns(visible, known, "visible").items()}},
        {**known.cover, **_columns(cover, known, "cover")},
        {**known.sizes, **dict(sizes or {})},
        {**known.attributes, **{name: tuple(names) for name, names in (attributes or {}).items()}},
    )
    rule = PER_SEQUENCE.get(protocol)
    lenient = protocol == "presence"
    rows = check_results(
        cast("Mapping[str, ArrayLike]", results),
        known,
        protocol,
        rule is not None and rule.longer_allowed,
        "miss" if lenient else absent,
    )
    if rule is not None:
        return _score_rule(rows, known, rule, leave_out_absent)
    if lenient and leave_out_absent:
        raise EvaluationError("protocol 'presence' is about absent frames; leave_out_absent=True leaves nothing")
    return score_pooled(rows, known) if protocol == "got10k" else score_presence(rows, known)


def _score_vot(
    results: Mapping[str, SupervisedRun],
    truth: Mapping[str, ArrayLike] | Truth | Iterable[Sequence],
    sizes: Mapping[str, tuple[int, int]] | None,
    attributes: Mapping[str, tuple[str, ...]] | None,
) -> Report:
    if isinstance(truth, Mapping):
        return score_vot(results, truth, sizes, attributes=attributes)
    known = vot_truth(truth) if not isinstance(truth, Truth) else VotTruth(truth.boxes, truth.sizes, truth.attributes)
    shapes, named = {**known.sizes, **(sizes or {})}, {**known.attributes, **(attributes or {})}
    return score_vot(results, known.regions, shapes, attributes=named)


def _truth(truth: Mapping[str, ArrayLike] | Truth | Iterable[Sequence], protocol: str) -> Truth:
    if isinstance(truth, Mapping):
        truth = Truth({name: boxes_of(boxes, name, "ground truth") for name, boxes in truth.items()})
    elif not isinstance(truth, Truth):
        truth = truth_of(truth, sizes=protocol == "got10k")
    if not truth.boxes:
        raise EvaluationError("the ground truth holds no sequence")
    return truth


def _columns(values: Mapping[str, ArrayLike] | None, truth: Truth, what: str) -> dict[str, Floats]:
    out = {}
    for name, column in (values or {}).items():
        array = np.asarray(column, dtype=np.float64)
        if name in truth.boxes and array.shape != (len(truth.boxes[name]),):
            raise EvaluationError(f"{name}: {what} has shape {array.shape} for {len(truth.boxes[name])} frames")
        out[name] = array
    return out


def _score_rule(results: dict[str, Floats], truth: Truth, rule: Rule, leave_out_absent: bool) -> Report:
    success, precision, norm = [], [], []
    extra: dict[str, list[float]] = {"op50": [], "op75": []}
    if rule.trapezoid:
        extra |= {"precision_20px": [], "norm_precision_20": []}
    for name, boxes in truth.boxes.items():
        errors = frame_errors(results[name], boxes, rule, truth.visible.get(name))
        if leave_out_absent:
            if not errors.valid.any():
                raise EvaluationError(f"{name}: no frame with a target is left")
            errors = errors.where_valid()
        success.append(share_above(errors.overlap, rule.overlaps))
        precision.append(share_within(errors.distance, rule.distances))
        norm.append(share_within(errors.norm_distance, rule.norm_distances))
        extra["op50"].append(float(np.mean(errors.overlap > 0.5)))
        extra["op75"].append(float(np.mean(errors.overlap > 0.75)))
        if rule.trapezoid:
            extra["precision_20px"].append(float(np.mean(errors.distance <= 20)))
            extra["norm_precision_20"].append(float(np.mean(errors.norm_distance <= 0.2)))
    weights = np.ones(len(results))
    curves = {
        "success": Curve("success", rule.overlaps, np.stack(success), weights),
        "precision": Curve("precision", rule.distances, np.stack(precision), weights),
        "norm_precision": Curve("norm_precision", rule.norm_distances, np.stack(norm), weights),
    }
    values = {name: _figure(curve, rule) for name, curve in curves.items()}
    values |= {name: np.array(column) for name, column in extra.items()}
    estimator = WeightedMean(values, weights)
    owner = f"protocol {rule.name!r}"
    overall = {name: float(value[0]) for name, value in estimator(np.ones((1, len(weights)))).items()}
    return Report(
        protocol=rule.name,
        scores=Scores(overall, owner),
        per_sequence={
            name: Scores({key: float(column[i]) for key, column in values.items()}, owner)
            for i, name in enumerate(results)
        },
        frames={name: len(boxes) for name, boxes in truth.boxes.items()},
        curves=curves,
        primary="success",
        estimator=estimator,
        attributes=truth.attributes,
    )


def _figure(curve: Curve, rule: Rule) -> Floats:
    """``(S,)`` the number that stands for a curve: its area, or its value at 20 px or at 0.2."""
    if rule.trapezoid:
        return np.asarray(((curve.per_sequence[:, 1:] + curve.per_sequence[:, :-1]) / 2).mean(-1), dtype=np.float64)
    if curve.name == "success":
        return np.asarray(curve.per_sequence.mean(-1), dtype=np.float64)
    return np.asarray(curve.per_sequence[:, 20], dtype=np.float64)
