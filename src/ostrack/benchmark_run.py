"""A tracker that is measured in a process of its own, seen from outside: what to run, and what was found."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from typing import Any

from ostrack.benchmark_worker import Task
from ostrack.evaluate.peers import TrackerSpec

__all__ = ["Entry", "Measurement", "Run"]


@dataclass(frozen=True)
class Entry:
    """A tracker to be measured.

    Attributes:
        label: Its name in the table.
        spec: What to run.
        threads: CPU threads it may use; its own choice where None.
        targets: Targets to follow at once; more than one is for trackers of this package.
    """

    label: str
    spec: TrackerSpec
    threads: int | None = None
    targets: int = 1

    def task(self, task: Task) -> Task:
        """This tracker on the clip of a task."""
        options = self.spec.options
        if self.threads is not None and self.spec.kind == "ostrack":
            options = (*options, ("threads", str(self.threads)))
        return replace(
            task, source=self.spec.source, options=options, search_path=self.spec.search_path, threads=self.threads,
            targets=self.targets,
        )  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """What was measured of a tracker.

    Attributes:
        label: Its name.
        runtime: What ran it; empty where it never started.
        threads: CPU threads it was allowed; None for its own choice.
        targets: Targets followed at once.
        rounds: For each pass over the clip the milliseconds of every frame.
        network_rounds: The same for the network alone; empty rows for trackers of others.
        peak_mb: Peak memory of its process in MB, the clip's frames not counted; None where the system does not tell.
        box: The first target's last box, xywh: trackers that agree on it did the same work.
        problem: What went wrong, in one line; empty where nothing did.
    """

    label: str
    runtime: str = ""
    threads: int | None = None
    targets: int = 1
    rounds: tuple[tuple[float, ...], ...] = ()
    network_rounds: tuple[tuple[float, ...], ...] = ()
    peak_mb: float | None = None
    box: tuple[float, ...] = ()
    problem: str = ""

    @property
    def milliseconds(self) -> list[float]:
        """Time of every frame."""
        return [time for row in self.rounds for time in row]

    @property
    def median(self) -> float:
        """Median time of a frame, milliseconds; nan where none was measured."""
        return statistics.median(self.milliseconds or [float("nan")])

    @property
    def slow(self) -> float:
        """Nineteen frames of twenty were faster, milliseconds; nan where none was measured."""
        times = sorted(self.milliseconds)
        return times[int(0.95 * (len(times) - 1))] if times else float("nan")

    @property
    def network_median(self) -> float:
        """Median time of the network alone, milliseconds; nan for trackers of others."""
        return statistics.median([time for row in self.network_rounds for time in row] or [float("nan")])

    @property
    def rest_median(self) -> float:
        """Median time of everything but the network, milliseconds; nan for trackers of others."""
        pairs = zip(self.milliseconds, [time for row in self.network_rounds for time in row], strict=False)
        return statistics.median([whole - network for whole, network in pairs] or [float("nan")])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what was not measured is None."""
        values = asdict(self)
        del values["rounds"], values["network_rounds"]
        figures = {
            "frames": len(self.milliseconds),
            "median_ms": self.median,
            "slow_ms": self.slow,
            "fps": 1e3 / self.median,
            "network_ms": self.network_median,
            "rest_ms": self.rest_median,
        }
        return values | {name: None if value != value else value for name, value in figures.items()}


class Run:
    """A worker process and what it has answered so far."""

    def __init__(self, entry: Entry, task: Task) -> None:
        self._entry = entry
        self._told = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed in close()
        environment = dict(os.environ)
        if entry.threads is not None:
            environment["OMP_NUM_THREADS"] = str(entry.threads)
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter and a module of ours
            [sys.executable, "-m", "ostrack.benchmark_worker", task.to_json()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._told, text=True, env=environment,
        )  # fmt: skip
        self._found = Measurement(entry.label, threads=entry.threads, targets=entry.targets)

    def open(self) -> None:
        """Wait until the tracker is ready."""
        if (answer := self._answer()) is not None:
            self._found = replace(self._found, runtime=answer["runtime"])

    def round(self, keep: bool) -> None:
        """Let it follow the clip once."""
        if self._found.problem or self._process.stdin is None:
            return
        try:
            self._process.stdin.write("again\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._note()
            return
        answer = self._answer()
        if answer is not None and keep:
            self._found = replace(
                self._found,
                rounds=(*self._found.rounds, tuple(answer["ms"])),
                network_rounds=(*self._found.network_rounds, tuple(answer["network_ms"])),
                box=tuple(answer["box"]),
            )

    def close(self) -> None:
        """End the process and take down its memory."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._note()
        # An interrupt may have left the answer of a round unread.
        while not self._found.problem and (answer := self._answer()) is not None:
            if "peak_mb" in answer:
                self._found = replace(self._found, peak_mb=answer["peak_mb"])
                break
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._told.close()

    def measurement(self) -> Measurement:
        """What is known of it."""
        return self._found

    def _answer(self) -> dict[str, Any] | None:
        line = "" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            self._note()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _note(self) -> None:
        """Keep the last line that the process wrote before it ended: a Python error says there what it was."""
        code = self._process.wait()
        self._told.seek(0)
        lines = [line.strip() for line in self._told.read().splitlines() if line.strip()]
        reason = lines[-1] if lines else f"its process ended with code {code}"
        self._found = replace(self._found, problem=reason.removeprefix("ostrack.errors."))
