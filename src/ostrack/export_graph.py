"""A torch network as an ONNX graph that runtimes run well, with the same answers.

Layer scales and batch norms go into the layers before them, and sums of constants become one. Of the time that
onnxruntime takes for the result in float32, nine tenths go into matrix products and convolutions. Writing the attention
with a product for each of query, key and value was tried and gained nothing measurable.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import opset18 as op
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ostrack.errors import CheckpointError, OutputError
from ostrack.model.block import Block, LayerScale
from ostrack.model.ostrack import OSTrack
from ostrack.runtimes.exported import EMBEDDING, METADATA_FORMAT, Exported

__all__ = ["OPSET", "folded", "rounded", "to_graph"]

# IR 9 and opset 20 are read by onnxruntime from 1.17 on; opset 20 is the first with a GELU of its own.
OPSET = 20
_IR_VERSION = 9


class _Paths(nn.Module):
    """Both paths of the network, their outputs as a dict in the order of the file."""

    def __init__(self, net: OSTrack) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, template: Tensor, template_box: Tensor | None, template_tokens: Tensor, search: Tensor
    ) -> dict[str, Tensor]:
        """Named outputs; see the module's text."""
        out = self.net.search(template_tokens, search)
        maps = {"score_map": out.score_map, "size_map": out.size_map, "offset_map": out.offset_map}
        named = {name: tensor for name, tensor in maps.items() if tensor is not None} or {"score": out.score}
        named |= {"boxes": out.boxes} | {f"eliminated_{i}": gone for i, gone in enumerate(out.eliminated)}
        return named | {EMBEDDING: self.net.embed(template, template_box)}


def folded(net: OSTrack) -> OSTrack:
    """The same function with layer scales in the linear layers and batch norms in the convolutions before them."""
    net = copy.deepcopy(net)
    with torch.no_grad():
        for block in cast(Iterable[Block], net.backbone.blocks):
            for name, linear in (("ls1", block.attn.proj), ("ls2", block.mlp.fc2)):
                scale = getattr(block, name)
                if isinstance(scale, LayerScale):
                    linear.weight.mul_(scale.gamma[:, None])
                    linear.bias.mul_(scale.gamma)
                    setattr(block, name, nn.Identity())
    for stage in net.box_head.modules():
        if isinstance(stage, nn.Sequential):
            convolution, norm = stage[0], stage[1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                stage[0], stage[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return net


def rounded(net: OSTrack) -> None:
    """Round every weight to what 16 bits hold, in place."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                short = tensor.half()
                if not short.isfinite().all():
                    raise CheckpointError(f"{name}: a weight of {tensor.abs().max():g} does not fit 16 bits")
                tensor.copy_(short)


def to_graph(net: OSTrack, opset: int) -> onnx.ModelProto:
    """Both paths of a network as an ONNX model, weights in float32, without metadata.

    Args:
        net: On the CPU, in evaluation mode; :func:`folded` first makes the graph a good one.
        opset: ONNX operator set.

    Raises:
        OutputError: torch cannot export it.
    """
    inputs = Exported(net.config, METADATA_FORMAT, {}).inputs()
    # Targets are embedded one by one or together, whatever the number of search regions.
    targets, batch = torch.export.Dim("targets"), torch.export.Dim("batch")
    example: dict[str, Tensor | None] = {"template_box": None}
    dimensions: dict[str, Any] = {"template_box": None}
    for name, shape in inputs.items():
        once = name in ("template", "template_box")
        example[name] = torch.rand(3 if once else 2, *shape)
        dimensions[name] = {0: targets if once else batch}
    order = ("template", "template_box", "template_tokens", "search")
    module = _Paths(net).eval()
    arguments = tuple(example[name] for name in order)
    with torch.no_grad():
        names = list(module(*arguments))
    with _quiet():
        program = torch.onnx.export(
            module,
            arguments,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=names,
            dynamic_shapes=tuple(dimensions[name] for name in order),
            custom_translation_table={torch.ops.aten.sort.stable: _sort},
            verbose=False,
        )
    if program is None:
        raise OutputError("torch.onnx.export returned nothing")
    model: onnx.ModelProto = program.model_proto
    if opset <= OPSET:
        model.ir_version = _IR_VERSION
    # The exporter notes source files and stack traces on every operator.
    for item in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del item.metadata_props[:]
    for item in (*model.graph.node, *model.graph.initializer):
        item.doc_string = ""
    _add_constants_once(model.graph)
    return model


def _add_constants_once(graph: onnx.GraphProto) -> None:
    """Turn ``(x + a) + b`` with constants into ``x + (a + b)``, in place."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses: dict[str, int] = {}
    for name in (name for node in graph.node for name in node.input):
        uses[name] = uses.get(name, 0) + 1
    sums = {node.output[0]: node for node in graph.node if node.op_type == "Add" and node.input[1] in constants}
    for node in list(sums.values()):
        first = sums.get(node.input[0])
        if first is None or uses[node.input[0]] != 1:
            continue
        total = sum(numpy_helper.to_array(constants[n.input[1]]) for n in (first, node))
        name = f"{node.output[0]}_constant"
        constants[name] = numpy_helper.from_array(np.asarray(total, np.float32), name)
        graph.initializer.append(constants[name])
        node.input[:] = [first.input[0], name]
        graph.node.remove(first)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _sort(self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """Stable sort for the exporter, which lacks it: TopK of everything; it, too, puts the lower index first."""
    count = op.Shape(self, start=dim, end=dim + 1)
    return op.TopK(self, count, axis=dim, largest=int(descending), sorted=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages it would use if they were there."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
