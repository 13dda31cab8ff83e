"""Runs: what they leave behind, how they go on, and how they end when something is in the way."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ostrack.data.pairs import PairBatch
from ostrack.errors import CheckpointError, DataError, RecipeError, TrainingError
from ostrack.model import load
from ostrack.model.checkpoint import read_metadata
from ostrack.train.checkpoint import load_state
from ostrack.train.distributed import Ranks
from ostrack.train.folder import lock
from ostrack.train.loop import Trainer, train
from ostrack.train.recipe import Recipe
from tiny_training import tiny_recipe, write_annotated, write_recipe

SCRIPT = Path(__file__).resolve().parent / "run_recipe.py"
ALONE = Ranks(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_annotated(tmp_path_factory.mktemp("annotated"))


def _recipe(root: Path, /, **sections: dict[str, object]) -> Recipe:
    return Recipe.model_validate(tiny_recipe(root, **sections))


def _quiet(_: str) -> None:
    pass


def _same(a: Path, b: Path) -> None:
    first, second = load_state(a / "state.pt"), load_state(b / "state.pt")
    assert first.step == second.step
    for name in ("network", "optimiser", "average"):
        one, two = _tensors(getattr(first, name)), _tensors(getattr(second, name))
        assert one.keys() == two.keys()
        different = [key for key in one if not torch.equal(one[key], two[key])]
        assert not different, f"{name}: {different[:3]} differ"
    assert torch.equal(first.rng[0]["cpu"], second.rng[0]["cpu"])


def _tensors(tree: object, prefix: str = "") -> dict[str, torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return {prefix: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return {key: value for name, part in items for key, value in _tensors(part, f"{prefix}/{name}").items()}


def test_a_run_leaves_a_network_its_recipe_and_its_measurements(data: Path, tmp_path: Path) -> None:
    recipe = _recipe(
        data, run={"validation_clips": 1, "validation_frames": 4, "snapshot_every": 1, "checkpoint_every": 100}
    )
    said: list[str] = []
    train(recipe, tmp_path / "run", said.append)
    net = load(tmp_path / "run" / "model.safetensors")
    assert net.config.depth == 3
    head = read_metadata(tmp_path / "run" / "model.safetensors")
    assert Recipe.model_validate(head["recipe"]) == recipe
    assert head["step"] == 8
    assert load_state(tmp_path / "run" / "state.pt").recipe == recipe.plain()
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [2, 4, 6, 8]
    held = [row for row in rows if "held_iou" in row]
    assert [row["step"] for row in held] == [4, 8]
    assert all(0 <= row["held_success"] <= 1 for row in held)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [float(row["step"]) for row in table] == [row["step"] for row in rows]
    assert (tmp_path / "run" / "model_ep0001.safetensors").exists()
    assert any("moving" in line or "clips: 2 clips" in line for line in said)


def test_the_averaged_weights_are_what_is_saved(data: Path, tmp_path: Path) -> None:
    train(_recipe(data), tmp_path, _quiet)
    state, net = load_state(tmp_path / "state.pt"), load(tmp_path / "model.safetensors")
    assert state.average is not None
    for key, value in net.state_dict().items():
        assert torch.equal(value, state.average["state"][key]), key
    assert not torch.equal(state.network["box_head.conv5_ctr.bias"], net.state_dict()["box_head.conv5_ctr.bias"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_cut_in_two_equals_one_in_one_piece(data: Path, tmp_path: Path, workers: int) -> None:
    train(_recipe(data), tmp_path / "whole", _quiet)
    recipe = _recipe(data, run={"workers": workers})
    train(recipe, tmp_path / "cut", _quiet, until=3)
    train(recipe, tmp_path / "cut", _quiet)
    _same(tmp_path / "whole", tmp_path / "cut")
    whole, cut = (
        [{k: v for k, v in json.loads(line).items() if k not in ("pairs_per_second", "waiting")} for line in lines]
        for lines in ((tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "cut"))
    )
    assert [row for row in cut if row["step"] != 3 and row["step"] != 4] == [
        row for row in whole if row["step"] != 4
    ], "every other line is the same"


def test_kill_9_in_the_middle_and_go_on(data: Path, tmp_path: Path) -> None:
    # Long enough that the kill comes in mid-epoch, with checkpoints at odd places.
    recipe = write_recipe(
        tmp_path / "tiny.yaml", data,
        run={"epochs": 2, "pairs_per_epoch": 80, "checkpoint_every": 3, "workers": 1, "validate_every": 2},
    )  # fmt: skip
    command = [sys.executable, str(SCRIPT), str(recipe)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    victim = subprocess.Popen([*command, str(tmp_path / "killed")], env=environment, start_new_session=True)
    deadline = time.monotonic() + 300
    while not (tmp_path / "killed" / "state.pt").exists():
        assert victim.poll() is None, "the run ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    done = load_state(tmp_path / "killed" / "state.pt").step
    assert 0 < done < 40
    for folder in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / folder)], env=environment, check=True, timeout=600)
    assert load_state(tmp_path / "killed" / "state.pt").step == 40
    _same(tmp_path / "whole", tmp_path / "killed")


def test_networks_that_were_not_written_any_more_are_written_when_going_on(data: Path, tmp_path: Path) -> None:
    # As after a disk that had room for the state and not for the network.
    recipe = _recipe(data, run={"snapshot_every": 2})
    train(recipe, tmp_path, _quiet)
    names = ("model.safetensors", "model_ep0002.safetensors")
    whole = {name: load(tmp_path / name).state_dict() for name in names}
    for name in names:
        (tmp_path / name).unlink()
    train(recipe, tmp_path, _quiet)
    for name in names:
        assert read_metadata(tmp_path / name)["step"] == 8
        again = load(tmp_path / name).state_dict()
        assert all(torch.equal(value, again[key]) for key, value in whole[name].items())
    stale = _recipe(data, run={"snapshot_every": 2, "checkpoint_every": 4})
    train(stale, tmp_path / "cut", _quiet, until=4)
    old = (tmp_path / "cut" / "model.safetensors").read_bytes()
    train(stale, tmp_path / "cut", _quiet)
    (tmp_path / "cut" / "model.safetensors").write_bytes(old)
    train(stale, tmp_path / "cut", _quiet)
    assert read_metadata(tmp_path / "cut" / "model.safetensors")["step"] == 8


def test_broken_draws_of_a_validation_are_counted(data: Path, tmp_path: Path) -> None:
    root = shutil.copytree(data, tmp_path / "data")
    for image in sorted((root / "moving" / "images").glob("0_*.png"))[2:4]:
        image.write_bytes(b"torn")
    recipe = _recipe(root, run={"validation_pairs": 24, "validation_clips": 1})
    train(recipe, tmp_path / "run", _quiet)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    held = [row for row in rows if "held_loss" in row]
    assert held
    assert all(row["held_skipped"] > 0 and row["held_broken"] == 1 for row in held)


def test_a_folder_with_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    train(_recipe(data), tmp_path, _quiet, until=2)
    with pytest.raises(RecipeError, match=r"optim\.lr_head=0\.0004, not 0\.001"):
        train(_recipe(data, optim={"lr_head": 1e-3}), tmp_path, _quiet)
    train(_recipe(data, run={"log_every": 1}), tmp_path, _quiet, until=4)


def test_a_run_that_never_began_does_not_block_its_folder(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(RecipeError, match="no such folder"):
        train(_recipe(tmp_path / "misspelt"), tmp_path / "run", said.append)
    assert not said, "looked at before anything else"
    train(_recipe(data), tmp_path / "run", _quiet, until=2)
    with pytest.raises(RecipeError, match="holds a run with"):
        train(_recipe(data, optim={"lr_head": 1e-3}), tmp_path / "run", _quiet)


def test_a_run_goes_on_after_a_new_version_brought_new_keys(data: Path, tmp_path: Path) -> None:
    train(_recipe(data), tmp_path, _quiet, until=2)
    old = json.loads((tmp_path / "recipe.json").read_text())
    del old["augment"]["faithful"], old["data"]["auto"]
    (tmp_path / "recipe.json").write_text(json.dumps(old))
    train(_recipe(data), tmp_path, _quiet, until=4)
    assert load_state(tmp_path / "state.pt").step == 4
    with pytest.raises(RecipeError, match=r"augment\.faithful=False, not True"):
        train(_recipe(data, augment={"faithful": True}), tmp_path, _quiet)


@pytest.mark.parametrize("content", ["", '{"run": ', "[3]"])
def test_a_folder_with_a_broken_recipe_is_named(data: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(RecipeError, match=r"recipe\.json: not the recipe of a run; use a new folder"):
        train(_recipe(data), tmp_path, _quiet)


def test_what_a_killed_process_was_writing_is_cleared_away(data: Path, tmp_path: Path) -> None:
    train(_recipe(data), tmp_path, _quiet, until=1)
    for name in (".state.pt.4711.tmp", ".model.safetensors.4711.tmp", ".model_ep0001.safetensors.4711.tmp"):
        (tmp_path / name).write_bytes(b"half a checkpoint")
    (tmp_path / ".notes.tmp").write_text("somebody's own")
    train(_recipe(data), tmp_path, _quiet, until=2)
    assert [path.name for path in tmp_path.glob(".*.tmp")] == [".notes.tmp"]


def test_two_runs_at_once_in_one_folder_are_refused(data: Path, tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(TrainingError, match="another run is writing here"):
        train(_recipe(data), tmp_path, _quiet)
    train(_recipe(data), tmp_path, _quiet, until=2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="loader processes are forked on POSIX only")
def test_a_killed_runs_loader_processes_do_not_hold_its_folder(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from ostrack.train.folder import lock\n"
        "with lock(Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.close(1); os.close(2); time.sleep(60); os._exit(0)\n"
        "    print(child, flush=True); os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 9, ended.stderr
    try:
        with lock(tmp_path):
            os.kill(int(ended.stdout), 0)  # it still lives
    finally:
        os.kill(int(ended.stdout), signal.SIGKILL)


def test_a_state_of_another_size_is_refused(data: Path, tmp_path: Path) -> None:
    train(_recipe(data), tmp_path / "one", _quiet, until=2)
    other = tiny_recipe(data)
    other["model"]["config"] |= {"embed_dim": 48}
    train(Recipe.model_validate(other), tmp_path / "two", _quiet, until=2)
    (tmp_path / "two" / "state.pt").write_bytes((tmp_path / "one" / "state.pt").read_bytes())
    with pytest.raises(CheckpointError, match=r"state\.pt: backbone\.pos_embed_z has shape \(1, 16, 24\), expected"):
        train(Recipe.model_validate(other), tmp_path / "two", _quiet)
    (tmp_path / "two" / "state.pt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="not a training state of ours"):
        train(Recipe.model_validate(other), tmp_path / "two", _quiet)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are POSIX")
def test_a_full_disk_keeps_the_last_checkpoint_and_fails(data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml", data)
    run = tmp_path / "run"
    code = (
        f"import resource; from ostrack.cli import main; import sys; sys.argv = ['ostrack', 'train', {str(recipe)!r}, "
    )
    code += f"'--out', {str(run)!r}]"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    train(_recipe(data), run, _quiet, until=2)
    before = (run / "state.pt").read_bytes()
    limited = f"{code}; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2}, {len(before) // 2})); main()"
    ended = subprocess.run(
        [sys.executable, "-c", limited], env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 2, ended.stderr
    assert "checkpoint not written, the previous one is kept" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (run / "state.pt").read_bytes() == before
    assert not list(run.glob(".*.tmp"))
    ended = subprocess.run([sys.executable, "-c", f"{code}; main()"], env=environment, timeout=600, check=False)
    assert ended.returncode == 0
    assert load_state(run / "state.pt").step == 8


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_yield_nothing_stop_the_run_by_name(tmp_path: Path, workers: int) -> None:
    root = write_annotated(tmp_path / "broken")
    for image in (root / "moving" / "images").glob("*.png"):
        image.write_bytes(b"no image")
    recipe = _recipe(root, run={"workers": workers}, data={"composites": 0.0, "stills": 0.0, "negatives": 0.0})
    with pytest.raises(DataError, match=r"^clips: no usable pair in 200 draws; .*\.png: not an image") as caught:
        train(recipe, tmp_path / "run", _quiet)
    assert "\n" not in str(caught.value)


def test_skips_are_counted_and_the_first_is_told(tmp_path: Path) -> None:
    root = write_annotated(tmp_path / "half")
    for image in sorted((root / "moving" / "images").glob("*.png"))[::3]:
        image.write_bytes(b"no image")
    said: list[str] = []
    train(
        _recipe(root, data={"composites": 0.0, "stills": 0.0}, run={"validation_pairs": 0}),
        tmp_path / "run",
        said.append,
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(row.get("skipped", 0) for row in rows) > 0
    assert any("skipped a draw" in line and ".png: not an image" in line for line in said)


def test_a_loader_process_that_dies_is_an_error(tmp_path: Path, data: Path) -> None:
    from ostrack.data.pairs import Crops, PairDataset
    from ostrack.train.loading import Part, training_loader

    loader = training_loader(PairDataset(_Deadly(), Crops(), 8), Part(0, 2, 4), workers=1)
    with pytest.raises(TrainingError, match="a loader process died"):
        list(loader)


class _Deadly:
    def draw(self, rng: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_loss_that_is_no_number_ends_the_run(data: Path, tmp_path: Path) -> None:
    recipe = _recipe(data, optim={"lr_head": 1e30, "clip_norm": 1e9, "warmup_steps": 0})
    with pytest.raises(TrainingError, match=r"step \d+: the loss is nan"):
        train(recipe, tmp_path, _quiet)


def test_weights_that_are_no_numbers_are_not_kept(data: Path, tmp_path: Path) -> None:
    """The loss breaks between a good checkpoint and the next, and the log would tell of it only after that one."""
    train(_recipe(data), tmp_path, _quiet, until=2)
    state = load_state(tmp_path / "state.pt")
    before = (tmp_path / "model.safetensors").read_bytes()
    trainer = Trainer(_recipe(data, run={"log_every": 100}), tmp_path, _quiet, ALONE)
    with torch.no_grad():
        trainer.copies.net.backbone.norm.weight.fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"step 4: \S+ is not finite any more; state\.pt is of an earlier step"):
        trainer.fit()
    after = load_state(tmp_path / "state.pt")
    assert after.step == 2
    assert all(torch.equal(value, after.network[key]) for key, value in state.network.items())
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_validation_takes_no_part_in_the_speed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = _recipe(data, run={"log_every": 8, "validation_pairs": 0})
    trainer = Trainer(recipe, tmp_path, _quiet, ALONE)
    step, validate = trainer.train_step, trainer.validate
    # A clock that stands still but for one second a step and a minute a validation.
    clock = [0.0]
    monkeypatch.setattr("ostrack.train.loop.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slow_step(parts: list[PairBatch]) -> torch.Tensor:
        clock[0] += 1
        return step(parts)

    def slow_validation() -> dict[str, float]:
        clock[0] += 60
        return validate()

    monkeypatch.setattr(trainer, "train_step", slow_step)
    monkeypatch.setattr(trainer, "validate", slow_validation)
    trainer.fit()
    assert clock == [8 + 2 * 60]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["pairs_per_second"] for row in rows if "pairs_per_second" in row] == [4]


def test_validation_keeps_as_many_candidates_as_the_epoch_that_it_ends(data: Path, tmp_path: Path) -> None:
    recipe = _recipe(data, elimination={"start": 1, "warm": 1, "every": "epoch"})
    trainer = Trainer(recipe, tmp_path, _quiet, ALONE)
    seen: list[tuple[int, bool, list[float]]] = []
    trainer.copies.net.register_forward_pre_hook(
        lambda net, arguments: seen.append((trainer.step, net.training, arguments[3]))
    )
    trainer.fit()
    assert {(step, tuple(ratios)) for step, training, ratios in seen if not training} == {
        (4, (1.0, 1.0)), (8, (0.7, 0.5)),
    }  # fmt: skip
    assert all(ratios == ([1.0, 1.0] if step < 4 else [0.7, 0.5]) for step, training, ratios in seen if training)


def test_no_steps_are_no_steps(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(_recipe(data), tmp_path, said.append, until=0)
    assert not [line for line in said if line.startswith("step ")]
    assert not (tmp_path / "state.pt").exists()
