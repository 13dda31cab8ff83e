"""Exported networks in onnxruntime against torch."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto

import ostrack.export
from ostrack.errors import OutputError
from ostrack.export import export_onnx
from ostrack.export_crops import crops, scene
from ostrack.model import OSTrack, OSTrackConfig, save
from ostrack.network import Network
from ostrack.runtimes.onnx import OnnxRuntime


def network(seed: int = 0, **fields: Any) -> OSTrack:
    """Two blocks on 4x4 and 8x8 tokens with lively weights and batch norms that do something.

    Small, because torch's exporter takes a second of processor time for each block.
    """
    sizes: dict[str, Any] = {
        "template_size": 32, "search_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3,
        "head_channels": 8, "elimination_layers": (0, 1), "keep_ratios": (0.7, 0.7),
    }  # fmt: skip
    net = OSTrack(OSTrackConfig(**(sizes | fields))).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            values = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var") or name.endswith("gamma"):
                tensor.copy_(values.abs() + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(values * (2.0 / tensor[0].numel() ** 0.5) if tensor.ndim > 1 else tensor + values * 0.1)
    return net


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[OSTrack, Path]:
    """Everything at once: token types, layer scale, the query that reads the template box; a centre head."""
    net = network(token_type=True, layer_scale=True, elimination_query="box")
    path = tmp_path_factory.mktemp("export") / "whole.onnx"
    before = {key: value.clone() for key, value in net.state_dict().items()}
    report = export_onnx(net, path, extra={"licence": "MIT"}, samples=[scene(np.random.default_rng(5))])
    assert report.agreement.samples == 13
    assert report.agreement.max_difference < 1e-4
    assert "largest difference" in report.text()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    return net, path


def same(net: OSTrack, path: Path, batch: int, seed: int = 3) -> None:
    """Every output of the file, through the runtime that users run, equals torch's."""
    tried = crops(net.config, [], seed)
    rows = slice(2, 2 + batch)
    inputs = tried.template[rows], tried.search[rows], tried.template_box[rows]
    found = Network.load(path)(*inputs)
    with torch.inference_mode():
        expected = net(*map(torch.from_numpy, inputs))
    for gone, other in zip(found.eliminated, expected.eliminated, strict=True):
        assert gone.dtype == np.int64
        assert np.array_equal(gone, other.numpy())
    np.testing.assert_allclose(found.boxes, expected.boxes.numpy(), atol=1e-4)
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence, expected.score.numpy(), atol=1e-4)
    if net.config.head == "corner":
        assert found.score is None
        return
    for a, b in (
        (found.score, expected.score_map[:, 0]),
        (found.size, expected.size_map),
        (found.offset, expected.offset_map),
    ):
        assert a is not None
        np.testing.assert_allclose(a, b.numpy(), atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_says_what_torch_says(whole: tuple[OSTrack, Path], batch: int) -> None:
    same(*whole, batch)


def test_corner_head_without_elimination(tmp_path: Path) -> None:
    net = network(seed=1, head="corner", elimination_layers=(), keep_ratios=())
    export_onnx(net, tmp_path / "net.onnx")
    same(net, tmp_path / "net.onnx", 2)


def test_the_file_keeps_its_contract(whole: tuple[OSTrack, Path]) -> None:
    net, path = whole
    session = ort.InferenceSession(path)
    assert {i.name: i.shape[1:] for i in session.get_inputs()} == {
        "template": [3, 32, 32], "template_box": [4], "template_tokens": [16, 25], "search": [3, 64, 64]
    }  # fmt: skip
    assert all(isinstance(i.shape[0], str) and i.type == "tensor(float)" for i in session.get_inputs())
    names = ["score_map", "size_map", "offset_map", "boxes", "eliminated_0", "eliminated_1", "embedding"]
    assert [o.name for o in session.get_outputs()] == names
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["ostrack"])
    assert metadata == {"format": 2, "licence": "MIT", "config": net.config.model_dump(mode="json")}
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert model.ir_version == 9
    assert {o.domain: o.version for o in model.opset_import} == {"": 20}
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds
    assert "Scan" not in kinds
    assert str(Path(ostrack.export.__file__).parent).encode() not in path.read_bytes()


def test_equal_scores_fall_as_in_torch(tmp_path: Path) -> None:
    net = network(seed=2, head="mlp", keep_ratios=(0.7, 0.5))
    with torch.no_grad():
        for block in net.backbone.blocks:
            block.attn.qkv.weight.zero_()
            block.attn.qkv.bias.zero_()
    export_onnx(net, tmp_path / "net.onnx")
    same(net, tmp_path / "net.onnx", 2)
    # Uniform attention: the last of the raster go, ceil(0.7 * 64) = 45 stay, then ceil(0.5 * 45) = 23.
    tried = crops(net.config, [])
    found = Network.load(tmp_path / "net.onnx")(tried.template, tried.search)
    assert all(row.tolist() == list(range(45, 64)) for row in found.eliminated[0])
    assert all(row.tolist() == list(range(23, 45)) for row in found.eliminated[1])


def test_half_storage_is_half_the_file_and_computes_in_float32(tmp_path: Path) -> None:
    net = network(seed=4, embed_dim=192, layer_scale=True, keep_ratios=(1.0, 0.5), elimination_query="all")
    save(tmp_path / "net.safetensors", net, {"scores": {"auc": 0.5}})
    half = export_onnx(tmp_path / "net.safetensors", tmp_path / "half.onnx", half_storage=True)
    assert half.out.stat().st_size < 0.56 * (tmp_path / "net.safetensors").stat().st_size
    assert half.agreement.max_difference < 1e-4
    assert half.rounding is not None
    assert 1e-5 < half.rounding.max_difference < 0.1
    assert "16 against 32 bit" in half.text()
    model = onnx.load(half.out)
    casts = [node for node in model.graph.node if node.op_type == "Cast" and node.input[0].endswith("_half")]
    assert len(casts) > 10
    assert all(node.attribute[0].i == TensorProto.FLOAT for node in casts)
    # onnxruntime turns the casts into weights when it loads the file.
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(half.out, options, providers=["CPUExecutionProvider"])
    assert not [v for v in initialisers(tmp_path / "loaded.onnx").values() if v.dtype == np.float16]
    assert OnnxRuntime(half.out).metadata["scores"] == {"auc": 0.5}


def initialisers(path: Path) -> dict[str, NDArray[Any]]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("change", [0.01, np.nan])
def test_a_graph_that_disagrees_is_not_written(
    whole: tuple[OSTrack, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: float
) -> None:
    net, path = whole
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.get_parameter("box_head.conv5_offset.bias").add_(change)
    monkeypatch.setattr(ostrack.export, "to_graph", lambda net, opset: onnx.load(path))
    with pytest.raises(OutputError, match="not written, the exported graph disagrees"):
        export_onnx(other, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.onnx"):
        export_onnx(network(), tmp_path / "net.pt")
    with pytest.raises(ValueError, match="config"):
        export_onnx(network(), tmp_path / "net.onnx", extra={"config": {}})
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        export_onnx(tmp_path / "none.safetensors", tmp_path / "net.onnx")


def test_made_up_scenes_hold_their_object() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        frame, box = scene(rng)
        x, y, w, h = np.asarray(box)
        assert frame.shape == (240, 320, 3)
        assert frame.dtype == np.uint8
        assert 0 <= x <= x + w <= 320
        assert 0 <= y <= y + h <= 240
        inside = frame[round(y + h / 2) - 3 : round(y + h / 2) + 4, round(x + w / 2) - 3 : round(x + w / 2) + 4]
        assert inside.reshape(-1, 3).std(0).max() < 10
        assert frame.std() > 25
