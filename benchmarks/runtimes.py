"""Every runtime, precision and number of threads on the same network: time of a search, agreement with float32.

    python benchmarks/runtimes.py [FILE.onnx ...] [--weights FILE.safetensors] [--threads 1,2] [--batches 1,8]

Without files the packaged networks are measured. All ways run in turn within each round, so that a busy moment of the
machine falls on all of them. The milliseconds are of the wall clock, medians, and the processor time of the process
beside them, the smallest: it is disturbed less by other programs. ``spinning`` is onnxruntime's active waiting of idle
threads. Writes ``benchmarks/results/runtimes.json`` and ``.md`` and prints the table; figures for publication come from
an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ostrack import zoo
from ostrack.errors import NetworkError
from ostrack.machine import this_machine
from ostrack.network import Maps, Network
from ostrack.runtimes.onnx import OnnxRuntime

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Way:
    """One way to run a file."""

    file: Path
    runtime: str
    precision: str
    threads: int
    batch: int
    spinning: bool = True

    def open(self) -> Network:
        """Load it."""
        if self.runtime == "onnx":
            return Network(OnnxRuntime(self.file, "cpu", self.threads, self.precision, spinning=self.spinning))
        return Network.load(self.file, self.runtime, threads=self.threads, precision=self.precision)


@dataclass
class Row:
    """What was measured."""

    file: str
    runtime: str
    threads: int
    targets: int
    spinning: bool
    wall_ms: float
    cpu_ms: float
    score_difference: float


def ways(files: list[Path], weights: list[Path], threads: list[int], batches: list[int]) -> list[Way]:
    """All ways to try."""
    found = []
    for count in threads:
        for batch in batches:
            for file in files:
                found.append(Way(file, "onnx", "float32", count, batch))
                if count > 1:
                    found.append(Way(file, "onnx", "float32", count, batch, spinning=False))
                found += [Way(file, "openvino", precision, count, batch) for precision in ("float32", "bf16")]
            for file in weights:
                found += [Way(file, "torch", precision, count, batch) for precision in ("float32", "bf16")]
    return found


def inputs(network: Network, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and search crops of noise."""
    config, rng = network.config, np.random.default_rng(0)
    template = rng.standard_normal((batch, 3, config.template_size, config.template_size), dtype=np.float32)
    search = rng.standard_normal((batch, 3, config.search_size, config.search_size), dtype=np.float32)
    return network.embed(template, np.tile(np.array([[0.5, 0.5, 0.4, 0.5]], np.float32), (batch, 1))), search


def measure(tried: list[Way], runs: int) -> list[Row]:
    """Time all of them, those of one number of threads and targets in turn."""
    rows = []
    for group in sorted({(way.threads, way.batch) for way in tried}):
        opened: list[tuple[Way, Network, tuple[np.ndarray, np.ndarray]]] = []
        for way in tried:
            if (way.threads, way.batch) != group:
                continue
            try:
                network = way.open()
            except NetworkError as error:
                print(f"left out: {error}")
                continue
            opened.append((way, network, inputs(network, way.batch)))
        wall: list[list[float]] = [[] for _ in opened]
        cpu: list[list[float]] = [[] for _ in opened]
        answers: list[Maps] = []
        for round_ in range(runs + 3):
            for index, (_, network, given) in enumerate(opened):
                start, start_cpu = time.perf_counter(), time.process_time()
                maps = network.search(*given)
                if round_ == 0:
                    answers.append(maps)
                if round_ > 2:
                    wall[index].append(1e3 * (time.perf_counter() - start))
                    cpu[index].append(1e3 * (time.process_time() - start_cpu))
        for (way, network, _), times, used, maps in zip(opened, wall, cpu, answers, strict=True):
            first = next(a for (w, _, _), a in zip(opened, answers, strict=True) if w.file.stem == way.file.stem)
            difference = 0.0
            if maps.score is not None and first.score is not None:
                difference = float(np.abs(maps.score - first.score).max())
            clocked = statistics.median(times), min(used)
            row = Row(way.file.name, network.runtime, way.threads, way.batch, way.spinning, *clocked, difference)
            rows.append(row)
    return rows


def markdown(rows: list[Row], setting: dict[str, object]) -> str:
    """The table with what it was measured on."""
    lines = [
        "| file | runtime | threads | targets | ms | ms a target | CPU ms | largest score difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        name = row.runtime + ("" if row.spinning else ", no spinning")
        lines.append(
            f"| {row.file} | {name} | {row.threads} | {row.targets} | {row.wall_ms:.1f} "
            f"| {row.wall_ms / row.targets:.1f} | {row.cpu_ms:.1f} | {row.score_difference:.1e} |"
        )
    note = (
        f"Medians of {setting['runs']} interleaved runs on noise, {setting['machine']}. Written by "
        "`python benchmarks/runtimes.py`."
    )
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Time every runtime on the same network.")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--weights", action="append", default=[], type=Path)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--threads", default=",".join(str(n) for n in sorted({1, os.cpu_count() or 1})))
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    files, weights = given.files, given.weights
    if not files and not weights:
        entries = [zoo.entry(name) for name in zoo.names()]
        files = [zoo.path(entry.name) for entry in entries]
        weights = [zoo.path(entry.name, "safetensors") for entry in entries if entry.safetensors is not None]
    threads, batches = ([int(n) for n in text.split(",")] for text in (given.threads, given.batches))
    rows = measure(ways(files, weights, threads, batches), given.runs)
    setting: dict[str, object] = {"machine": this_machine().text(), "runs": given.runs}
    given.out.mkdir(parents=True, exist_ok=True)
    document = {"setting": setting, "rows": [asdict(row) for row in rows]}
    (given.out / "runtimes.json").write_text(json.dumps(document, indent=1) + "\n")
    table = markdown(rows, setting)
    (given.out / "runtimes.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
