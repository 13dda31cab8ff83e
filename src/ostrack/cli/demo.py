"""``ostrack demo``: the packaged network on a real clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ostrack.cli.options import Network, Threads

__all__ = ["demo"]


def demo(
    out_dir: Annotated[Path, typer.Option(metavar="FOLDER", help="For demo.mp4, demo.csv and demo.png.")] = Path("out"),
    network: Network = None,
    threads: Threads = None,
) -> None:
    """Follow a car through a real clip."""
    from ostrack.cli.progress import progress_line
    from ostrack.cli.track import finish, tell_problems_once
    from ostrack.demo import demo as run

    tell_problems_once()
    with progress_line("tracking the demo clip") as progress:
        summary = run(out_dir, network=network, threads=threads, progress=progress)
    finish(summary)
