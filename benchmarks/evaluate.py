"""How long scoring takes, what the runner costs, what a second worker brings.

    python benchmarks/evaluate.py [--folder CLIPS] [--tracker NAME] [--repeats 5]

Scoring is timed on the sizes of UAV123@10fps (123 sequences, 37,607 frames). The runner is measured against the bare
loop ``frame = frames[i]; tracker.update(frame)`` over the same clips in the same process, turn by turn, in CPU time,
which a busy machine does not blur; batches and workers in wall time. Writes ``benchmarks/results/evaluate.json`` and
``.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ostrack.data.benchmarks import load_sequences
from ostrack.data.sequence import Sequence
from ostrack.evaluate import TrackerSpec, run, score
from ostrack.evaluate.peers import open_tracker
from ostrack.machine import this_machine

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OSTRACK_SHARED", ROOT / "../shared")).resolve()
UAV123_10FPS = (123, 37607)


def like_uav123() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Results and ground truth of the set's size: boxes on a random walk, results off by some pixels."""
    rng = np.random.default_rng(0)
    sequences, frames = UAV123_10FPS
    cuts = np.sort(rng.choice(np.arange(50, frames - 50), sequences - 1, replace=False))
    results, truth = {}, {}
    for number, count in enumerate(np.diff(np.concatenate([[0], cuts, [frames]])).tolist()):
        corner = np.abs(300 + rng.normal(0, 3, (count, 2)).cumsum(0))
        boxes = np.concatenate([corner, np.tile(rng.uniform(10, 80, 2), (count, 1))], 1)
        results[f"s{number}"] = np.abs(boxes + rng.normal(0, 6, boxes.shape)) + 1
        truth[f"s{number}"] = boxes
    return results, truth


def seconds(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Time of each repeat."""
    found = []
    for _ in range(repeats):
        start = clock()
        work()
        found.append(clock() - start)
    return found


def overhead(clips: list[Sequence], spec: TrackerSpec, repeats: int) -> dict[str, float]:
    """CPU seconds of the runner and of the bare loop, over the same clips."""
    make = open_tracker(spec)

    def bare() -> None:
        tracker = make()
        for clip in clips:
            tracker.init(clip.frames[0], clip.boxes[0])
            for index in range(1, len(clip)):
                tracker.update(clip.frames[index])

    def runner() -> None:
        with tempfile.TemporaryDirectory() as folder:
            summary = run(clips, spec, folder)
        if summary.failed:
            raise SystemExit(f"the run failed: {summary.failed}")

    bare()
    alone, within = [], []
    for _ in range(repeats):
        alone += seconds(bare, 1, time.process_time)
        within += seconds(runner, 1, time.process_time)
    load = seconds(lambda: open_tracker(spec), 3, time.process_time)
    share = [(b - min(load)) / a - 1 for a, b in zip(alone, within, strict=True)]
    return {
        "bare_s": statistics.median(alone),
        "runner_s": statistics.median(within),
        "load_s": min(load),
        "overhead": statistics.median(share),
    }


def wall(
    clips: list[Sequence], spec: TrackerSpec, workers: int = 1, threads: int | None = None, batch: int = 1
) -> float:
    """Wall seconds of one run."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run(clips, spec, folder, workers=workers, threads=threads, batch=batch)
        return time.perf_counter() - start


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=SHARED / "sequences")
    parser.add_argument("--tracker", default="", help="as for ostrack evaluate; the packaged network if not given")
    parser.add_argument("--clips", type=int, default=6, help="the shortest so many of the folder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/evaluate", help="path without suffix")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    results, truth = like_uav123()
    found: dict[str, float] = {"score_s": statistics.median(seconds(lambda: score(results, truth), args.repeats))}
    report = score(results, truth)
    found["intervals_s"] = statistics.median(seconds(report.intervals, args.repeats))
    lines = [
        f"- scoring {UAV123_10FPS[0]} sequences, {UAV123_10FPS[1]} frames: {found['score_s']:.3f} s; intervals of all "
        f"figures, 2,000 draws: {found['intervals_s']:.3f} s"
    ]
    if args.folder.is_dir():
        clips = sorted(load_sequences(args.folder), key=len)[: args.clips]
        frames = sum(map(len, clips))
        options = () if ":" in args.tracker else (("threads", "1"),)
        spec = TrackerSpec(args.tracker, options, (str(Path.cwd()),))
        found |= overhead(clips, spec, args.repeats)
        found["one_worker_s"] = wall(clips, spec, workers=1, threads=1)
        found["two_workers_s"] = wall(clips, spec, workers=2, threads=1)
        lines += [
            f"- runner over the bare tracker ({spec.label}, {len(clips)} clips, {frames} frames, CPU time without "
            f"loading): {100 * found['overhead']:+.1f} %",
            f"- two workers against one, wall time with loading: {found['one_worker_s']:.1f} s to "
            f"{found['two_workers_s']:.1f} s, {found['one_worker_s'] / found['two_workers_s']:.2f} times",
        ]
        if spec.kind == "ostrack":
            found["batch_s"] = wall(clips, spec, batch=len(clips))
            lines.append(f"- all {len(clips)} clips in one batch: {found['batch_s']:.1f} s")
    where = this_machine().text()
    text = "\n".join([*lines, "", where]) + "\n"
    print(text)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(json.dumps({"machine": where, **found}, indent=1) + "\n")
    args.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
