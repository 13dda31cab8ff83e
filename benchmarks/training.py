"""What training costs: pairs a second of the loop, of the loader and of the bare network; waiting; memory.

    python benchmarks/training.py RECIPE [KEY=VALUE ...] [--steps 20]

Measures, in this order: the forward and backward pass alone on noise of the recipe's shapes; the loop as it is, with
the share of time in which it waits for data; the loader alone on the recipe's data and on 1280x720 JPEGs made for the
purpose; and the memory of a pair, from the peak of two processes with different batches. The first steps warm up and
are left out. Writes ``benchmarks/results/training.json`` and prints it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from ostrack.data.benchmarks import load_sequences
from ostrack.data.pairs import PairBatch, PairDataset
from ostrack.data.sampling import ClipPairs
from ostrack.errors import OSTrackError
from ostrack.machine import this_machine
from ostrack.train.distributed import join
from ostrack.train.loading import Part, training_loader
from ostrack.train.loop import train
from ostrack.train.losses import LossWeights, tracking_loss
from ostrack.train.optim import build_optimiser
from ostrack.train.reading import load_recipe
from ostrack.train.recipe import Recipe
from ostrack.train.sources import build_crops, open_sources
from ostrack.train.start import build_network

RESULTS = Path(__file__).resolve().parent / "results"


def bare(recipe: Recipe, steps: int, batch: int, warm_up: int = 2) -> tuple[float, float]:
    """Pairs a second of forward, losses, backward and update on noise; and the peak of memory in MiB."""
    ranks = join(recipe.run.device)
    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)
    net, _ = build_network(recipe.model)
    net.to(ranks.device).train()
    optimiser = build_optimiser(net, recipe.optim.lr_head, recipe.optim.lr_backbone, recipe.optim.weight_decay)
    config = net.config
    noise = PairBatch(
        torch.randint(0, 256, (batch, 3, config.template_size, config.template_size), dtype=torch.uint8),
        torch.randint(0, 256, (batch, 3, config.search_size, config.search_size), dtype=torch.uint8),
        torch.full((batch, 4), 0.5),
        torch.full((batch, 4), 0.5),
        torch.ones(batch, dtype=torch.bool),
    ).to(ranks.device)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(recipe.run.precision)
    context = torch.autocast(ranks.device.type, half) if half else contextlib.nullcontext()
    start = 0.0
    for step in range(warm_up + steps):
        if step == warm_up:
            _wait(ranks.device)
            start = time.perf_counter()
        with context:
            prediction = net(noise.template, noise.search, noise.template_box)
        cells = recipe.loss.box_cells
        losses = tracking_loss(prediction, noise.search_box, noise.present, LossWeights(), cells)
        torch.autograd.backward(losses.total)
        torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.optim.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    _wait(ranks.device)
    speed = steps * batch / (time.perf_counter() - start)
    if ranks.device.type == "cuda":
        return speed, torch.cuda.max_memory_allocated(ranks.device) / 2**20
    return speed, _peak_of_process()


def _peak_of_process() -> float:
    """Largest resident size so far, MiB; by the kernel's mark, since ``ru_maxrss`` begins at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(float(x.split()[1]) / 2**10 for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def loop(recipe: Recipe, steps: int) -> dict[str, float]:
    """Pairs a second and share of waiting of the real loop, in a folder that is thrown away."""
    size = {"epochs": 1, "pairs_per_epoch": 2 * steps * recipe.run.batch, "log_every": steps, "checkpoint_every": 10**9}
    run = recipe.run.model_copy(update={**size, "validation_pairs": 0, "validation_clips": 0})
    with tempfile.TemporaryDirectory() as folder:
        train(recipe.model_copy(update={"run": run}), Path(folder), lambda line: None)
        # The first half warms up: loader processes start and fill their queues.
        last = json.loads((Path(folder) / "metrics.jsonl").read_text().splitlines()[-1])
    return {"pairs_per_second": last["pairs_per_second"], "waiting": last["waiting"]}


def loader(data: PairDataset, recipe: Recipe, steps: int) -> float:
    """Pairs a second of the loader alone."""
    batches = training_loader(data, Part(0, 2 * steps, recipe.run.batch), recipe.run.workers)
    for _ in range(steps):
        next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    return steps * recipe.run.batch / (time.perf_counter() - start)


def write_large_clip(folder: Path, frames: int = 30) -> None:
    """A clip of 1280x720 JPEGs with a drifting square."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 256, (90, 160, 3), dtype=np.uint8), (1280, 720), interpolation=cv2.INTER_CUBIC)
    (folder / "clip" / "img").mkdir(parents=True)
    lines = []
    for frame in range(frames):
        image, x = scene.copy(), 300 + 10 * frame
        image[300:400, x : x + 100] = (20, 200, 40)
        cv2.imwrite(str(folder / "clip" / "img" / f"{frame:05d}.jpg"), image)
        lines.append(f"{x},300,100,100")
    (folder / "clip" / "groundtruth.txt").write_text("\n".join(lines))


def memory_of_a_pair(arguments: list[str]) -> float:
    """MiB, from the peaks of two processes."""
    peaks = []
    for batch in (4, 12):
        command = [sys.executable, __file__, *arguments, "--peak", str(batch)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return (peaks[1] - peaks[0]) / 8


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    try:
        recipe = load_recipe(arguments.recipe, arguments.overrides)
        if arguments.peak:
            print(bare(recipe, 2, arguments.peak)[1])
            return
        net, _ = build_network(recipe.model)
        crops = build_crops(net.config, recipe.augment)
        length = 2 * arguments.steps * recipe.run.batch
        source = open_sources(recipe.data, net.config.search_factor).training
        with tempfile.TemporaryDirectory() as folder:
            write_large_clip(Path(folder))
            large = ClipPairs(load_sequences(folder, "folder"))
            found = {
                "machine": f"{this_machine().text()}; {torch.get_num_threads()} threads",
                "recipe": arguments.recipe,
                "batch": recipe.run.batch,
                "workers": recipe.run.workers,
                "bare_pairs_per_second": bare(recipe, arguments.steps, recipe.run.batch)[0],
                "loop": loop(recipe, arguments.steps),
                "loader_pairs_per_second": loader(PairDataset(source, crops, length), recipe, arguments.steps),
                "loader_1280x720_pairs_per_second": loader(PairDataset(large, crops, length), recipe, arguments.steps),
                "memory_per_pair_MiB": memory_of_a_pair([arguments.recipe, *arguments.overrides]),
            }
    except OSTrackError as error:
        sys.exit(f"error: {error}")
    text = json.dumps(found, indent=1)
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "training.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
