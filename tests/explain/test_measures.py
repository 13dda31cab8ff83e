"""Numbers about targets on cases whose answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_pairs import pair

from ostrack.explain import Elimination, Inspection, LayerMeasures, Measures, Report, inspect
from ostrack.model import OSTrack
from small_networks import lively, tiny


def constructed() -> Inspection:
    """Uniform attention; layer 1 drops tokens 0 to 9 and 27, layer 2 drops 10 to 19, 28 and 35."""
    config = tiny()
    net = lively(OSTrack(config))
    plain = inspect(net, *pair(config)[:2])
    every = np.arange(64)
    first = np.array([*range(10), 27])
    left = np.setdiff1d(every, first)
    second = np.array([*range(10, 20), 28, 35])
    end = np.setdiff1d(left, second)
    steps = (
        Elimination(1, every, np.ones(64, np.float32), left, first),
        Elimination(2, left, np.ones(len(left), np.float32), end, second),
    )
    heads = tuple(((torch.zeros(3, 16 + n, 8), torch.zeros(3, 16 + n, 8)),) for n in (64, 64, len(left), len(end)))
    return Inspection(config, plain.template, plain.search, None, plain.prediction, steps, plain.query_weights, heads)


def test_share_of_the_target_that_was_dropped() -> None:
    # The box covers the four middle tokens of 8 x 8, places 27, 28, 35 and 36, and nothing else.
    found = constructed().measure(np.array([0.5, 0.5, 0.25, 0.25]))
    assert found.target_tokens == 4
    assert [row.tokens for row in found.layers] == [64, 64, 53, 41]
    assert [row.dropped for row in found.layers] == [0, 11, 12, 0]
    assert [row.target_dropped for row in found.layers] == [0, 1, 2, 0]
    assert [row.target_lost for row in found.layers] == [0.0, 0.25, 0.75, 0.75]


def test_tokens_count_by_the_area_that_is_covered() -> None:
    # From the middle of column 3 to the end of column 4, in row 3: half of place 27, all of 28.
    found = constructed().measure(np.array([0.53125, 0.4375, 0.1875, 0.125]))
    assert found.target_tokens == 2
    assert [row.target_lost for row in found.layers] == pytest.approx([0.0, 1 / 3, 1.0, 1.0])


def test_uniform_attention_is_chance() -> None:
    found = constructed().measure(np.array([0.5, 0.5, 0.25, 0.25]))
    chance = [4 / 64, 4 / 64, 3 / 53, 1 / 41]
    assert [row.chance for row in found.layers] == pytest.approx(chance)
    assert [row.target_attention for row in found.layers] == pytest.approx(chance)
    assert [row.zx for row in found.layers] == pytest.approx([64 / 80, 64 / 80, 53 / 69, 41 / 57])


def test_a_target_outside_the_crop_has_no_numbers() -> None:
    found = constructed().measure(np.array([2.0, 0.5, 0.25, 0.25]))
    assert np.isnan([row.target_lost for row in found.layers]).all()
    assert found.to_dict()["layers"][0]["target_attention"] is None
    assert "nan" in found.table()


def test_the_table_names_what_was_dropped() -> None:
    lines = constructed().measure(np.array([0.5, 0.5, 0.25, 0.25])).table().splitlines()
    assert len(lines) == 6
    assert "64 -> 53" in lines[3]
    assert "1 of 4" in lines[3]
    assert "25.0%" in lines[3]


def test_a_target_that_has_left_every_search_region_has_a_table_too() -> None:
    gone = LayerMeasures(0, 64, 19, 0, math.nan, math.nan, math.nan, 0.5, 0.5, 0.25, 0.75)
    seen = replace(gone, target_lost=0.25, target_attention=0.5, chance=0.1)
    rows = [(number, (1.0, 2.0, 3.0, 4.0), Measures((layer,), (0.5, 0.5, 0.1, 0.1), 0, 0.5))
            for number, layer in ((1, gone), (2, gone), (3, seen))]  # fmt: skip
    assert Report("n", True, tuple(rows[:2])).table().splitlines()[-1].split()[:4] == ["0", "64", "->", "45"]
    mixed = Report("n", True, tuple(rows)).table().splitlines()[-1]
    assert mixed.split()[4:9] == ["25.0%", "25%", "(frame", "3)", "50.0%"]
