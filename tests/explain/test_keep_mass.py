"""Keeping a share of the score: as few tokens as hold it, for any share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_pairs import pair

from ostrack.explain import inspect
from ostrack.export import export_onnx
from ostrack.model import OSTrack, load, save
from ostrack.model import elimination as ce
from ostrack.profile import profile
from small_networks import lively, tiny


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.floats(0.01, 1.0))
def test_the_fewest_tokens_that_hold_the_share(numbers: list[int], share: float) -> None:
    scores = torch.tensor([numbers], dtype=torch.float64)
    keep, drop = ce.split_by_mass(scores, share)
    assert sorted([*keep[0].tolist(), *drop[0].tolist()]) == list(range(len(numbers)))
    total = sum(numbers)
    held = sum(numbers[i] for i in keep[0].tolist())
    assert held >= share * total * (1 - 1e-9)
    smallest = numbers[keep[0, -1]]
    assert held - smallest < share * total * (1 + 1e-9)


def test_a_batch_keeps_what_its_neediest_image_needs() -> None:
    scores = torch.tensor([[0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25]])
    assert ce.split_by_mass(scores[:1], 0.7)[0].shape == (1, 1)
    assert ce.split_by_mass(scores, 0.7)[0].shape == (2, 3)


@pytest.mark.parametrize("mass", [0.3, 0.9, 1.0])
def test_the_network_keeps_the_share(mass: float) -> None:
    config = tiny(keep_mass=(mass, mass))
    net = lively(OSTrack(config))
    found = inspect(net, *pair(config)[:2])
    for step in found.eliminations:
        total = float(step.scores.sum())
        values = dict(zip(step.places.tolist(), step.scores.tolist(), strict=True))
        held = sum(values[place] for place in step.kept.tolist())
        assert held >= mass * total * (1 - 1e-5)
        if mass < 1:
            assert held - min(values[place] for place in step.kept.tolist()) < mass * total
        else:
            assert len(step.dropped) == 0
    with torch.inference_mode():
        fixed = net(*pair(config)[:2], keep_ratios=0.5)
    assert [gone.shape[1] for gone in fixed.eliminated] == [32, 16]


def test_where_it_cannot_go_it_is_refused(tmp_path: Path) -> None:
    config = tiny(keep_mass=(0.9, 0.9))
    path = save(tmp_path / "net.safetensors", lively(OSTrack(config)))
    assert load(path).config.keep_mass == (0.9, 0.9)
    assert config.without_elimination().keep_mass is None
    with pytest.raises(ValueError, match="a graph of fixed shapes cannot follow it"):
        export_onnx(path, tmp_path / "net.onnx")
    with pytest.raises(ValueError, match="is up to the picture"):
        profile(config)
    with pytest.raises(ValueError, match="2 elimination_layers but 1 keep_mass"):
        tiny(keep_mass=(0.9,))
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        tiny(keep_mass=(0.9, 0.0))
