"""Learning rates, keep ratios and parameter groups of the packaged recipes, at the paper's named epochs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ostrack.model import OSTrack
from ostrack.train.optim import WeightAverage, build_optimiser, freeze_first_blocks
from ostrack.train.reading import load_recipe
from ostrack.train.schedule import Schedule, keep_ratio_at, learning_rate_factor

PAPER = ["ostrack_256", "ostrack_256_ce", "ostrack_384", "ostrack_384_ce"]
GOT10K = ["ostrack_256_ce_got10k", "ostrack_384_ce_got10k"]


def _at_epoch(name: str, epoch: int) -> tuple[float, list[float]]:
    """Factor on the rates and keep ratios in the middle of an epoch, counted from 1."""
    recipe = load_recipe(name)
    schedule = Schedule(recipe, recipe.model.resolve().keep_ratios)
    step = (epoch - 1) * recipe.run.steps_per_epoch + recipe.run.steps_per_epoch // 2
    assert schedule.epoch(step) == epoch
    return schedule.learning_rate(step), schedule.keep_ratios(step)


def test_the_warm_up_equals_the_official_one(primitives: dict[str, NDArray[np.generic]]) -> None:
    for epoch, ratio in np.asarray(primitives["schedule.keep_ratio_start20_warm80_base0.7"], dtype=np.float64):
        assert keep_ratio_at(epoch, 20, 80, 0.7) == pytest.approx(ratio, abs=1e-9)


@pytest.mark.parametrize("name", ["ostrack_256_ce", "ostrack_384_ce"])
@pytest.mark.parametrize(
    ("epoch", "ratio"), [(1, 1.0), (20, 1.0), (40, 0.9561), (60, 0.85), (80, 0.7439), (100, 0.7), (300, 0.7)]
)
def test_keep_ratio_at_named_epochs(name: str, epoch: int, ratio: float) -> None:
    assert _at_epoch(name, epoch)[1] == pytest.approx([ratio] * 3, abs=1e-4)


@pytest.mark.parametrize("name", GOT10K)
@pytest.mark.parametrize(("epoch", "ratio"), [(20, 1.0), (45, 0.85), (70, 0.7), (100, 0.7)])
def test_keep_ratio_of_the_got10k_recipes(name: str, epoch: int, ratio: float) -> None:
    assert _at_epoch(name, epoch)[1] == pytest.approx([ratio] * 3, abs=1e-9)


@pytest.mark.parametrize("name", ["ostrack_256", "ostrack_384"])
def test_without_elimination_there_is_no_ratio(name: str) -> None:
    assert _at_epoch(name, 150)[1] == []


@pytest.mark.parametrize(("names", "last"), [(PAPER, 240), (GOT10K, 80)])
def test_the_rate_drops_after_the_named_epoch(names: list[str], last: int) -> None:
    for name in names:
        assert _at_epoch(name, 1)[0] == 1
        assert _at_epoch(name, last)[0] == 1
        assert _at_epoch(name, last + 1)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("name", PAPER + GOT10K)
def test_every_number_of_the_paper(name: str) -> None:
    recipe = load_recipe(name)
    config, is_384, got10k = recipe.model.resolve(), "384" in name, "got10k" in name
    assert (config.template_size, config.search_size) == ((192, 384) if is_384 else (128, 256))
    assert (config.template_factor, config.search_factor) == (2.0, 5.0 if is_384 else 4.0)
    assert config.elimination_layers == ((3, 6, 9) if "_ce" in name else ())
    assert config.elimination_query == "center"
    assert (recipe.augment.centre_jitter, recipe.augment.scale_jitter) == ((4.5, 0.5) if is_384 else (3.0, 0.25))
    assert (recipe.augment.grey, recipe.augment.joint_flip, recipe.augment.flip) == (0.05, 0.5, 0.5)
    assert recipe.augment.brightness == 0.2
    assert recipe.augment.template_jitter == 0
    optim, loss, run = recipe.optim, recipe.loss, recipe.run
    assert (optim.lr_head, optim.lr_backbone, optim.weight_decay) == (4e-4, 4e-5, 1e-4)
    assert optim.clip_norm == 0.1
    assert optim.ema == 0
    assert (loss.focal, loss.giou, loss.l1, loss.box_cells) == (1, 2, 5, "peak")
    assert (run.epochs, run.pairs_per_epoch, run.batch) == (100 if got10k else 300, 60_000, 128)
    assert run.steps_per_epoch == 468
    assert (run.precision, run.validate_every, run.validation_pairs) == ("float32", 20, 10_000)
    assert not run.sync_batch_norm
    assert recipe.model.drop_path == 0.1
    data = recipe.data
    expected = {"got10k": "train"}
    if not got10k:
        expected = {"lasot": "train", "got10k": "vot_train", "coco": "train2017", "trackingnet": "train"}
    assert {key: part.split for key, part in data.sets.items()} == expected
    assert {part.share for part in data.sets.values()} == {1.0}
    assert data.validation["got10k"].split == ("val" if got10k else "vot_val")
    assert (data.order, data.max_gap, data.min_frames, data.min_visible) == ("causal", 200, 20, 5)
    assert data.negatives == 0


def test_parameter_groups() -> None:
    recipe = load_recipe("ostrack_256_ce")
    config = recipe.model.resolve()
    with torch.device("meta"):
        net = OSTrack(config)
    optim = recipe.optim
    head, backbone = build_optimiser(net, optim.lr_head, optim.lr_backbone, optim.weight_decay).param_groups
    assert (head["lr"], backbone["lr"]) == (4e-4, 4e-5)
    # Weight decay on biases, norms and positions too, as officially.
    assert head["weight_decay"] == backbone["weight_decay"] == 1e-4
    assert sum(p.numel() for p in head["params"]) == 6_474_117
    # The official count less the class token and the unused position grid.
    assert sum(p.numel() for p in backbone["params"]) == 86_044_416 - 768 - 197 * 768


def test_new_parts_of_the_backbone_learn_with_the_head_and_frozen_ones_not_at_all() -> None:
    config = load_recipe("small_d6").model.resolve()
    with torch.device("meta"):
        net = OSTrack(config)
    freeze_first_blocks(net, 2)
    head, backbone = build_optimiser(net, 1e-3, 1e-5, 1e-4).param_groups
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    fast, slow = ([names[id(p)] for p in group["params"]] for group in (head, backbone))
    assert "backbone.token_type" in fast
    assert all(name.startswith("box_head.") for name in fast if name != "backbone.token_type")
    assert "backbone.blocks.2.attn.qkv.weight" in slow
    assert not [name for name in slow if name.startswith(("backbone.blocks.0.", "backbone.patch_embed."))]


def test_cosine_falls_from_its_milestone_to_its_end() -> None:
    factors = [learning_rate_factor(done, 10, "cosine", 4, 0.1) for done in (0, 4, 7, 10, 11)]
    assert factors == pytest.approx([1, 1, 0.55, 0.1, 0.1])
    with pytest.raises(ValueError, match="unknown schedule"):
        learning_rate_factor(0, 10, "linear", 4)


def test_shares_follow_the_length_of_the_run() -> None:
    for epochs in (20, 40):
        recipe = load_recipe("small_d6", [f"run.epochs={epochs}"])
        schedule, steps = Schedule(recipe, (0.7, 0.7, 0.5)), recipe.run.steps
        assert schedule.keep_ratios(int(0.29 * steps)) == [1, 1, 1]
        assert schedule.keep_ratios(int(0.45 * steps)) == pytest.approx([0.85, 0.85, 0.75], abs=1e-3)
        assert schedule.keep_ratios(int(0.61 * steps)) == [0.7, 0.7, 0.5]
        assert schedule.learning_rate(0) == pytest.approx(1 / 50)
        assert schedule.learning_rate(int(0.4 * steps)) == 1
        assert schedule.learning_rate(steps) == pytest.approx(0.02)


def test_the_average_forgets_its_first_steps() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 100.0)
    average = WeightAverage(layer, 0.9)
    expected = 100.0
    for step in range(1, 60):
        torch.nn.init.constant_(layer.weight, float(step))
        average.update(layer)
        old = min(0.9, (1 + step) / (10 + step))
        expected = old * expected + (1 - old) * step
    assert float(average.state["weight"]) == pytest.approx(expected, rel=1e-5)
    assert 45 < expected < 59, "the start is forgotten, the last steps count most"
