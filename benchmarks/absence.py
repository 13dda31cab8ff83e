"""Who notices that the target is gone, and who finds it again: recovery against the plain tracker.

    python benchmarks/absence.py [FOLDER] [--network NAME_OR_PATH] [--real FOLDER] [--set patience=5 ...]

From every clip of ``FOLDER`` (labelled clips as ``NAME/img/00001.jpg`` with ``NAME/groundtruth.txt``) three are made:
``hidden`` paints the target over for a while, ``moved`` does so and brings it back at another place of the frame,
``swapped`` puts another clip's target in its place meanwhile. Absent frames have a box of nan. Clips of ``--real`` are
run as they are. A frame counts as called absent where the track's confidence is below a half. Writes
``benchmarks/results/absence.json`` and ``.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.data.benchmarks import load_sequences
from ostrack.evaluate import score
from ostrack.evaluate.presence import score_presence
from ostrack.evaluate.reliability import paint_over
from ostrack.evaluate.truth import Truth
from ostrack.network import Network
from ostrack.recovery import Recovery
from ostrack.tracker import Track, Tracker

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OSTRACK_SHARED", ROOT / "../shared")).resolve()
RESULTS = ROOT / "benchmarks/results"
KINDS = ("hidden", "moved", "swapped")
# Frames before, without and after the target in a made clip.
BEFORE, WITHOUT, AFTER = 8, 20, 20
Image = NDArray[np.uint8]
Boxes = NDArray[np.float64]


@dataclass
class Clip:
    """Frames and boxes; nan where the target is absent."""

    name: str
    frames: list[Image]
    boxes: Boxes


@dataclass
class Outcome:
    """What one tracker did on all clips."""

    boxes: dict[str, Boxes] = field(default_factory=dict)
    called: dict[str, Boxes] = field(default_factory=dict)
    calls: int = 0
    rows: int = 0
    frames: int = 0


def with_patch(frame: Image, box: Boxes, patch: Image) -> Image:
    """The frame with a picture over the box."""
    height, width = frame.shape[:2]
    x, y, w, h = box
    left, top = int(np.clip(x, 0, width - 3)), int(np.clip(y, 0, height - 3))
    right, bottom = int(np.clip(x + w, left + 2, width)), int(np.clip(y + h, top + 2, height))
    out = frame.copy()
    out[top:bottom, left:right] = cv2.resize(patch, (right - left, bottom - top))
    return out


def moved_aside(frame: Image, box: Boxes, shift: int) -> tuple[Image, Boxes]:
    """The frame rolled sideways, and the box with it."""
    width = frame.shape[1]
    step = shift if box[0] + shift < width else shift - width
    return np.roll(frame, shift, axis=1), box + np.array([step, 0.0, 0.0, 0.0])


def far_shift(boxes: Boxes, width: int) -> int:
    """A roll that brings the target far away without cutting it in two; 0 if there is none."""
    best, furthest = 0, 0.0
    for shift in range(0, width, 8):
        left = (boxes[:, 0] + shift) % width
        if (left + boxes[:, 2] <= width).all():
            distance = float(np.abs(left - boxes[:, 0]).min())
            best, furthest = (shift, distance) if distance > furthest else (best, furthest)
    return best


def made_clips(folder: Path, kinds: tuple[str, ...]) -> Iterator[Clip]:
    """Clips with absences made from whole ones; short ones are played forth and back."""
    clips = list(load_sequences(folder, "folder"))
    for number, clip in enumerate(clips):
        whole = [index for index in range(len(clip)) if np.isfinite(clip.boxes[index]).all()]
        there_and_back = whole + whole[-2:0:-1]
        order = [there_and_back[step % len(there_and_back)] for step in range(BEFORE + WITHOUT + AFTER)]
        frames, boxes = [clip.frames[index] for index in order], clip.boxes[order]
        gap = range(BEFORE, BEFORE + WITHOUT)
        other = clips[(number + 1) % len(clips)]
        x, y, w, h = (int(max(value, 0)) for value in other.boxes[0])
        stranger = other.frames[0][y : y + max(h, 2), x : x + max(w, 2)]
        shift = far_shift(boxes, frames[0].shape[1])
        for kind in kinds:
            if kind == "moved" and not shift:
                continue
            pictures, truth = list(frames), boxes.copy()
            for index in gap:
                cut = with_patch(frames[index], boxes[index], stranger)
                pictures[index] = cut if kind == "swapped" else paint_over(frames[index], boxes[index])
                truth[index] = np.nan
            if kind == "moved":
                for index in range(gap.stop, len(frames)):
                    pictures[index], truth[index] = moved_aside(frames[index], boxes[index], shift)
            yield Clip(f"{kind}/{clip.name}", pictures, truth)


def real_clips(folder: Path) -> Iterator[Clip]:
    """Clips as they are."""
    for clip in load_sequences(folder, "folder"):
        yield Clip(clip.name, [clip.frames[index] for index in range(len(clip))], clip.boxes)


def follow(network: Network, policy: Recovery | None, clip: Clip, into: Outcome) -> None:
    """Run one tracker over one clip."""
    tracker = Tracker(network, recovery=policy or False)
    tracker.init(clip.frames[0], clip.boxes[0])
    boxes, called = [clip.boxes[0]], [clip.boxes[0]]
    for frame in clip.frames[1:]:
        track = tracker.update(frame)
        assert isinstance(track, Track), "one target was started"
        boxes.append(np.array(track.box))
        called.append(np.full(4, np.nan) if track.confidence < 0.5 else boxes[-1])
    into.boxes[clip.name], into.called[clip.name] = np.stack(boxes), np.stack(called)
    into.frames += len(clip.frames) - 1


def returns(truth: Boxes, called: Boxes) -> tuple[list[float], int]:
    """Frames from each return of the target to the next right box (inf: never), and false re-detections.

    A false re-detection is a box on the wrong place in the frame after one that was called absent.
    """
    absent, denied = np.isnan(truth[:, 0]), np.isnan(called[:, 0])
    right = np.nan_to_num(iou_xywh(called, truth)) > 0.5
    waits = []
    for start in np.flatnonzero(absent[:-1] & ~absent[1:]) + 1:
        later = np.flatnonzero(absent[start:])
        hits = np.flatnonzero(right[start : start + later[0] if len(later) else None])
        waits.append(float(hits[0]) if len(hits) else np.inf)
    false = (denied[:-1] & ~denied[1:] & ~right[1:]).sum()
    return waits, int(false)


def figures(clips: dict[str, Boxes], outcome: Outcome) -> dict[str, float]:
    """Presence, success where the target is there, and how it came back."""
    presence = score_presence(outcome.called, Truth(clips))
    success = score(outcome.boxes, clips, "ostrack", leave_out_absent=True).success
    waits: list[float] = []
    false = 0
    for name, truth in clips.items():
        more, wrong = returns(truth, outcome.called[name])
        waits, false = waits + more, false + wrong
    found = [wait for wait in waits if np.isfinite(wait)]
    return {
        "presence_precision": presence.scores["precision"],
        "presence_recall": presence.scores["recall"],
        "presence_f": presence.scores["f"],
        "success": success,
        "returns": len(waits),
        "found_again": len(found),
        "frames_until_found": float(np.median(found)) if found else np.nan,
        "false_redetections": false,
    }


def table(rows: dict[str, dict[str, float]]) -> str:
    """One line for each tracker and set of clips."""
    lines = [
        "| clips and tracker | presence precision | recall | F | success AUC | found again | after frames, median "
        "| false re-detections |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row['presence_precision']:.3f} | {row['presence_recall']:.3f} | {row['presence_f']:.3f} "
            f"| {row['success']:.3f} | {row['found_again']:.0f} of {row['returns']:.0f} "
            f"| {row['frames_until_found']:.0f} | {row['false_redetections']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make clips, run both trackers, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="labelled clips to make absences from")
    parser.add_argument("--network", help="name or file; the packaged default if not given")
    parser.add_argument("--real", type=Path, help="clips to run as they are, such as ../shared/sequences")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which clips to make, comma-separated")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of Recovery")
    parser.add_argument("--only-recovery", action="store_true", help="leave the plain tracker out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "absence", help="path without suffix")
    args = parser.parse_args()
    if args.folder is None and args.real is None:
        parser.error("give a folder of clips, or --real FOLDER")
    cv2.setNumThreads(args.threads)
    changes = {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in args.set)}
    policy = Recovery(**changes)
    network = Network.load(args.network, threads=args.threads)
    sets = {kind: [kind] for kind in filter(None, args.kinds.split(","))} if args.folder is not None else {}
    rows: dict[str, dict[str, float]] = {}
    for name in [*sets, *(["real"] if args.real is not None else [])]:
        clips = real_clips(args.real) if name == "real" else made_clips(args.folder, (name,))
        truth: dict[str, Boxes] = {}
        plain, recovering = Outcome(), Outcome()
        for clip in clips:
            truth[clip.name] = clip.boxes
            if not args.only_recovery:
                follow(network, None, clip, plain)
            follow(network, policy, clip, recovering)
            print(".", end="", file=sys.stderr, flush=True)
        if not args.only_recovery:
            rows[f"{name}, plain"] = figures(truth, plain)
        rows[f"{name}, recovery"] = figures(truth, recovering)
        print(f" {name}", file=sys.stderr)
    text = table(rows)
    print(text)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".md").write_text(text)
    document = {"recovery": asdict(policy), "figures": rows}
    args.output.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
