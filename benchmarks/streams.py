"""What else lights up: score maps of a one-stream network and of two-stream ones on the same crops of real sequences.

    python benchmarks/streams.py ONE TWO [MORE ...] [--folder SEQUENCES] [--frames 50]

The weight files are such as ``benchmarks/one_vs_two_stream.py`` leaves in its runs, ``NAME-SEED/model.safetensors``;
networks of one name count as one, by the mean over their seeds. Every network looks at the same crops, round the
labelled place of the target in the frame before. A frame counts as fooled where some cell off the target scores higher
than all cells on it, before any window. Writes ``benchmarks/results/streams.{json,md}``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.data.benchmarks import load_sequences
from ostrack.errors import OSTrackError, RecipeError
from ostrack.evaluate.intervals import WeightedMean, bootstrap, compare_paired
from ostrack.explain.streams import Scores, compare_frames
from ostrack.machine import this_machine
from ostrack.model import OSTrack, load

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OSTRACK_SHARED", ROOT / "../shared")).resolve()
RESULTS = ROOT / "benchmarks/results"
FIGURES = {"fooled": "frames fooled", "mass": "score mass on the target", "margin": "target minus best elsewhere"}


def figures(scores: list[Scores]) -> dict[str, float]:
    """Means over the frames of one sequence whose crop holds the target."""
    known = [one for one in scores if np.isfinite(one.on_target)]
    return {
        "fooled": float(np.mean([one.fooled for one in known])),
        "mass": float(np.mean([one.mass for one in known])),
        "margin": float(np.mean([one.on_target - one.elsewhere for one in known])),
    }


def by_name(files: list[Path]) -> dict[str, list[OSTrack]]:
    """Networks by the names of their folders, in the order given; ``-SEED`` is no part of a name.

    Raises:
        RecipeError: There is nothing to compare, or there are more seeds of one than of another.
        CheckpointError: A file is not a network.
    """
    nets: dict[str, list[OSTrack]] = {}
    for file in files:
        nets.setdefault(re.sub(r"-\d+$", "", file.parent.name), []).append(load(file).eval())
    if len(nets) < 2 or len({len(own) for own in nets.values()}) > 1:
        seeds = ", ".join(f"{len(own)} of {name}" for name, own in nets.items())
        raise RecipeError(f"expected at least two names with as many seeds of each, found {seeds}")
    return nets


def measure(nets: dict[str, list[OSTrack]], folder: Path, frames: int) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by network and sequence, means over seeds."""
    first, *others = nets
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in nets}
    for clip in load_sequences(folder, "folder"):
        count = min(len(clip), frames)
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in nets}
        for other in others:
            for pair in zip(nets[first], nets[other], strict=True):
                pictures = ((index, clip.frames[index]) for index in range(count))
                compared = list(compare_frames(pair, pictures, None, clip.boxes))
                for place, name in enumerate((first, other)):
                    seen[name].append(figures([one.scores[place] for one in compared]))
        for name, rows in seen.items():
            found[name][clip.name] = {figure: float(np.mean([row[figure] for row in rows])) for figure in FIGURES}
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def column(found: dict[str, dict[str, float]], figure: str) -> NDArray[np.float64]:
    """One figure of all sequences."""
    return np.array([row[figure] for row in found.values()])


def table(found: dict[str, dict[str, dict[str, float]]], frames: int, seeds: int = 1) -> str:
    """Markdown: means with intervals, and what the first network has over each of the others."""
    first, *others = found
    count = len(found[first])
    lines = [
        f"{count} sequences, first {frames} frames; {seeds} seed{'s' * (seeds > 1)}; mean over sequences "
        "[95 % of bootstrap draws of sequences].",
        "",
        f"| network | {' | '.join(FIGURES.values())} |",
        "| --- | --- | --- | --- |",
    ]
    for name, rows in found.items():
        estimator = WeightedMean({figure: column(rows, figure) for figure in FIGURES}, np.ones(count))
        told = bootstrap(estimator, count)
        lines.append(f"| {name} | {' | '.join(str(told[figure]) for figure in FIGURES)} |")
    for other in others:
        cells = []
        for figure in FIGURES:
            pair = [column(found[name], figure) for name in (first, other)]
            means = [WeightedMean({figure: values}, np.ones(count)) for values in pair]
            more = compare_paired(figure, (means[0], pair[0]), (means[1], pair[1])).difference
            cells.append(more.signed())
        lines.append(f"| {first} - {other} | {' | '.join(cells)} |")
    lines += ["", f"| frames fooled | {' | '.join(found)} |", "| --- |" + " ---: |" * len(found)]
    worst = sorted(found[first], key=lambda clip: -max(found[name][clip]["fooled"] for name in found))
    for clip in worst:
        lines.append(f"| {clip} | {' | '.join(format(found[name][clip]['fooled'], '.0%') for name in found)} |")
    return "\n".join([*lines, "", this_machine().text()]) + "\n"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "networks", type=Path, nargs="+", help="weights; what the first is called is compared with the rest"
    )
    parser.add_argument("--folder", type=Path, default=SHARED / "sequences")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    try:
        nets = by_name(args.networks)
        found = measure(nets, args.folder, args.frames)
    except (OSError, OSTrackError) as error:
        sys.exit(f"error: {error}")
    seeds = len(next(iter(nets.values())))
    text = table(found, args.frames, seeds)
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / "streams.md").write_text(text)
    (args.results / "streams.json").write_text(
        json.dumps({"frames": args.frames, "seeds": seeds, "networks": found}, indent=1) + "\n"
    )
    print(text)


if __name__ == "__main__":
    main()
