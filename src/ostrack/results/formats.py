"""The formats that boxes are written in, by name and by the end of a file's name.

Line by line while tracking runs: CSV, JSON, JSON lines, MOTChallenge. COCO, CVAT and YOLO need the whole clip first: a
run writes JSON lines beside them, which a killed run leaves behind, and turns these into the file at its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from ostrack.errors import OutputError
from ostrack.results.builder import Stretches
from ostrack.results.coco import write_coco
from ostrack.results.cvat import write_cvat
from ostrack.results.reading import read_result
from ostrack.results.records import CsvRecords, Found, JsonLines, JsonRecords, Moment, MotRecords, Records
from ostrack.results.table import Media, Result
from ostrack.results.yolo import write_yolo

if TYPE_CHECKING:
    from typing_extensions import Self

    from ostrack.tracker import TargetId

__all__ = ["FORMATS", "Format", "Recorder", "WholeRecords", "format_of", "open_records", "save"]


class Recorder(Protocol):
    """A file of boxes being written, a context manager."""

    def write(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> None:
        """Append one frame's targets."""

    def close(self) -> None:
        """Finish the file; may be called more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class Format:
    """One way to write boxes.

    Attributes:
        name: What ``--format`` calls it.
        ending: How its files' names end.
        lines: What writes it frame by frame; None where it needs the whole clip.
        whole: What writes it from a finished result; None where ``lines`` does.
        folder: Whether it is a folder of files.
    """

    name: str
    ending: str
    lines: type[Records] | None = None
    whole: Callable[[Result, Path], None] | None = None
    folder: bool = False


FORMATS: dict[str, Format] = {
    found.name: found
    for found in (
        Format("csv", ".csv", CsvRecords),
        Format("jsonl", ".jsonl", JsonLines),
        # Before plain JSON, whose ending it shares.
        Format("coco", ".coco.json", whole=write_coco),
        Format("json", ".json", JsonRecords),
        Format("mot", ".txt", MotRecords),
        Format("cvat", ".xml", whole=write_cvat),
        Format("yolo", ".yolo", whole=write_yolo, folder=True),
    )
}


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format of a name, or the one that a file's name ends with.

    Raises:
        OutputError: There is none such.
    """
    if name is not None:
        if name not in FORMATS:
            raise OutputError(f"format {name!r}: expected one of {', '.join(FORMATS)}")
        return FORMATS[name]
    text = os.fspath(path).lower()
    for found in FORMATS.values():
        if text.endswith(found.ending):
            return found
    endings = ", ".join(f"{found.ending} ({found.name})" for found in FORMATS.values())
    raise OutputError(f"{os.fspath(path)}: tracks are written as {endings}")


def save(result: Result, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Write a finished result.

    Args:
        result: What was found.
        path: The file, or for YOLO the folder; replaced.
        format: One of :data:`FORMATS`; what the name ends with where None.

    Raises:
        OutputError: It cannot be written, or the name says nothing of a format.
    """
    found, target = format_of(path, format), Path(path)
    if found.whole is not None:
        found.whole(result, target)
    elif found.lines is not None:
        with found.lines(target) as records:
            for index, time_s, labels in result.rows():
                records.write(_Instant(index, time_s), labels)


def open_records(path: str | os.PathLike[str], media: Media | None = None) -> Recorder:
    """Open a file for tracks in the format its name ends with.

    Args:
        path: ``.csv``, ``.json``, ``.jsonl``, ``.txt`` (MOTChallenge), ``.coco.json``, ``.xml`` (CVAT) or ``.yolo``.
        media: The clip; asked for by the last three.

    Raises:
        OutputError: Another ending, the file cannot be written, or ``media`` is missing.
    """
    found, target = format_of(path), Path(path)
    if found.lines is not None:
        return found.lines(target)
    if media is None:
        raise OutputError(f"{target}: {found.name} needs the clip's size and frame rate; say media=")
    return WholeRecords(target, media)


class WholeRecords:
    """A format that needs the whole clip: JSON lines beside it until it is closed, which turns them into the file.

    Args:
        path: The file or folder.
        media: The clip.

    Raises:
        OutputError: The lines cannot be written.
    """

    def __init__(self, path: Path, media: Media) -> None:
        self.path, self.lines = path, path.with_name(f"{path.name}.part.jsonl")
        self._media = media
        self._records: JsonLines | None = JsonLines(self.lines)
        self._looked = Stretches()

    def write(self, frame: Moment, tracks: Mapping[TargetId, Found]) -> None:
        """Append one frame's targets; see :meth:`Records.write`."""
        if self._records is not None:
            self._records.write(frame, tracks)
            self._looked.add(frame.index)

    def close(self) -> None:
        """Write the file and drop the lines beside it; may be called more than once.

        Raises:
            OutputError: It cannot be written; the lines stay.
        """
        if self._records is None:
            return
        self._records.close()
        self._records = None
        looked = self._looked.found
        end = looked[-1][1] if looked else 0
        media = Media(self._media.name, self._media.fps, self._media.size, max(end, self._media.frames or 0))
        try:
            save(replace(read_result(self.lines, media), looked=looked), self.path)
        except OutputError as error:
            raise OutputError(f"{error}; the boxes are kept in {self.lines}") from error
        self.lines.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Instant:
    index: int
    time_s: float
