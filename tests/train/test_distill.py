"""A network learns from another what it sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ostrack.errors import RecipeError
from ostrack.model import load
from ostrack.train.distill import feature_loss, score_loss
from ostrack.train.loop import train
from ostrack.train.reading import load_recipe
from ostrack.train.recipe import Recipe
from tiny_training import tiny_recipe, write_annotated


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_annotated(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    train(Recipe(**tiny_recipe(data)), folder, lambda line: None)
    return folder / "model.safetensors"


def _say(line: str) -> None:
    del line


def test_equal_features_and_maps_cost_nothing_and_eliminated_tokens_do_not_count() -> None:
    features, maps = torch.randn(2, 5, 8), torch.rand(2, 1, 4, 4)
    assert feature_loss(features, features) == 0
    assert score_loss(maps, maps) == pytest.approx(0, abs=1e-5)
    student = features.clone()
    student[:, 3:] = 0
    assert feature_loss(student, features) == 0
    assert feature_loss(student * 0.5, features) == pytest.approx(0.25)
    assert score_loss(1 - maps, maps) > 0


def test_parts_of_a_batch_teach_as_the_whole(data: Path, teacher: Path, tmp_path: Path) -> None:
    # Without batch norm and dropped paths, which see parts on their own.
    plain = tiny_recipe(
        data, distill={"network": str(teacher), "features": 1.0, "score": 0.5}, model={"drop_path": 0.0},
        run={"validation_pairs": 0},
    )  # fmt: skip
    plain["model"]["config"] |= {"head": "mlp"}
    losses = []
    for parts in (1, 2):
        plain["run"] |= {"accumulate": parts}
        train(Recipe(**plain), tmp_path / str(parts), _say, 4)
        lines = (tmp_path / str(parts) / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["distill.network=small"], "distill: network=small teaches nothing: features and score are both 0"),
        (["distill.score=1"], "distill: features or score are weighted, and no network is named"),
    ],
)
def test_half_of_what_is_needed_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("small_d6", overrides)


def test_a_student_starts_from_the_teachers_first_block_and_comes_closer(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    plain = tiny_recipe(data, distill={"network": str(teacher), "features": 1.0}, run={"epochs": 8})
    plain["model"]["network"] = str(teacher)
    plain["model"]["config"] |= {"depth": 1, "elimination_layers": [], "keep_ratios": []}
    plain["loss"] = {"focal": 0, "giou": 0, "l1": 0}
    plain["optim"] |= {"lr_head": 3e-3, "lr_backbone": 3e-3, "clip_norm": 1.0}
    train(Recipe(**plain), tmp_path, _say)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert load(tmp_path / "model.safetensors").config.depth == 1


@pytest.mark.parametrize(
    ("distill", "config", "message"),
    [
        ({"features": 1.0}, {"embed_dim": 48}, "do not compare"),
        ({"score": 1.0}, {"search_size": 96}, "its search_size is"),
        ({"score": 1.0}, {"head": "corner"}, "a corner head has no score map"),
    ],
)
def test_what_cannot_teach_is_one_line(
    data: Path, teacher: Path, tmp_path: Path, distill: dict[str, float], config: dict[str, int], message: str
) -> None:
    plain = tiny_recipe(data)
    plain["model"]["config"] = plain["model"].get("config", {}) | config
    plain["distill"] = distill | {"network": str(teacher)}
    with pytest.raises(RecipeError, match=message):
        train(Recipe(**plain), tmp_path / "run", _say)
