"""The two-stream baselines: template and search apart in the backbone, related afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from ostrack import Track, Tracker
from ostrack.errors import CheckpointError
from ostrack.model import OSTrack, convert, load, save
from ostrack.model.two_stream import CorrelationStage, Stage, TwoStream
from small_networks import images, lively, tiny

STAGES: list[Stage] = ["correlation", "relation"]


@pytest.mark.parametrize("stage", STAGES)
def test_maps_have_the_one_stream_networks_shapes(stage: Stage) -> None:
    config = tiny()
    out = TwoStream(config, stage).eval()(*images(config, 2, 0), keep_ratios=0.5)
    assert out.score_map is not None
    assert out.score_map.shape == (2, 1, 8, 8)
    assert out.features.shape == (2, 16 + 64, 24)
    assert out.boxes.shape == (2, 4)
    assert out.eliminated == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_streams_do_not_see_each_other_in_the_backbone(stage: Stage) -> None:
    config = tiny()
    net = lively(TwoStream(config, stage), 1)
    template, search, box = images(config, 1, 2)
    first = net(template, search, box)
    other = net(template, torch.randn_like(search), box)
    torch.testing.assert_close(first.features[:, :16], other.features[:, :16])
    assert first.score_map is not None
    assert other.score_map is not None
    assert not torch.allclose(first.score_map, other.score_map)
    changed = net(torch.randn_like(template), search, box)
    assert not torch.allclose(first.features[:, 16:], changed.features[:, 16:]), "the second stage relates them"


def test_the_streams_are_the_one_stream_backbone_on_each_image() -> None:
    config = tiny(elimination_layers=(), keep_ratios=())
    one, two = lively(OSTrack(config), 3), TwoStream(config, "relation").eval()
    two.backbone.load_state_dict(one.backbone.state_dict())
    template, search, box = images(config, 1, 4)
    tokens = one.backbone.embed_template(template, box)
    for block in one.backbone.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(two(template, search, box).features[:, :16], one.backbone.norm(tokens))


@pytest.mark.parametrize("stage", STAGES)
def test_files_bring_them_back_and_trackers_run_them(stage: Stage, tmp_path: Path) -> None:
    net = lively(TwoStream(tiny(), stage), 5)
    file = save(tmp_path / "net.safetensors", net)
    again = load(file)
    assert isinstance(again, TwoStream)
    assert again.stage == stage
    inputs = images(net.config, 2, 6)
    torch.testing.assert_close(again(*inputs).boxes, net(*inputs).boxes, rtol=0, atol=0)
    convert(file, tmp_path / "half.safetensors", half=True)
    assert isinstance(load(tmp_path / "half.safetensors"), TwoStream)
    tracker = Tracker(str(file), runtime="torch")
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    tracker.init(frame, (60, 40, 30, 30))
    track = tracker.update(frame)
    assert isinstance(track, Track)
    assert np.isfinite(track.box).all()


@pytest.mark.parametrize("stage", STAGES)
def test_they_export_and_agree_with_torch(stage: Stage, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from ostrack.export import export_onnx

    report = export_onnx(lively(TwoStream(tiny(), stage), 7), tmp_path / "net.onnx")
    assert report.agreement.max_difference < 1e-3


def test_a_kind_of_later_versions_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    head = {"format": 1, "config": tiny().model_dump(mode="json"), "tracker": "three_stream"}
    save_file(OSTrack(tiny()).state_dict(), file, metadata={"ostrack": json.dumps(head)})
    with pytest.raises(CheckpointError, match="a network of kind 'three_stream', expected one of one"):
        load(file)


def test_correlation_slides_each_channel_of_the_template_over_its_own() -> None:
    stage = CorrelationStage(6).eval()
    stage.mix = torch.nn.Sequential()
    for layer in (stage.template, stage.search):
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    template, search = torch.randn(2, 16, 6), torch.randn(2, 64, 6)
    found = stage(template, search).transpose(1, 2).reshape(2, 6, 8, 8)
    for image in range(2):
        for channel in range(6):
            kernel = template[image, :, channel].reshape(1, 1, 4, 4)
            scene = F.pad(search[image, :, channel].reshape(1, 1, 8, 8), (2, 1, 2, 1))
            expected = F.conv2d(scene, kernel)[0, 0] / 4
            torch.testing.assert_close(found[image, channel], expected, atol=1e-5, rtol=1e-4)
