"""``ostrack annotate``: a whole clip labelled from a few boxes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ostrack.cli.options import Device, Network, Precision, Rate, Runtime, Strict, Threads

__all__ = ["annotate"]


def annotate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Video file or folder of images.")],
    keyframes: Annotated[
        Path,
        typer.Option(
            "--keyframes",
            "-k",
            metavar="FILE",
            help='JSON: {"id": {"0": [x, y, w, h], "90": null}, ...}; null: absent from there on.',
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="For the files and finished steps.")],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="csv, json, jsonl, mot, coco, cvat or yolo. Repeat it. [default: csv]",
        ),
    ] = None,
    suggest: Annotated[int, typer.Option(metavar="N", min=0, help="Name so many frames that are worth a box.")] = 5,
    network: Network = None,
    runtime: Runtime = "auto",
    device: Device = "cpu",
    precision: Precision = "float32",
    strict: Strict = False,
    threads: Threads = None,
    step: Annotated[int, typer.Option(metavar="N", help="Frames a step: what a killed run loses at most.")] = 100,
    fps: Rate = None,
) -> None:
    """Label a whole clip from a few drawn boxes, and say which frames to correct.

    Run it again with another key frame in FILE: only what touches it is tracked anew.

    Example: ostrack annotate clip.mp4 -k keys.json -o labels -f cvat -f coco
    """
    from ostrack.cli.progress import progress_line
    from ostrack.cli.track import tell_problems_once
    from ostrack.keyframes import annotate as run
    from ostrack.keyframes.run import outputs_of

    tell_problems_once()
    names = formats or ["csv"]
    with progress_line(f"labelling {source}") as progress:
        result = run(
            source,
            keyframes,
            save_to=out,
            formats=names,
            progress=progress,
            step=step,
            fps=fps,
            network=network,
            runtime=runtime,
            device=device,
            precision=precision,
            strict=strict,
            threads=threads,
        )
    for problem in result.problems:
        print(f"warning: {problem}", file=sys.stderr)
    print(result.text())
    for path in outputs_of(out, names):
        print(f"  {path}")
    for found in result.suggest(suggest) if suggest > 0 else ():
        print(f"  look at frame {found.frame} of {found.id}: {found.reason}")
    code = 130 if result.interrupted else 1 if result.problems else 0
    if code:
        raise typer.Exit(code)
