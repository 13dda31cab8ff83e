"""What exported files promise, read without a runtime; what runtimes say to files and devices that do not fit."""

from __future__ import annotations

import builtins
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.config import OSTrackConfig
from ostrack.errors import NetworkError
from ostrack.network import Network
from ostrack.runtimes.exported import Exported, pack, properties, unpack
from ostrack.runtimes.onnx import OnnxRuntime

pytest.importorskip("onnx")

import onnx

from blob_network import BLOB_CONFIG, write_blob_network


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=300), max_size=4), st.binary(max_size=40))
def test_metadata_is_read_without_a_runtime(entries: dict[str, str], name: bytes) -> None:
    import tempfile

    graph = onnx.helper.make_graph([], "g", [], [], [onnx.numpy_helper.from_array(np.frombuffer(name, np.uint8), "w")])
    model = onnx.helper.make_model(graph, producer_name="x" * 200)
    onnx.helper.set_model_props(model, entries)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(model, path)
        assert properties(path) == entries


@given(st.binary(max_size=60))
def test_any_bytes_have_metadata_or_none(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(content)
        assert isinstance(properties(path), dict)


@given(st.integers(1, 3), st.booleans())
def test_templates_travel_as_tokens_and_back(batch: int, boxed: bool) -> None:
    rng = np.random.default_rng(batch)
    side = BLOB_CONFIG.template_size
    templates = rng.standard_normal((batch, 3, side, side), dtype=np.float32)
    boxes = rng.random((batch, 4), dtype=np.float32) if boxed else None
    tokens = pack(BLOB_CONFIG, templates, boxes)
    assert tokens.shape == (batch, BLOB_CONFIG.template_grid**2, Exported(BLOB_CONFIG, 1, {}).token_width)
    again, found = unpack(BLOB_CONFIG, tokens)
    assert np.array_equal(again, templates)
    assert np.array_equal(found, np.zeros((batch, 4)) if boxes is None else boxes)


def changed(path: Path, out: Path, **changes: Any) -> Path:
    """A file with another opset, another IR version or another graph."""
    model = onnx.load(path)
    if "opset" in changes:
        model.opset_import[0].version = changes["opset"]
    if "reshape" in changes:
        # Right for one row, impossible for more.
        shape = onnx.numpy_helper.from_array(np.array([1, 1, 8, 8], np.int64), "one_row")
        model.graph.initializer.append(shape)
        node = next(node for node in model.graph.node if "score_map" in node.output)
        node.output[0] = "inner"
        model.graph.node.append(onnx.helper.make_node("Reshape", ["inner", "one_row"], ["score_map"]))
        tail = model.graph.node.pop()
        index = next(i for i, n in enumerate(model.graph.node) if "inner" in n.output)
        model.graph.node.insert(index + 1, tail)
    onnx.save(model, out)
    return out


def runtimes() -> list[str]:
    return ["onnx", "openvino"]


def test_a_file_of_an_unknown_opset_is_one_line(blob_onnx: Path, tmp_path: Path) -> None:
    path = changed(blob_onnx, tmp_path / "future.onnx", opset=99)
    with pytest.raises(NetworkError, match=r"future\.onnx: .*opset") as caught:
        Network.load(path, "onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("runtime", runtimes())
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata": None}, r"expected 'ostrack'"),
        ({"rename": {"search": "image"}}, "inputs template, image, expected template, search"),
        ({"rename": {"size_map": "wh"}}, "expected also size_map"),
        ({"batch": 1}, "input template has a fixed batch of 1"),
    ],
)
def test_both_runtimes_refuse_in_the_same_words(
    tmp_path: Path, runtime: str, changes: dict[str, Any], message: str
) -> None:
    pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    path = write_blob_network(tmp_path / "odd.onnx", BLOB_CONFIG, **changes)
    with pytest.raises(NetworkError, match=message):
        Network.load(path, runtime)


@pytest.mark.parametrize("runtime", runtimes())
def test_a_call_that_fails_is_one_line_that_names_file_and_rows(blob_onnx: Path, tmp_path: Path, runtime: str) -> None:
    pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    network = Network.load(changed(blob_onnx, tmp_path / "one.onnx", reshape=True), runtime, threads=4)
    sides = BLOB_CONFIG.template_size, BLOB_CONFIG.search_size
    crops = [[np.zeros((rows, 3, side, side), np.float32) for side in sides] for rows in (1, 3)]
    assert len(network(*crops[0])) == 1
    with pytest.raises(NetworkError, match=r"one\.onnx: .*failed on 3 rows") as caught:
        network(*crops[1])
    assert "\n" not in str(caught.value)


class FailsAtFirst(OnnxRuntime):
    """Its first session is of another file, which fails when called, as a device might; later ones are right."""

    broken: Path

    def _start(self, provider: tuple[str, dict[str, str]], *options: Any) -> Any:
        whole = self._path
        self._path = whole if hasattr(self, "_session") else self.broken
        try:
            return super()._start(provider, *options)
        finally:
            self._path = whole


def test_a_device_that_fails_hands_over_to_the_processor(blob_onnx: Path, tmp_path: Path) -> None:
    FailsAtFirst.broken = changed(blob_onnx, tmp_path / "one.onnx", reshape=True)
    sides = BLOB_CONFIG.template_size, BLOB_CONFIG.search_size
    templates, searches = (np.zeros((2, 3, side, side), np.float32) for side in sides)
    runtime = FailsAtFirst(blob_onnx)
    runtime._device = "cuda"
    with pytest.warns(RuntimeWarning, match=r"device 'cuda': .*; going on with the processor"):
        maps = runtime.search(runtime.embed(templates, None), searches)
    assert len(maps) == 2
    assert runtime.description == "onnxruntime on cpu, after cuda failed"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runtime.search(runtime.embed(templates, None), searches)


def test_strictly_a_device_that_fails_is_an_error(blob_onnx: Path, tmp_path: Path) -> None:
    runtime = OnnxRuntime(changed(blob_onnx, tmp_path / "one.onnx", reshape=True), strict=True)
    runtime._device = "cuda"
    sides = BLOB_CONFIG.template_size, BLOB_CONFIG.search_size
    templates, searches = (np.zeros((2, 3, side, side), np.float32) for side in sides)
    with pytest.raises(NetworkError, match="device 'cuda': "):
        runtime.search(runtime.embed(templates, None), searches)


@pytest.mark.parametrize("device", ["cuda", "tensorrt", "coreml", "directml"])
def test_a_device_that_is_not_there_says_what_brings_it(blob_onnx: Path, device: str) -> None:
    import onnxruntime

    if len(onnxruntime.get_available_providers()) > 2:
        pytest.skip("this onnxruntime has more than the processor")
    with pytest.raises(NetworkError, match=rf"device '{device}': this onnxruntime lacks \w+; "):
        Network.load(blob_onnx, device=device)


def test_precisions_that_cannot_be_had(blob_onnx: Path) -> None:
    with pytest.raises(NetworkError, match="precision 'int4': expected 'float32', 'bf16', 'fp16'"):
        Network.load(blob_onnx, precision="int4")
    with pytest.raises(NetworkError, match="precision 'bf16': onnxruntime on cpu computes in float32"):
        Network.load(blob_onnx, "onnx", precision="bf16")


def test_openvino_says_which_devices_there_are(blob_onnx: Path) -> None:
    pytest.importorskip("openvino")
    with pytest.raises(NetworkError, match=r"device 'tpu': OpenVINO finds .*cpu"):
        Network.load(blob_onnx, "openvino", "tpu")


def test_a_runtime_that_is_not_installed_names_its_extra(blob_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "ostrack.runtimes.openvino", raising=False)
    given_import = builtins.__import__

    def without_openvino(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openvino":
            raise ModuleNotFoundError("No module named 'openvino'", name="openvino")
        return given_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_openvino)
    with pytest.raises(NetworkError, match=r'needs openvino; run: pip install "ostrack\[openvino\]", or use'):
        Network.load(blob_onnx, "openvino")


def test_inputs_follow_the_config() -> None:
    config = OSTrackConfig(elimination_query="box")
    assert Exported(config, 2, {}).inputs() == {
        "template": [3, 128, 128], "template_box": [4], "template_tokens": [64, 769], "search": [3, 256, 256]
    }  # fmt: skip
    read = Exported.read("net", {"ostrack": json.dumps({"format": 2, "config": {}, "arithmetic": "int8"})})
    assert read.arithmetic == "int8"
    assert read.token_width == 768


def test_why_openvino_cannot_read_a_file_is_told_without_its_own_places(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "broken.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(NetworkError, match="not an ONNX file that OpenVINO reads: ") as told:
        Network.load(tmp_path / "broken.onnx", "openvino")
    assert ".cpp:" not in str(told.value)
