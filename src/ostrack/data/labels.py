"""Label files: boxes, per-frame flags and lists as benchmarks write them, checked line by line."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostrack.data.storage import Storage
from ostrack.errors import DataError

__all__ = [
    "has_box",
    "parse_json",
    "read_boxes",
    "read_flags",
    "read_lines",
    "read_numbers",
    "read_text",
    "sequence_list",
    "without_empty",
]

# Benchmarks separate numbers by commas, tabs, semicolons or blanks, and some files mix them (OTB's BlurCar1).
_DELIMITERS = str.maketrans(",;\t", "   ")


def read_text(storage: Storage, key: str) -> str:
    """Text of a label file.

    Raises:
        DataError: It is missing or is not text.
    """
    try:
        return storage.read(key).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{storage.where(key)}: not a text file") from None


def read_lines(storage: Storage, key: str) -> list[str]:
    """Lines that are not blank, stripped."""
    return [line.strip() for line in read_text(storage, key).splitlines() if line.strip()]


def read_numbers(storage: Storage, key: str, widths: tuple[int, ...]) -> NDArray[np.float64]:
    """Rows of numbers, separated by commas, tabs, semicolons or blanks.

    Args:
        storage: Where the file lies.
        key: Its key.
        widths: How many numbers a row may have; all rows have the same.

    Returns:
        ``(N, width)`` float64; nan stays nan.

    Raises:
        DataError: Missing or empty file, a blank line between rows, or a row that cannot be read; the message names
            file and line.
    """
    lines = read_text(storage, key).rstrip().splitlines()
    if not lines:
        raise DataError(f"{storage.where(key)}: empty; expected one row of numbers for each frame")
    rows = [line.translate(_DELIMITERS).split() for line in lines]
    found_widths = {len(row) for row in rows}
    if len(found_widths) == 1 and found_widths <= set(widths):
        try:
            table = np.array([float(token) for row in rows for token in row]).reshape(len(rows), -1)
        except ValueError:
            table = np.array([np.inf])
        if not np.isinf(table).any():
            return table
    width = len(rows[0]) if len(rows[0]) in widths else widths[0]
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        try:
            good = len(row) == width and not np.isinf(np.array(row, dtype=np.float64)).any()
        except ValueError:
            good = False
        if not good:
            found = repr(line.strip()[:60]) if line.strip() else "a blank line"
            raise DataError(f"{storage.where(key)}:{number}: expected {width} numbers, found {found}")
    raise DataError(f"{storage.where(key)}: expected rows of {' or '.join(map(str, widths))} numbers")


def read_boxes(storage: Storage, key: str, first_pixel: int = 0) -> NDArray[np.float64]:
    """One xywh box for each row; boxes without area or with nan become nan, for the target is absent there.

    Args:
        storage: Where the file lies.
        key: Its key.
        first_pixel: Number that the file gives to the first pixel; boxes are returned in 0-based pixels.

    Returns:
        ``(N, 4)`` float64 xywh.
    """
    boxes = read_numbers(storage, key, (4,))
    boxes[:, :2] -= first_pixel
    return without_empty(boxes)


def has_box(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of ``(N, 4)`` xywh that are finite and have an area: ``(N,)`` bool."""
    # Comparisons with nan are False, so that a half-labelled box counts as none.
    return np.asarray(np.isfinite(boxes).all(axis=-1) & (boxes[:, 2:] > 0).all(axis=-1), dtype=np.bool_)


def without_empty(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, 4)`` xywh with all of a row nan where it has no area."""
    return np.where(has_box(boxes)[:, None], boxes, np.nan)


def read_flags(storage: Storage, key: str, count: int) -> NDArray[np.float64]:
    """One number for each frame, on one line or on many.

    Args:
        storage: Where the file lies.
        key: Its key.
        count: Number of frames.

    Returns:
        ``(count,)`` float64.

    Raises:
        DataError: Missing file, no numbers, or another count than the frames'.
    """
    tokens = read_text(storage, key).translate(_DELIMITERS).split()
    try:
        flags = np.array([float(token) for token in tokens])
    except ValueError as error:
        raise DataError(f"{storage.where(key)}: expected one number for each frame: {error}") from None
    if len(flags) != count:
        raise DataError(f"{storage.where(key)}: {len(flags)} labels for {count} frames")
    return flags


def parse_json(storage: Storage, key: str) -> Any:
    """Content of a JSON file.

    Raises:
        DataError: It is missing or is not JSON; the message names file and line.
    """
    try:
        return json.loads(read_text(storage, key))
    except json.JSONDecodeError as error:
        raise DataError(f"{storage.where(key)}:{error.lineno}: not JSON: {error.msg}") from None


def sequence_list(name: str) -> dict[str, Any]:
    """A list that comes with the package, ``data/lists/NAME.json``."""
    text = (resources.files("ostrack.data") / "lists" / f"{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
