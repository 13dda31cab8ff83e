"""Graph surgery for int8: which layers there are, what values enter them, and the same graph with them in int8.

A layer in int8 is written with the standard operators: its input goes through ``QuantizeLinear`` and
``DequantizeLinear`` (uint8, one scale), its weight is int8 with one scale for each output channel. Runtimes merge these
into integer kernels; one that does not still computes the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ostrack.runtimes import FloatArray

__all__ = ["Layer", "Range", "find_layers", "in_int8", "store_half", "unpacked", "with_outputs"]


@dataclass(frozen=True)
class Layer:
    """A linear layer or a convolution.

    Attributes:
        name: Its weight's or its node's, whichever says more.
        node: Name of its node.
        convolution: Whether it is one.
        source: The value that enters it.
        weight: Its initializer.
        result: For convolutions, the value after the activation behind it; integer kernels write that in int8.
        size: Elements of the weight.
    """

    name: str
    node: str
    convolution: bool
    source: str
    weight: str
    result: str | None
    size: int


@dataclass(frozen=True)
class Range:
    """The values that uint8 codes of a tensor stand for.

    Attributes:
        low: Smallest, 0 or less.
        high: Largest, 0 or more.
    """

    low: float
    high: float

    @property
    def scale(self) -> float:
        """Step between two codes."""
        return max(self.high - self.low, 1e-12) / 255

    @property
    def zero(self) -> int:
        """Code of 0."""
        return round(-self.low / self.scale)

    @classmethod
    def of(cls, values: FloatArray) -> Range:
        """The range that represents a sample of values with the least squared error; outliers may be clipped."""
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        tried = [cls(low * a, high * b) for a, b in [(s, s) for s in np.linspace(0.3, 1, 29)] + [(1, 0.6), (0.6, 1)]]
        return min(tried, key=lambda found: found.error(values))

    def error(self, values: FloatArray) -> float:
        """Mean squared error of values that pass through the codes."""
        codes = np.clip(np.rint(values / self.scale) + self.zero, 0, 255)
        return float(np.mean(((codes - self.zero) * self.scale - values) ** 2))


def unpacked(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with its 16-bit weights as float32, without the casts that did so."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    half = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    casts = [node for node in graph.node if node.op_type == "Cast" and node.input[0] in half]
    for node in casts:
        values = numpy_helper.to_array(half[node.input[0]]).astype(np.float32)
        half[node.input[0]].CopyFrom(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
    return model


def store_half(model: onnx.ModelProto) -> None:
    """Keep float32 tensors that 16 bits hold exactly as float16, with a cast in front of their readers, in place."""
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        short = values.astype(np.float16)
        if values.size < 64 or not np.array_equal(short.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(short, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """Layers that could be computed in int8, in order: all with weights but those that read an image."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    images = {value.name for value in graph.input}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found: list[Layer] = []
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm", "Conv") or node.input[1] not in weights or node.input[0] in images:
            continue
        convolution, result = node.op_type == "Conv", None
        tensor = weights[node.input[1]]
        if convolution:
            after = readers.get(node.output[0], [])
            if [reader.op_type for reader in after] != ["Relu"]:
                continue
            result = after[0].output[0]
        biases = [node.input[2]] if len(node.input) > 2 else []
        biases += [n for reader in readers.get(node.output[0], []) for n in reader.input if reader.op_type == "Add"]
        known = [name for name in (node.input[1], *biases) if "." in name]
        name = known[0].removeprefix("net.").rsplit(".", 1)[0] if known else node.name
        # Equal biases may be stored once, under the name of the first.
        if name in {layer.name for layer in found}:
            name = f"{name} ({node.name})"
        size = int(np.prod(tensor.dims))
        found.append(Layer(name, node.name, convolution, node.input[0], node.input[1], result, size))
    return found


def with_outputs(model: onnx.ModelProto, names: Iterable[str]) -> bytes:
    """The model with further values as outputs, as a file's bytes."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in present)
    return bytes(model.SerializeToString())


def in_int8(model: onnx.ModelProto, layers: Iterable[Layer], ranges: Mapping[str, Range]) -> onnx.ModelProto:
    """A copy with some layers in int8.

    Args:
        model: All in float32.
        layers: Which.
        ranges: For the ``source`` and the ``result`` of each.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph, chosen = model.graph, list(layers)
    nodes = {node.name: node for node in graph.node}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    added: dict[str, onnx.NodeProto] = {}
    for layer in chosen:
        node = nodes[layer.node]
        values = numpy_helper.to_array(weights[layer.weight])
        axis = 0 if layer.convolution else values.ndim - 1
        if node.op_type == "Gemm" and any(item.name == "transB" and item.i for item in node.attribute):
            axis = 0
        codes, scales = _weight_codes(values, axis)
        name = layer.weight
        graph.initializer.extend(
            [
                numpy_helper.from_array(codes, f"{name}_codes"),
                numpy_helper.from_array(scales, f"{name}_scale"),
                numpy_helper.from_array(np.zeros(len(scales), np.int8), f"{name}_zero"),
            ]
        )
        inputs = [f"{name}_codes", f"{name}_scale", f"{name}_zero"]
        added[f"{name}_int8"] = helper.make_node("DequantizeLinear", inputs, [f"{name}_int8"], axis=axis)
        node.input[1] = f"{name}_int8"
    for value in dict.fromkeys(v for layer in chosen for v in (layer.source, layer.result) if v is not None):
        for step in _through_uint8(model, value, ranges[value]):
            added[step.output[0]] = step
        for node in graph.node:
            node.input[:] = [f"{value}_uint8" if name == value else name for name in node.input]
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used or tensor.name.endswith(_OURS)]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    _insert(graph, added)
    return model


_OURS = ("_codes", "_scale", "_zero")


def _weight_codes(values: FloatArray, axis: int) -> tuple[NDArray[np.int8], FloatArray]:
    """Symmetric codes with a scale for each channel along an axis."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    scale = np.maximum(np.abs(values).max(others, keepdims=True), 1e-12) / 127
    return np.rint(values / scale).astype(np.int8), scale.ravel().astype(np.float32)


def _through_uint8(model: onnx.ModelProto, value: str, held: Range) -> list[onnx.NodeProto]:
    parameters = [f"{value}_scale", f"{value}_zero"]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(held.scale, np.float32), parameters[0]),
            numpy_helper.from_array(np.array(held.zero, np.uint8), parameters[1]),
        ]
    )
    return [
        helper.make_node("QuantizeLinear", [value, *parameters], [f"{value}_quantized"]),
        helper.make_node("DequantizeLinear", [f"{value}_quantized", *parameters], [f"{value}_uint8"]),
    ]


def _insert(graph: onnx.GraphProto, added: Mapping[str, onnx.NodeProto]) -> None:
    """Put nodes in front of their first readers: a graph's nodes must be in the order of their execution."""
    ordered: list[onnx.NodeProto] = []
    placed: set[str] = set()

    def place(name: str) -> None:
        if name in added and name not in placed:
            placed.add(name)
            for needed in added[name].input:
                place(needed)
            ordered.append(added[name])

    for node in graph.node:
        for name in node.input:
            place(name)
        ordered.append(node)
    del graph.node[:]
    graph.node.extend(ordered)
