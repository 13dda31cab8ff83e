"""``ostrack data check``, ``ostrack data pack`` and ``ostrack data kinds``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, get_args

import typer

from ostrack.cli.progress import progress_line

__all__ = ["app"]

app = typer.Typer(
    help="Look at data sets, and pack them for fast reading.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def check(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder, zip archive or LMDB.")],
    kind: Annotated[
        str, typer.Option("--kind", help="Kind of data set, as lasot or folder; auto recognises it.")
    ] = "auto",
    split: Annotated[str, typer.Option("--split", help="Part of it, as test, train or vot_train.")] = "",
    decode: Annotated[
        str, typer.Option("--decode", help="Frames to decode of each sequence: first, all or none.")
    ] = "first",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when anything is not usable or missing.")
    ] = False,
) -> None:
    """Tell what a data set is, what is missing, and which sequences cannot be used and why."""
    from ostrack.data.check import Decode
    from ostrack.data.check import check as run

    choices: tuple[Decode, ...] = get_args(Decode)
    mode = next((choice for choice in choices if choice == decode), None)
    if mode is None:
        raise typer.BadParameter(f"--decode {decode}: expected one of {', '.join(choices)}")
    with progress_line("checking", "sequences") as progress:
        report = run(root, kind, split, mode, progress)
    print(json.dumps(report.to_dict(), indent=2) if as_json else report.text())
    if not report.usable:
        raise typer.Exit(2)
    if strict and (report.problems or report.missing):
        raise typer.Exit(1)


@app.command()
def pack(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder or zip archive.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT.lmdb", help="Folder to write.")],
) -> None:
    """Write a data set into an LMDB in the official key form; run again after an interruption, it goes on."""
    from ostrack.data.pack import pack as run

    with progress_line("packing", "files") as progress:
        report = run(root, out, progress)
    print(report.text())


@app.command()
def kinds() -> None:
    """List the layouts that are recognised."""
    from ostrack.data.benchmarks import KINDS

    width = max(map(len, KINDS))
    for name, kind in KINDS.items():
        print(f"{name:{width}}  {kind.title}: {kind.layout}")
