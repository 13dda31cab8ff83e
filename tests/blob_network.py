"""A small real network in ONNX that can be reasoned about: it finds the pixels of the template's colour.

It takes the mean colour of the template (on black, so that is the target's), weighs every search pixel by how much of
that colour it has, and answers with the moments of those weights: the centroid is the centre, the variance of a
rectangle (w^2 / 12 on each axis) its size. So on a uniform rectangle on black its boxes are right to a fraction of a
pixel, and what is measured through a tracker is the tracker.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ostrack.config import OSTrackConfig
from ostrack.crop import IMAGENET_MEAN, IMAGENET_STD

BLOB_CONFIG = OSTrackConfig(
    template_size=64, search_size=128, embed_dim=8, depth=2, num_heads=1, elimination_layers=(), keep_ratios=()
)


def write_blob_network(path: Path, config: OSTrackConfig, **changes: Any) -> Path:
    """Write the network for a config.

    Args:
        path: Target.
        config: Only sizes, head, layers of elimination and ``needs_template_box`` matter. With a template box, width
            and height come from it: the target keeps the size it had.
        changes: ``metadata`` (str or None) instead of the right text, ``batch`` (int) fixes the batch, ``rename``
            (dict) gives inputs and outputs other names.
    """
    side, grid = config.search_size, config.search_grid
    constants: dict[str, NDArray[Any]] = {
        "mean": IMAGENET_MEAN.reshape(1, 3, 1, 1),
        "std": IMAGENET_STD.reshape(1, 3, 1, 1),
        "tiny": np.array(1e-6, np.float32),
        "one": np.array(1, np.float32),
        "two": np.array(2, np.float32),
        "twelve": np.array(12, np.float32),
        "pixel_area": np.array(1 / side**2, np.float32),
        "grid": np.array(grid, np.float32),
        "low": np.array(1e-4, np.float32),
        "high": np.array(1 - 1e-4, np.float32),
        "x": ((np.arange(side) + 0.5) / side).astype(np.float32).reshape(1, 1, 1, side),
        "y": ((np.arange(side) + 0.5) / side).astype(np.float32).reshape(1, 1, side, 1),
        "column": np.arange(grid, dtype=np.float32).reshape(1, 1, 1, grid),
        "row": np.arange(grid, dtype=np.float32).reshape(1, 1, grid, 1),
        "map_shape": np.array([1, 1, grid, grid], np.int64),
        "flat": np.array([0, -1], np.int64),
        "channel": np.array([1], np.int64),
        "plane": np.array([2, 3], np.int64),
        "box_scale": np.array(config.template_factor / config.search_factor, np.float32),
    }
    nodes: list[onnx.NodeProto] = []

    def op(kind: str, *inputs: str, out: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    # The target's colour, its strongest channel 1.
    op("Mul", "template", "std", out="t0")
    op("Add", "t0", "mean", out="t1")
    op("ReduceMean", "t1", out="t2", axes=[2, 3], keepdims=1)
    op("ReduceMax", "t2", out="t3", axes=[1], keepdims=1)
    op("Add", "t3", "tiny", out="t4")
    op("Div", "t2", "t4", out="colour")
    # weight = relu(what of it is in the pixel - 2 * what is not)
    op("Mul", "search", "std", out="s0")
    op("Add", "s0", "mean", out="s1")
    op("Mul", "s1", "colour", out="s2")
    op("ReduceSum", "s2", "channel", out="same", keepdims=1)
    op("ReduceSum", "s1", "channel", out="all_light", keepdims=1)
    op("Sub", "all_light", "same", out="other")
    op("Mul", "other", "two", out="other2")
    op("Sub", "same", "other2", out="difference")
    op("Relu", "difference", out="weight")
    op("ReduceSum", "weight", "plane", out="mass0", keepdims=1)
    op("Add", "mass0", "tiny", out="mass")
    for axis in "xy":
        op("Mul", "weight", axis, out=f"w{axis}")
        op("ReduceSum", f"w{axis}", "plane", out=f"m{axis}", keepdims=1)
        op("Div", f"m{axis}", "mass", out=f"c{axis}")
        op("Sub", axis, f"c{axis}", out=f"d{axis}")
        op("Mul", f"d{axis}", f"d{axis}", out=f"q{axis}")
        op("Mul", "weight", f"q{axis}", out=f"wq{axis}")
        op("ReduceSum", f"wq{axis}", "plane", out=f"sq{axis}", keepdims=1)
        op("Div", f"sq{axis}", "mass", out=f"var{axis}")
        op("Mul", f"var{axis}", "twelve", out=f"var12{axis}")
        op("Add", f"var12{axis}", "pixel_area", out=f"side2{axis}")
        op("Sqrt", f"side2{axis}", out=f"moment{axis}")
    sizes = {"x": "momentx", "y": "momenty"}
    if config.needs_template_box:
        for axis, index in (("x", 2), ("y", 3)):
            constants[f"pick{axis}"] = np.array([index], np.int64)
            op("Gather", "template_box", f"pick{axis}", out=f"tb{axis}", axis=1)
            op("Unsqueeze", f"tb{axis}", "plane", out=f"tbu{axis}")
            sizes[axis] = op("Mul", f"tbu{axis}", "box_scale", out=f"tbs{axis}")
    op("Concat", "cx", "cy", sizes["x"], sizes["y"], out="box4", axis=1)
    op("Flatten", "box4", out="boxes", axis=1)
    op("AveragePool", "weight", out="pooled", kernel_shape=[config.patch_size] * 2, strides=[config.patch_size] * 2)
    op("Clip", "pooled", "low", "high", out="score_map")
    for axis, steps in (("x", "column"), ("y", "row")):
        op("Mul", f"c{axis}", "grid", out=f"cg{axis}")
        op("Sub", f"cg{axis}", steps, out=f"off0{axis}")
        op("Expand", f"off0{axis}", "map_shape", out=f"off{axis}")
        op("Expand", sizes[axis], "map_shape", out=f"size{axis}")
    op("Concat", "offx", "offy", out="offset_map", axis=1)
    op("Concat", "sizex", "sizey", out="size_map", axis=1)
    op("Reshape", "score_map", "flat", out="tokens")
    op("ReduceMax", "tokens", out="score", axes=[1], keepdims=0)
    outputs = ["boxes", "score"] if config.head == "corner" else ["score_map", "size_map", "offset_map", "boxes"]
    for layer, ratio in enumerate(config.keep_ratios):
        constants[f"count{layer}"] = np.array([round(grid**2 * (1 - ratio))], np.int64)
        names = [f"values_{layer}", f"eliminated_{layer}"]
        nodes.append(helper.make_node("TopK", ["tokens", f"count{layer}"], names, largest=0))
        outputs.append(names[1])

    batch = changes.get("batch", "B")
    rename: dict[str, str] = changes.get("rename", {})
    shapes = {"template": [batch, 3, config.template_size, config.template_size], "search": [batch, 3, side, side]}
    if config.needs_template_box:
        shapes["template_box"] = [batch, 4]
    for node in nodes:
        node.input[:] = [rename.get(name, name) for name in node.input]
        node.output[:] = [rename.get(name, name) for name in node.output]
    graph = helper.make_graph(
        nodes,
        "blob",
        [helper.make_tensor_value_info(rename.get(k, k), TensorProto.FLOAT, v) for k, v in shapes.items()],
        [
            helper.make_empty_tensor_value_info(rename.get(name, name))
            if not name.startswith("eliminated")
            else helper.make_tensor_value_info(rename.get(name, name), TensorProto.INT64, None)
            for name in outputs
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    metadata = changes.get("metadata", json.dumps({"format": 1, "config": config.model_dump(mode="json")}))
    if metadata is not None:
        helper.set_model_props(model, {"ostrack": metadata})
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path
