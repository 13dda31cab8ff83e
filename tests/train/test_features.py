"""Options of the loop: accumulation, precisions, freezing, low-rank updates, starting points, baselines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ostrack.errors import CheckpointError, NetworkError, RecipeError
from ostrack.model import OSTrack, load
from ostrack.model.two_stream import TwoStream
from ostrack.train.checkpoint import load_state
from ostrack.train.loop import train
from ostrack.train.losses import tracking_loss
from ostrack.train.recipe import ModelRecipe, Recipe
from ostrack.train.start import build_network
from tiny_training import tiny_recipe, write_annotated


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_annotated(tmp_path_factory.mktemp("annotated"))


def _run(root: Path, folder: Path, until: int | None = None, **sections: dict[str, Any]) -> dict[str, torch.Tensor]:
    sections.setdefault("run", {})
    sections["run"] = {"validation_pairs": 0, **sections["run"]}
    train(Recipe.model_validate(tiny_recipe(root, **sections)), folder, lambda line: None, until)
    return load_state(folder / "state.pt").network


def test_accumulated_parts_equal_one_batch(data: Path, tmp_path: Path) -> None:
    # The corner of difference: batch norm sees parts, so it is kept out by a head without it; dropped paths too.
    model = {"drop_path": 0.0}
    document = tiny_recipe(data, model=model, run={"validation_pairs": 0})
    document["model"]["config"] |= {"head": "mlp"}
    states = []
    for parts in (1, 2):
        document["run"] |= {"accumulate": parts}
        folder = tmp_path / str(parts)
        train(Recipe.model_validate(document), folder, lambda line: None, 4)
        states.append(load_state(folder / "state.pt").network)
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_close_and_goes_on_exactly(data: Path, tmp_path: Path, precision: str) -> None:
    whole = _run(data, tmp_path / "whole", run={"precision": precision})
    _run(data, tmp_path / "cut", 5, run={"precision": precision})
    cut = _run(data, tmp_path / "cut", run={"precision": precision})
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    scaler = load_state(tmp_path / "whole" / "state.pt").scaler
    assert bool(scaler) == (precision == "fp16")
    plain = _run(data, tmp_path / "plain")
    change = torch.cat([(plain[key] - whole[key]).float().flatten() for key in plain if "num_batches" not in key])
    size = torch.cat([plain[key].float().flatten() for key in plain if "num_batches" not in key])
    assert 0 < float(change.norm() / size.norm()) < 0.05


def test_frozen_blocks_do_not_move(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(42)
    document = tiny_recipe(data, model={"freeze_blocks": 2})
    before, _ = build_network(Recipe.model_validate(document).model)
    after = _run(data, tmp_path, model={"freeze_blocks": 2})
    moved = {key for key, value in before.state_dict().items() if not torch.equal(value, after[key])}
    assert not [
        key for key in moved if key.startswith(("backbone.patch_embed", "backbone.blocks.0", "backbone.blocks.1"))
    ]
    assert "backbone.blocks.2.mlp.fc1.weight" in moved


def test_low_rank_updates_merge_into_an_ordinary_network(data: Path, tmp_path: Path) -> None:
    model = {"lora_rank": 2, "drop_path": 0.0}
    trained = _run(data, tmp_path, model=model, optim={"ema": 0.0})
    torch.manual_seed(42)
    recipe = Recipe.model_validate(tiny_recipe(data, model=model))
    start, _ = build_network(recipe.model)
    assert isinstance(start, OSTrack)
    before = start.state_dict()
    moved = {key for key in before if not torch.equal(before[key], trained[key]) and "lora" not in key}
    assert all(key.startswith("box_head.") for key in moved), "the backbone's own weights are frozen"
    assert any(float(trained[key].abs().max()) > 0 for key in trained if key.endswith("lora_b"))
    start.load_state_dict(trained)
    merged = load(tmp_path / "model.safetensors")
    assert not [key for key in merged.state_dict() if "lora" in key]
    images = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = start.eval()(*images), merged(*images)
    torch.testing.assert_close(found.score_map, expected.score_map, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("tracker", ["two_stream_correlation", "two_stream_relation"])
def test_baselines_train_with_the_same_parts(data: Path, tmp_path: Path, tracker: str) -> None:
    trained = _run(data, tmp_path, 4, model={"tracker": tracker})
    assert any(key.startswith("relation.") for key in trained)
    net, _ = build_network(Recipe.model_validate(tiny_recipe(data, model={"tracker": tracker})).model)
    assert isinstance(net, TwoStream)
    own = {key for key in net.state_dict() if not key.startswith("relation.")}
    one, _ = build_network(Recipe.model_validate(tiny_recipe(data)).model)
    assert own == set(one.state_dict()), "backbone and head are the one-stream network's"
    net.load_state_dict(trained)


def test_a_run_can_start_from_another_and_keep_its_architecture(data: Path, tmp_path: Path) -> None:
    _run(data, tmp_path, 2)
    file = tmp_path / "model.safetensors"
    net, report = build_network(ModelRecipe(network=file))
    other, _ = build_network(ModelRecipe(network=file, config={"search_factor": 5.0}))
    assert other.config == net.config.model_copy(update={"search_factor": 5.0})
    with pytest.raises(RecipeError, match=r"model\.freeze_blocks=99: the network has \d blocks"):
        build_network(ModelRecipe(network=file, freeze_blocks=99))
    assert report == "started from model.safetensors"
    other = load(file)
    assert net.config == other.config
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in other.state_dict().items())
    larger = {**other.config.model_dump(), "search_size": 96}
    net, _ = build_network(ModelRecipe(network=file, config=larger))
    assert net.backbone.pos_embed_x.shape == (1, 144, 24)
    with pytest.raises(CheckpointError, match=r"backbone\.pos_embed_z: expected|: expected \("):
        build_network(ModelRecipe(network=file, config={**larger, "embed_dim": 48}))


def test_starting_points_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        build_network(ModelRecipe(network=tmp_path / "nothing.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"mae\.pth"):
        build_network(ModelRecipe(preset="vitt_256_ce", backbone=tmp_path / "mae.pth"))
    with pytest.raises((NetworkError, FileNotFoundError)):
        build_network(ModelRecipe(network=Path("no_such_network")))


def test_network_and_losses_compile_into_one_graph(data: Path) -> None:
    recipe = Recipe.model_validate(tiny_recipe(data))
    net, _ = build_network(recipe.model)
    images = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 64, 64)
    truth, present = torch.full((2, 4), 0.4), torch.tensor([True, False])

    def step(ratios: list[float]) -> torch.Tensor:
        return tracking_loss(net(*images, None, ratios), truth, present, box_cells="target").total

    # The backend that only traces: what is tested is that nothing in the step waits for the device.
    compiled = torch.compile(step, backend="eager", fullgraph=True)
    net.eval()
    for ratios in ([1.0, 1.0], [0.7, 0.5]):
        torch.testing.assert_close(compiled(ratios), step(ratios))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a C++ compiler")
def test_a_compiled_run_learns_as_a_plain_one(data: Path, tmp_path: Path) -> None:
    losses = []
    for compiled in (False, True):
        document = tiny_recipe(
            data, model={"drop_path": 0.0}, elimination={"start": 0, "warm": 0},
            run={"compile": compiled, "epochs": 1, "pairs_per_epoch": 12, "log_every": 1, "validation_pairs": 0},
        )  # fmt: skip
        document["model"]["config"] |= {"depth": 1, "elimination_layers": [0], "keep_ratios": [0.5]}
        folder = tmp_path / str(compiled)
        train(Recipe.model_validate(document), folder, lambda line: None)
        losses.append([json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()])
        # The file holds the network, not its compiled shell.
        assert load(folder / "model.safetensors").config.depth == 1
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(data: Path) -> None:
    from ostrack.train.distributed import Ranks
    from ostrack.train.loop import Trainer

    recipe = Recipe.model_validate(tiny_recipe(data))
    with pytest.raises(RecipeError, match=r"run\.batch=4 cannot be shared by 3 processes x 1 parts"):
        Trainer(recipe, Path(), lambda line: None, Ranks(0, 3, torch.device("cpu")))


def test_a_device_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RecipeError, match=r"run\.device=cuda: "):
        _run(data, tmp_path, run={"device": "cuda"})
