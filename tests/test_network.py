"""Networks from files: what is read, what is refused and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostrack.config import OSTrackConfig
from ostrack.crop import normalise
from ostrack.errors import NetworkError
from ostrack.network import Network

pytest.importorskip("onnx")

from blob_network import BLOB_CONFIG, write_blob_network


def crops(batch: int, config: OSTrackConfig = BLOB_CONFIG) -> tuple[Any, Any, Any]:
    """Templates with a red square in the middle, searches with it elsewhere in each row."""
    template = np.zeros((batch, config.template_size, config.template_size, 3), np.uint8)
    template[:, 16:48, 16:48, 0] = 255
    search = np.zeros((batch, config.search_size, config.search_size, 3), np.uint8)
    for i in range(batch):
        search[i, 20:52, 40 + 16 * i : 72 + 16 * i, 0] = 255
    boxes = np.tile(np.array([0.5, 0.5, 0.5, 0.5], np.float32), (batch, 1))
    return normalise(template), normalise(search), boxes


def test_a_batch_answers_row_by_row(blob_onnx: Path) -> None:
    network = Network.load(blob_onnx, threads=1)
    templates, searches, _ = crops(3)
    maps = network(templates, searches)
    assert len(maps) == 3
    assert maps.score is not None
    assert maps.size is not None
    assert maps.offset is not None
    assert maps.score.shape == (3, 8, 8)
    assert maps.size.shape == maps.offset.shape == (3, 2, 8, 8)
    assert maps.boxes == pytest.approx(
        np.array([[(56 + 16 * i) / 128, 36 / 128, 0.25, 0.25] for i in range(3)]), abs=1e-3
    )
    assert maps.confidence == pytest.approx(maps.score.max((1, 2)))
    assert maps.eliminated == ()
    alone = network(templates[1:2], searches[1:2])
    assert alone.boxes == pytest.approx(maps.boxes[1:2], abs=1e-6)


def test_the_config_comes_from_the_file(blob_onnx: Path) -> None:
    assert Network.load(str(blob_onnx)).config == BLOB_CONFIG


@pytest.mark.parametrize("head", ["center", "corner", "mlp"])
def test_every_head_and_elimination_have_their_outputs(tmp_path: Path, head: str) -> None:
    config = BLOB_CONFIG.model_copy(update={"head": head, "elimination_layers": (0, 1), "keep_ratios": (0.75, 0.5)})
    maps = Network.load(write_blob_network(tmp_path / "net.onnx", config))(*crops(2)[:2])
    for found in (maps.score, maps.size, maps.offset):
        assert (found is None) == (head == "corner")
    assert maps.confidence is not None
    assert [indices.shape for indices in maps.eliminated] == [(2, 16), (2, 32)]
    assert all(indices.dtype == np.int64 for indices in maps.eliminated)


def test_the_template_box_reaches_networks_that_need_it(tmp_path: Path) -> None:
    config = BLOB_CONFIG.model_copy(update={"token_type": True})
    network = Network.load(write_blob_network(tmp_path / "net.onnx", config))
    templates, searches, boxes = crops(2)
    boxes[1, 2:] = 0.8, 0.4
    assert network(templates, searches, boxes).boxes[:, 2:] == pytest.approx(np.array([[0.25, 0.25], [0.4, 0.2]]))
    with pytest.raises(ValueError, match="needs template_boxes"):
        network(templates, searches)


def test_a_template_is_embedded_once_and_stacked_with_others(tmp_path: Path) -> None:
    config = BLOB_CONFIG.model_copy(update={"token_type": True})
    network = Network.load(write_blob_network(tmp_path / "net.onnx", config))
    templates, searches, boxes = crops(3)
    boxes[1, 2:] = 0.8, 0.4
    alone = [network.embed(templates[i : i + 1], boxes[i : i + 1])[0] for i in range(3)]
    assert alone[0].shape == (config.template_grid**2, network.token_width)
    found = network.search(np.stack(alone[::-1]), searches)
    assert np.array_equal(found.boxes, network(templates[::-1], searches, boxes[::-1].copy()).boxes)
    with pytest.raises(ValueError, match=r"tokens: got float32 \(2, 16, 8\), expected float32 \(2, 16, 772\)"):
        network.search(np.zeros((2, 16, 8), np.float32), searches[:2])


def test_wrong_inputs_are_refused(blob_onnx: Path) -> None:
    network = Network.load(blob_onnx)
    templates, searches, _ = crops(2)
    with pytest.raises(ValueError, match=r"searches: got float32 \(1, 3, 128, 128\), expected float32 \(2, 3, 128"):
        network(templates, searches[:1])
    with pytest.raises(ValueError, match=r"templates: got float64"):
        network(templates.astype(np.float64), searches)


def good_metadata(**changes: Any) -> str:
    return json.dumps({"format": 1, "config": BLOB_CONFIG.model_dump(mode="json"), **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": None}, r"metadata keys \(none\), expected 'ostrack'"),
        ({"metadata": "{"}, "is not JSON"),
        ({"metadata": "[1]"}, "holds no object 'config'"),
        ({"metadata": good_metadata(format=3)}, "format 3, this version reads 1 to 2"),
        ({"metadata": good_metadata(config={"depht": 2})}, "'ostrack': depht: no field of a configuration"),
        ({"metadata": good_metadata(config={"search_size": 100})}, "not a multiple of patch_size"),
        ({"metadata": good_metadata(format=2)}, "expected template, template_tokens, search"),
        (
            {"metadata": good_metadata(config={})},
            r"input template is .* \['B', 3, 64, 64\], expected .* \[3, 128, 128\]",
        ),
        ({"batch": 1}, "input template has a fixed batch of 1"),
        ({"rename": {"search": "image"}}, "inputs template, image, expected template, search"),
        ({"rename": {"size_map": "wh"}}, "outputs score_map, wh, offset_map, boxes, expected also size_map"),
    ],
)
def test_files_that_break_the_contract_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_blob_network(tmp_path / "odd.onnx", BLOB_CONFIG, **changes)
    with pytest.raises(NetworkError, match=message) as caught:
        Network.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_mlp_head_without_its_maps_is_refused(tmp_path: Path) -> None:
    config = BLOB_CONFIG.model_copy(update={"head": "mlp"})
    path = write_blob_network(tmp_path / "odd.onnx", config, rename={"score_map": "scores"})
    with pytest.raises(NetworkError, match="expected also score_map"):
        Network.load(path)


def test_other_keys_of_the_metadata_are_free(tmp_path: Path) -> None:
    Network.load(write_blob_network(tmp_path / "net.onnx", BLOB_CONFIG, metadata=good_metadata(made_by="a test")))


def test_broken_and_missing_files_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no protobuf at all")
    with pytest.raises(NetworkError, match=r"broken\.onnx: not a readable ONNX file"):
        Network.load(broken)
    with pytest.raises(FileNotFoundError, match=r"missing\.onnx: no such file"):
        Network.load(tmp_path / "missing.onnx")
    with pytest.raises(FileNotFoundError, match=r"missing\.safetensors: no such file"):
        Network.load(tmp_path / "missing.safetensors")
    with pytest.raises(FileNotFoundError, match="nonesuch: neither a file nor a packaged network"):
        Network.load("nonesuch")
    other = tmp_path / "notes.txt"
    other.write_text("")
    with pytest.raises(NetworkError, match=r"notes\.txt: expected a file that ends in \.onnx"):
        Network.load(other)


def test_runtimes_and_devices_that_cannot_be_had(blob_onnx: Path) -> None:
    with pytest.raises(NetworkError, match="runtime 'tensorrt': expected 'auto', 'onnx', 'openvino', 'torch'"):
        Network.load(blob_onnx, runtime="tensorrt")
    with pytest.raises(NetworkError, match="runtime 'torch' cannot read this file, runtime='onnx' and runtime='op"):
        Network.load(blob_onnx, runtime="torch")
    with pytest.raises(NetworkError, match="device 'tpu': runtime 'onnx' knows cpu, cuda"):
        Network.load(blob_onnx, device="tpu")
    with pytest.raises(NetworkError, match="threads=0"):
        Network.load(blob_onnx, threads=0)


def test_cuda_without_its_onnxruntime_says_what_to_install(blob_onnx: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(NetworkError, match="lacks CUDAExecutionProvider; install onnxruntime-gpu"):
        Network.load(blob_onnx, device="cuda")


NARROW = OSTrackConfig(
    template_size=64, search_size=128, embed_dim=24, depth=3, num_heads=2, head_channels=16,
    elimination_layers=(1,), keep_ratios=(0.7,),
)  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"head": "corner"}, {"head": "mlp"}, {"token_type": True}])
def test_a_torch_module_is_a_network(changes: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    from ostrack.model import OSTrack

    torch.manual_seed(0)
    module = OSTrack(NARROW.model_copy(update=changes))
    network = Network.from_module(module)
    assert not module.training
    templates, searches, boxes = crops(2)
    maps = network(templates, searches, boxes)
    with torch.inference_mode():
        box_argument = torch.from_numpy(boxes) if network.config.needs_template_box else None
        out = module(torch.from_numpy(templates), torch.from_numpy(searches), box_argument)
    assert np.array_equal(maps.boxes, out.boxes.numpy())
    assert maps.confidence is not None
    assert np.array_equal(maps.confidence, out.score.numpy())
    assert (maps.score is None) == (network.config.head == "corner")
    if maps.score is not None:
        assert np.array_equal(maps.score, out.score_map.numpy()[:, 0])
    assert [tokens.shape for tokens in maps.eliminated] == [(2, 19)]


def test_weights_load_into_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from ostrack.model import OSTrack, save

    path = save(tmp_path / "net.safetensors", OSTrack(NARROW))
    templates, searches, _ = crops(1)
    assert np.array_equal(
        Network.load(path)(templates, searches).boxes, Network.load(path, "torch")(templates, searches).boxes
    )
    with pytest.raises(NetworkError, match="runtime 'onnx' cannot read this file, runtime='torch' can"):
        Network.load(path, runtime="onnx")
    with pytest.raises(NetworkError, match="device 'nowhere'"):
        Network.load(path, device="nowhere")
