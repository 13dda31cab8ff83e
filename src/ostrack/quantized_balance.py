"""Channels of like size before int8: all channels of a value share one scale, which a single large one makes coarse.

What enters a layer is divided by a number for each channel, and the layer's weight multiplied by it: the same network
in float32 (SmoothQuant, Xiao et al. 2023). Behind a norm that costs nothing, since its own scale takes the divisor;
elsewhere it is one product more, which runtimes merge with what makes the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ostrack.quantized_graph import Layer
from ostrack.runtimes import FloatArray

__all__ = ["balanced"]

# Of the unevenness, how much goes from the values into the weights; these have a scale for each output channel.
_SHARE = 0.7


def balanced(model: onnx.ModelProto, layers: Sequence[Layer], peaks: Mapping[str, FloatArray]) -> onnx.ModelProto:
    """A copy that answers alike, with evener channels in front of its linear layers.

    Args:
        model: All in float32.
        layers: Its layers; convolutions stay as they are.
        peaks: For the ``source`` of each linear layer the largest magnitude in each channel, ``(C,)``.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = {node.name: node for node in graph.node}
    for layer in layers:
        node = nodes[layer.node]
        readers = [reader for reader in graph.node if layer.source in reader.input]
        if node.op_type != "MatMul" or len(readers) != 1:
            continue
        weight = numpy_helper.to_array(weights[layer.weight])
        divisor = _divisor(peaks[layer.source], np.abs(weight).max(1))
        norm = next((n for n in graph.node if n.op_type == "LayerNormalization" and layer.source in n.output), None)
        if norm is not None:
            for place in range(1, len(norm.input)):
                values = numpy_helper.to_array(weights[norm.input[place]])
                # Under a name of its own: equal tensors may be stored once for several readers.
                _replace(graph, norm, place, values / divisor)
        else:
            _divide(graph, node, divisor)
        _replace(graph, node, 1, weight * divisor[:, None])
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model


def _divisor(peak: FloatArray, weight_peak: FloatArray) -> FloatArray:
    """For each channel, so that both the values and the rows of the weight become evener; 1 on the whole."""
    found = np.maximum(peak, 1e-5) ** _SHARE / np.maximum(weight_peak, 1e-5) ** (1 - _SHARE)
    found = found / np.exp(np.log(found).mean())
    return np.asarray(np.clip(found, 1e-2, 1e2), np.float32)


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, values: NDArray[Any]) -> None:
    name = f"{node.name}_balanced_{place}"
    graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    node.input[place] = name


def _divide(graph: onnx.GraphProto, node: onnx.NodeProto, divisor: FloatArray) -> None:
    name = f"{node.name}_balance"
    graph.initializer.append(numpy_helper.from_array(1 / divisor, name))
    product = helper.make_node("Mul", [node.input[0], name], [f"{name}d"], name=name)
    graph.node.insert(list(graph.node).index(node), product)
    node.input[0] = f"{name}d"
