"""Candidate elimination against the plain definition: full attention, then a mean of its rows."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ostrack.config import EliminationQuery
from ostrack.model import OSTrack
from ostrack.model import elimination as ce
from small_networks import images, lively, tiny

QUERIES: list[EliminationQuery] = ["center", "paper_center", "center_block", "all", "box"]


def plain_rows(query: EliminationQuery, grid: int, patch: int, box_cxcywh: Tensor) -> Tensor:
    """Deciding template tokens of one image by the official rules, (grid * grid,) bool."""
    mask = torch.zeros(grid, grid, dtype=torch.bool)
    if query == "all":
        mask[:] = True
    elif query == "box":
        pixels = torch.zeros(1, 1, grid * patch, grid * patch)
        cx, cy, w, h = (box_cxcywh * (grid * patch)).tolist()
        x, y = cx - w / 2, cy - h / 2
        pixels[:, :, int(y) : int(y + h - 1), int(x) : int(x + w - 1)] = 1
        mask = F.interpolate(pixels, scale_factor=1 / patch, mode="bilinear", align_corners=False)[0, 0] > 0
    elif query == "center_block":
        mask[(grid - 1) // 2 : grid // 2 + 1, (grid - 1) // 2 : grid // 2 + 1] = True
    else:
        middle = grid // 2 if query == "paper_center" else (grid - 1) // 2
        mask[middle, middle] = True
    return mask.flatten()


def plain_forward(net: OSTrack, template: Tensor, search: Tensor, box: Tensor) -> tuple[Tensor, list[set[int]], float]:
    """One image, attention materialised: features, what each layer removed, and the closest decision."""
    vit, config = net.backbone, net.config
    z, x = vit.embed_template(template, box)[..., : config.embed_dim], vit.embed_search(search)
    rows = plain_rows(config.elimination_query, config.template_grid, config.patch_size, box[0])
    assume(bool(rows.any()))
    tokens, count = torch.cat([z, x], 1), z.shape[1]
    places = list(range(x.shape[1]))
    removed, closest = [], math.inf
    ratios = dict(zip(config.elimination_layers, config.keep_ratios, strict=True))
    for layer, block in enumerate(vit.blocks):
        q, k, v = block.attn.heads(block.norm1(tokens))
        attention = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        tokens = tokens + block.ls1(block.attn.proj((attention @ v).transpose(1, 2).reshape(tokens.shape)))
        if layer in ratios:
            score = attention[0, :, :count, count:][:, rows].mean(1).mean(0)
            keep = math.ceil(ratios[layer] * len(places))
            order = score.sort(descending=True).indices.tolist()
            if keep < len(places):
                ranked = score[order]
                closest = min(closest, float((ranked[keep - 1] - ranked[keep]) / ranked[keep - 1]))
            removed.append({places[i] for i in order[keep:]})
            stay = sorted(order[:keep])
            tokens = torch.cat([tokens[:, :count], tokens[:, [count + i for i in stay]]], 1)
            places = [places[i] for i in stay]
        tokens = block.transform(tokens)
    tokens = vit.norm(tokens)
    scene = torch.zeros(1, search.shape[-1] ** 2 // config.patch_size**2, config.embed_dim)
    scene[:, places] = tokens[:, count:]
    return torch.cat([tokens[:, :count], scene], 1), removed, closest


ratio = st.sampled_from([1.0, 0.9, 0.7, 0.5, 0.13])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(QUERIES), st.sampled_from([(24, 40, 8), (32, 64, 8), (35, 49, 7)]),
    st.lists(ratio, min_size=0, max_size=3), st.booleans(), st.booleans(),
)  # fmt: skip
def test_rows_alone_decide_as_the_full_attention_does(
    seed: int, query: EliminationQuery, sizes: tuple[int, int, int], ratios: list[float], types: bool, scaled: bool
) -> None:
    config = tiny(
        template_size=sizes[0], search_size=sizes[1], patch_size=sizes[2], elimination_layers=tuple(range(len(ratios))),
        keep_ratios=tuple(ratios), elimination_query=query, token_type=types, layer_scale=scaled,
    )  # fmt: skip
    net = lively(OSTrack(config), seed)
    template, search, boxes = images(config, 2, seed)
    with torch.inference_mode():
        out = net(template, search, boxes)
        for i in range(2):
            one = slice(i, i + 1)
            features, removed, closest = plain_forward(net, template[one], search[one], boxes[one])
            # Scores closer than float32 tells apart may fall either way.
            assume(closest > 1e-4)
            assert [set(e[i].tolist()) for e in out.eliminated] == removed
            torch.testing.assert_close(out.features[one], features, rtol=1e-3, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(QUERIES), st.integers(2, 4))
def test_a_batch_is_its_images_one_by_one(seed: int, query: EliminationQuery, batch: int) -> None:
    config = tiny(elimination_query=query)
    net = lively(OSTrack(config), seed)
    template, search, boxes = images(config, batch, seed)
    with torch.inference_mode():
        together = net(template, search, boxes)
        for i in range(batch):
            one = slice(i, i + 1)
            alone = net(template[one], search[one], boxes[one])
            # Matrices of another size are summed in another order: scores that are all but equal may change places.
            assume(plain_forward(net, template[one], search[one], boxes[one])[2] > 1e-4)
            for a, b in zip(together.eliminated, alone.eliminated, strict=True):
                assert torch.equal(a[one].sort(1).values, b.sort(1).values)
            torch.testing.assert_close(together.features[one], alone.features, rtol=1e-3, atol=1e-4)


def test_boxes_of_a_batch_hold_different_numbers_of_tokens() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.9, 0.9], [0.5, 0.5, 0.3, 0.5], [0.5, 0.5, 0.01, 0.01]])
    weights = ce.box_query_weights(boxes, 8, 16)
    assert (weights > 0).sum(1).tolist() == [64, 8, 64]
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(8, 16), (12, 16), (8, 14), (7, 9)]))
def test_box_tokens_follow_the_official_rule(seed: int, sizes: tuple[int, int]) -> None:
    grid, patch = sizes
    _, _, box = images(tiny(), 1, seed)
    expected = plain_rows("box", grid, patch, box[0])
    assume(bool(expected.any()))
    assert torch.equal(ce.box_query_weights(box, grid, patch)[0] > 0, expected)


@pytest.mark.parametrize(("ratios", "lengths"), [
    ((1.0, 0.7, 0.7), [0, 76, 54]), ((0.7, 1.0, 0.7), [76, 0, 54]), ((0.7, 0.7, 1.0), [76, 54, 0]),
    ((1.0, 1.0, 1.0), [0, 0, 0]), ((0.7, 0.7, 0.7), [76, 54, 37]), ((0.5, 0.9, 0.01), [128, 12, 114]),
])  # fmt: skip
def test_any_mixture_of_ratios(ratios: tuple[float, float, float], lengths: list[int]) -> None:
    config = tiny(template_size=64, search_size=128, elimination_layers=(0, 1, 2), keep_ratios=ratios)
    net = lively(OSTrack(config), 0)
    template, search, _ = images(config, 2, 0)
    with torch.inference_mode():
        out = net(template, search)
        assert [e.shape[1] for e in out.eliminated] == lengths
        gone = torch.cat(out.eliminated, 1)
        assert all(len(set(row.tolist())) == sum(lengths) for row in gone)
        empty = (out.features[:, 64:] == 0).all(2)
        assert torch.equal(empty.nonzero()[:, 1].reshape(2, -1), gone.sort(1).values)
        if set(ratios) == {1.0}:
            plain = lively(OSTrack(config.without_elimination()), 0)(template, search)
            torch.testing.assert_close(out.features, plain.features, rtol=1e-5, atol=1e-5)


def test_keep_ratios_may_be_replaced_at_run_time() -> None:
    config = tiny()
    net = lively(OSTrack(config), 1)
    template, search, _ = images(config, 1, 1)
    other = lively(OSTrack(tiny(keep_ratios=(0.9, 0.4))), 1)
    with torch.inference_mode():
        torch.testing.assert_close(
            net(template, search, keep_ratios=(0.9, 0.4)).features, other(template, search).features
        )
        assert [e.shape[1] for e in net(template, search, keep_ratios=1).eliminated] == [0, 0]
    with pytest.raises(ValueError, match="1 keep ratios for 2"):
        net(template, search, keep_ratios=[0.5])
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        net(template, search, keep_ratios=0.0)


@pytest.mark.parametrize(("query", "grid", "tokens"), [
    ("center", 8, [27]), ("center", 12, [65]), ("center", 7, [24]), ("center", 14, [90]), ("paper_center", 8, [36]),
    ("paper_center", 12, [78]), ("center_block", 8, [27, 28, 35, 36]), ("center_block", 12, [65, 66, 77, 78]),
    ("center_block", 7, [24]), ("box", 8, None),
])  # fmt: skip
def test_deciding_tokens(query: EliminationQuery, grid: int, tokens: list[int] | None) -> None:
    assert ce.query_tokens(query, grid) == tokens


def test_a_missing_template_box_is_said() -> None:
    for fields, words in (
        ({"elimination_query": "box"}, 'elimination_query="box"'),
        ({"token_type": True}, "token types"),
    ):
        config = tiny(**fields)
        template, search, _ = images(config, 1, 0)
        with pytest.raises(ValueError, match=words):
            OSTrack(config)(template, search)
