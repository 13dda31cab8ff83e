"""What a run tells: one line each time, into JSON lines, a CSV table and, where installed, TensorBoard."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from ostrack.whole import whole_file

__all__ = ["Monitor"]


class Monitor:
    """Writes measurements of one run.

    ``metrics.jsonl`` has one object a line as they come; ``metrics.csv`` is the same as a table, written whole each
    time a new column appears and appended to otherwise.

    Args:
        folder: Folder of the run.
        say: Receives each line as text.
        step: Step that the run goes on from; lines beyond it were written after the last checkpoint and go.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], step: int = 0) -> None:
        self.lines, self.table, self.say = folder / "metrics.jsonl", folder / "metrics.csv", say
        self.rows = [row for row in _read(self.lines) if row["step"] <= step]
        with whole_file(self.lines) as file:
            file.writelines(json.dumps(row) + "\n" for row in self.rows)
        self.columns: list[str] = []
        for row in self.rows:
            self._widen(row)
        self._write_table()
        self.board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(folder / "tensorboard", purge_step=step + 1)

    def write(self, step: int, values: dict[str, float], left: float | None = None) -> None:
        """Record measurements at a step.

        Args:
            step: Steps done.
            values: Measurements by name.
            left: Seconds until the end at this speed, for the line of text.

        Raises:
            OSError: The disk is full or the folder gone.
        """
        row = {"step": step, **{key: float(f"{value:.6g}") for key, value in values.items()}}
        self.rows.append(row)
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._widen(row):
            self._write_table()
        else:
            with self.table.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(key, value, step)
        words = [f"step {step}", *(f"{key} {value:.4g}" for key, value in values.items())]
        self.say("  ".join(words if left is None else [*words, f"left {timedelta(seconds=round(left))}"]))

    def close(self) -> None:
        """Finish what is open."""
        if self.board is not None:
            self.board.close()

    def _widen(self, row: dict[str, float]) -> bool:
        new = [key for key in row if key not in self.columns]
        self.columns += new
        return bool(new)

    def _write_table(self) -> None:
        with whole_file(self.table) as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(self.rows)


def _read(file: Path) -> list[dict[str, float]]:
    """Whole lines of an earlier part of the run; one cut off by a kill is left out."""
    if not file.exists():
        return []
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows
