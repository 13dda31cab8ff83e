"""``ostrack train`` from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from ostrack.model import load
from ostrack.train.recipe import Recipe
from tiny_training import tiny_recipe, write_annotated, write_recipe


def _ostrack(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostrack", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=environment, cwd=folder, timeout=600, text=True, capture_output=True, check=False
    )


def test_training_and_going_on_by_the_same_command(tmp_path: Path) -> None:
    data = write_annotated(tmp_path / "data")
    recipe = write_recipe(tmp_path / "tiny.yaml", None, run={"validation_pairs": 0})
    command = ("train", recipe, f"data={data}", "optim.lr_head=1e-3")
    done = _ostrack(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "clips: 2 clips" in done.stdout
    assert load(tmp_path / "runs" / "tiny" / "model.safetensors").config.depth == 3
    again = _ostrack(*command, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "continuing at step 8 of 8" in again.stdout
    other = _ostrack("train", recipe, f"data={data}", "optim.lr_head=2e-3", folder=tmp_path)
    assert other.returncode == 2, other.stderr
    assert other.stderr == (
        f"error: {Path('runs/tiny')} holds a run with optim.lr_head=0.001, not 0.002: use a new folder or its recipe\n"
    )


def test_recipes_can_be_listed_and_shown() -> None:
    assert "ostrack_256_ce" in _ostrack("train", "list").stdout.split()
    shown = _ostrack("train", "ostrack_384_ce", "run.batch=64", "--show")
    recipe = Recipe.model_validate(yaml.safe_load(shown.stdout))
    assert recipe.run.batch == 64
    assert recipe.model.preset == "vitb_384_ce"


def test_several_recipes_are_trained_one_after_the_other(tmp_path: Path) -> None:
    recipes = []
    for name in ("first", "second"):
        recipes.append(tmp_path / f"{name}.yaml")
        document = tiny_recipe(write_annotated(tmp_path / "data") if name == "first" else tmp_path / "data")
        recipes[-1].write_text(yaml.safe_dump(document | {"name": name}))
    command = ("train", *map(str, recipes), "run.epochs=1", "-o", "all")
    shown = list(yaml.safe_load_all(_ostrack(*command, "--show", folder=tmp_path).stdout))
    assert [document["run"]["epochs"] for document in shown] == [1, 1]
    done = _ostrack(*command, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all((tmp_path / "all" / name / "model.safetensors").is_file() for name in ("first", "second"))
    launched = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "1", "-m", "ostrack", *command, "--show"],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert launched.returncode != 0
    assert "error: several recipes under torchrun: give each a command of its own" in launched.stderr
    twice = _ostrack("train", str(recipes[0]), str(recipes[0]), folder=tmp_path)
    assert twice.stderr == "error: two of the recipes have one name, and so one folder\n"


def test_what_is_wrong_is_told_in_one_line() -> None:
    for arguments, message in (
        (("ostrack_265",), "did you mean ostrack_256?"),
        (("ostrack_256", "optim.lr_haed=1"), "error: optim.lr_haed: unknown key; did you mean lr_head?"),
        (("ostrack_256", "run.batch=many"), "run.batch"),
        (("ostrack_256", "run.batch"), "error: run.batch: expected section.key=value, or one more recipe"),
    ):
        done = _ostrack("train", *arguments)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
