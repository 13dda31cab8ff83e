"""Speed of the package on this machine, part by part, against its goals; writes ``benchmarks/results/speed.*``.

    python benchmarks/speed.py [PART ...] [--threads 1 2] [--network small-int8.onnx] [--resume] [--quick]

Parts (all of them where none is named):

* ``runtimes``: the packaged networks end to end on 640 x 360 without decoding video, in every runtime and precision;
  the share that float32 reaches of the machine's own matrix products at the same sizes, measured in the same run;
* ``rest``: everything but the network, per frame of 1280 x 720;
* ``elimination``: time that candidate elimination saves ViT-B in torch, against the multiply-adds it saves;
* ``targets``: cost of many targets in one batch, and their memory;
* ``peers``: other trackers beside ours, speed against accuracy, in ``speed.png``; accuracy is what
  ``benchmarks/sequences.py`` found for the same network in the same precision (``--network small@bf16``).

Everything within a part runs in turn, round by round, each tracker in a process of its own; medians. A part is written
when it is done; ``--resume`` leaves out those that were measured on this machine with these versions. ``--quick`` runs
the same on two frames, once: it shows that all of it works, not how fast it is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostrack import zoo
from ostrack.benchmark import Benchmark, Entry, benchmark, ours
from ostrack.benchmark_worker import Task
from ostrack.demo import BOX, START, demo_clip
from ostrack.evaluate.peers import TrackerSpec
from ostrack.machine import this_machine
from speed_report import markdown, plot, successes

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("OSTRACK_SHARED", HERE.parents[1] / "shared")).resolve()
RESULTS = HERE / "results"
PEERS = ("nanotrack2_cv", "nanotrack3", "fear_xs", "csrt", "kcf")

Part = dict[str, Any]
QUICK_FRAMES = 2


@dataclass(frozen=True)
class Setting:
    """What to measure, and how thoroughly.

    Attributes:
        threads: Numbers of threads, each in turn.
        networks: Names or files beside the packaged networks.
        quick: Few frames, one round.
    """

    threads: Sequence[int]
    networks: Sequence[str] = ()
    quick: bool = False

    def measured(self, entries: Sequence[Entry], label: str, frames: int, canvas: tuple[int, int], rounds: int) -> Part:
        """Trackers side by side on the demo clip."""
        if self.quick:
            frames, rounds = QUICK_FRAMES, 1
        return as_part(benchmark(entries, clip(frames, canvas), rounds, told(label)))


def clip(frames: int, canvas: tuple[int, int]) -> Task:
    """The demo clip, fitted into a canvas."""
    return Task("", str(demo_clip()), BOX, start=START, frames=frames, canvas=canvas)


def told(label: str) -> Callable[[int, int | None], None]:
    """Progress in one line of standard error."""

    def show(done: int, total: int | None) -> None:
        print(f"\r{label}: {done} of {total} passes", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


def as_part(found: Benchmark) -> Part:
    """What is kept of a table of measurements."""
    for row in found.rows:
        if row.problem:
            print(f"not measured: {row.label}: {row.problem}", file=sys.stderr)
    return found.to_dict()


def measure_runtimes(setting: Setting) -> Part:
    """Part ``runtimes``."""
    peaks = []
    for count in setting.threads:
        command = [sys.executable, str(HERE / "gemm_peak.py"), "--threads", str(count), "--json"]
        command += ["--runs", "1"] if setting.quick else []
        print(f"runtimes: matrix products at {count} thread(s)", file=sys.stderr)
        peaks.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    entries = ours([*zoo.names(), *setting.networks], threads=list(setting.threads))
    return setting.measured(entries, "runtimes", 30, (640, 360), 3) | {"peaks": peaks}


def measure_rest(setting: Setting) -> Part:
    """Part ``rest``, of the default network and those named."""
    entries = [_plain(network, count) for network in (zoo.default(), *setting.networks) for count in setting.threads]
    return setting.measured(entries, "rest", 40, (1280, 720), 3)


def measure_targets(setting: Setting) -> Part:
    """Part ``targets``, of the default network and those named."""
    entries = [
        _plain(network, count, number)
        for network in (zoo.default(), *setting.networks)
        for count in setting.threads
        for number in (1, 8, 32)
    ]
    return setting.measured(entries, "targets", 6, (640, 360), 2)


def _plain(network: str, threads: int, targets: int = 1) -> Entry:
    """A network as the tracker takes it when nothing else is said."""
    return Entry(Path(network).stem, TrackerSpec(network), threads, targets)


def measure_peers(setting: Setting) -> Part:
    """Part ``peers``."""
    file = SHARED / "peers/peers.py"
    names = PEERS if file.is_file() else ()
    if not names:
        print(f"left out other trackers: {file} not found (OSTRACK_SHARED names its folder)", file=sys.stderr)
    entries = ours([*zoo.names(), *setting.networks], threads=list(setting.threads))
    for name in names:
        for count in setting.threads:
            options = (("file", str(file)), ("name", name), ("threads", str(count)))
            entries.append(Entry(name, TrackerSpec("outside:Outside", options, (str(HERE),)), count))
    part = setting.measured(entries, "peers", 30, (640, 360), 3)
    accuracy = RESULTS / "sequences.json"
    if accuracy.is_file():
        part["success"] = successes(json.loads(accuracy.read_text())["trackers"])
    else:
        print(f"no accuracy: {accuracy} not found; run benchmarks/sequences.py", file=sys.stderr)
    return part


def measure_elimination(setting: Setting) -> Part:
    """Part ``elimination``: ViT-B with random weights, which change no times; networks that are named play no part."""
    import torch

    from ostrack.config import PRESETS
    from ostrack.model import OSTrack
    from ostrack.profile import profile

    torch.manual_seed(0)
    rounds = 1 if setting.quick else 7
    runs, rows = {}, []
    for pixels in (256, 384):
        eliminating = OSTrack(PRESETS[f"vitb_{pixels}_ce"]).eval()
        plain = OSTrack(PRESETS[f"vitb_{pixels}"])
        plain.load_state_dict(eliminating.state_dict(), assign=True)
        config = plain.config
        images = torch.randn(1, 3, config.template_size, config.template_size), torch.randn(1, 3, pixels, pixels)
        runs[pixels] = (plain.eval(), eliminating, images)
    with torch.inference_mode():
        for count in setting.threads:
            torch.set_num_threads(count)
            times: dict[tuple[int, int], list[float]] = {(pixels, i): [] for pixels in runs for i in (0, 1)}
            for number in range(rounds + 1):
                for pixels, (*nets, images) in runs.items():
                    for i, net in enumerate(nets):
                        began = time.perf_counter()
                        net(*images)
                        if number:
                            times[pixels, i].append(1e3 * (time.perf_counter() - began))
                told(f"elimination, {count} thread(s)")(number + 1, rounds + 1)
            for pixels in runs:
                before, after = profile(PRESETS[f"vitb_{pixels}"]), profile(PRESETS[f"vitb_{pixels}_ce"])
                pairs = zip(times[pixels, 0], times[pixels, 1], strict=True)
                rows.append({
                    "network": f"vitb_{pixels}",
                    "threads": count,
                    "plain_ms": statistics.median(times[pixels, 0]),
                    "eliminating_ms": statistics.median(times[pixels, 1]),
                    # Of neighbours in time, so that a slow minute of the machine falls on both.
                    "time_saved": statistics.median(1 - after_ms / before_ms for before_ms, after_ms in pairs),
                    "macs_saved": 1 - after.macs / before.macs,
                    "full_macs_saved": 1 - after.full_macs / before.full_macs,
                })  # fmt: skip
    return {"machine": this_machine().to_dict(), "rounds": rounds, "rows": rows}


PARTS: dict[str, Callable[[Setting], Part]] = {
    "runtimes": measure_runtimes,
    "rest": measure_rest,
    "elimination": measure_elimination,
    "targets": measure_targets,
    "peers": measure_peers,
}


def measured_here(part: Part | None, threads: Sequence[int], networks: Sequence[str]) -> bool:
    """Whether a part was taken on this machine, with these versions, threads and networks."""
    if part is None or (part["threads"], part["networks"]) != (list(threads), [Path(file).name for file in networks]):
        return False
    here = this_machine().to_dict()
    return {**part["machine"], "load": None} == {**here, "load": None}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--network", action="append", default=[], metavar="FILE", help="measure it beside the packaged ones"
    )
    parser.add_argument("--resume", action="store_true", help="leave out what was measured here already")
    parser.add_argument("--quick", action="store_true", help="two frames, once: a trial; needs --output")
    parser.add_argument("--output", type=Path, help="path without suffix")
    arguments = parser.parse_args()
    if arguments.quick and arguments.output is None:
        parser.error("--quick measures nothing worth keeping beside the results: say where to with --output")
    output: Path = arguments.output or RESULTS / "speed"
    if unknown := [name for name in arguments.parts if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}, there is {', '.join(PARTS)}")
    target = output.with_suffix(".json")
    found: dict[str, Part] = json.loads(target.read_text()) if target.is_file() else {}
    # Of the minute before all this: later on it is our own.
    load = this_machine().load
    for name in arguments.parts or PARTS:
        if arguments.resume and measured_here(found.get(name), arguments.threads, arguments.network):
            print(f"{name}: measured here already", file=sys.stderr)
            continue
        began = time.monotonic()
        part = PARTS[name](Setting(arguments.threads, arguments.network, arguments.quick))
        asked = {"threads": arguments.threads, "networks": [Path(file).name for file in arguments.network]}
        part["machine"]["load"] = load
        found[name] = part | asked | {"seconds": round(time.monotonic() - began)}
        found = {key: found[key] for key in PARTS if key in found}
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(".tmp")
        draft.write_text(json.dumps(found, indent=1) + "\n")
        draft.replace(target)
    text = markdown(found)
    output.with_suffix(".md").write_text(text)
    print(text)
    if "peers" in found and "success" in found["peers"]:
        plot(found["peers"], output.with_suffix(".png"))


if __name__ == "__main__":
    main()
