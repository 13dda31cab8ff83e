"""From what is typed on the command line to a sweep and its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast, get_args

from ostrack.config import EliminationQuery
from ostrack.data.benchmarks import load_sequences
from ostrack.errors import EvaluationError, OutputError
from ostrack.explain.points import Extent, Sweep
from ostrack.explain.settings import Axes
from ostrack.explain.sweep import sweep
from ostrack.explain.sweep_page import write_sweep
from ostrack.machine import this_machine
from ostrack.model import OSTrack

__all__ = ["read_axes", "run_sweep"]


def read_axes(
    ratios: str | None = None,
    layers: Sequence[str] | None = None,
    queries: str | None = None,
    masses: str | None = None,
) -> Axes:
    """Values to try from text; None keeps an axis's default, an empty text leaves the axis out.

    Raises:
        EvaluationError: Not numbers, or no such query; names the text.
    """
    usual = Axes()
    known = get_args(EliminationQuery)
    names = usual.queries if queries is None else tuple(part.strip() for part in queries.split(",") if part.strip())
    if wrong := [name for name in names if name not in known]:
        raise EvaluationError(f"--queries {wrong[0]}: expected some of {', '.join(known)}")
    return Axes(
        usual.ratios if ratios is None else _numbers("--ratios", ratios),
        tuple(_layers(text) for text in layers or ()),
        tuple(cast(EliminationQuery, name) for name in names),
        usual.masses if masses is None else _numbers("--masses", masses),
    )


def _layers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [part for part in parts if not part.isdecimal()]:
        raise EvaluationError(f"--layers {text}: {wrong[0]!r}, expected whole numbers with commas between them")
    return tuple(map(int, parts))


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise EvaluationError(f"{option} {text}: expected numbers with commas between them") from error


def run_sweep(
    net: OSTrack,
    folder: Path,
    out: Path,
    *,
    name: str = "",
    axes: Axes | None = None,
    frames: int = 40,
    every: int = 2,
    only: set[str] | None = None,
    plot: Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> tuple[Sweep, list[Path]]:
    """Sweep over a folder of sequences and write the report.

    Args:
        net: One-stream network in evaluation mode.
        folder: Labelled sequences.
        out: Folder for the report; settings' results are kept in ``settings/`` in it.
        name: What to call the network.
        axes: Values to try.
        frames: At most so many of each sequence.
        every: Every so-manyth.
        only: Names of sequences, with or without their folder; all where empty.
        plot: Where the main plot goes.
        progress: Called with frames done and their number.

    Returns:
        The sweep and the files written.

    Raises:
        DataError: The folder holds no sequences.
        EvaluationError: None of the names is there, or a value does not fit.
        OutputError: Something cannot be written.
    """
    if frames < 2 or every < 1:
        raise EvaluationError(f"frames={frames}, every={every}: expected at least 2 frames and every 1")
    if plot is not None and plot.suffix.lower() != ".svg":
        raise OutputError(f"{plot}: the plot is written as .svg")
    clips = [clip for clip in load_sequences(folder) if not only or only & {clip.name, Path(clip.name).name}]
    if not clips:
        raise EvaluationError(f"{folder}: none of the sequences {', '.join(sorted(only or ()))}")
    found = sweep(
        net, clips, out / "settings", name=name, machine=this_machine().text(), axes=axes, extent=Extent(frames, every),
        progress=progress,
    )  # fmt: skip
    return found, write_sweep(found, out, plot)
