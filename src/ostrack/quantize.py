"""An exported network in int8: calibrated on real crops, what suffers most kept in float32.

Weights get one scale for each output channel, activations one each, fixed beforehand (static quantisation), after their
channels were made alike (:mod:`ostrack.quantized_balance`). Attention products, norms, the layers that read images and
those that cost next to nothing stay in float32. Needs ``onnx``, not torch.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper

from ostrack.boxes import cxcywh_to_xywh, iou_xywh
from ostrack.decode import decode
from ostrack.errors import NetworkError, OutputError
from ostrack.export_crops import Crops
from ostrack.network import Network
from ostrack.quantized_balance import balanced
from ostrack.quantized_graph import Layer, Range, find_layers, in_int8, store_half, unpacked, with_outputs
from ostrack.runtimes import FloatArray
from ostrack.runtimes.exported import METADATA_KEY
from ostrack.runtimes.onnx import OnnxRuntime
from ostrack.whole import draft_of

__all__ = ["Loss", "QuantizeReport", "quantize"]

Progress = Callable[[int, int], None]

_SAMPLE = 2**12
# Layers with less than this share of the largest one's weights save no time. In the head they say where the box ends.
_SMALL = 0.05


@dataclass(frozen=True)
class Loss:
    """What a network's answers lose in int8, on pairs of crops.

    Attributes:
        overlap: Mean of 1 - IoU between the boxes at the windowed peak.
        score: Mean absolute difference of the score maps' peaks.
    """

    overlap: float
    score: float

    @property
    def total(self) -> float:
        """One number to compare by."""
        return self.overlap + self.score

    def text(self) -> str:
        """A phrase."""
        return f"boxes overlap {1 - self.overlap:.4f}, peak scores {self.score:.4f} apart"


@dataclass(frozen=True)
class QuantizeReport:
    """What a quantisation wrote.

    Attributes:
        out: The file.
        layers: Layers in int8.
        kept: Names of those that stayed in float32 because of what they would have cost, worst first.
        pairs: Pairs of crops calibrated on.
        held_out: Pairs compared on, none of them calibrated on.
        loss: Against the network in float32, on the latter.
    """

    out: Path
    layers: int
    kept: tuple[str, ...]
    pairs: int
    held_out: int
    loss: Loss

    def text(self) -> str:
        """A few lines for people."""
        kept = f"; in float32: {', '.join(self.kept)}" if self.kept else ""
        return "\n".join(
            [
                f"{self.out} ({self.out.stat().st_size / 1e6:.1f} MB, {self.layers} layers in int8{kept})",
                f"  calibrated on      {self.pairs} pairs of crops",
                f"  against float32    {self.loss.text()} on {self.held_out} other pairs",
            ]
        )


def quantize(
    source: str | Path,
    out: str | Path,
    calibration: Crops,
    *,
    bound: float = 0.03,
    threads: int | None = None,
    progress: Progress | None = None,
) -> QuantizeReport:
    """Write an exported network in int8.

    Three quarters of the crops set the ranges of the activations. On the rest, each layer is tried in int8 alone; then
    all are, and as long as that loses more than ``bound``, the layer that loses most for its size goes back to float32.

    Args:
        source: ``.onnx`` file of format 2.
        out: Target, ``.onnx``; runs wherever the source does, fast where the processor multiplies int8 (VNNI, AMX).
        calibration: Crops of real clips, 32 or more; not those that accuracy will be measured on.
        bound: Largest :attr:`Loss.total` to accept.
        threads: Of onnxruntime.
        progress: Called with the number of steps done and their total.

    Raises:
        FileNotFoundError: There is no such file.
        NetworkError: It is no network of ours, of format 1, or in int8 already.
        OutputError: The file cannot be written, or loses more than ``bound`` with but one layer in int8.
        ValueError: Fewer than 8 crops, another ending, or ``out`` is the source.
    """
    source, out = Path(source), Path(out)
    if out.suffix != ".onnx":
        raise ValueError(f"{out}: an exported network is written as .onnx")
    if out.exists() and out.samefile(source):
        raise ValueError(f"{out}: is the file that is read; choose another name")
    if len(calibration) < 8:
        raise ValueError(f"calibration: {len(calibration)} pairs of crops, expected 8 or more (32 are better)")
    runtime = OnnxRuntime(source, threads=threads)
    if runtime.metadata["format"] == 1:
        raise NetworkError(f"{source}: a file of format 1 cannot be quantised; export it again")
    if runtime.metadata.get("arithmetic") == "int8":
        raise NetworkError(f"{source}: in int8 already; start from the file in float32")
    model = unpacked(onnx.load(source))
    held = np.arange(len(calibration)) % 4 == 3
    calibrated, other = calibration[np.flatnonzero(~held)], calibration[np.flatnonzero(held)]
    layers = _worthwhile(model)
    model = balanced(model, layers, _peaks(model, layers, Network(runtime), calibrated))
    layers = _worthwhile(model)
    ranges = _ranges(model, layers, Network(runtime), calibrated)
    expected = _answers(Network(runtime), other)

    def loss(chosen: Sequence[Layer]) -> Loss:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tried.onnx"
            onnx.save(in_int8(model, chosen, ranges), path)
            return _loss(expected, _answers(Network(OnnxRuntime(path, threads=threads)), other))

    chosen, kept, found = _choose(layers, loss, bound, progress)
    metadata = runtime.metadata | {"arithmetic": "int8", "int8": {"float32": list(kept), "pairs": len(calibrated)}}
    result = in_int8(model, chosen, ranges)
    store_half(result)
    helper.set_model_props(result, {METADATA_KEY: json.dumps(metadata)})
    with draft_of(out, ".onnx", folders=True) as draft:
        onnx.save(result, draft)
        OnnxRuntime(draft)
    return QuantizeReport(out, len(chosen), kept, len(calibrated), len(other), found)


def _choose(
    layers: Sequence[Layer], loss: Callable[[Sequence[Layer]], Loss], bound: float, progress: Progress | None
) -> tuple[list[Layer], tuple[str, ...], Loss]:
    """Layers to have in int8, names of the others, and what is lost."""
    chosen = list(layers)
    found = loss(chosen)
    if found.total <= bound:
        return chosen, (), found
    alone: dict[str, float] = {}
    for number, layer in enumerate(layers):
        lost = loss([layer]).total / layer.size
        alone[layer.name] = lost if lost == lost else math.inf  # what is no number is worst
        if progress:
            progress(number + 1, len(layers))
    worst = sorted(layers, key=lambda layer: -alone[layer.name])
    kept: list[str] = []
    while not found.total <= bound and len(kept) < len(layers) - 1:
        # A tenth at a time: each trial runs the network on all crops.
        step = worst[len(kept) : min(len(kept) + max(1, len(layers) // 10), len(layers) - 1)]
        kept += [layer.name for layer in step]
        chosen = [layer for layer in layers if layer.name not in kept]
        found = loss(chosen)
    if not found.total <= bound:
        raise OutputError(
            f"int8: loses {found.total:.3g} even with {len(chosen)} of {len(layers)} layers in int8, "
            f"expected at most {bound:g}; calibrate on other pictures, or stay with float32"
        )
    return chosen, tuple(kept), found


def _worthwhile(model: onnx.ModelProto) -> list[Layer]:
    """Layers to have in int8 if their accuracy allows it."""
    layers = find_layers(model)
    largest = max(layer.size for layer in layers)
    return [layer for layer in layers if layer.size >= _SMALL * largest]


def _values(
    model: onnx.ModelProto, names: Sequence[str], network: Network, crops: Crops
) -> Iterator[dict[str, FloatArray]]:
    """Values inside the graph by name, for one pair of crops after the other."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(with_outputs(model, names), options, providers=["CPUExecutionProvider"])
    known = {value.name for value in session.get_inputs()}
    for row in range(len(crops)):
        part = crops[slice(row, row + 1)]
        feed = {"template": part.template, "search": part.search, "template_box": part.template_box}
        feed["template_tokens"] = network.embed(part.template, part.template_box)
        found = session.run(names, {name: array for name, array in feed.items() if name in known})
        yield dict(zip(names, found, strict=True))


def _peaks(model: onnx.ModelProto, layers: Sequence[Layer], network: Network, crops: Crops) -> dict[str, FloatArray]:
    """Largest magnitude in each channel of what enters a linear layer."""
    names = list(dict.fromkeys(layer.source for layer in layers if not layer.convolution))
    peaks: dict[str, FloatArray] = {}
    for found in _values(model, names, network, crops):
        for name, values in found.items():
            peak = np.abs(values).reshape(-1, values.shape[-1]).max(0)
            peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def _ranges(model: onnx.ModelProto, layers: Sequence[Layer], network: Network, crops: Crops) -> dict[str, Range]:
    """Range of every value that enters a layer or leaves a convolution."""
    names = list(dict.fromkeys(value for layer in layers for value in (layer.source, layer.result) if value))
    rng = np.random.default_rng(0)
    sampled: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for found in _values(model, names, network, crops):
        for name, values in found.items():
            flat = values.ravel()
            picked = rng.choice(flat, min(_SAMPLE, flat.size), replace=False)
            # The extremes are rare, and what is clipped is decided with them in view.
            sampled[name].append(np.append(picked, [flat.min(), flat.max()]).astype(np.float32))
    return {name: Range.of(np.concatenate(parts)) for name, parts in sampled.items()}


def _answers(network: Network, crops: Crops) -> list[tuple[NDArray[np.float64], float]]:
    """Box at the windowed peak (xywh over the side of the crop) and score there, one row at a time."""
    found = []
    for row in range(len(crops)):
        part = crops[slice(row, row + 1)]
        peaks = decode(network(part.template, part.search, part.template_box))
        found.append((cxcywh_to_xywh(peaks.boxes[0]), float(np.nan_to_num(peaks.scores[0]))))
    return found


def _loss(expected: list[tuple[NDArray[np.float64], float]], found: list[tuple[NDArray[np.float64], float]]) -> Loss:
    overlaps = [float(iou_xywh(a[0], b[0])) for a, b in zip(expected, found, strict=True)]
    scores = [abs(a[1] - b[1]) for a, b in zip(expected, found, strict=True)]
    return Loss(1 - float(np.mean(overlaps)), float(np.mean(scores)))
