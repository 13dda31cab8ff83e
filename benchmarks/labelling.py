"""How few drawn boxes label a clip, on a folder of real labelled sequences.

    python benchmarks/labelling.py [FOLDER] [--only NAME ...] [--network NAME|FILE] [--boxes 2 3 5 9] [--threads N]

``FOLDER`` holds ``SOURCE/NAME/img/00001.jpg ...`` and ``SOURCE/NAME/groundtruth.txt`` (x,y,w,h per frame, 0-based, nan
where the target is absent). For each number of boxes, taken from the truth at even distances over the frames in which
the target is seen, first and last included, all other frames are labelled in four ways:

* straight lines between the boxes, as annotation tools draw them;
* tracked forward from each box to the next, by which most annotation tools help;
* tracked both ways and blended (``ostrack.annotate``);
* the same with the first and last box only, the others drawn one by one where ``result.suggest()`` says.

Scored is the mean IoU, and the share of frames above 0.5, over the frames in which the target is seen and for which no
box was drawn; each clip counts once. Writes ``benchmarks/results/labelling.json`` and ``.md`` and prints the table.
Steps are kept in a temporary folder, so that each correction costs only what touches it.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ostrack
from ostrack.boxes import iou_xywh
from ostrack.data.benchmarks import load_sequences
from ostrack.machine import this_machine
from ostrack.results import Result
from ostrack.tracker import Tracker
from ostrack.video import Clip, open_clip

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OSTRACK_SHARED", ROOT / "../shared")).resolve()
RESULTS = ROOT / "benchmarks/results"
WAYS = ("straight lines", "forward", "both ways", "both ways, where suggested")
Floats = NDArray[np.float64]


def evenly(seen: NDArray[np.int64], count: int) -> list[int]:
    """So many of the frames, first and last included."""
    return sorted({int(seen[round(place)]) for place in np.linspace(0, len(seen) - 1, count)})


def keys_of(frames: Iterable[int], truth: Floats) -> dict[str, dict[int, tuple[float, ...]]]:
    """Key frames with the true boxes."""
    return {"it": {frame: tuple(truth[frame].tolist()) for frame in frames}}


def boxes_of(result: Result, count: int) -> Floats:
    """``(count, 4)`` xywh; nan where there is none."""
    boxes = np.full((count, 4), np.nan)
    track = result.targets["it"]
    boxes[track.frames] = track.boxes
    return boxes


def straight(frames: list[int], truth: Floats) -> Floats:
    """Straight lines between the true boxes."""
    every = np.arange(len(truth))
    return np.stack([np.interp(every, frames, truth[frames, column]) for column in range(4)], -1)


def forward(clip: Clip, tracker: Tracker, frames: list[int], truth: Floats, work: Path) -> Floats:
    """Tracked from each box to the next."""
    boxes = np.full((len(truth), 4), np.nan)
    for first, last in zip(frames, [*frames[1:], len(truth)], strict=True):
        # An absence where the next box is keeps the pass backward from beginning there.
        keys: dict[int, tuple[float, ...] | None] = {first: tuple(truth[first].tolist())}
        if first > 0:
            keys[0] = None
        if last < len(truth):
            keys[last] = None
        found = boxes_of(ostrack.annotate(clip, {"it": keys}, tracker=tracker, work=work), len(truth))
        boxes[first:last] = found[first:last]
    return boxes


def suggested(clip: Clip, tracker: Tracker, seen: NDArray[np.int64], count: int, truth: Floats, work: Path) -> Result:
    """Begin with two boxes and draw the others where the result so far asks for them."""
    frames = evenly(seen, 2)
    while True:
        result = ostrack.annotate(clip, keys_of(frames, truth), tracker=tracker, work=work)
        if len(frames) >= count:
            return result
        asked = [hint.frame for hint in result.suggest(len(truth)) if hint.frame in seen and hint.frame not in frames]
        gaps = np.diff(frames)
        # Nothing doubtful is left: the middle of the longest stretch, moved to a frame in which it is seen.
        middle = frames[int(gaps.argmax())] + int(gaps.max()) // 2
        free = np.setdiff1d(seen, frames)
        if not len(free):
            return result
        frames = sorted([*frames, asked[0] if asked else int(free[np.abs(free - middle).argmin()])])


def quality(boxes: Floats, truth: Floats, drawn: Iterable[int]) -> tuple[float, float]:
    """Mean IoU and share above 0.5 over seen frames that were not drawn."""
    scored = np.flatnonzero(np.isfinite(truth).all(1))
    scored = np.setdiff1d(scored, list(drawn))
    overlaps = np.nan_to_num(iou_xywh(boxes[scored], truth[scored]))
    return float(overlaps.mean()), float((overlaps > 0.5).mean())


def main() -> None:
    """Run, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "sequences")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--network", default=None)
    parser.add_argument("--boxes", nargs="+", type=int, default=[2, 3, 5, 9])
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    machine, tracker = this_machine(), Tracker(options.network, threads=options.threads)
    rows: dict[str, dict[str, dict[str, list[float]]]] = {}
    clips = [
        clip
        for clip in load_sequences(options.folder, "folder")
        if not options.only or Path(clip.name).name in options.only
    ]
    if not clips:
        raise SystemExit(f"{options.folder}: no sequences")
    for sequence in clips:
        truth = np.asarray(sequence.boxes, np.float64)
        seen = np.flatnonzero(np.isfinite(truth).all(1))
        clip = open_clip(options.folder / sequence.name / "img")
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            for count in options.boxes:
                frames = evenly(seen, count)
                both = ostrack.annotate(clip, keys_of(frames, truth), tracker=tracker, work=work)
                asked = suggested(clip, tracker, seen, count, truth, work)
                drawn = asked.targets["it"].frames[asked.targets["it"].keyframes].tolist()
                found = {
                    WAYS[0]: quality(straight(frames, truth), truth, frames),
                    WAYS[1]: quality(forward(clip, tracker, frames, truth, work), truth, frames),
                    WAYS[2]: quality(boxes_of(both, len(truth)), truth, frames),
                    WAYS[3]: quality(boxes_of(asked, len(truth)), truth, drawn),
                }
                rows.setdefault(str(count), {})[sequence.name] = {way: list(pair) for way, pair in found.items()}
                print(sequence.name, count, {way: round(pair[0], 3) for way, pair in found.items()}, flush=True)
    table = table_of(rows)
    options.out.mkdir(parents=True, exist_ok=True)
    record = {"clips": len(clips), "network": tracker.network.name, "rows": rows, "machine": machine.to_dict()}
    (options.out / "labelling.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = f"{table}\n{len(clips)} clips; mean IoU (share of frames above 0.5) on frames not drawn.\n"
    (options.out / "labelling.md").write_text(text, encoding="utf-8")
    print(text)


def table_of(rows: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Means over clips, a line for each number of boxes."""
    lines = ["| boxes drawn | " + " | ".join(WAYS) + " |", "| --- " * (len(WAYS) + 1) + "|"]
    for count, clips in rows.items():
        means = [np.mean([found[way] for found in clips.values()], 0) for way in WAYS]
        lines.append(f"| {count} | " + " | ".join(f"{mean:.3f} ({100 * share:.0f} %)" for mean, share in means) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
