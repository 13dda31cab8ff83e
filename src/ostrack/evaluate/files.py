"""Result files: one text file a sequence, read with care and written whole or not at all.

A folder of results holds ``NAME.txt`` with one ``x,y,w,h`` a frame in the benchmark's own pixels, and beside it
``NAME_time.txt`` (seconds a frame, the first is the start) and ``NAME_score.txt`` (confidence). Other people's folders
are read as well: commas, tabs, blanks or semicolons; ``NAME/NAME_001.txt`` as GOT-10k's toolkit writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.errors import EvaluationError
from ostrack.evaluate.vot import FAILED, SKIPPED, STARTED, SupervisedRun
from ostrack.whole import write_whole

__all__ = [
    "find_result",
    "format_boxes",
    "format_run",
    "read_boxes",
    "read_column",
    "read_confidences",
    "read_results",
    "read_run",
    "read_times",
    "write_boxes",
    "write_column",
]

Floats = NDArray[np.float64]
_DELIMITERS = {",": "commas", "\t": "tabs", ";": "semicolons"}


def write_boxes(path: Path, boxes: ArrayLike, digits: int | None = 4, delimiter: str = ",") -> None:
    """Write ``(N, 4)`` xywh, one row a frame.

    Args:
        path: Target.
        boxes: The boxes; rows of nan are written as such.
        digits: Decimals; None truncates towards zero to whole numbers, as official result files are.
        delimiter: Between the numbers.
    """
    rows = np.asarray(boxes, dtype=np.float64)
    write_whole(path, format_boxes(rows, digits, delimiter))


def format_boxes(rows: Floats, digits: int | None, delimiter: str = ",") -> str:
    """The text of ``(N, 4)`` boxes, see :func:`write_boxes`."""

    def number(value: float) -> str:
        if digits is None and np.isfinite(value):
            return str(int(value))
        return f"{value:.{digits or 0}f}"

    return "".join(delimiter.join(map(number, row)) + "\n" for row in rows.tolist())


def write_column(path: Path, values: ArrayLike, digits: int = 6) -> None:
    """Write ``(N,)`` numbers, one a line."""
    write_whole(path, "".join(f"{value:.{digits}f}\n" for value in np.asarray(values, dtype=np.float64).tolist()))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EvaluationError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise EvaluationError(f"{path}: not a text file") from None
    lines = text.rstrip().splitlines()
    if not lines:
        raise EvaluationError(f"{path}: empty")
    return lines


def _split(line: str, delimiter: str | None) -> list[str]:
    return [part.strip() for part in line.split(delimiter)] if delimiter else line.split()


def read_boxes(path: Path, absent: bool = False) -> Floats:
    """Read ``(N, 4)`` xywh.

    Args:
        path: Text with four numbers a line; the first line decides what stands between them.
        absent: Whether lines of four ``nan`` are allowed; they say that the target is absent.

    Raises:
        EvaluationError: Names file and line: not four numbers, another delimiter, a negative size, nan or infinite.
    """
    lines = _lines(path)
    delimiter = next((mark for mark in _DELIMITERS if mark in lines[0]), None)
    between = _DELIMITERS[delimiter] if delimiter else "blanks"
    rows = np.empty((len(lines), 4))
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        parts = _split(line, delimiter)
        if len(parts) != 4:
            raise EvaluationError(f"{where}: expected x, y, w, h with {between} between them, got {line[:60]!r}")
        try:
            row = [float(part) for part in parts]
        except ValueError:
            raise EvaluationError(f"{where}: not four numbers with {between} between them: {line[:60]!r}") from None
        _check_row(where, row, absent)
        rows[number - 1] = row
    return rows


def _check_row(where: str, row: list[float], absent: bool) -> None:
    unset = sum(np.isnan(row))
    if unset == 4 and absent:
        return
    shown = ", ".join(f"{value:g}" for value in row)
    if unset:
        raise EvaluationError(f"{where}: a box must not hold nan, got {shown}")
    if not np.isfinite(row).all():
        raise EvaluationError(f"{where}: a box must be finite, got {shown}")
    if row[2] < 0 or row[3] < 0:
        raise EvaluationError(f"{where}: a box must not have a negative size, got {shown}")


def read_column(path: Path) -> Floats:
    """Read ``(N,)`` numbers, one a line; of several on a line the first counts.

    Raises:
        EvaluationError: Names file and line.
    """
    values = []
    for number, line in enumerate(_lines(path), 1):
        try:
            values.append(float(re.split(r"[,;\s]+", line.strip())[0]))
        except ValueError:
            raise EvaluationError(f"{path}:{number}: expected a number, got {line[:60]!r}") from None
    return np.array(values, dtype=np.float64)


def find_result(folder: Path, name: str) -> Path | None:
    """The file with the boxes of a sequence, whichever way the folder is laid out; None when there is none."""
    last = name.rpartition("/")[2]
    candidates = (folder / f"{name}.txt", folder / name / f"{last}_001.txt", folder / f"{last}.txt")
    return next((path for path in candidates if path.is_file()), None)


def read_results(
    folder: Path, lengths: Mapping[str, int], absent: bool = False, longer: bool = False
) -> dict[str, Floats]:
    """Read the results of a set.

    Args:
        folder: Where they lie.
        lengths: Number of frames by sequence.
        absent: Whether rows of nan are allowed.
        longer: Whether files may be longer than the sequence; the rest is kept for the protocol to cut.

    Returns:
        ``(N, 4)`` xywh by sequence, in the benchmark's own pixels.

    Raises:
        EvaluationError: A sequence has no file, or one of another length; or a line is wrong.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: no such folder of results")
    found = {name: find_result(folder, name) for name in lengths}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        there = sorted(path.stem for path in folder.glob("*.txt") if not path.stem.endswith(("_time", "_score")))
        held = (
            f"it holds {', '.join(there[:3])}{', ...' if len(there) > 3 else ''}" if there else "it holds no .txt file"
        )
        another = "; results of another benchmark?" if len(missing) == len(lengths) and there else ""
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise EvaluationError(
            f"{folder}: no result for {len(missing)} of {len(lengths)} sequences ({shown}); {held}{another}"
        )
    out = {}
    for name, path in found.items():
        if path is None:
            continue
        rows = read_boxes(path, absent)
        if len(rows) != lengths[name] and not (longer and len(rows) > lengths[name]):
            raise EvaluationError(
                f"{path}:{len(rows)}: ends after {len(rows)} lines; {name} has {lengths[name]} frames"
            )
        out[name] = rows
    return out


def read_times(folder: Path, names: Iterable[str]) -> dict[str, Floats]:
    """Seconds a frame of the sequences that have them."""
    return _columns(folder, names, "time")


def read_confidences(folder: Path, names: Iterable[str]) -> dict[str, Floats]:
    """Confidence in each frame, of the sequences that have it."""
    return _columns(folder, names, "score")


def _columns(folder: Path, names: Iterable[str], kind: str) -> dict[str, Floats]:
    out = {}
    for name in names:
        last = name.rpartition("/")[2]
        for stem in (name, f"{name}/{last}", last):
            path = folder / f"{stem}_{kind}.txt"
            if path.is_file():
                out[name] = read_column(path)
                break
    return out


def format_run(run: SupervisedRun) -> str:
    """A supervised run as VOT writes it: a code or a region on each line."""
    lines = []
    for code, region in zip(run.codes.tolist(), run.regions.tolist(), strict=True):
        lines.append(f"{code}\n" if code in (SKIPPED, STARTED, FAILED) else ",".join(f"{v:.3f}" for v in region) + "\n")
    return "".join(lines)


def read_run(path: Path) -> SupervisedRun:
    """Read a supervised run.

    Raises:
        EvaluationError: Names file and line of an entry that is no code and no region.
    """
    rows: list[list[float]] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            row = [float(part) for part in line.split(",")]
        except ValueError:
            raise EvaluationError(f"{path}:{number}: expected a code or a region, got {line[:60]!r}") from None
        if len(row) in (2, 3) or (len(row) > 4 and len(row) % 2) or (len(row) == 1 and row[0] not in (0, 1, 2)):
            raise EvaluationError(f"{path}:{number}: expected 0, 1, 2, x,y,w,h or a polygon, got {line[:60]!r}")
        if len(row) > 1 and not np.isfinite(row).all():
            raise EvaluationError(f"{path}:{number}: a region must be finite, got {line[:60]!r}")
        rows.append(row)
    return SupervisedRun.from_rows(rows, str(path))
