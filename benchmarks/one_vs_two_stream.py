"""One stream against two: networks of the same parts, trained on the same pairs, by what they learn from them.

    python benchmarks/one_vs_two_stream.py DATA SEQUENCES [--seeds 3] [--set run.epochs=20 ...]
    python benchmarks/one_vs_two_stream.py DATA SEQUENCES --short BACKBONE

``DATA`` holds annotated folders to train on, ``SEQUENCES`` labelled clips to track (``.../NAME/img`` and
``.../NAME/groundtruth.txt``). The recipes are ``compare/*``: one stream with and without candidate elimination, and two
streams followed by depth-wise correlation or by a transformer. Backbone, head, losses, data, seeds and schedule are the
same, and so are the first weights of what they share; the second stages come on top. ``--short`` starts them from the
first four blocks of a pretrained ViT-S/14 and makes them small enough for about an hour on two cores.

IoU and hits on pairs of clips that nobody trains on give learning curves, against pairs seen and against seconds of
training. So does success on the sequences, which the networks kept on the way (``run.snapshot_every``) and the trained
one track from their first frame on, without reset. Before it begins, every network does a few steps, from which the
time of the whole is told. What is done lies in ``--out`` and is not repeated: after any interruption, the same command
goes on. Tables and plot are written to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ostrack.data.benchmarks import load_sequences
from ostrack.data.sequence import Sequence
from ostrack.errors import OSTrackError, RecipeError
from ostrack.evaluate.intervals import WeightedMean, bootstrap, compare_paired
from ostrack.machine import this_machine
from ostrack.model import OSTrack, load
from ostrack.train.loop import train
from ostrack.train.reading import load_recipe
from ostrack.train.recipe import Recipe
from ostrack.train.validate import success_auc, track_clip

RESULTS = Path(__file__).resolve().parent / "results"
NETWORKS = ("one_stream", "one_stream_ce", "two_stream_correlation", "two_stream_relation")
SHORT = (
    "model.preset=vits14_224_ce_d6", "model.config.template_size=84", "model.config.search_size=126",
    "model.config.search_factor=3", "model.config.patch_size=14", "model.config.embed_dim=384", "model.config.depth=4",
    "model.config.num_heads=6", "model.config.head_channels=64", "data.held_out_share=0.2", "data.collage=0.7",
    "augment.centre_jitter=2.25", "optim.lr_head=7e-4", "optim.lr_backbone=5e-5", "optim.warmup_steps=20",
    "optim.clip_norm=0.1", "optim.decay_at=40%", "optim.ema=0.98", "run.batch=16", "run.epochs=16",
    "run.pairs_per_epoch=256", "run.validate_every=2", "run.validation_pairs=192", "run.log_every=5",
    "run.checkpoint_every=25", "run.snapshot_every=4", "run.device=cpu",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A network on the held pairs, while it learns.

    Attributes:
        pairs: Seen so far.
        seconds: Spent on training steps so far, loading included and validation not.
        iou: Mean over the held pairs.
        hit: Share of them whose score peaks in the target's cell or one beside it.
    """

    pairs: int
    seconds: float
    iou: float
    hit: float


@dataclass(frozen=True)
class Run:
    """One trained network.

    Attributes:
        network: Its recipe, without the folder.
        seed: Of its pairs and weights.
        curve: In order of pairs.
        success: Area under the success curve, by pairs seen and by sequence; those of the trained network last.
    """

    network: str
    seed: int
    curve: tuple[Point, ...]
    success: dict[int, dict[str, float]]

    @property
    def final(self) -> dict[str, float]:
        """Success of the trained network, by sequence."""
        return self.success[max(self.success)]


def recipe_of(network: str, seed: int, arguments: argparse.Namespace) -> Recipe:
    """The recipe of one run."""
    changes = [f"data={arguments.data}"]
    if arguments.short is not None:
        changes += [*SHORT, f"model.backbone={arguments.short}"]
        changes += ["model.config.elimination_layers=[1, 2]", "model.config.keep_ratios=[0.7, 0.7]"] * network.endswith(
            "ce"
        )
    return load_recipe(f"compare/{network}", [*changes, *arguments.set, f"run.seed={seed}"])


def rows(folder: Path) -> list[dict[str, float]]:
    """Measurements of a run."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def curve(folder: Path, batch: int) -> tuple[Point, ...]:
    """Learning curve of a finished run."""
    seconds, last, points = 0.0, 0, []
    for row in rows(folder):
        if "pairs_per_second" in row:
            seconds += (row["step"] - last) * batch / row["pairs_per_second"]
            last = int(row["step"])
        elif "held_iou" in row:
            points.append(Point(int(row["step"]) * batch, round(seconds, 1), row["held_iou"], row["held_hit"]))
    if not points:
        raise RecipeError(f"{folder}: nothing was held out; give --set data.held_out_share=0.2")
    return tuple(points)


def networks_of(folder: Path, recipe: Recipe) -> dict[int, Path]:
    """The networks that a finished run left, by pairs seen; the trained one last."""
    kept = sorted(folder.glob("model_ep*.safetensors"))
    found = {int(file.stem[len("model_ep") :]) * recipe.run.pairs_per_epoch: file for file in kept}
    return found | {recipe.run.steps * recipe.run.batch: folder / "model.safetensors"}


def tracked(network: Path, clips: list[Sequence], frames: int) -> dict[str, float]:
    """Success of a network on every clip; what was tracked before is kept beside it."""
    file = network.with_suffix(".tracked.json")
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    found: dict[str, float] = kept.get(str(frames), {})
    net: OSTrack | None = None
    for clip in clips:
        if clip.name in found:
            continue
        net = load(network) if net is None else net
        found[clip.name] = success_auc(track_clip(net, clip, frames, torch.device("cpu")))
        part = file.with_suffix(".part")
        part.write_text(json.dumps(kept | {str(frames): found}))
        part.replace(file)
    return {clip.name: found[clip.name] for clip in clips}


def estimate(arguments: argparse.Namespace, clips: list[Sequence], frames: int, steps: int = 4) -> float:
    """Minutes that all runs from nothing will take, by a few steps and frames of each."""
    total = 0.0
    for network in arguments.networks:
        recipe = recipe_of(network, 0, arguments)
        run = recipe.run
        quick = recipe.model_copy(
            update={"run": run.model_copy(update={"log_every": steps // 2, "validation_pairs": 0})}
        )
        with tempfile.TemporaryDirectory() as folder:
            train(quick, Path(folder), lambda line: None, steps)
            # The first lines hold what happens once.
            speed = next(row["pairs_per_second"] for row in reversed(rows(Path(folder))) if "pairs_per_second" in row)
            net, begin = load(Path(folder) / "model.safetensors"), time.monotonic()
            track_clip(net, clips[0], 6, torch.device("cpu"))
            frame = (time.monotonic() - begin) / 5
        # Validation is a forward pass, about a third of a step.
        held = run.epochs // run.validate_every * run.validation_pairs / 3
        times = 1 + (run.epochs - 1) // run.snapshot_every if run.snapshot_every else 1
        one = (run.steps * run.batch + held) / speed + times * frame * sum(min(len(clip), frames) for clip in clips)
        print(
            f"{network}: {speed:.1f} pairs/s, {1000 * frame:.0f} ms a frame, about {one / 60:.1f} min a run", flush=True
        )
        total += one * arguments.seeds / 60
    return total


def run_all(arguments: argparse.Namespace, clips: list[Sequence], frames: int) -> list[Run]:
    """Do whatever is not done yet."""
    found, begin, count = [], time.monotonic(), arguments.seeds * len(arguments.networks)
    for seed in range(arguments.seeds):
        # Seeds outside, so that an interrupted comparison has all networks.
        for network in arguments.networks:
            recipe = recipe_of(network, seed, arguments)
            folder = arguments.out / f"{network}-{seed}"
            print(f"== {network}, seed {seed}", flush=True)
            train(recipe, folder)
            success = {pairs: tracked(file, clips, frames) for pairs, file in networks_of(folder, recipe).items()}
            run = Run(network, seed, curve(folder, recipe.run.batch), success)
            found.append(run)
            minutes, done = (time.monotonic() - begin) / 60, len(found)
            print(
                f"{network} seed {seed}: success {np.mean(list(run.final.values())):.3f}; {done} of {count} runs in "
                f"{minutes:.1f} min, about {minutes / done * (count - done):.0f} min to go", flush=True,
            )  # fmt: skip
    return found


def inputs(net: OSTrack) -> tuple[torch.Tensor, torch.Tensor]:
    """An embedded template and a search region, both empty."""
    config = net.config
    template = torch.zeros(1, 3, config.template_size, config.template_size)
    with torch.no_grad():
        tokens = net.embed(template, torch.full((1, 4), 0.5))
    return tokens, torch.zeros(1, 3, config.search_size, config.search_size)


def giga_macs(net: OSTrack) -> float:
    """Multiply-accumulates of searching a frame for an embedded template, in 1e9."""
    tokens, search = inputs(net)
    # The counter does not know the CPU's fused attention; plain products it does.
    with torch.no_grad(), FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        net.search(tokens, search)
    return float(counter.get_total_flops()) / 2e9


def milliseconds(net: OSTrack, calls: int = 30) -> float:
    """Median time of the same."""
    tokens, search = inputs(net)
    times = []
    with torch.inference_mode():
        for _ in range(calls + 5):
            begin = time.perf_counter()
            net.search(tokens, search)
            times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times[5:])


def over_seeds(values: list[float], form: str = ".3f") -> str:
    """Mean, and the least and the most."""
    return f"{np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def per_clip(runs: list[Run]) -> WeightedMean:
    """Success of each sequence, mean over seeds."""
    names = list(runs[0].final)
    means = np.array([np.mean([run.final[name] for run in runs]) for name in names])
    return WeightedMean({"success": means}, np.ones(len(names)))


def table(runs: list[Run], arguments: argparse.Namespace, frames: str) -> str:
    """Markdown: what the networks reached, what they cost, and how sure the differences are."""
    names = [name for name in arguments.networks if any(run.network == name for run in runs)]
    own = {name: [run for run in runs if run.network == name] for name in names}
    clips = len(runs[0].final)
    lines = [
        f"{this_machine().text()}; {torch.get_num_threads()} threads; {arguments.seeds} seeds, "
        f"{runs[0].curve[-1].pairs:,} pairs each. Held pairs: mean (least to most of the seeds). "
        f"Success: {frames} of {clips} sequences, mean over both [95 % of bootstrap draws of sequences]. "
        "G MACs and ms: a frame, the template embedded before.",
        "",
    ]
    heads = ["network", "held IoU", "held hits", "success AUC", "training, s", "M parameters", "G MACs", "ms"]
    if arguments.busy:
        heads.remove("training, s")
    lines += [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for name in names:
        last = [run.curve[-1] for run in own[name]]
        net = load(arguments.out / f"{name}-{own[name][0].seed}" / "model.safetensors")
        size = sum(parameter.numel() for parameter in net.parameters()) / 1e6
        success = bootstrap(per_clip(own[name]), clips)["success"]
        cells = [name, over_seeds([p.iou for p in last]), over_seeds([p.hit for p in last]), str(success)]
        cells += [] if arguments.busy else [f"{np.mean([p.seconds for p in last]):.0f}"]
        cells += [f"{size:.2f}", f"{giga_macs(net):.2f}", f"{milliseconds(net):.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| difference | held IoU, by seed | success AUC | sequences won, lost |", "| --- | --- | --- | --- |"]
    for name in names[1:]:
        first, second = per_clip(own[names[0]]), per_clip(own[name])
        values = (first.values["success"], second.values["success"])
        found = compare_paired("success", (first, values[0]), (second, values[1]))
        by_seed = [a.curve[-1].iou - b.curve[-1].iou for a, b in zip(own[names[0]], own[name], strict=True)]
        difference = found.difference.signed()
        lines.append(
            f"| {names[0]} - {name} | {', '.join(f'{d:+.3f}' for d in by_seed)} | {difference} | "
            f"{found.wins}, {found.losses} |"
        )
    return "\n".join(lines) + "\n"


def lines_of(run: Run) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """What a run's plots show: points by the names of their axes."""
    success = [(pairs, float(np.mean(list(by_clip.values())))) for pairs, by_clip in sorted(run.success.items())]
    return {
        ("training pairs seen", "success AUC on the sequences"): [(float(pairs), mean) for pairs, mean in success],
        ("training pairs seen", "IoU on held pairs"): [(point.pairs, point.iou) for point in run.curve],
        ("seconds of training", "IoU on held pairs"): [(point.seconds, point.iou) for point in run.curve],
        ("training pairs seen", "hits on held pairs"): [(point.pairs, point.hit) for point in run.curve],
    }


def plot(runs: list[Run], path: Path, times: bool) -> None:
    """Success, held IoU and hits against pairs (and seconds): a line for each run, a thick one for their mean."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    wanted = [axes for axes in lines_of(runs[0]) if times or not axes[0].startswith("seconds")]
    figure, panels = pyplot.subplots(1, len(wanted), figsize=(4 * len(wanted), 3.8))
    names = list(dict.fromkeys(run.network for run in runs))
    for index, name in enumerate(names):
        own, colour = [lines_of(run) for run in runs if run.network == name], f"C{index}"
        for axes, which in zip(panels, wanted, strict=True):
            lines = [np.array(run[which]) for run in own]
            for line in lines:
                axes.plot(line[:, 0], line[:, 1], color=colour, alpha=0.3, linewidth=1)
            mean = np.mean(lines, 0)
            axes.plot(mean[:, 0], mean[:, 1], color=colour, marker="o", markersize=3, label=name.replace("_", " "))
    for axes, (x, y) in zip(panels, wanted, strict=True):
        axes.set(xlabel=x, ylabel=y)
    panels[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="annotated folders to train on")
    parser.add_argument("sequences", type=Path, help="labelled clips to track")
    parser.add_argument("--short", type=Path, metavar="BACKBONE", help="about an hour, from a ViT-S/14's first blocks")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, help="all four by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--clips", type=int, help="only the first so many sequences")
    parser.add_argument("--frames", type=int, help="first frames of each; all by default, 50 with --short")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the recipes")
    parser.add_argument("--busy", action="store_true", help="the machine did other things: leave out training times")
    parser.add_argument("--estimate", action="store_true", help="only tell how long it will take")
    parser.add_argument("--out", type=Path, default=Path("runs/one_vs_two_stream"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    arguments.results.mkdir(parents=True, exist_ok=True)
    frames = arguments.frames or (50 if arguments.short is not None else None)
    try:
        clips = list(load_sequences(arguments.sequences, "folder"))[: arguments.clips]
        if arguments.estimate or not any(arguments.out.iterdir()):
            minutes = estimate(arguments, clips, frames or sys.maxsize)
            print(f"all of it: about {minutes:.0f} min", flush=True)
            if arguments.estimate:
                return
        runs = run_all(arguments, clips, frames or sys.maxsize)
    except OSTrackError as error:
        sys.exit(f"error: {error}")
    text = table(runs, arguments, f"first {frames} frames" if frames else "all frames")
    recipe = recipe_of(arguments.networks[0], 0, arguments).plain()
    for part, key in (("data", "root"), ("model", "backbone")):
        # Where it lay is nobody's business.
        recipe[part][key] = Path(recipe[part][key]).name if recipe[part][key] else None
    document = {"recipe": recipe, "runs": [asdict(run) for run in runs]}
    (arguments.results / "one_vs_two_stream.md").write_text(text)
    (arguments.results / "one_vs_two_stream.json").write_text(json.dumps(document, indent=1))
    plot(runs, arguments.results / "one_vs_two_stream.png", not arguments.busy)
    print(text)


if __name__ == "__main__":
    main()
