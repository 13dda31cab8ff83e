"""What the tool costs before and beside tracking: time to import, time to answer, memory that does not grow.

    python benchmarks/footprint.py [--runs 7] [--frames 100 1000] [--size 1920x1080] [--network NAME|FILE]

Start-up is timed in new processes, one bare interpreter between each two, and told as what it takes longer than that.
Peak memory is that of ``ostrack track`` on drawn clips of each length, video and boxes written, one thread. Writes
``benchmarks/results/footprint.json`` and ``.md`` and prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from ostrack.machine import this_machine
from ostrack.video.sink import VideoSink

RESULTS = Path(__file__).resolve().parent / "results"
BOX = (400, 300, 160, 200)


def seconds(command: list[str]) -> float:
    """Wall clock of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def start_up(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    """Median seconds of each command over those of a bare interpreter; the first round only warms the disk's cache."""
    bare = [sys.executable, "-c", "pass"]
    found: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(runs + 1):
        for name, command in commands.items():
            over = -seconds(bare) + seconds(command)
            if run:
                found[name].append(over)
    return {name: statistics.median(times) for name, times in found.items()}


def draw(path: Path, frames: int, size: tuple[int, int]) -> None:
    """A textured target that goes round over a textured ground."""
    rng, (width, height) = np.random.default_rng(0), size
    ground, target = (
        cv2.resize(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8), shape, interpolation=cv2.INTER_CUBIC)
        for shape in (size, BOX[2:])
    )
    with VideoSink(path, 25.0) as sink:
        for number in range(frames):
            picture, turn = np.array(ground, np.uint8), 2 * np.pi * number / 200
            x, y = BOX[0] + int(0.1 * width * np.sin(turn)), BOX[1] + int(0.1 * height * np.sin(2 * turn))
            picture[y : y + BOX[3], x : x + BOX[2]] = target
            sink.write(picture, number / 25)


def peak_memory(folder: Path, frames: int, size: tuple[int, int], network: str) -> float:
    """Most resident memory of ``ostrack track``, in MB of a million bytes."""
    clip = folder / f"{frames}.mp4"
    draw(clip, frames, size)
    command = [
        sys.executable, "-m", "ostrack", "track", str(clip), "--box", ",".join(map(str, BOX)), "--network", network,
        "--threads", "1", "-o", str(folder / "out.mp4"), "--save", str(folder / "out.csv"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    rows = len((folder / "out.csv").read_text().splitlines()) - 1
    if process.returncode or rows != frames:
        raise SystemExit(f"ostrack track ended with {process.returncode} after {rows} of {frames} frames")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Time to start and memory of the command line.")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--network", default="small")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    width, _, height = arguments.size.partition("x")
    commands = {
        "import ostrack": [sys.executable, "-c", "import ostrack"],
        "ostrack --help": [sys.executable, "-m", "ostrack", "--help"],
    }
    times = start_up(commands, arguments.runs)
    with tempfile.TemporaryDirectory() as folder:
        size = int(width), int(height)
        memory = {n: peak_memory(Path(folder), n, size, arguments.network) for n in arguments.frames}
    machine, peak = this_machine(), "peak memory of `ostrack track`"
    lines = [
        f"{machine.text()}; medians of {arguments.runs} over a bare interpreter; {arguments.network}, one thread",
        "", "| what | |", "| --- | ---: |", *(f"| `{name}` | {value:.2f} s |" for name, value in times.items()),
        *(f"| {peak}, {n} frames of {arguments.size} | {mb:.0f} MB |" for n, mb in memory.items()),
    ]  # fmt: skip
    table = "\n".join(lines) + "\n"
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "footprint.md").write_text(table)
    numbers = {"machine": machine.to_dict(), "start_up_s": times, "peak_memory_mb": memory, "size": arguments.size}
    (arguments.results / "footprint.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(table)


if __name__ == "__main__":
    main()
