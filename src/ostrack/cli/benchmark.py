"""``ostrack benchmark``: how fast this machine follows, ours in every runtime beside other trackers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ostrack.cli.boxes import clip_and_box
from ostrack.cli.options import Clip, ClipBox

if TYPE_CHECKING:
    from ostrack.benchmark import Entry

__all__ = ["benchmark"]


def benchmark(
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|FILE", help="Network to measure. Repeat it. [default: all packaged ones]"),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="onnx, openvino or torch. Repeat it. [default: all that are installed]"),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="float32, bf16 or fp16. Repeat it. [default: float32, and bf16 where it may be]"
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'TRACKER [KEY=VALUE ...]'",
            help="Another tracker, as opencv:mil, 'opencv:nano backbone=A.onnx neckhead=B.onnx' or module:Class. "
            "Repeat it.",
        ),
    ] = None,
    threads: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, help="CPU threads. Repeat it. [default: all cores]")
    ] = None,
    targets: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, help="Targets followed at once. Repeat it. [default: 1]")
    ] = None,
    clip: Clip = None,
    box: ClipBox = None,
    frames: Annotated[int, typer.Option(metavar="N", min=2, help="Frames of the clip.")] = 30,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Passes over the clip for each tracker.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure time of a frame and memory on this machine, and print a table to paste into an issue.

    Everything runs in turn, each tracker in a process of its own; reading the clip is not counted.

    Example: ostrack benchmark --threads 1 --threads 2 --peer opencv:mil
    """
    given = clip_and_box(clip, box)
    from dataclasses import replace

    from ostrack.benchmark import benchmark as run
    from ostrack.benchmark import ours
    from ostrack.benchmark_worker import Task
    from ostrack.cli.progress import progress_line
    from ostrack.demo import BOX, START, demo_clip

    counts: list[int | None] = list(threads) if threads else [None]
    entries = ours(network or (), runtime or (), precision or (), counts)
    entries = [replace(entry, targets=number) for entry in entries for number in targets or [1]]
    entries += [_peer(text, count) for text in peer or () for count in counts]
    if given is None:
        task = Task("", str(demo_clip()), BOX, start=START, frames=frames)
    else:
        task = Task("", str(given[0]), given[1], frames=frames)
    with progress_line("measuring", "passes") as progress:
        found = run(entries, task, rounds, progress)
    print(json.dumps(found.to_dict(), indent=1) if as_json else found.markdown())
    if not any(row.rounds for row in found.rows):
        raise typer.Exit(1)


def _peer(text: str, threads: int | None) -> Entry:
    """A tracker and its options, separated by spaces as a shell reads them."""
    import shlex

    from ostrack.benchmark import Entry
    from ostrack.evaluate import TrackerSpec

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(f"--peer {text}: {error}") from error
    if not words:
        raise typer.BadParameter("--peer '': expected a tracker, as opencv:mil")
    pairs = []
    for word in words[1:]:
        key, sign, value = word.partition("=")
        if not sign or not key:
            raise typer.BadParameter(f"--peer {text}: {word}: expected KEY=VALUE")
        pairs.append((key, value))
    spec = TrackerSpec(words[0], tuple(pairs), (str(Path.cwd()),))
    return Entry(spec.label, spec, threads)
