"""Two processes are one: the same losses, the same network, exact continuation, and no silent end."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ostrack.model import load
from ostrack.train.checkpoint import RunState, load_state
from ostrack.train.distributed import SharedBatchNorm2d, share_batch_norm
from ostrack.train.loop import train
from ostrack.train.reading import load_recipe
from tiny_training import write_annotated, write_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="gloo under torchrun is tested on POSIX")

SCRIPT = Path(__file__).resolve().parent / "run_recipe.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_annotated(tmp_path_factory.mktemp("annotated"))


def _environment() -> dict[str, str]:
    # They meet on the machine itself, whatever its name resolves to.
    return os.environ | {"OMP_NUM_THREADS": "1"} | ({"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {})


def _start(*arguments: object) -> None:
    """Two processes to their end, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    processes = [
        subprocess.Popen(
            command, env=_environment() | meeting | {"RANK": rank, "LOCAL_RANK": rank}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for rank in ("0", "1")
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, f"exit codes {[p.returncode for p in processes]}\n{text}"


def _torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Two processes under torchrun itself, which ends all of them when one fails."""
    meet = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]
    command = [sys.executable, "-m", "torch.distributed.run", *meet, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, env=_environment(), check=False, timeout=600, text=True, capture_output=True)


def _losses(folder: Path) -> list[dict[str, float]]:
    names = ("step", "loss", "focal", "giou", "l1", "iou", "hit", "held_loss", "held_iou")
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: row[name] for name in names if name in row} for row in lines]


def _close(one: RunState, two: RunState) -> None:
    # A bias in front of a batch norm has no gradient but rounding, which Adam blows up to full steps: its value is
    # noise that the norm takes away again, and so is the mean it is part of.
    noise = re.compile(r"box_head\.conv[1-4]_\w+\.(0\.bias|1\.running_mean)")
    for key, value in one.network.items():
        if not noise.fullmatch(key):
            torch.testing.assert_close(two.network[key], value, atol=2e-5, rtol=1e-4, msg=f"{key} differs")


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_two_processes_equal_one_with_the_same_batch(data: Path, tmp_path: Path, sharding: str) -> None:
    run = {"sync_batch_norm": True, "sharding": sharding, "log_every": 1, "checkpoint_every": 5}
    run |= {"validation_clips": 1, "validation_frames": 3}
    recipe = write_recipe(tmp_path / "tiny.yaml", data, model={"drop_path": 0.0}, run=run)
    train(load_recipe(str(recipe)), tmp_path / "one", lambda line: None)
    _start(recipe, tmp_path / "two", 5)
    _start(recipe, tmp_path / "two")
    one, two = _losses(tmp_path / "one"), _losses(tmp_path / "two")
    assert len(one) == len(two) == 10
    for alone, together in zip(one, two, strict=True):
        # Evaluation sees the noise that is told of above.
        assert together == pytest.approx(alone, rel=1e-5 if "loss" in alone else 1e-3, abs=1e-5)
    _close(load_state(tmp_path / "one" / "state.pt"), load_state(tmp_path / "two" / "state.pt"))
    state = load_state(tmp_path / "two" / "state.pt")
    assert len(state.rng) == 2
    assert load(tmp_path / "two" / "model.safetensors").config == load(tmp_path / "one" / "model.safetensors").config


@pytest.mark.slow
def test_low_rank_updates_and_frozen_blocks_can_be_spread(data: Path, tmp_path: Path) -> None:
    model = {"drop_path": 0.0, "lora_rank": 2, "freeze_blocks": 1}
    run = {"sync_batch_norm": True, "sharding": "fsdp", "validation_pairs": 0, "log_every": 1}
    recipe = write_recipe(tmp_path / "tiny.yaml", data, model=model, run=run)
    train(load_recipe(str(recipe)), tmp_path / "one", lambda line: None, 4)
    _start(recipe, tmp_path / "two", 2)
    _start(recipe, tmp_path / "two", 4)
    for alone, together in zip(_losses(tmp_path / "one"), _losses(tmp_path / "two"), strict=True):
        assert together == pytest.approx(alone, rel=1e-4, abs=1e-5)
    _close(load_state(tmp_path / "one" / "state.pt"), load_state(tmp_path / "two" / "state.pt"))
    assert not [key for key in load(tmp_path / "two" / "model.safetensors").state_dict() if "lora" in key]


def test_two_processes_go_on_exactly_with_paths_dropped(data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "tiny.yaml", data, run={"validation_pairs": 0})
    _start(recipe, tmp_path / "whole")
    _start(recipe, tmp_path / "cut", 3)
    _start(recipe, tmp_path / "cut")
    whole, cut = (load_state(tmp_path / run / "state.pt") for run in ("whole", "cut"))
    assert all(torch.equal(value, cut.network[key]) for key, value in whole.network.items())
    assert not torch.equal(whole.rng[0]["cpu"], whole.rng[1]["cpu"]), "every process drops its own paths"
    for one, two in zip(whole.rng, cut.rng, strict=True):
        assert torch.equal(one["cpu"], two["cpu"])


def test_processes_that_see_different_folders_are_refused(data: Path, tmp_path: Path) -> None:
    # As on machines that share no disk: the second one would begin anew, and nothing would tell.
    recipe = write_recipe(tmp_path / "tiny.yaml", data)
    _start(recipe, tmp_path / "run0", 2)
    before = (tmp_path / "run0" / "state.pt").read_bytes()
    ended = _torchrun(recipe, tmp_path / "run{rank}")
    assert ended.returncode != 0
    assert "processes would go on from steps [2, 0]; all of them must see one folder" in ended.stderr
    assert (tmp_path / "run0" / "state.pt").read_bytes() == before


def test_one_failed_process_ends_the_run_with_an_error_code(data: Path, tmp_path: Path) -> None:
    write_recipe(tmp_path / "tiny0.yaml", data)
    _start(write_recipe(tmp_path / "tiny1.yaml", data), tmp_path / "run", 2)
    before = (tmp_path / "run" / "state.pt").read_bytes()
    write_recipe(tmp_path / "tiny1.yaml", tmp_path / "not_mounted_here")
    ended = _torchrun(tmp_path / "tiny{rank}.yaml", tmp_path / "run")
    assert ended.returncode != 0
    assert "not_mounted_here: no such folder" in ended.stderr
    assert (tmp_path / "run" / "state.pt").read_bytes() == before


def test_shared_batch_norm_alone_is_the_ordinary_one() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    keys = list(net.state_dict())
    image = torch.randn(2, 3, 5, 5)
    expected = net(image)
    net[1].reset_running_stats()
    share_batch_norm(net)
    assert isinstance(net[1], SharedBatchNorm2d)
    assert list(net.state_dict()) == keys
    torch.testing.assert_close(net(image), expected)
