"""``ostrack explain``: what the network dropped, whom it attended to, and what that costs and saves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ostrack.cli.boxes import parse_box
from ostrack.cli.extras import needs
from ostrack.cli.options import Network, Threads

if TYPE_CHECKING:
    from ostrack.explain import Report, StreamReport

__all__ = ["app"]


class _ShowFirst(TyperGroup):
    """``ostrack explain clip.mp4 ...`` is ``ostrack explain show clip.mp4 ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ShowFirst,
    help="Look inside the network: eliminated candidates, attention, score maps.\n\n"
    "'ostrack explain CLIP ...' is short for 'ostrack explain show CLIP ...'.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_Box = Annotated[str | None, typer.Option("--box", "-b", metavar="X,Y,W,H", help="Target in the first frame, pixels.")]
_Truth = Annotated[
    Path | None,
    typer.Option("--truth", metavar="FILE", help="Ground truth, x,y,w,h a line for every frame from frame 0."),
]
_Start = Annotated[int, typer.Option("--start", metavar="N", help="Frame the box belongs to, counted from 0.")]
_Most = Annotated[int | None, typer.Option("--max-frames", metavar="N", help="Stop after so many frames.")]


@app.command()
def show(
    source: Annotated[str, typer.Argument(metavar="CLIP|FRAME_A", help="Video file, folder of images; or an image.")],
    second: Annotated[
        str | None, typer.Argument(metavar="FRAME_B", help="Image in which the target of FRAME_A is looked for.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("out/explain"),
    box: _Box = None,
    truth: _Truth = None,
    frame: Annotated[
        list[int] | None,
        typer.Option("--frame", metavar="N", help="Frame to make sheets of. Repeat it. [default: the middle one]"),
    ] = None,
    network: Network = None,
    start: _Start = 0,
    max_frames: _Most = None,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Write explain.mp4.")] = True,
    threads: Threads = None,
) -> None:
    """Show what was eliminated and why: sheets, a side-by-side video, numbers.

    Example: ostrack explain clip.mp4 --box 120,80,60,90 --frame 25 -o explained
    """
    from ostrack.cli.progress import progress_line
    from ostrack.cli.track import tell_problems_once

    target = None if box is None else parse_box(box)[1]
    with needs("train"):
        from ostrack.explain.clip import explain_clip, explain_images, read_truth
        from ostrack.explain.networks import named_network
    known = None if truth is None else read_truth(truth)
    net, name = named_network(network, threads)
    if second is not None:
        _told(explain_images(net, source, second, target, out, name=name, truth=known))
        return
    tell_problems_once()
    with progress_line(f"explaining {source}") as progress:
        report = explain_clip(
            net,
            source,
            target,
            out,
            name=name,
            sheets=tuple(frame) if frame else None,
            truth=known,
            start=start,
            max_frames=max_frames,
            video=video,
            progress=progress,
        )
    _told(report)


@app.command()
def sweep(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Labelled sequences, in any layout that is known.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("out/sweep"),
    network: Network = None,
    ratios: Annotated[str | None, typer.Option(metavar="R,R,...", help="Keep ratios to try.")] = None,
    layers: Annotated[
        list[str] | None, typer.Option(metavar="L,L,...", help="Eliminating layers to try. Repeat it.")
    ] = None,
    queries: Annotated[str | None, typer.Option(metavar="Q,Q,...", help="Deciding template tokens to try.")] = None,
    masses: Annotated[str | None, typer.Option(metavar="M,M,...", help="Shares of the score to try.")] = None,
    frames: Annotated[int, typer.Option(metavar="N", help="At most so many frames of each sequence.")] = 40,
    every: Annotated[int, typer.Option(metavar="K", help="Take every so-manyth frame.")] = 2,
    only: Annotated[str, typer.Option("--sequences", "--only", metavar="A,B,...", help="Only these sequences.")] = "",
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the main plot goes, .svg. [default: in the folder]")
    ] = None,
    threads: Threads = None,
) -> None:
    """Try ways of eliminating on labelled sequences: accuracy, multiply-adds, time. Goes on where it was stopped.

    One axis at a time is varied round the network's own elimination; an empty list leaves an axis out.
    Example: ostrack explain sweep sequences --ratios 0.9,0.7,0.5 --masses "" -o sweep
    """
    from ostrack.cli.progress import progress_line

    with needs("train"):
        from ostrack.explain.laboratory import read_axes, run_sweep
        from ostrack.explain.networks import named_network
    axes = read_axes(ratios, layers, queries, masses)
    net, name = named_network(network, threads)
    wanted = {part for part in only.split(",") if part}
    with progress_line(f"sweeping {folder}") as progress:
        found, paths = run_sweep(
            net,
            folder,
            out,
            name=name,
            axes=axes,
            frames=frames,
            every=every,
            only=wanted,
            plot=plot,
            progress=progress,
        )
    from ostrack.explain.sweep_page import finding, table_text

    print(f"{table_text(found)}\n{finding(found)}")
    for path in paths:
        print(f"  {path}")


@app.command()
def streams(
    one: Annotated[str, typer.Argument(metavar="ONE", help="First network: packaged name or weight file.")],
    two: Annotated[str, typer.Argument(metavar="TWO", help="Second network, for crops of the same sizes.")],
    source: Annotated[str, typer.Argument(metavar="CLIP", help="Video file or folder of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("out/streams"),
    box: _Box = None,
    truth: _Truth = None,
    start: _Start = 0,
    max_frames: _Most = None,
    threads: Threads = None,
) -> None:
    """Score maps of two networks on the same crops, side by side, as of one stream and two.

    Example: ostrack explain streams one_stream.safetensors two_stream.safetensors clip.mp4 --truth boxes.txt
    """
    from ostrack.cli.progress import progress_line
    from ostrack.cli.track import tell_problems_once

    target = None if box is None else parse_box(box)[1]
    with needs("train"):
        from ostrack.explain.clip import read_truth
        from ostrack.explain.networks import named_network
        from ostrack.explain.streams import compare_streams
    known = None if truth is None else read_truth(truth)
    (first, name), (second, other) = named_network(one, threads), named_network(two, threads)
    tell_problems_once()
    with progress_line(f"comparing on {source}") as progress:
        report = compare_streams(
            (first, second),
            (name, other) if name != other else _told_apart(one, two),
            source,
            target,
            out,
            truth=known,
            start=start,
            max_frames=max_frames,
            progress=progress,
        )
    _told(report)


def _told_apart(one: str, two: str) -> tuple[str, str]:
    """Names of two files that are called the same: their folders, as of two runs, or all of their paths."""
    folders = Path(one).resolve().parent.name, Path(two).resolve().parent.name
    return folders if folders[0] != folders[1] else (one, two)


def _told(report: Report | StreamReport) -> None:
    print(report.table())
    for path in report.outputs:
        print(f"  {path}")
