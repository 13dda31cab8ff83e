"""Tracks read back from the files that the package writes: CSV, JSON lines, JSON, MOTChallenge text."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ostrack.errors import DataError
from ostrack.recovery import STATES
from ostrack.results.builder import ResultBuilder, Stretches
from ostrack.results.table import Label, Media, Result

if TYPE_CHECKING:
    from ostrack.checks import Box
    from ostrack.tracker import State, TargetId

__all__ = ["read_result"]

# Frames are kept as floats, and no clip is longer than two years at 30 frames a second.
_LAST_FRAME = 2**31 - 1
# Formats that have a file or an entry for every frame would be written for days after one mistaken number.
_WIDEST_GAP = 1_000_000
Row = tuple[str, float, Label]
"""Where it stands, time in seconds, the rest."""


def read_result(path: str | os.PathLike[str], media: Media) -> Result:
    """Read a file of tracks.

    Args:
        path: ``.csv``, ``.jsonl``, ``.json`` or ``.txt`` (MOTChallenge, whose ids become numbers and whose times come
            from ``media.fps``).
        media: The clip that it belongs to.

    Raises:
        DataError: Another ending; a line that is none of the format, which is named; or a frame that lies further
            behind the one before it, and behind the end of ``media``, than any clip has nothing to show.
        FileNotFoundError: There is no such file.
    """
    file = Path(path)
    readers: dict[str, Callable[[Path, Media], Iterator[Row]]] = {
        ".csv": _csv, ".jsonl": _json_lines, ".json": _json, ".txt": _mot,
    }  # fmt: skip
    reader = readers.get(file.suffix.lower())
    if reader is None or file.name.lower().endswith(".coco.json"):
        raise DataError(f"{file}: tracks are read from {', '.join(readers)}")
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    builder = ResultBuilder()
    try:
        for where, time_s, label in reader(file, media):
            _check(where, time_s, label)
            builder.add(time_s, label)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not text in UTF-8") from error
    result = builder.build(media)
    _check_gaps(file, result)
    # A table says nothing of frames that it has no row of.
    return replace(result, looked=Stretches(frame for frame, _, _ in result.rows()).found)


def _check_gaps(file: Path, result: Result) -> None:
    """Refuse a frame far from all others: a time or an id in the wrong place, seldom a frame."""
    frames = np.unique(np.concatenate([[-1], *(track.frames for track in result.targets.values())]))
    known = np.maximum(frames, (result.media.frames or 0) - 1)
    for gap, frame in zip(np.diff(known).tolist(), frames[1:].tolist(), strict=True):
        if gap > _WIDEST_GAP:
            raise DataError(f"{file}: expected no gap over {_WIDEST_GAP} frames, frame {frame} comes {gap} later")


def _check(where: str, time_s: float, label: Label) -> None:
    """Refuse numbers that no file of tracks can mean."""
    if not 0 <= label.frame <= _LAST_FRAME:
        raise DataError(f"{where}: expected a frame from 0 to {_LAST_FRAME}, got {label.frame}")
    if not all(map(math.isfinite, label.box)):
        raise DataError(f"{where}: expected four finite numbers, got {label.box}")
    if min(label.box[2:]) < 0:
        raise DataError(f"{where}: expected no negative width or height, got {label.box}")
    if not math.isfinite(time_s) or math.isinf(label.score) or math.isinf(label.confidence):
        raise DataError(f"{where}: expected finite times and scores, got {time_s}, {label.score}, {label.confidence}")


def _csv(path: Path, media: Media) -> Iterator[Row]:
    # Spreadsheets put a byte order mark before the first column's name.
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            missing = {"frame", "id", "x", "y", "w", "h"} - set(reader.fieldnames or ())
            if missing:
                raise DataError(f"{path}: the first line has no column {', '.join(sorted(missing))}")
            for number, row in enumerate(reader, 2):
                yield _csv_row(row, f"{path}: line {number}", media)
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.reader.line_num}: not CSV ({error})") from error


def _csv_row(row: Mapping[str, str | None], where: str, media: Media) -> Row:
    try:
        id, frame, *box = _texts(row, "id", "frame", "x", "y", "w", "h")
        # "07" is a name: as a number it would be another target's.
        name: TargetId = int(id) if id.isdecimal() and str(int(id)) == id else id
        number, (x, y, w, h) = int(frame), map(float, box)
        score, sure = float(row.get("score") or "nan"), float(row.get("confidence") or "nan")
        time_s = float(row.get("time") or number / media.fps)
    except (OverflowError, ValueError) as error:
        found = ",".join(map(str, row.values()))[:80]
        raise DataError(f"{where}: expected whole frames and numbers, got {found}") from error
    label = Label(name, (x, y, w, h), score, _state(row.get("state"), where), number, confidence=sure)
    return where, time_s, label


def _texts(row: Mapping[str, str | None], *columns: str) -> list[str]:
    found = [row[column] for column in columns]
    texts = [text for text in found if text is not None]
    if len(texts) < len(columns):
        raise ValueError("a line that ends early")
    return texts


def _json_lines(path: Path, media: Media) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}: line {number}"
            try:
                record = json.loads(line)
            except (RecursionError, ValueError) as error:
                raise DataError(f"{where}: not JSON ({error})") from error
            yield _record(record, where, media)


def _json(path: Path, media: Media) -> Iterator[Row]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    if not isinstance(records, list):
        raise DataError(f"{path}: expected a list of boxes, found {type(records).__name__}")
    for number, record in enumerate(records):
        yield _record(record, f"{path}: record {number}", media)


def _record(record: Any, where: str, media: Media) -> Row:
    try:
        name, frame, score = record["id"], record["frame"], record.get("score")
        x, y, w, h = map(float, record["box"])
        time_s = float(record.get("time", frame / media.fps))
        agreement, sure = record.get("agreement"), record.get("confidence")
        if not isinstance(name, (int, str)) or not isinstance(frame, int) or bool in (type(name), type(frame)):
            raise TypeError("id or frame")
        label = Label(
            name,
            (x, y, w, h),
            math.nan if score is None else float(score),
            _state(record.get("state"), where),
            frame,
            bool(record.get("keyframe", False)),
            math.nan if agreement is None else float(agreement),
            math.nan if sure is None else float(sure),
            record.get("label") or "",
        )
        if not isinstance(label.label, str):
            raise TypeError("label")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'{where}: expected {{"frame": 0, "id": ..., "box": [x, y, w, h], ...}}') from error
    return where, time_s, label


def _mot(path: Path, media: Media) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}: line {number}"
            try:
                frame, id, x, y, w, h, score = (float(part) for part in line.split(",")[:7])
                if not (frame.is_integer() and id.is_integer()):
                    raise ValueError("frame or id")
            except ValueError as error:
                raise DataError(f"{where}: expected frame,id,x,y,w,h,score,..., got {line.strip()[:80]}") from error
            box: Box = (x - 1, y - 1, w, h)
            score = math.nan if score < 0 else score
            yield where, (frame - 1) / media.fps, Label(int(id), box, score, "tracking", int(frame) - 1)


def _state(text: Any, where: str) -> State:
    for state in STATES:
        if state == (text or STATES[0]):
            return state
    raise DataError(f"{where}: state {text!r}, expected one of {', '.join(STATES)}")
