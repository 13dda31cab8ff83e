"""``ostrack profile``: what a network costs, in numbers and in time."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ostrack.cli.boxes import Box, clip_and_box
from ostrack.cli.options import Clip, ClipBox, Device, Precision, Runtime, Threads
from ostrack.errors import BoxError

__all__ = ["profile"]


def profile(
    network: Annotated[
        str | None,
        typer.Argument(
            metavar="[NETWORK]",
            help="Packaged network, .onnx or weight file; or an architecture such as vitb_256_ce, of which the counts "
            "are known without weights. [default: the packaged one]",
        ),
    ] = None,
    runtime: Runtime = "auto",
    device: Device = "cpu",
    precision: Precision = "float32",
    threads: Threads = None,
    clip: Clip = None,
    box: ClipBox = None,
    frames: Annotated[int, typer.Option(metavar="N", min=1, help="Frames to time.")] = 40,
    counts_only: Annotated[bool, typer.Option("--counts-only", help="Measure no time.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count a network's parameters and multiply-adds layer by layer, and time a frame stage by stage.

    Example: ostrack profile small --threads 2
    """
    given = clip_and_box(clip, box)
    from ostrack.config import PRESETS
    from ostrack.machine import this_machine
    from ostrack.network import Network
    from ostrack.profile import profile as count

    if network in PRESETS and given is not None:
        raise BoxError(f"--clip {given[0]}: {network} has no weights to follow a target with")
    if network in PRESETS:
        counts = count(PRESETS[network])
        found: dict[str, Any] = {"network": network, **counts.to_dict()}
        text = f"{network}, an architecture without weights\n\n{counts.text()}"
    else:
        loaded = Network.load(network, runtime, device, threads, precision=precision)
        counts = count(loaded)
        found = {"network": loaded.name, "runtime": loaded.runtime, "threads": threads, **counts.to_dict()}
        text = f"{loaded.name}, {loaded.runtime}\n\n{counts.text()}"
        if not counts_only:
            machine = this_machine()
            timed, times = _time(loaded, given, frames)
            found |= times | {"machine": machine.to_dict()}
            text += f"\n\n{timed}\n{machine.text()}"
    print(json.dumps(found, indent=1) if as_json else text)


def _time(network: Any, given: tuple[Path, Box] | None, frames: int) -> tuple[str, dict[str, Any]]:
    """Stages on a clip; the network alone where none was given and the demo's is not installed."""
    from ostrack.cli.progress import progress_line
    from ostrack.demo import BOX, START, demo_clip
    from ostrack.errors import SourceError
    from ostrack.latency import measure_latency, measure_stages

    start = 0
    if given is None:
        try:
            clip, target, start = demo_clip(), BOX, START
        except SourceError as error:
            print(f"network alone: {error}", file=sys.stderr)
            latency = measure_latency(network, runs=frames)
            return latency.text(), {"latency": latency.to_dict()}
    else:
        clip, target = given
    with progress_line(f"timing {network.runtime}") as progress:
        stages = measure_stages(network, clip, target, start, frames, progress=progress)
    return stages.text(), {"stages": stages.to_dict()}
