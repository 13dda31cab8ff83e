"""Networks in and out of files: ours, and the official ones."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ostrack.errors import CheckpointError, OutputError
from ostrack.export import export_onnx
from ostrack.model import PRESETS, OSTrack, OSTrackConfig, convert, load, save
from ostrack.model.checkpoint import read_metadata
from ostrack.model.official import infer_config
from small_networks import NARROW, images, lively, tiny


def same(a: OSTrack, b: OSTrack) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("fields", [
    {}, {"head": "corner"}, {"head": "mlp"}, {"layer_scale": True, "token_type": True, "elimination_query": "box"},
])  # fmt: skip
def test_ours_round_trip(tmp_path: Path, fields: dict[str, Any]) -> None:
    net = lively(OSTrack(tiny(**fields)), 0)
    path = save(tmp_path / "deep" / "net.safetensors", net, {"epoch": 7, "scores": {"auc": 0.5}})
    read = load(path)
    assert read.config == net.config
    assert same(read, net)
    assert not read.training
    assert read_metadata(path)["scores"] == {"auc": 0.5}
    assert [p.name for p in path.parent.iterdir()] == ["net.safetensors"]
    template, search, box = images(net.config, 2, 0)
    with torch.inference_mode():
        assert torch.equal(read(template, search, box).boxes, net(template, search, box).boxes)


def test_half_files_are_half_as_large_and_read_as_float32(tmp_path: Path) -> None:
    net = lively(OSTrack(NARROW), 0)
    whole, half = save(tmp_path / "w.safetensors", net), save(tmp_path / "h.safetensors", net, half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    state = load(half).state_dict()
    for key, tensor in net.state_dict().items():
        assert state[key].dtype == tensor.dtype
        torch.testing.assert_close(state[key], tensor, rtol=2**-11, atol=2**-25)


def test_a_weight_beyond_half_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    net = OSTrack(tiny())
    with torch.no_grad():
        net.backbone.norm.weight[0] = 1e6
    with pytest.raises(CheckpointError, match=r"backbone\.norm\.weight.*1e\+06"):
        save(tmp_path / "h.safetensors", net, half=True)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = save(tmp_path / "net.safetensors", OSTrack(tiny()))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save(path, OSTrack(tiny()), {"bad": object()})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("export", [False, True], ids=["save", "export"])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path, export: bool) -> None:
    resource = pytest.importorskip("resource")
    net = OSTrack(tiny())
    path = tmp_path / ("net.onnx" if export else "net.safetensors")
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OutputError, match=r"net\.\w+: cannot be written \(.*too large") as told:
            export_onnx(net, path) if export else save(path, net)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(told.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"net\.safetensors: cannot be written"):
        save(tmp_path / "file" / "net.safetensors", OSTrack(tiny()))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_others_may_read_the_file_as_the_umask_says(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    path = save(tmp_path / "net.safetensors", OSTrack(tiny()))
    assert path.stat().st_mode == plain.stat().st_mode


def test_names_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.safetensors"):
        save(tmp_path / "net.pth", OSTrack(tiny()))
    with pytest.raises(ValueError, match="config"):
        save(tmp_path / "net.safetensors", OSTrack(tiny()), {"config": {}})


@pytest.mark.parametrize("size", [256, 384])
def test_every_key_of_the_published_checkpoints_loads(parity: Path, tmp_path: Path, size: int) -> None:
    shapes = json.loads((parity / f"official_vitb_{size}_ce.keys.json").read_text())
    assert len(shapes) == 242
    # One stored number seen as many: 370 MB of weights need not be written.
    state = OrderedDict((k, torch.tensor(float(i)).expand(s)) for i, (k, s) in enumerate(shapes.items()))
    for key in state:
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(5)
    path = tmp_path / "OSTrack_ep0300.pth.tar"
    torch.save({"epoch": 300, "net": state}, path)
    net = load(path)
    assert net.config == PRESETS[f"vitb_{size}_ce"]
    loaded = net.state_dict()
    assert set(shapes) - set(loaded) == {"backbone.cls_token", "backbone.pos_embed"}
    assert set(loaded) <= set(shapes)
    for key, tensor in loaded.items():
        assert torch.equal(tensor, state[key]), key


def test_an_official_file_holds_the_same_network_as_its_safetensors(parity: Path, tmp_path: Path) -> None:
    path = parity / "tracker_256_ce.official_format.pth.tar"
    net = load(path, config=NARROW)
    content = torch.load(path, weights_only=True)
    assert all(torch.equal(tensor, content["net"][key]) for key, tensor in net.state_dict().items())
    save_file({key: tensor.contiguous() for key, tensor in content["net"].items()}, tmp_path / "official.safetensors")
    assert same(load(tmp_path / "official.safetensors", config=NARROW), net)
    torch.save({"net": content["net"]}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same(load(tmp_path / "old.pth", config=NARROW), net)


def test_narrow_networks_need_their_heads(parity: Path) -> None:
    with pytest.raises(CheckpointError, match="48 channels"):
        load(parity / "center_256_ce.weights.safetensors")


def official(config: OSTrackConfig) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in OSTrack(config).state_dict().items()}


@pytest.mark.parametrize(("fields", "name", "expected"), [
    ({}, "x/OSTrack_ep0300.pth.tar", {"elimination_layers": (3, 6, 9), "keep_ratios": (0.7, 0.7, 0.7)}),
    ({}, "vitb_256_mae_32x4_ep300/OSTrack_ep0300.pth.tar", {"elimination_layers": (), "keep_ratios": ()}),
    ({}, "vitb_256_mae_ce_32x4_ep300/OSTrack_ep0300.pth.tar", {"elimination_layers": (3, 6, 9)}),
    ({}, "vitb_256_mae_ce_32x4_got10k_ep100.pth", {"elimination_layers": (3, 6, 9)}),
    ({"depth": 24}, "a.pth", {"elimination_layers": (6, 12, 18), "depth": 24}),
    ({"depth": 5}, "a.pth", {"elimination_layers": ()}),
    ({"template_size": 192, "search_size": 384}, "a.pth", {"search_size": 384, "search_factor": 5.0}),
    ({"head": "corner"}, "a.pth", {"head": "corner", "head_channels": 16}),
    ({"head": "mlp", "head_channels": 10}, "a.pth", {"head": "mlp", "head_channels": 10}),
    ({"patch_size": 32, "mlp_ratio": 2.0}, "a.pth", {"patch_size": 32, "mlp_ratio": 2.0, "search_size": 256}),
    ({"layer_scale": True, "token_type": True}, "a.pth", {"layer_scale": True, "token_type": True}),
])  # fmt: skip
def test_what_the_tensors_tell(fields: dict[str, Any], name: str, expected: dict[str, Any]) -> None:
    made = OSTrackConfig(
        **({"embed_dim": 64, "num_heads": 1, "head_channels": 16, "elimination_layers": (), "keep_ratios": ()} | fields)
    )
    found = infer_config(official(made), Path(name))
    assert {key: getattr(found, key) for key in expected} == expected
    for key in ("template_size", "search_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "head"):
        assert getattr(found, key) == getattr(made, key)


def write_official(folder: Path, change: dict[str, torch.Tensor | None]) -> Path:
    state = official(NARROW.model_copy(update={"embed_dim": 64, "num_heads": 1})) | change
    path = folder / "OSTrack_ep0300.pth.tar"
    torch.save({"net": {key: value for key, value in state.items() if value is not None}}, path)
    return path


@pytest.mark.parametrize(("change", "words"), [
    ({"backbone.norm.weight": torch.zeros(65)}, "backbone.norm.weight has shape (65,), expected (64,)"),
    ({"backbone.blocks.3.attn.proj.bias": None}, "backbone.blocks.3.attn.proj.bias is missing, expected shape (64,)"),
    ({"backbone.blocks.3.extra": torch.zeros(1)}, "backbone.blocks.3.extra has no place"),
    ({"backbone.pos_embed_x": None}, "backbone.pos_embed_x is missing, so this is no OSTrack checkpoint"),
    ({"box_head.conv1_ctr.0.weight": None}, "no known head"),
])  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path: Path, change: dict[str, torch.Tensor | None], words: str) -> None:
    path = write_official(tmp_path, change)
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_metadata_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    state = official(tiny())
    for text, words in (
        ("{", "not JSON"), ('{"format": 99, "config": {}}', "format 1"), ('{"format": 1}', "format 1"),
        ('{"format": 1, "config": {"depht": 3}}', "depht"), ('{"format": 1, "config": {"depth": -3}}', "depth must be"),
    ):  # fmt: skip
        save_file(state, path, metadata={"ostrack": text})
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_conversion_of_an_official_file(parity: Path, tmp_path: Path) -> None:
    source = parity / "tracker_256_ce.official_format.pth.tar"
    overrides = {"num_heads": "3", "keep_ratios": "0.8, 0.7,0.6", "elimination_query": "all"}
    report = convert(source, tmp_path / "net.safetensors", overrides=overrides)
    net = load(tmp_path / "net.safetensors")
    assert net.config == NARROW.model_copy(update={"keep_ratios": (0.8, 0.7, 0.6), "elimination_query": "all"})
    assert same(net, load(source, config=net.config))
    assert report.max_difference == 0
    assert report.left_out == ["backbone.cls_token", "backbone.pos_embed"]
    for word in ("net.safetensors", "48 channels", "3 (0.8), 6 (0.7), 9 (0.6)", "backbone.cls_token", "difference 0"):
        assert word in report.text()
    half = convert(
        source, tmp_path / "half.safetensors", overrides={"num_heads": "3", "elimination_layers": ""}, half=True
    )
    assert 0 < half.max_difference < 2e-3
    assert load(half.out).config.elimination_layers == ()
    assert half.out.stat().st_size < 0.6 * report.out.stat().st_size


def test_conversion_refuses_unknown_fields(parity: Path, tmp_path: Path) -> None:
    source = parity / "tracker_256_ce.official_format.pth.tar"
    with pytest.raises(ValueError, match="keep_rate: no field"):
        convert(source, tmp_path / "net.safetensors", overrides={"keep_rate": "1"})
    with pytest.raises(CheckpointError, match="num_heads: Input should be a valid integer"):
        convert(source, tmp_path / "net.safetensors", overrides={"num_heads": "many"})
    assert not list(tmp_path.iterdir())


def test_conversion_of_our_own_keeps_what_is_known_of_it(tmp_path: Path) -> None:
    save(tmp_path / "a.safetensors", OSTrack(tiny()), {"epoch": 3})
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", overrides={"keep_ratios": "0.5,0.5"})
    head = read_metadata(tmp_path / "b.safetensors")
    assert head["epoch"] == 3
    assert head["config"]["keep_ratios"] == [0.5, 0.5]
    assert load_file(tmp_path / "a.safetensors").keys() == load_file(tmp_path / "b.safetensors").keys()
