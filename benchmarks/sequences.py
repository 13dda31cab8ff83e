"""Accuracy and speed on a folder of real labelled sequences, our networks beside other trackers.

    python benchmarks/sequences.py [FOLDER] [--network NAME_OR_PATH[@PRECISION] ...] [--peers nanotrack3,fear_xs]

``FOLDER`` holds ``SOURCE/NAME/img/00001.jpg ...`` and ``SOURCE/NAME/groundtruth.txt`` (x,y,w,h per frame, 0-based,
nan where the target is absent). Peers come from a ``peers.py`` with ``peer(name)`` that returns objects with
``init(bgr, xywh)`` and ``update(bgr)``. Everything runs in this process, one tracker after the other; frames are
decoded before the clock starts. Writes ``benchmarks/results/sequences.json`` and ``.md`` and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack import zoo
from ostrack.data.benchmarks import load_sequences
from ostrack.data.sequence import Sequence
from ostrack.errors import OSTrackError
from ostrack.evaluate import Report, score
from ostrack.machine import this_machine
from ostrack.network import Network
from ostrack.tracker import Track, Tracker
from outside import Outside

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OSTRACK_SHARED", ROOT / "../shared")).resolve()
RESULTS = ROOT / "benchmarks/results"
# Boxes at the left edge count, since pixels are 0-based here; absent frames are left out: a box on them is neither
# right nor wrong, and presence is measured elsewhere.
PROTOCOL = "ostrack"
# The first calls of a runtime allocate and tune; they say nothing about the frames after them.
WARM_UP = 5
PRECISIONS = ("float32", "bf16", "fp16")


class Follower(Protocol):
    """What is run: ``init`` then ``update``, both on RGB frames."""

    def init(self, frame: NDArray[np.uint8], box: NDArray[np.float64]) -> object:
        """Start on the first frame."""

    def update(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        """Box in the next frame."""


@dataclass
class Ours:
    """A network of this package behind :class:`Follower`."""

    tracker: Tracker

    def init(self, frame: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        """Start on the first frame."""
        self.tracker.init(frame, box)

    def update(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Box in the next frame."""
        track = self.tracker.update(frame)
        assert isinstance(track, Track), "one target was started"
        return np.array(track.box)


def read_clips(folder: Path, only: set[str]) -> list[Sequence]:
    """All sequences below a folder, or those named."""
    clips = [clip for clip in load_sequences(folder, "folder") if not only or only & {clip.name, Path(clip.name).name}]
    if not clips:
        raise SystemExit(f"{folder}: none of the sequences {', '.join(sorted(only))}")
    return clips


def follow(make: Callable[[], Follower], clips: list[Sequence]) -> tuple[dict[str, NDArray[np.float64]], list[float]]:
    """Boxes by sequence, and milliseconds of every update."""
    boxes, times = {}, []
    for clip in clips:
        frames, tracker = [clip.frames[index] for index in range(len(clip))], make()
        tracker.init(frames[0], clip.boxes[0])
        rows = [clip.boxes[0]]
        for index, frame in enumerate(frames[1:]):
            start = time.perf_counter()
            box = tracker.update(frame)
            if index >= WARM_UP:
                times.append(1000 * (time.perf_counter() - start))
            rows.append(rows[-1] if box is None else np.asarray(box, dtype=np.float64))
        boxes[clip.name] = np.stack(rows)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return boxes, times


@dataclass(frozen=True)
class Contender:
    """Something to run.

    Attributes:
        make: Starts a new one for each sequence.
        about: What it is, for the results: network, runtime and whether it recovers, where it is ours.
    """

    make: Callable[[], Follower]
    about: dict[str, str | bool] = field(default_factory=dict)


def _ours(network: Network, recovery: bool | None) -> Follower:
    return Ours(Tracker(network, recovery=recovery))


def with_precision(given: str) -> tuple[str, str | None]:
    """Name or file of a network, and the precision behind its last ``@``, if one is."""
    source, at, precision = given.rpartition("@")
    return (source, precision) if at and precision in PRECISIONS else (given, None)


def trackers(
    networks: list[str], peers: list[str], peers_file: Path, threads: int, plain: bool = False
) -> dict[str, Contender]:
    """What there is to run; what is absent is named and left out. ``plain`` adds our networks without recovery."""
    makers: dict[str, Contender] = {}
    for given in networks or [zoo.default()]:
        source, precision = with_precision(given)
        stem = Path(source).stem
        label = stem if precision is None else f"{stem} {precision}"
        if label in makers:
            label = given
        try:
            network = Network.load(source, threads=threads, precision=precision or "float32")
        except (OSTrackError, FileNotFoundError) as error:
            print(f"left out {label}: {error}", file=sys.stderr)
            continue
        about: dict[str, str | bool] = {"network": stem, "runtime": network.runtime}
        makers[label] = Contender(partial(_ours, network, None), about)
        if plain:
            makers[f"{label} plain"] = Contender(partial(_ours, network, False), {**about, "recovery": False})
    if peers and not peers_file.is_file():
        print(f"left out {', '.join(peers)}: {peers_file} not found", file=sys.stderr)
    elif peers:
        for name in peers:
            try:
                # OpenCV builds differ in what they hold, and say so only when a tracker is started.
                Outside(str(peers_file), name, threads).init(np.zeros((64, 64, 3), np.uint8), np.full(4, 20.0))
            except ImportError as error:
                raise SystemExit(f"{peers_file}: {error}") from None
            except (KeyError, AttributeError, cv2.error) as error:
                print(f"left out {name}: {type(error).__name__} {error}", file=sys.stderr)
                continue
            makers[name] = Contender(partial(Outside, str(peers_file), name, threads))
    return makers


def table(reports: dict[str, Report], speeds: dict[str, list[float]], where: str) -> str:
    """Means with intervals, then success AUC of every sequence."""
    first = next(iter(reports))
    lines = [
        "| tracker | success AUC [95 %] | precision@20 [95 %] | OP50 | ms a frame, median (mean) | AUC minus "
        f"{first} [95 %] |",
        "| --- | --- | --- | ---: | ---: | --- |",
    ]
    for name, report in reports.items():
        intervals, ms = report.intervals(), np.array(speeds[name])
        gap = "" if name == first else str(report.against(reports[first]).difference)
        lines.append(
            f"| {name} | {intervals['success']} | {intervals['precision']} | {report.op50:.3f} "
            f"| {np.median(ms):.1f} ({ms.mean():.1f}) | {gap} |"
        )
    lines += ["", "| sequence | frames | " + " | ".join(reports) + " |", "| --- | ---: |" + " ---: |" * len(reports)]
    for sequence, frames in reports[first].frames.items():
        cells = [
            f"{r.per_sequence[sequence].success:.3f} / {r.per_sequence[sequence].precision:.2f}"
            for r in reports.values()
        ]
        lines.append(f"| {sequence} | {frames} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Success AUC / precision at 20 px; protocol `{PROTOCOL}`, absent frames left out; intervals by bootstrap.",
        where,
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED / "sequences")
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NETWORK[@PRECISION]",
        help="name or file, as in small@bf16; the packaged default if not given",
    )
    parser.add_argument("--plain", action="store_true", help="also run our networks without recovery")
    parser.add_argument("--peers", default="nanotrack3,fear_xs", help="names, comma-separated; empty for none")
    parser.add_argument("--peers-file", type=Path, default=SHARED / "peers/peers.py")
    parser.add_argument("--sequences", default="", help="only these, comma-separated")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS / "sequences", help="path without suffix")
    args = parser.parse_args()
    cv2.setNumThreads(args.threads)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    clips = read_clips(args.folder, set(filter(None, args.sequences.split(","))))
    makers = trackers(
        args.network, list(filter(None, args.peers.split(","))), args.peers_file, args.threads, args.plain
    )
    if not makers:
        raise SystemExit("nothing to run: no network and no peer was found")
    truth = {clip.name: clip.boxes for clip in clips}
    reports, speeds = {}, {}
    for name, contender in makers.items():
        print(name, end=" ", file=sys.stderr, flush=True)
        boxes, speeds[name] = follow(contender.make, clips)
        reports[name] = score(boxes, truth, PROTOCOL, leave_out_absent=True)
    where = f"{this_machine().text()}; {args.threads} thread(s)"
    text = table(reports, speeds, where)
    print(text)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".md").write_text(text)
    found = {
        name: {
            **makers[name].about,
            **report.to_dict(),
            "ms_median": float(np.median(speeds[name])),
            "ms_mean": float(np.mean(speeds[name])),
        }
        for name, report in reports.items()
    }
    args.output.with_suffix(".json").write_text(json.dumps({"machine": where, "trackers": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
