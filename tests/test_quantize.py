"""Networks in int8: what the codes mean, what a file loses, what goes back to float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("onnx")
pytest.importorskip("torch")

import onnx
import torch
from typer.testing import CliRunner

from blob_network import BLOB_CONFIG, write_blob_network
from ostrack.cli import app
from ostrack.errors import DataError, NetworkError, OutputError
from ostrack.export import export_onnx
from ostrack.export_crops import Crops, crops, followed, labelled, labelled_clips, scene
from ostrack.model import OSTrack, OSTrackConfig
from ostrack.network import Network
from ostrack.quantize import Loss, QuantizeReport, _choose, quantize
from ostrack.quantized_balance import balanced
from ostrack.quantized_graph import Layer, Range, find_layers, unpacked
from ostrack.runtimes.onnx import OnnxRuntime


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("int8") / "tiny.onnx"
    config = OSTrackConfig(
        template_size=32, search_size=64, patch_size=8, embed_dim=48, depth=2, num_heads=3, head_channels=16,
        elimination_layers=(1,), keep_ratios=(0.7,),
    )  # fmt: skip
    net = OSTrack(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(values * 2 / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(values * 0.1)
    export_onnx(net, path, half_storage=True)
    return path


@pytest.fixture(scope="module")
def calibration(exported: Path) -> Crops:
    rng = np.random.default_rng(3)
    return crops(Network.load(exported).config, [scene(rng) for _ in range(20)])


@pytest.fixture(scope="module")
def made(exported: Path, calibration: Crops) -> QuantizeReport:
    return quantize(exported, exported.with_name("int8.onnx"), calibration, bound=10)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=300), st.floats(0.1, 10))
def test_codes_hold_zero_exactly_and_lose_no_more_than_the_full_range(values: list[float], scale: float) -> None:
    array = np.array(values, np.float32) * np.float32(scale)
    found = Range.of(array)
    assert 0 <= found.zero <= 255
    assert found.error(np.zeros(1, np.float32)) == 0
    full = Range(min(float(array.min()), 0.0), max(float(array.max()), 0.0))
    assert found.error(array) <= full.error(array) * 1.001 + 1e-12


def test_every_linear_layer_and_every_stage_of_the_head_is_found(exported: Path) -> None:
    names = [layer.name for layer in find_layers(unpacked(onnx.load(exported)))]
    blocks = [f"backbone.blocks.{i}.{part}" for i in (0, 1) for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    assert set(blocks) <= set(names)
    assert len(names) == len(set(names)) == len(blocks) + 12
    assert not [name for name in names if "patch_embed" in name]


def test_evener_channels_change_no_answer(exported: Path, calibration: Crops, tmp_path: Path) -> None:
    model = unpacked(onnx.load(exported))
    layers = [layer for layer in find_layers(model) if not layer.convolution]
    rng = np.random.default_rng(0)
    width = {layer.source: layer.size // 48 if layer.name.endswith("fc2") else 48 for layer in layers}
    # A few channels a hundred times the others.
    peaks = {name: np.exp(rng.normal(0, 2, size)).astype(np.float32) for name, size in width.items()}
    even = balanced(model, layers, peaks)
    onnx.checker.check_model(even)
    onnx.save(even, tmp_path / "even.onnx")
    assert [layer.name for layer in find_layers(even)] == [layer.name for layer in find_layers(model)]
    before, after = ({t.name: t for t in m.graph.initializer} for m in (model, even))
    for old, new in zip(layers, find_layers(even), strict=False):
        rows = onnx.numpy_helper.to_array(after[new.weight]) / onnx.numpy_helper.to_array(before[old.weight])
        # What was larger is divided by more, so its weights are multiplied by more.
        assert np.corrcoef(np.log(rows.mean(1)), np.log(peaks[old.source]))[0, 1] > 0.8
    # Norms take the divisors themselves; the products of attention and the activations get a node each.
    added = [sum(node.op_type == "Mul" for node in m.graph.node) for m in (model, even)]
    assert added[1] - added[0] == 4
    expected, found = (
        Network(OnnxRuntime(path))(calibration.template, calibration.search, calibration.template_box)
        for path in (exported, tmp_path / "even.onnx")
    )
    assert expected.score is not None
    assert found.score is not None
    np.testing.assert_allclose(found.score, expected.score, atol=2e-4)


def test_one_large_channel_does_not_make_int8_coarse(
    exported: Path, calibration: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained transformers have such channels: one of 150 behind a norm whose others stay below 14."""
    model = unpacked(onnx.load(exported))
    norm = [node for node in model.graph.node if node.op_type == "LayerNormalization"][1]
    for tensor in model.graph.initializer:
        if tensor.name in norm.input[1:]:
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[5] *= 300
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{tensor.name}_large"))
    norm.input[1:] = [f"{name}_large" for name in norm.input[1:]]
    layer = next(layer for layer in find_layers(model) if layer.source == norm.output[0])
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == layer.weight)
    values = onnx.numpy_helper.to_array(weight).copy()
    # Its weights are small in turn, so that the network stays what it was.
    values[5] /= 300
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.helper.set_model_props(model, {item.key: item.value for item in onnx.load(exported).metadata_props})
    onnx.save(model, tmp_path / "large.onnx")
    even = quantize(tmp_path / "large.onnx", tmp_path / "even.onnx", calibration, bound=10)
    monkeypatch.setattr("ostrack.quantize.balanced", lambda model, layers, peaks: model)
    uneven = quantize(tmp_path / "large.onnx", tmp_path / "uneven.onnx", calibration, bound=10)
    assert even.loss.total < uneven.loss.total


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_int8_is_close_in_every_runtime(exported: Path, calibration: Crops, made: QuantizeReport, runtime: str) -> None:
    pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    network = Network.load(made.out, runtime)
    assert "int8" in network.runtime
    found = network(calibration.template, calibration.search, calibration.template_box)
    expected = Network.load(exported, "onnx")(calibration.template, calibration.search, calibration.template_box)
    assert found.score is not None
    assert expected.score is not None
    difference = np.abs(found.score - expected.score)
    assert 1e-4 < difference.mean() < 0.1
    # Far closer than to the answers for other crops.
    assert difference.mean() < 0.5 * np.abs(found.score - expected.score[::-1]).mean()


def test_the_file_says_what_it_is(exported: Path, made: QuantizeReport) -> None:
    model = onnx.load(made.out)
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") >= 8
    assert made.layers == 14
    assert made.kept == ()
    assert made.pairs == 24
    assert made.held_out == 8
    assert made.out.stat().st_size < exported.stat().st_size
    assert "layers in int8" in made.text()
    with pytest.raises(NetworkError, match="in int8 already"):
        quantize(made.out, exported.with_name("again.onnx"), Crops(*(np.zeros((8, 1), np.float32),) * 3))


def test_auto_takes_openvino_for_int8(made: QuantizeReport, exported: Path) -> None:
    pytest.importorskip("openvino")
    assert "openvino" in Network.load(made.out).runtime
    assert "onnxruntime" in Network.load(exported).runtime


def test_what_loses_most_goes_back_to_float32(exported: Path, calibration: Crops, made: QuantizeReport) -> None:
    steps: list[tuple[int, int]] = []
    bound = made.loss.total / 2
    report = quantize(
        exported, exported.with_name("careful.onnx"), calibration, bound=bound,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert report.kept
    assert report.layers + len(report.kept) == 14
    assert report.loss.total <= bound
    assert steps[-1] == (14, 14)
    assert report.kept[0] in report.text()


def test_a_bound_that_cannot_be_kept_is_an_error_and_writes_nothing(exported: Path, calibration: Crops) -> None:
    out = exported.with_name("impossible.onnx")
    with pytest.raises(OutputError, match=r"int8: loses .* even with 1 of 14 layers in int8, expected at most 0"):
        quantize(exported, out, calibration, bound=0)
    assert not out.exists()


def test_what_cannot_be_quantised(exported: Path, calibration: Crops, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.onnx"):
        quantize(exported, tmp_path / "net.bin", calibration)
    before = exported.read_bytes()
    with pytest.raises(ValueError, match="is the file that is read"):
        quantize(exported, exported.parent / "." / exported.name, calibration)
    assert exported.read_bytes() == before
    with pytest.raises(ValueError, match="7 pairs of crops, expected 8 or more"):
        quantize(exported, tmp_path / "net.onnx", calibration[slice(0, 7)])
    old = write_blob_network(tmp_path / "old.onnx", BLOB_CONFIG)
    with pytest.raises(NetworkError, match="format 1 cannot be quantised"):
        quantize(old, tmp_path / "net.onnx", calibration)


def moving(count: int) -> list[np.ndarray]:
    """A red square on black that moves to the right."""
    frames = np.zeros((count, 96, 160, 3), np.uint8)
    for i, frame in enumerate(frames):
        frame[30:60, 20 + 4 * i : 50 + 4 * i, 0] = 255
    return list(frames)


def test_a_followed_clip_gives_the_crops_of_its_frames(blob_onnx: Path) -> None:
    found = followed(Network.load(blob_onnx), moving(6), (20, 30, 30, 30))
    assert len(found) == 5
    assert found.search.shape == (5, 3, 128, 128)
    assert np.array_equal(found.template[0], found.template[4])
    # Each is cut round the place of the frame before: the square stays near the middle.
    lit = found.search[:, 0] > 0
    columns = [np.flatnonzero(row.any(0)).mean() for row in lit]
    assert np.ptp(columns) < 10
    with pytest.raises(DataError, match="too short"):
        followed(Network.load(blob_onnx), moving(1), (20, 30, 30, 30))


def test_labelled_clips_give_as_many_pairs_as_asked_for(tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "set" / "square"
    (folder / "img").mkdir(parents=True)
    for i, frame in enumerate(moving(5)):
        cv2.imwrite(str(folder / "img" / f"{i + 1:04d}.png"), np.ascontiguousarray(frame[..., ::-1]))
    (folder / "groundtruth.txt").write_text("".join(f"{20 + 4 * i},30,30,30\n" for i in range(5)))
    clips = labelled_clips(tmp_path / "set")
    found = labelled(BLOB_CONFIG, clips, 7)
    assert len(found) == 7
    # Red fills the middle of the template, and lies somewhere in every search crop.
    assert (found.template[:, 0, 24:40, 24:40] > 2).all()
    assert (found.search[:, 0] > 2).any((1, 2)).all()
    assert len(Crops.joined([found, found])) == 14


def test_options_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    runner = CliRunner()
    path = write_blob_network(tmp_path / "net.onnx", BLOB_CONFIG)
    for given_arguments, message in (
        (["--int8"], "belong together"),
        (["--calibrate", str(tmp_path)], "belong together"),
        ([], "exported already"),
        (["--threads", "0"], "greater than or equal to 1"),
        (["--box", "1,2,3,4"], "--box: for --int8 only"),
        (["--pairs", "16", "--threads", "2"], "--pairs and --threads: for --int8 only"),
        (["--int8", "--calibrate", str(tmp_path / "none")], "none: no such file or folder"),
        (["--int8", "--calibrate", str(path)], "needs --box x,y,w,h"),
        (["--int8", "--calibrate", str(path), "--box", "1,2,3"], "--box 1,2,3: expected x,y,w,h"),
    ):
        found = runner.invoke(app, ["export", str(path), "-o", str(tmp_path / "out.onnx"), *given_arguments])
        assert found.exit_code == 2
        assert message in found.output


def test_an_answer_that_is_no_number_is_no_small_loss(tmp_path: Path) -> None:
    layers = [Layer(name, name, False, "x", "w", "y", 10) for name in "abc"]

    def loss(chosen: Sequence[Layer]) -> Loss:
        return Loss(float("nan") if any(layer.name == "b" for layer in chosen) else 0.0, 0.0)

    chosen, kept, found = _choose(layers, loss, 0.03, None)
    assert ([layer.name for layer in chosen], kept, found.total) == (["a", "c"], ("b",), 0.0)
    with pytest.raises(OutputError, match="loses nan"):
        _choose(layers, lambda chosen: Loss(float("nan"), 0.0), 0.03, None)
