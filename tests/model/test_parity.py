"""The network against numbers of the official code: narrow ones with weights, full-size ones by a filling rule."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ostrack.model import PRESETS, OSTrack, OSTrackConfig, Prediction, load
from ostrack.model import elimination as ce
from ostrack.model.block import Block
from ostrack.model.heads import CornerHead
from small_networks import NARROW

CASES = {
    "center_256_ce": (NARROW, None),
    "center_256_noce": (NARROW.without_elimination(), None),
    "center_384_ce": (NARROW.model_copy(update={"template_size": 192, "search_size": 384, "search_factor": 5.0}), None),
    "center_256_ce_all": (NARROW.model_copy(update={"elimination_query": "all"}), None),
    "center_256_ce_ctr_rec_keep85": (NARROW.model_copy(update={"elimination_query": "center_block"}), 0.85),
    "corner_256_ce": (NARROW.model_copy(update={"head": "corner"}), None),
}


def predict(folder: Path, name: str, config: OSTrackConfig, keep: float | None) -> tuple[Prediction, dict[str, Tensor]]:
    net = load(folder / f"{name}.weights.safetensors", config=config)
    io = load_file(folder / f"{name}.io.safetensors")
    with torch.inference_mode():
        return net(io["in.template"], io["in.search"], keep_ratios=keep), io


def check(out: Prediction, io: dict[str, Tensor]) -> None:
    torch.testing.assert_close(out.features, io["out.backbone_feat"], rtol=0, atol=1e-4)
    torch.testing.assert_close(out.boxes, io["out.pred_boxes_cxcywh"].squeeze(1), rtol=0, atol=1e-4)
    maps = {"score_map": out.score_map, "size_map": out.size_map, "offset_map": out.offset_map}
    if out.corner_maps is not None:
        maps |= {"prob_tl": out.corner_maps[:, :1], "prob_br": out.corner_maps[:, 1:]}
    compared = 0
    for name, found in maps.items():
        if f"out.{name}" in io:
            assert found is not None
            torch.testing.assert_close(found, io[f"out.{name}"], rtol=0, atol=1e-4)
            compared += 1
    assert compared == (2 if out.corner_maps is not None else 3)
    removed = [io[key] for key in sorted(io) if key.startswith("out.removed_indexes")]
    assert len(removed) == len(out.eliminated)
    for found, expected in zip(out.eliminated, removed, strict=True):
        assert torch.equal(found.sort(1).values, expected.sort(1).values)


def test_center_network_with_elimination(parity: Path) -> None:
    check(*predict(parity, "center_256_ce", *CASES["center_256_ce"]))


@pytest.mark.parametrize("name", CASES)
def test_every_official_variant(shared: Path, name: str) -> None:
    check(*predict(shared / "parity", name, *CASES[name]))


def test_corner_head(parity: Path) -> None:
    numbers = load_file(parity / "corner_head.safetensors")
    head = CornerHead(48, 16).eval()
    head.load_state_dict({key: value for key, value in numbers.items() if not key.startswith(("in.", "out."))})
    features = numbers["in.features"]
    with torch.inference_mode():
        out = head(features.transpose(1, 2).reshape(len(features), 48, 16, 16))
    assert out.corner_maps is not None
    torch.testing.assert_close(out.corner_maps[:, :1], numbers["out.prob_tl"], rtol=0, atol=1e-4)
    torch.testing.assert_close(out.corner_maps[:, 1:], numbers["out.prob_br"], rtol=0, atol=1e-4)
    torch.testing.assert_close(out.boxes, numbers["out.pred_boxes_cxcywh"].squeeze(1), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("query", "keep"), [("all", 0.7), ("center_block", 0.85)])
def test_first_elimination_of_other_queries(parity: Path, query: ce.EliminationQuery, keep: float) -> None:
    numbers = load_file(parity / f"query_{query}.safetensors")
    tokens = numbers["in.tokens"]
    blocks = torch.nn.ModuleList(Block(48, 3, 4.0) for _ in range(4)).eval()
    blocks.load_state_dict({k.removeprefix("blocks."): v for k, v in numbers.items() if k.startswith("blocks.")})
    with torch.inference_mode():
        for block in blocks[:3]:
            tokens = block(tokens)
        _, q, k = blocks[3].attend(tokens)
        scores = ce.candidate_scores(q, k, blocks[3].attn.scale, ce.query_tokens(query, 8), None, 64)
        _, dropped = ce.split_candidates(scores, keep)
    assert torch.equal(dropped.sort(1).values, numbers["out.removed_indexes.0"].sort(1).values)


def fill(keys: list[str], shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The rule that goes with the full-size numbers: uniform values seeded by a key's place in the sorted list."""
    state = {}
    for place, key in enumerate(sorted(keys)):
        shape = shapes[key]
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.int64)
            continue
        u = np.random.RandomState(place).uniform(-1, 1, math.prod(shape)).reshape(shape)
        norm = len(shape) == 1 and key.endswith("weight")
        if key.endswith("running_var") or norm:
            u = 1 + 0.1 * u
        elif key.endswith(("running_mean", "bias")):
            u = 0.1 * u
        elif "pos_embed" in key or "cls_token" in key:
            u = 0.5 * u
        else:
            u = u * math.sqrt(3 / math.prod(shape[1:]))
        state[key] = torch.from_numpy(u.astype(np.float32))
    return state


@pytest.mark.parametrize(
    ("run", "preset", "size"),
    [
        ("vitb_256_mae_32x4_ep300", "vitb_256", 256),
        ("vitb_256_mae_ce_32x4_ep300", "vitb_256_ce", 256),
        ("vitb_384_mae_ce_32x4_ep300", "vitb_384_ce", 384),
    ],
)
def test_full_size_network(parity: Path, run: str, preset: str, size: int) -> None:
    shapes = json.loads((parity / f"official_vitb_{size}_ce.keys.json").read_text())
    expected = json.loads((parity.parent / "golden_model.json").read_text())[run]
    state = fill(list(shapes), shapes)
    config = PRESETS[preset]
    net = OSTrack(config).eval()
    missing, unexpected = net.load_state_dict(state, strict=False, assign=True)
    assert not missing
    assert set(unexpected) == {"backbone.cls_token", "backbone.pos_embed"}
    template, search = (
        torch.from_numpy(np.random.RandomState(seed).uniform(-2, 2, (1, 3, side, side)).astype(np.float32))
        for seed, side in ((1001, config.template_size), (1002, config.search_size))
    )
    with torch.inference_mode():
        out = net(template, search)
    assert out.score_map is not None
    assert out.size_map is not None
    assert out.offset_map is not None

    def close(found: Tensor, numbers: list[float]) -> None:
        torch.testing.assert_close(found, torch.tensor(numbers), rtol=0, atol=1e-4)

    close(out.boxes[0], expected["pred_box_cxcywh"])
    close(out.score_map.flatten()[:8], expected["score_first8"])
    close(out.size_map.flatten()[:8], expected["size_first8"])
    close(out.offset_map.flatten()[:8], expected["offset_first8"])
    close(out.features[0, 0, :4], expected["template_token0_first4"])
    assert out.score_map.double().sum().item() == pytest.approx(expected["score_sum"], abs=1e-4 * config.search_grid**2)
    assert int(out.score_map.argmax()) == expected["score_argmax"]
    assert out.features.abs().double().mean().item() == pytest.approx(expected["feat_abs_mean"], abs=1e-4)
    assert [e[0].sort().values.tolist() for e in out.eliminated] == expected.get("removed_sorted", [])
    if "mask_index" in expected:
        assert net.backbone.query_tokens == expected["mask_index"]
