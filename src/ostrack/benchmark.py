"""Trackers side by side on this machine: time of a frame and memory, ours in every runtime beside others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ostrack import zoo
from ostrack.benchmark_run import Entry, Measurement, Run
from ostrack.benchmark_worker import Task
from ostrack.errors import OSTrackError
from ostrack.evaluate.peers import TrackerSpec
from ostrack.machine import Machine, this_machine
from ostrack.video import open_source
from ostrack.video.targets import check_inside

__all__ = ["Benchmark", "BenchmarkError", "Entry", "Measurement", "benchmark", "installed", "ours"]

# The first frames of a process allocate and tune; they say nothing about those that come after.
_WARM_UP = 1
_LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino", "torch": "torch"}
_PRECISIONS = ("float32", "bf16", "fp16")


class BenchmarkError(OSTrackError):
    """Nothing can be measured."""


@dataclass(frozen=True)
class Benchmark:
    """A table of measurements.

    Attributes:
        machine: Where they were taken.
        clip: What was followed.
        rows: One for each tracker.
    """

    machine: Machine
    clip: str
    rows: tuple[Measurement, ...] = field(default_factory=tuple)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"machine": self.machine.to_dict(), "clip": self.clip, "rows": [row.to_dict() for row in self.rows]}

    def markdown(self) -> str:
        """A table to paste into an issue."""
        lines = [
            "| tracker | runs in | threads | targets | ms a frame, median (95 %) | frames a second | peak memory, MB |",
            "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for row in self.rows:
            threads = "own choice" if row.threads is None else row.threads
            memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
            speed = f"{row.median:.1f} ({row.slow:.1f}) | {1e3 / row.median:.1f}" if row.rounds else " | "
            lines.append(f"| {row.label} | {row.runtime} | {threads} | {row.targets} | {speed} | {memory} |")
        lines += ["", f"{self.clip}. {self.machine.text()}."]
        lines += [f"Not measured: {row.label}: {row.problem}" for row in self.rows if row.problem]
        return "\n".join(lines) + "\n"


def installed() -> list[str]:
    """Runtimes that this installation can run networks in."""
    return [name for name, library in _LIBRARIES.items() if find_spec(library) is not None]


def ours(
    networks: Sequence[str] = (),
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = (),
    threads: Sequence[int | None] = (None,),
) -> list[Entry]:
    """Networks of this package in every runtime and precision there may be.

    Whether the processor has a precision is found out when it is measured.

    Args:
        networks: Packaged names or files; all packaged ones where empty.
        runtimes: Those to use; all installed ones where empty.
        precisions: ``"float32"``, ``"bf16"``, ``"fp16"``; where empty float32, and bf16 where the runtime may have it.
        threads: CPU threads, each in turn.

    Returns:
        An entry for each combination of a file and a runtime that reads such files.

    Raises:
        BenchmarkError: A runtime or precision that nobody knows.
    """
    for what, given, known in (("runtime", runtimes, _LIBRARIES), ("precision", precisions, _PRECISIONS)):
        for name in given:
            if name not in known:
                raise BenchmarkError(f"{what} {name!r}: expected {', '.join(map(repr, known))}")
    entries = []
    for network in networks or zoo.names():
        kinds = {"onnx": "onnx", "openvino": "onnx", "torch": "safetensors"}
        for runtime in runtimes or [name for name in installed() if _has(network, kinds[name])]:
            for precision in precisions or (("float32",) if runtime == "onnx" else ("float32", "bf16")):
                spec = TrackerSpec(network, (("runtime", runtime), ("precision", precision)))
                entries += [Entry(Path(network).stem, spec, count) for count in threads]
    return entries


def _has(network: str, kind: str) -> bool:
    """Whether a network comes in a kind of file; of an unknown name the measurement will tell."""
    if network in zoo.names():
        return kind == "onnx" or zoo.entry(network).safetensors is not None
    return (Path(network).suffix == ".onnx") == (kind == "onnx")


def benchmark(
    entries: Sequence[Entry],
    task: Task,
    rounds: int = 3,
    progress: Callable[[int, int | None], None] | None = None,
) -> Benchmark:
    """Measure trackers, each in a process of its own, in turn: a busy moment of the machine then falls on all of them.

    A tracker that cannot be opened, or that breaks off, is told in the table and keeps nobody else from it.

    Args:
        entries: What to measure.
        task: The clip; what it says of a tracker is not read.
        rounds: Passes over the clip that are timed, after one that is not.
        progress: Called with the number of passes done and of how many.

    Raises:
        BenchmarkError: There is no entry.
        SourceError: The clip cannot be read.
        BoxError: The target lies outside its frames.
        ValueError: ``rounds`` is not positive.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: expected 1 or more")
    if not entries:
        raise BenchmarkError("nothing to measure: no network and no other tracker was named")
    # A slip in what all share is told once, not by each tracker.
    with open_source(task.clip) as source:
        check_inside(task.box, source.size, "the target")
    machine = this_machine()
    runs: list[Run] = []
    total, done = len(entries) * (rounds + _WARM_UP), 0
    try:
        for entry in entries:
            runs.append(Run(entry, entry.task(task)))
            runs[-1].open()
        for number in range(rounds + _WARM_UP):
            for run in runs:
                run.round(keep=number >= _WARM_UP)
                done += 1
                if progress is not None:
                    progress(done, total)
    finally:
        for run in runs:
            run.close()
    where = f"{Path(task.clip).name} from frame {task.start}, {task.frames} frames, {rounds} times in turn"
    if task.canvas is not None:
        where += f", in {task.canvas[0]} x {task.canvas[1]}"
    return Benchmark(machine, where, tuple(run.measurement() for run in runs))
