"""A progress line on stderr, with the time left where the length is known."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_line"]


@contextmanager
def progress_line(label: str, unit: str = "frames") -> Iterator[Callable[[int, int | None], None] | None]:
    """Show progress while the block runs.

    Args:
        label: What is being done.
        unit: What is counted.

    Yields:
        A function of the number done and the total or None; None where stderr is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        # A path may hold what would be markup: clip[a].mp4.
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None, count="", rate="")

        def show(done: int, total: int | None) -> None:
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            count = f"{done}/{total} {unit}" if total is not None else f"{done} {unit}"
            bar.update(task, completed=done, total=total, count=count, rate=f"{speed:.1f}/s" if speed else "")

        yield show
