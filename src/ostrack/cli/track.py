"""``ostrack track``: follow boxes through a video, camera, stream or folder of images."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostrack.cli.boxes import read_boxes
from ostrack.cli.options import Device, Network, Precision, Rate, Runtime, Strict, Threads
from ostrack.errors import OutputError

if TYPE_CHECKING:
    from ostrack.video import Summary

__all__ = ["finish", "tell_problems_once", "track"]

SAVE_HELP = "Write boxes: .csv, .json, .jsonl, .txt (MOT), .coco.json, .xml (CVAT), .yolo (folder). Repeat it."


def track(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Video file, folder of images, camera index (0) or rtsp:// URL.")
    ],
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box", "-b", metavar="[ID=]X,Y,W,H", help="Target: left, top, width, height, pixels. Repeat it."
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help='JSON file of targets: {"id": [x, y, w, h], "later": {"frame": 40, "box": [...]}}.'
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write an .mp4 with the boxes drawn in.")
    ] = None,
    save: Annotated[
        list[Path] | None,
        typer.Option("--save", "-s", metavar="FILE", help=SAVE_HELP),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an image (.png, .jpg) with evenly spaced frames.")
    ] = None,
    network: Network = None,
    runtime: Runtime = "auto",
    device: Device = "cpu",
    precision: Precision = "float32",
    strict: Strict = False,
    threads: Threads = None,
    faithful: Annotated[
        bool, typer.Option("--faithful", help="Keep the official tracker's conventions to the letter.")
    ] = False,
    recovery: Annotated[
        bool | None,
        typer.Option("--recovery/--no-recovery", help="Search for lost targets. [default: with calibrated networks]"),
    ] = None,
    exclusion: Annotated[bool, typer.Option("--exclusion", help="Keep two targets from ending on one object.")] = False,
    start: Annotated[int, typer.Option(metavar="N", help="Frame of boxes that name none, from 0.")] = 0,
    max_frames: Annotated[int | None, typer.Option(metavar="N", help="Stop after so many frames.")] = None,
    fps: Rate = None,
    reconnect: Annotated[
        float, typer.Option(metavar="S", help="Seconds to try again when a camera or stream breaks.")
    ] = 30.0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--no-overwrite", help="Replace output files that exist.")
    ] = True,
) -> None:
    """Follow boxes through a video, camera, stream or folder of images.

    Example: ostrack track clip.mp4 -b 120,80,60,90 -o out.mp4 -s tracks.csv
    """
    if out is None and save is None and sheet is None:
        raise OutputError("nothing to write: give -o out.mp4, --save tracks.csv or --sheet sheet.png")
    tell_problems_once()
    options: dict[str, Any] = {"network": network, "runtime": runtime, "device": device, "threads": threads}
    options |= {"precision": precision, "strict": strict}
    targets = read_boxes(box or [], boxes)
    from ostrack.cli.progress import progress_line
    from ostrack.video import track as run

    with progress_line(f"tracking {source}") as progress:
        summary = run(
            source,
            boxes=targets,
            save_video=out,
            save_tracks=save,
            save_sheet=sheet,
            start=start,
            max_frames=max_frames,
            fps=fps,
            reconnect_s=reconnect,
            progress=progress,
            overwrite=overwrite,
            faithful=faithful,
            recovery=recovery,
            exclusion=exclusion,
            **options,
        )
    finish(summary)


def tell_problems_once() -> None:
    """Leave it to :func:`finish` to tell what a source could not deliver."""
    from ostrack.video import SourceWarning

    warnings.simplefilter("ignore", SourceWarning)


def finish(summary: Summary) -> None:
    """Tell what a run did, and end with its exit code."""
    for problem in summary.problems:
        print(f"warning: {problem}", file=sys.stderr)
    print(summary.text())
    for path in summary.outputs:
        print(f"  {path}")
    code = 130 if summary.interrupted else 1 if summary.problems else 0
    if code:
        raise typer.Exit(code)
