"""What an inspection says against the official code's decisions and against attention computed another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_pairs import pair

from ostrack.config import EliminationQuery, OSTrackConfig
from ostrack.explain import inspect
from ostrack.explain.sheets import heads_sheet, quadrant_sheet
from ostrack.model import OSTrack, load
from ostrack.model.two_stream import TwoStream
from small_networks import lively, tiny

NARROW = OSTrackConfig(embed_dim=48, num_heads=3, head_channels=16)


def against_official(folder: Path, name: str, config: OSTrackConfig) -> None:
    net = load(folder / f"{name}.weights.safetensors", config=config)
    io = load_file(folder / f"{name}.io.safetensors")
    for row in range(len(io["in.template"])):
        one = slice(row, row + 1)
        found = inspect(net, io["in.template"][one], io["in.search"][one])
        assert len(found.eliminations) == 3
        gone: set[int] = set()
        for k, step in enumerate(found.eliminations):
            official = set(io[f"out.removed_indexes.{k}"][row].long().tolist())
            assert set(step.dropped.tolist()) == official
            gone |= official
            assert set(np.flatnonzero(found.gone_after(step.layer)).tolist()) == gone
            # The worst of those that stay is no worse than the best of those that go.
            values = dict(zip(step.places.tolist(), step.scores.tolist(), strict=True))
            assert min(values[i] for i in step.kept.tolist()) >= max(values[i] for i in official)
        assert found.score_map is not None
        np.testing.assert_allclose(found.score_map, io["out.score_map"][row, 0], rtol=0, atol=1e-4)


def test_eliminated_tokens_are_the_official_ones(parity: Path) -> None:
    against_official(parity, "center_256_ce", NARROW)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("center_256_ce_all", {"elimination_query": "all"}),
        ("center_384_ce", {"template_size": 192, "search_size": 384, "search_factor": 5.0}),
    ],
)
def test_other_official_variants(shared: Path, name: str, fields: dict[str, object]) -> None:
    against_official(shared / "parity", name, NARROW.model_copy(update=fields))


@settings(max_examples=25)
@given(
    st.integers(0, 1000),
    st.sampled_from(["center", "center_block", "all", "box", "paper_center"]),
    st.lists(st.sampled_from([1.0, 0.8, 0.5, 0.13]), max_size=3),
)
def test_attention_is_the_one_that_the_blocks_used(seed: int, query: EliminationQuery, ratios: list[float]) -> None:
    layers = tuple(range(len(ratios)))
    config = tiny(elimination_layers=layers, keep_ratios=tuple(ratios), elimination_query=query)
    net = lively(OSTrack(config), seed)
    template, search, box = pair(config, seed)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    handles = [
        block.attn.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output[0])))
        for block in net.backbone.blocks
    ]
    found = inspect(net, template, search, box)
    for handle in handles:
        handle.remove()
    for layer, (tokens, attended) in enumerate(seen):
        attention = torch.from_numpy(found.attention(layer))
        np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)
        module = net.backbone.blocks[layer].attn
        with torch.inference_mode():
            value = module.heads(tokens)[2][0]
            again = module.proj((attention @ value).transpose(0, 1).reshape(tokens.shape[1:]))
        torch.testing.assert_close(again, attended[0], rtol=1e-3, atol=1e-4)
        assert len(found.places(layer)) == tokens.shape[1] - 16


def test_quadrants_are_the_matrix_in_raster_order() -> None:
    config = tiny(keep_ratios=(0.6, 0.5))
    found = inspect(lively(OSTrack(config)), *pair(config)[:2])
    for layer in range(config.depth):
        parts, attention, places = found.quadrants(layer), found.attention(layer), found.places(layer)
        assert parts.full.shape == (3, 80, 80)
        there = np.concatenate([np.arange(16), 16 + places])
        np.testing.assert_array_equal(parts.full[:, there[:, None], there], attention)
        gone = np.setdiff1d(np.arange(64), places)
        assert np.isnan(parts.zx[:, :, gone]).all()
        assert np.isnan(parts.xz[:, gone]).all()
        assert np.isnan(parts.xx[:, :, gone]).all()
        mass = parts.mass()
        np.testing.assert_allclose(mass[:, 0] + mass[:, 1], 1, atol=1e-5)
        np.testing.assert_allclose(mass[:, 2] + mass[:, 3], 1, atol=1e-5)
        np.testing.assert_array_equal(found.quadrant_mass[layer], mass)
    assert [len(found.places(layer)) for layer in range(4)] == [64, 64, 39, 20]


@pytest.mark.parametrize("query", ["center", "center_block", "all", "box", "paper_center"])
def test_the_deciding_attention_is_the_score(query: EliminationQuery) -> None:
    config = tiny(elimination_query=query)
    found = inspect(lively(OSTrack(config)), *pair(config))
    assert found.query_weights.sum() == pytest.approx(1)
    for step in found.eliminations:
        np.testing.assert_allclose(found.deciding_attention[step.layer], step.score_map(8), rtol=1e-4)


def test_the_pass_is_the_networks_own() -> None:
    config = tiny()
    net = lively(OSTrack(config))
    template, search, _ = pair(config)
    found = inspect(net, template, search)
    with torch.inference_mode():
        plain = net(template, search)
    assert torch.equal(found.prediction.boxes, plain.boxes)
    for step, dropped in zip(found.eliminations, plain.eliminated, strict=True):
        assert step.dropped.tolist() == dropped[0].tolist()
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("stage", ["correlation", "relation"])
def test_two_streams_never_look_at_each_other(stage: str) -> None:
    config = tiny()
    net = lively(TwoStream(config, "correlation" if stage == "correlation" else "relation"))
    found = inspect(net, *pair(config)[:2])
    assert found.eliminations == ()
    for layer in range(config.depth):
        parts = found.quadrants(layer)
        assert not parts.zx.any()
        assert not parts.xz.any()
        np.testing.assert_allclose(parts.zz.sum(2), 1, atol=1e-5)
        np.testing.assert_allclose(parts.xx.sum(2), 1, atol=1e-5)


@pytest.mark.parametrize(
    "fields", [{"head": "corner"}, {"head": "mlp"}, {"elimination_layers": (), "keep_ratios": ()}, {"token_type": True}]
)
def test_every_kind_of_network_has_its_sheets(fields: dict[str, object]) -> None:
    config = tiny(**fields)
    found = inspect(lively(OSTrack(config)), *pair(config))
    truth = np.array([0.5, 0.5, 0.25, 0.25])
    for sheet in (found.sheet(truth), quadrant_sheet(found), heads_sheet(found)):
        assert sheet.dtype == np.uint8
        assert sheet.ndim == 3
        assert sheet.min() < 60
        assert sheet[0].min() == 255
    assert np.isnan(found.measure(truth).score) == (fields.get("head") == "corner")
    assert len(found.measure(truth).layers) == config.depth


def test_what_cannot_be_inspected_is_said() -> None:
    config = tiny()
    net = lively(OSTrack(config))
    template, search, _ = pair(config)
    with pytest.raises(ValueError, match="one pair at a time, got 2 templates"):
        inspect(net, template.expand(2, -1, -1, -1), search)
    found = inspect(net, template, search)
    with pytest.raises(ValueError, match="layers 0 to 3"):
        found.attention(4)
    with pytest.raises(ValueError, match="training mode"):
        inspect(net.train(), template, search)
