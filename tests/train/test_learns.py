"""A small network trained from scratch follows moving objects it has never seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostrack.train.loop import train
from ostrack.train.recipe import Recipe
from tiny_training import tiny_recipe, write_annotated


@pytest.mark.slow
def test_a_small_network_learns_to_find_moving_objects(tmp_path: Path) -> None:
    root = write_annotated(tmp_path / "data", clips=60, frames=4, seed=3, dim=True)
    held = [f"moving/clip{number}/0" for number in range(8)]
    document = tiny_recipe(
        root,
        model={"drop_path": 0.0},
        data={"held_out": held, "clips": 1.0, "stills": 0.0, "composites": 0.0, "negatives": 0.0},
        augment={"flip": 0.0, "scale_jitter": 0.15},
        optim={"lr_head": 2e-3, "lr_backbone": 1e-3, "clip_norm": 1.0, "ema": 0.98, "warmup_steps": 20, "decay": 0.02},
        loss={"box_cells": "target"},
        run={
            "epochs": 3, "pairs_per_epoch": 2400, "batch": 16, "log_every": 25, "checkpoint_every": 400,
            "validate_every": 1, "validation_pairs": 128,
        },
    )  # fmt: skip
    document["model"]["config"] |= {
        "template_size": 32, "search_size": 64, "patch_size": 8, "embed_dim": 48, "depth": 3, "head_channels": 32,
        "elimination_layers": [2], "keep_ratios": [0.7], "search_factor": 3.0,
    }  # fmt: skip
    train(Recipe.model_validate(document), tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    ious = [row["held_iou"] for row in rows if "held_iou" in row]
    assert ious[-1] >= 0.7, ious
