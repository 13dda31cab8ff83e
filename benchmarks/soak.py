"""A long live run of the packaged network on a stream of this machine: does memory stay where it was?

    python benchmarks/soak.py [--frames 20000] [--size 640x360] [--fps 25] [--threads 1] [--network NAME|FILE]

A process of its own encodes a moving target over a textured ground as H.264 and sends it at its pace; the tracker takes
the newest frame each time, as with any camera, and writes video and boxes. Resident memory is read every twenty
tracked frames; growth is counted from the end of the first tenth. 20,000 frames at 25 a second take 13 minutes. Writes
``benchmarks/results/soak.json`` and ``.md`` and prints the table.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

import ostrack
from ostrack.errors import SourceError
from ostrack.machine import this_machine
from ostrack.video import Source, SourceWarning, open_source

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = 4096
EVERY = 20


def scene(frames: int, size: tuple[int, int]) -> tuple[list[tuple[int, int, int, int]], NDArray[np.uint8]]:
    """Boxes of the target and the ground it moves over, both made of smoothed noise."""
    width, height = size
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), dtype=np.uint8), (0, 0), 3)
    turn = 2 * np.pi * np.arange(frames) / 400
    w, h = width // 8, height // 5
    x = (width / 2 - w / 2 + 0.3 * width * np.cos(turn)).astype(int)
    y = (height / 2 - h / 2 + 0.25 * height * np.sin(2 * turn)).astype(int)
    return [(int(a), int(b), w, h) for a, b in zip(x, y, strict=True)], np.asarray(ground, np.uint8)


def send(port: int, frames: int, size: tuple[int, int], fps: float) -> None:
    """Wait for one reader, then send every frame at its time."""
    boxes, ground = scene(frames, size)
    w, h = boxes[0][2:]
    rng = np.random.default_rng(1)
    target = cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (w, h), interpolation=cv2.INTER_CUBIC)
    with av.open(f"tcp://127.0.0.1:{port}?listen=1", "w", format="mpegts") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": "25"}
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        began = time.monotonic()
        for index, (x, y, _, _) in enumerate(boxes):
            image = ground.copy()
            image[y : y + h, x : x + w] = target
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            time.sleep(max(0.0, began + (index + 1) / fps - time.monotonic()))
        container.mux(stream.encode(None))


def opened(port: int) -> Source:
    """The stream, once the sender listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return open_source(f"tcp://127.0.0.1:{port}", reconnect_s=0)
        except SourceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def resident_mb() -> float:
    """Resident memory of this process, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def main() -> None:
    """Run, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--send", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    if options.send is not None:
        send(options.send, options.frames, (width, height), options.fps)
        return
    warnings.simplefilter("ignore", SourceWarning)
    machine = this_machine()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    given = ["--frames", str(options.frames), "--size", options.size, "--fps", str(options.fps)]
    sender = subprocess.Popen([sys.executable, __file__, "--send", str(port), *given])
    samples: list[float] = []

    def progress(done: int, total: int | None) -> None:
        if done % EVERY == 0:
            samples.append(resident_mb())
            print(f"\r{done} frames tracked, {samples[-1]:.1f} MiB", end="", file=sys.stderr, flush=True)

    try:
        with tempfile.TemporaryDirectory() as folder, opened(port) as source:
            box = scene(1, (width, height))[0][0]
            summary = ostrack.track(
                source, box, network=options.network, threads=options.threads, progress=progress,
                save_tracks=Path(folder) / "t.csv", save_video=Path(folder) / "o.mp4",
            )  # fmt: skip
    finally:
        sender.kill()
        sender.wait()
    print(file=sys.stderr)
    warm = samples[len(samples) // 10] if samples else resident_mb()
    growth = max(samples[len(samples) // 10 :], default=warm) - warm
    record = {
        "frames_received": summary.frames + summary.dropped, "frames_tracked": summary.frames,
        "frames_dropped": summary.dropped, "size": options.size, "fps": options.fps, "threads": options.threads,
        "minutes": round(summary.seconds / 60, 1), "tracker_fps": round(summary.fps, 1), "warm_mib": round(warm, 1),
        "growth_mib": round(growth, 1), "samples_mib": [round(sample, 1) for sample in samples],
        "machine": machine.to_dict(),
    }  # fmt: skip
    table = (
        "| frames received | tracked | dropped | minutes | memory when warm | growth after it |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        f"| {summary.frames + summary.dropped} | {summary.frames} | {summary.dropped} | {summary.seconds / 60:.1f} "
        f"| {warm:.0f} MiB | {growth:.1f} MiB |\n\n"
        f"{options.size} at {options.fps:g} fps, {options.threads} threads; {machine.text()}\n"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "soak.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (options.out / "soak.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
