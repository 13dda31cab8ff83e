"""A torch network to an ONNX file that needs no torch, checked against it before it is written.

The graph holds everything of the forward pass: candidate elimination, restoring the order, decoding at the peak.
Sizes are fixed, the batch is free. It has two paths, see :mod:`ostrack.runtimes.exported`. Once for each target:
``template`` (T, 3, Hz, Wz), and where the configuration needs it ``template_box`` (T, 4) cxcywh in the template crop,
to ``embedding`` (T, Nz, D). For every frame: ``template_tokens`` (B, Nz, D) and ``search`` (B, 3, Hx, Wx) to ``boxes``
(B, 4) cxcywh in the search crop, the maps (centre and MLP head) or ``score`` (corner head), and ``eliminated_0``...
int64; all else is float32.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from onnx import helper

from ostrack.config import OSTrackConfig
from ostrack.errors import OutputError
from ostrack.export_check import Agreement, compare
from ostrack.export_crops import Sample, crops
from ostrack.export_graph import OPSET, folded, rounded, to_graph
from ostrack.model.checkpoint import load, read_metadata
from ostrack.model.ostrack import OSTrack
from ostrack.model.weight_files import is_safetensors
from ostrack.quantize import QuantizeReport, quantize
from ostrack.quantized_graph import store_half
from ostrack.runtimes.exported import METADATA_FORMAT, METADATA_KEY
from ostrack.runtimes.onnx import OnnxRuntime
from ostrack.whole import draft_of

__all__ = ["ExportReport", "QuantizeReport", "export_onnx", "quantize"]

TOLERANCE = 1e-3


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        out: The file.
        config: The network's configuration, also in the file.
        opset: ONNX operator set.
        nodes: Operators in the graph.
        half_storage: Whether weights are stored in 16 bits.
        agreement: How it compares to torch, with the same weights.
        rounding: With ``half_storage``, how the rounded weights compare to the given ones, in torch.
    """

    out: Path
    config: OSTrackConfig
    opset: int
    nodes: int
    half_storage: bool
    agreement: Agreement
    rounding: Agreement | None = None

    def text(self) -> str:
        """A few lines for people."""
        stored = "16-bit storage, computes in float32" if self.half_storage else "float32"
        size = self.out.stat().st_size / 1e6
        lines = [
            f"{self.out} ({size:.1f} MB, {stored}; opset {self.opset}, {self.nodes} operators)",
            f"  against torch      {self.agreement.text()}",
        ]
        if self.rounding:
            lines.append(f"  16 against 32 bit  {self.rounding.text()}")
        return "\n".join(lines)


def export_onnx(
    weights: str | Path | OSTrack,
    out: str | Path,
    *,
    opset: int = OPSET,
    half_storage: bool = False,
    extra: Mapping[str, Any] | None = None,
    samples: Sequence[Sample] | None = None,
) -> ExportReport:
    """Write a network as ONNX.

    Before the file appears, onnxruntime runs it on noise, on made-up scenes and on crops of ``samples``, and its
    outputs are compared to torch's.

    Args:
        weights: A weight file, ours or official, or the network itself (left as it is).
        out: Target, ``.onnx``.
        opset: ONNX operator set, 18 or later.
        half_storage: Keep weights as float16 and cast them back in the graph, which runtimes do once on loading:
            half the file, the same speed, weights rounded to 11 bits.
        extra: More JSON for the file's metadata beside the configuration.
        samples: Frames ``(H, W, 3)`` uint8 RGB, each with a box (xywh, pixels) to cut crops around.

    Returns:
        What was written and how closely it agrees.

    Raises:
        FileNotFoundError: There is no such weight file.
        CheckpointError: It cannot be loaded, or a weight does not fit 16 bits.
        OutputError: The exported graph does not agree with torch within 1e-3, or the file cannot be written; a file
            that was there stays.
        ValueError: ``out`` has another ending, ``extra`` uses a key of ours, or the network has ``keep_mass``.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise ValueError(f"{out}: an exported network is written as .onnx")
    head: dict[str, Any] = {}
    if not isinstance(weights, OSTrack):
        path = Path(weights)
        weights = load(path)
        head = read_metadata(path) if is_safetensors(path) else {}
    if weights.config.keep_mass is not None:
        raise ValueError(
            f"keep_mass={weights.config.keep_mass}: a graph of fixed shapes cannot follow it; use keep_ratios"
        )
    own = {"format": METADATA_FORMAT, "config": weights.config.model_dump(mode="json")}
    if clash := sorted(set(own) & set(extra or {})):
        raise ValueError(f"extra must not contain {', '.join(clash)}")
    original = copy.deepcopy(weights).to("cpu", torch.float32).eval()
    net = folded(original)
    if half_storage:
        rounded(net)
    model = to_graph(net, opset)
    if half_storage:
        store_half(model)
    helper.set_model_props(model, {METADATA_KEY: json.dumps(head | dict(extra or {}) | own)})
    tried = crops(weights.config, samples or ())
    with draft_of(out, ".onnx", folders=True) as draft:
        draft.write_bytes(model.SerializeToString())
        runtime = OnnxRuntime(draft)
        agreement = compare(net if half_storage else original, runtime, tried)
        # Not "> TOLERANCE": where an output is no number, neither is the difference.
        if not agreement.max_difference <= TOLERANCE or agreement.swapped > 0.1 * agreement.samples:
            raise OutputError(f"{out}: not written, the exported graph disagrees with torch: {agreement.text()}")
        rounding = compare(original, runtime, tried) if half_storage else None
    return ExportReport(out, weights.config, opset, len(model.graph.node), half_storage, agreement, rounding)
