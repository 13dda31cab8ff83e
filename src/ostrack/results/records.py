"""Boxes written as text while tracking runs: CSV, JSON, JSON lines and the MOTChallenge format.

Each frame is one write to the operating system, so a process that is killed leaves only whole lines behind, and a
full disk costs the frame that did not fit and nothing before it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ostrack.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

    from ostrack.checks import Box
    from ostrack.tracker import State, TargetId

__all__ = ["CsvRecords", "Found", "JsonLines", "JsonRecords", "Moment", "MotRecords", "Records"]


class Moment(Protocol):
    """What is asked of a frame: its number and time."""

    @property
    def index(self) -> int:
        """0-based frame of the source."""

    @property
    def time_s(self) -> float:
        """Seconds since the first frame."""


class Found(Protocol):
    """What is asked of a target in a frame: a :class:`ostrack.Track` or a :class:`ostrack.results.Label`."""

    @property
    def id(self) -> TargetId:
        """Name or number."""

    @property
    def box(self) -> Box:
        """x, y, w, h in pixels."""

    @property
    def score(self) -> float:
        """Raw score; nan where there is none."""

    @property
    def state(self) -> State:
        """How sure it is."""

    @property
    def confidence(self) -> float:
        """Probability that the box is right; nan where nothing is known."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""


class Records(ABC):
    """A text file of boxes, a context manager.

    Args:
        path: The file, overwritten.

    Raises:
        OutputError: It cannot be written.
    """

    _LEAD = ""
    """What stands before the first frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        try:
            # Unbuffered: what was written is with the operating system when the call returns.
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
        self._regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        self._end = 0
        try:
            if self._LEAD:
                self._append(self._LEAD, "its first line")
        except OutputError:
            self._file.close()
            raise

    @abstractmethod
    def _text(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> str:
        """Whole lines for one frame."""

    def write(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> None:
        """Append one frame's tracks.

        Raises:
            OutputError: The disk is full or the file is gone; earlier frames stay readable.
        """
        if tracks:
            self._append(self._text(frame, tracks), f"frame {frame.index}")
        self.frames += 1

    def _append(self, text: str, what: str, at: int | None = None) -> None:
        data = text.encode()
        start = self._end if at is None else at
        try:
            if at is not None:
                self._file.seek(at)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._undo(start)
            kept = f"; the {self.frames} frames before it are kept" if self.frames else ""
            raise OutputError(f"{self.path}: cannot write {what} ({error.strerror}){kept}") from error
        self._end = start + len(data)

    def _undo(self, start: int) -> None:
        if self._regular:
            os.ftruncate(self._file.fileno(), start)

    def close(self) -> None:
        """Close the file; may be called more than once."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CsvRecords(Records):
    """``frame,time,id,x,y,w,h,score,state,confidence``: 0-based frames, seconds, 0-based continuous pixels."""

    _LEAD = "frame,time,id,x,y,w,h,score,state,confidence\n"

    def _text(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> str:
        lines = []
        for name, track in tracks.items():
            numbers = [f"{value:.3f}" for value in track.box]
            said = (f"{track.score:.4f}", track.state, f"{track.confidence:.4f}")
            row = (frame.index, f"{frame.time_s:.4f}", name, *numbers, *said)
            lines.append(_csv_line(row))
        return "".join(lines)


class JsonLines(Records):
    """One JSON object a line for each target and frame: ``frame``, ``time`` and the track's own fields."""

    def _text(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> str:
        return "".join(line + "\n" for line in _json_objects(frame, tracks))


class JsonRecords(Records):
    """The same objects as one JSON array, which is complete after every frame: its closing bracket moves on."""

    _CLOSE = "\n]\n"
    _LEAD = "[" + _CLOSE

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise OutputError(f"{path}: a .json array needs a regular file; use .jsonl for pipes and devices")
        super().__init__(path)

    def _text(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> str:
        return ",\n".join(_json_objects(frame, tracks))

    def write(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> None:
        """Append one frame's tracks; see :meth:`Records.write`."""
        if tracks:
            lead = ",\n" if self._end > len(self._LEAD) else "\n"
            text = lead + self._text(frame, tracks) + self._CLOSE
            self._append(text, f"frame {frame.index}", self._end - len(self._CLOSE))
        self.frames += 1

    def _undo(self, start: int) -> None:
        os.ftruncate(self._file.fileno(), start)
        if start:
            # The bracket fitted there before, so it does again.
            os.lseek(self._file.fileno(), start, os.SEEK_SET)
            os.write(self._file.fileno(), self._CLOSE.encode())


class MotRecords(Records):
    """``frame, id, x, y, w, h, score, -1, -1, -1`` with 1-based frames, ids and pixels, as MOTChallenge has it.

    Targets are numbered in the order in which they first appear; a score that a network does not give is -1. Frames
    in which a target is lost are left out, as the format has no word for them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._numbers: dict[TargetId, int] = {}

    def _text(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> str:
        lines = []
        for name, track in tracks.items():
            number = self._numbers.setdefault(name, len(self._numbers) + 1)
            if track.state == "lost":
                continue
            x, y, w, h = track.box
            box = f"{x + 1:.3f},{y + 1:.3f},{w:.3f},{h:.3f}"
            score = -1.0 if math.isnan(track.score) else track.score
            lines.append(f"{frame.index + 1},{number},{box},{score:.4f},-1,-1,-1\n")
        return "".join(lines)


def _csv_line(values: tuple[object, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def _json_objects(frame: Moment, tracks: Mapping[TargetId, Found]) -> list[str]:
    objects = []
    for track in tracks.values():
        # The source's own frame number stands in place of the tracker's, which counts from where it was started.
        fields: dict[str, Any] = {"frame": frame.index, "time": round(frame.time_s, 4)}
        fields |= {key: value for key, value in track.to_dict().items() if key not in fields}
        objects.append(json.dumps(fields, ensure_ascii=False))
    return objects
