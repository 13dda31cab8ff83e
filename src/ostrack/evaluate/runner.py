"""Run a tracker over a set of sequences into a folder of results; run again to finish what is missing.

The folder says in ``run.json`` what made it, so results of two networks never mix. A sequence is finished when its box
file has a line for every frame and begins with the box of its first one, which another set's clip of the same name and
length does not; the file is written last and whole. What fails is written to ``NAME_error.txt`` and
does not stop the rest.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostrack import __version__
from ostrack.data.sequence import Sequence
from ostrack.errors import EvaluationError
from ostrack.evaluate.engines import ENGINES, Failed, Job, Outcome
from ostrack.evaluate.files import format_run, write_boxes, write_column
from ostrack.evaluate.peers import TrackerSpec
from ostrack.machine import this_machine
from ostrack.whole import write_whole

__all__ = ["RunSummary", "run"]


@dataclass(frozen=True)
class RunSummary:
    """How a run went.

    Attributes:
        folder: Where the results are.
        done: Sequences run now.
        kept: Sequences that were finished before.
        failed: What went wrong, by sequence.
        frames: Frames tracked now.
        seconds: Time from start to end.
        tracker_seconds: Time spent in the tracker, over all workers.
    """

    folder: Path
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    seconds: float = 0.0
    tracker_seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{len(self.done)} sequences run", f"{len(self.kept)} kept", f"{len(self.failed)} failed"]
        speed = f"; {self.frames} frames in {self.seconds:.1f} s" if self.frames else ""
        return ", ".join(parts) + speed


def run(
    sequences: Iterable[Sequence],
    tracker: TrackerSpec | str,
    folder: str | Path,
    *,
    engine: str = "local",
    workers: int = 1,
    batch: int = 1,
    threads: int | None = None,
    supervised: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> RunSummary:
    """Run what is not finished yet.

    Args:
        sequences: The set.
        tracker: What to run, see :mod:`ostrack.evaluate.peers`.
        folder: Where results go.
        engine: ``"local"`` or ``"ray"``.
        workers: Worker processes, or tasks at a time on a cluster; 1 runs here.
        batch: Sequences that share one call of the network.
        threads: CPU threads of each worker.
        supervised: VOT's supervised protocol: restarts after failures, results below ``baseline``.
        progress: Called with the frames done and all frames to do.

    Returns:
        What was done, kept and what failed.

    Raises:
        EvaluationError: Unknown engine, or the folder holds another tracker's results.
        OSTrackError: The tracker cannot be loaded, or a file cannot be written.
    """
    spec = TrackerSpec(tracker) if isinstance(tracker, str) else tracker
    if engine not in ENGINES:
        raise EvaluationError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if workers < 1 or batch < 1:
        raise EvaluationError(f"workers and batch must be 1 or more, got {workers} and {batch}")
    target = Path(folder)
    _sign(target, spec, supervised)
    everything = list(sequences)
    finished = [seq for seq in everything if _is_finished(_box_file(target, seq.name, supervised), seq, supervised)]
    kept = {seq.name for seq in finished}
    todo = tuple(seq for seq in everything if seq.name not in kept)
    by_name = {seq.name: seq for seq in todo}
    if len(by_name) != len(todo):
        raise EvaluationError("two sequences share a name, so they would share a file")
    total, frames, lock = sum(map(len, todo)), 0, threading.Lock()

    def tick(count: int) -> None:
        nonlocal frames
        # Sequences of one batch run in threads.
        with lock:
            frames += count
            if progress is not None:
                progress(frames, total)

    done, failed = [], {}
    tracker_seconds, tracked, start = 0.0, 0, time.perf_counter()
    if todo:
        job = Job(spec, todo, supervised, batch, workers, threads)
        for outcome in ENGINES[engine](job, tick):
            _write(target, by_name[outcome.sequence], outcome)
            if isinstance(outcome, Failed):
                failed[outcome.sequence] = outcome.message
            else:
                done.append(outcome.sequence)
                tracker_seconds += float(outcome.times.sum())
                tracked += len(outcome.times)
    seconds = time.perf_counter() - start
    return RunSummary(
        target, tuple(done), tuple(seq.name for seq in finished), failed, tracked, seconds, tracker_seconds
    )


def _sign(folder: Path, spec: TrackerSpec, supervised: bool) -> None:
    """Say in the folder what makes it; refuse to mix."""
    note = folder / "run.json"
    now = {"tracker": spec.fingerprint(), "supervised": supervised}
    if note.is_file():
        before = json.loads(note.read_text())
        if {key: before.get(key) for key in now} == now:
            return
        # A first try that failed before it had a result claims nothing.
        if any(not path.name.endswith("_error.txt") for path in folder.rglob("*.txt")):
            raise EvaluationError(
                f"{folder}: holds results of another run ({_other(before, now)}); choose another folder or remove it"
            )
    made = {
        **now,
        "ostrack": __version__,
        "machine": this_machine().to_dict(),
        "pixels": "the benchmark's own",
    }
    write_whole(note, json.dumps(made, indent=1) + "\n")


def _other(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What another run was of: its tracker, and where that is the same, what differs beside."""
    old, new = before.get("tracker", {}), now["tracker"]
    name = old.get("source") or "the packaged network"
    if old.get("source") != new.get("source"):
        return name
    options = (key for key in sorted({*old, *new}) if key.startswith("option ") and old.get(key) != new.get(key))
    parts = [f"{key} {old.get(key, 'not given')}, not {new.get(key, 'not given')}" for key in options]
    if old.get("sha256") != new.get("sha256"):
        parts.append("with other weights")
    if before.get("supervised") != now["supervised"]:
        parts.append("by another protocol")
    return ", ".join([name, *parts])


def _box_file(folder: Path, name: str, supervised: bool) -> Path:
    if supervised:
        return folder / "baseline" / name / f"{name.rpartition('/')[2]}_001.txt"
    return folder / f"{name}.txt"


def _is_finished(path: Path, sequence: Sequence, supervised: bool) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        first = stream.readline()
        if bool(first) + sum(1 for _ in stream) != len(sequence):
            return False
    if supervised:
        return True  # it begins with a code, which tells nothing of the labels
    try:
        row = [float(part) for part in re.split(rb"[,;\s]+", first.strip())]
    except ValueError:
        return False
    # Files of the official code hold whole numbers, cut.
    return len(row) == 4 and bool((np.abs(_own_pixels(sequence, sequence.boxes[:1]) - row) <= 1).all())


def _own_pixels(sequence: Sequence, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, 4)`` xywh in the benchmark's own pixels."""
    return boxes + np.array([sequence.first_pixel, sequence.first_pixel, 0, 0], dtype=np.float64)


def _write(folder: Path, sequence: Sequence, outcome: Outcome) -> None:
    name = sequence.name
    error = folder / f"{name}_error.txt"
    if isinstance(outcome, Failed):
        write_whole(error, f"{outcome.message}\n\n{outcome.details}")
        return
    error.unlink(missing_ok=True)
    path = _box_file(folder, name, outcome.run is not None)
    beside = path.parent / name.rpartition("/")[2]
    write_column(beside.with_name(f"{beside.name}_time.txt"), outcome.times)
    if not np.isnan(outcome.scores[1:]).all():
        write_column(beside.with_name(f"{beside.name}_score.txt"), outcome.scores)
    if outcome.run is not None:
        write_whole(path, format_run(outcome.run))
    else:
        write_boxes(path, _own_pixels(sequence, outcome.boxes))
