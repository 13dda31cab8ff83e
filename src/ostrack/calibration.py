"""From what a score map shows to the probability that the box is right, learnt for each network from labelled clips.

The raw peak of a tracker is high on background too. Three numbers say more together: the peak, the same peak under the
window (how far the target would have moved), and the best score outside the box (whether there is a second candidate).
A logistic regression on their logits turns them into the probability that the box overlaps the target by more than
half. Its few numbers travel in the network's file, under ``calibration`` of the metadata that holds the configuration.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ostrack.errors import NetworkError
from ostrack.whole import draft_of

__all__ = ["FEATURES", "Calibration", "calibration_error", "features", "fit", "read_calibration", "write_calibration"]

Floats = NDArray[np.float64]

FEATURES = ("score", "motion", "rival")
_KEY = "ostrack"
# Beyond this a logit says no more, and float32 scores of exactly 0 and 1 occur.
_SUREST = 1e-4
# Weight of the pull towards zero, in frames: keeps the fit finite where clips are few and all tracked well.
_RIDGE = 1.0


class Calibration(BaseModel):
    """Logistic regression from the evidence of a frame to the probability that its box is right.

    Attributes:
        weights: One for each of :data:`FEATURES`.
        bias: Added to their weighted sum.
        error: Expected calibration error on clips that the fit did not see.
        clips: Clips it was learnt from.
        frames: Frames it was learnt from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    weights: tuple[float, ...]
    bias: float
    error: float
    clips: int
    frames: int

    @model_validator(mode="after")
    def _check(self) -> Calibration:
        if len(self.weights) != len(FEATURES):
            raise ValueError(f"{len(self.weights)} weights, expected {len(FEATURES)}: {', '.join(FEATURES)}")
        return self

    def __call__(self, scores: ArrayLike, windowed: ArrayLike, rivals: ArrayLike) -> Floats:
        """Probability that each box overlaps the target by more than half.

        Args:
            scores: ``(B,)`` raw peaks.
            windowed: ``(B,)`` the same under the window.
            rivals: ``(B,)`` best scores outside the box.

        Returns:
            ``(B,)`` in (0, 1); nan where the network does not give what the weights are of.
        """
        weights = np.array(self.weights)
        used = np.flatnonzero(weights)
        return _sigmoid(features(scores, windowed, rivals)[:, used] @ weights[used] + self.bias)


def features(scores: ArrayLike, windowed: ArrayLike, rivals: ArrayLike) -> Floats:
    """What the regression sees.

    Returns:
        ``(B, 3)``: the logit of the score, the logarithm of the window at its cell (0 in the middle, falling
        outwards), and the logit of the rival.
    """
    score, under, rival = (np.asarray(values, dtype=np.float64) for values in (scores, windowed, rivals))
    motion = np.log(np.clip(under / np.maximum(score, _SUREST), _SUREST, 1))
    return np.stack([_logit(score), motion, _logit(rival)], -1)


def fit(evidence: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, float]:
    """Fit the regression by Newton's method, with a light pull of the weights towards zero.

    Args:
        evidence: ``(N, F)`` of :func:`features`.
        right: ``(N,)`` whether the box was right.
        weights: ``(N,)`` how much each frame counts; all the same where None.

    Returns:
        ``(F,)`` weights and the bias.

    Raises:
        ValueError: Nothing to learn from: all frames are right, or none.
    """
    x, y = np.asarray(evidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    count = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len(np.unique(y)) != 2:
        raise ValueError(f"{int(y.sum())} of {len(y)} boxes are right: a calibration needs right and wrong ones")
    middle, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
    design = np.column_stack([(x - middle) / spread, np.ones(len(x))])
    pull = np.append(np.full(x.shape[1], _RIDGE), 0.0)
    theta = np.zeros(design.shape[1])
    for _ in range(50):
        p = _sigmoid(design @ theta)
        gradient = design.T @ (count * (p - y)) + pull * theta
        curvature = (design * (count * np.maximum(p * (1 - p), 1e-9))[:, None]).T @ design + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        theta -= step
        if np.abs(step).max() < 1e-9:
            break
    slope = theta[:-1] / spread
    return slope, float(theta[-1] - slope @ middle)


def calibration_error(confidence: ArrayLike, right: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: how far confidence is from the share of right boxes, on average over frames.

    Args:
        confidence: ``(N,)`` in [0, 1].
        right: ``(N,)`` whether the box was right.
        bins: Bins of equal width.
    """
    sure, truth = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = np.bincount(place, sure - truth, bins)
    return float(np.abs(gaps).sum() / max(len(sure), 1))


def read_calibration(metadata: Mapping[str, Any], name: str) -> Calibration | None:
    """The calibration in what a network's file says of itself; None where it holds none.

    Raises:
        NetworkError: It is malformed.
    """
    found = metadata.get("calibration")
    if found is None:
        return None
    try:
        return Calibration.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("calibration", *first["loc"]))
        raise NetworkError(f"{name}: {where} in the metadata: {first['msg']}") from error


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Put a calibration into the metadata of a network's file, in place of any that is there; weights stay as they are.

    Args:
        path: ``.onnx`` or ``.safetensors`` file of ours.
        calibration: What to write.

    Raises:
        FileNotFoundError: There is no such file.
        NetworkError: It is no network of ours.
        OutputError: It cannot be written.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    changed = _onnx_with if path.suffix == ".onnx" else _safetensors_with
    with draft_of(path) as draft:
        draft.write_bytes(changed(path, path.read_bytes(), calibration))
        draft.chmod(path.stat().st_mode)


def _document(path: Path, text: str | None, calibration: Calibration) -> str:
    """The metadata entry with the calibration in it."""
    try:
        document = json.loads(text or "")
    except json.JSONDecodeError as error:
        raise NetworkError(f"{path}: no metadata entry {_KEY!r} in JSON; write the file with ostrack") from error
    if not isinstance(document, dict) or "config" not in document:
        raise NetworkError(f"{path}: metadata entry {_KEY!r} holds no configuration")
    return json.dumps(document | {"calibration": calibration.model_dump(mode="json")})


def _onnx_with(path: Path, content: bytes, calibration: Calibration) -> bytes:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise NetworkError(f"{path}: not a readable ONNX file") from error
    properties = {item.key: item.value for item in model.metadata_props}
    properties[_KEY] = _document(path, properties.get(_KEY), calibration)
    onnx.helper.set_model_props(model, properties)
    return bytes(model.SerializeToString())


def _safetensors_with(path: Path, content: bytes, calibration: Calibration) -> bytes:
    """A safetensors file is the length of its header, the header as JSON, and tensors that need not be touched."""
    try:
        (length,) = struct.unpack_from("<Q", content)
        header = json.loads(content[8 : 8 + length])
        entries = header.get("__metadata__", {})
    except (struct.error, ValueError, AttributeError) as error:
        raise NetworkError(f"{path}: not a readable safetensors file") from error
    header["__metadata__"] = entries | {_KEY: _document(path, entries.get(_KEY), calibration)}
    text = json.dumps(header, separators=(",", ":")).encode()
    # Tensors begin at a multiple of eight bytes; the format pads its header with spaces.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _logit(values: Floats) -> Floats:
    clipped = np.clip(values, _SUREST, 1 - _SUREST)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float64)


def _sigmoid(values: Floats) -> Floats:
    # Clipped so that a network far outside its training neither overflows nor claims certainty.
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))), dtype=np.float64)
