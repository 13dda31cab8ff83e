"""The files of one run: checked before it starts, opened together, each fed with every frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ostrack.errors import OutputError
from ostrack.pictures import IMAGE_SUFFIXES
from ostrack.results import Media, format_of, open_records
from ostrack.video.draw import ContactSheet, draw_tracks
from ostrack.video.sink import VIDEO_SUFFIXES, VideoSink
from ostrack.video.source import URL, Frame, Source

if TYPE_CHECKING:
    from ostrack.tracker import TargetId, Track

__all__ = ["Outputs"]

_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Outputs:
    """What to write.

    Attributes:
        video: MP4 with the boxes drawn in.
        tracks: Files of boxes; how their names end says in which format.
        sheet: Image with evenly spaced frames of the run.
    """

    video: Path | None = None
    tracks: tuple[Path, ...] = ()
    sheet: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, the video first."""
        return tuple(path for path in (self.video, *self.tracks, self.sheet) if path is not None)

    def check(self, source: object, boxes: object, overwrite: bool) -> None:
        """Find out what would fail later, without touching any file.

        Args:
            source: Where the frames come from; only a path or an opened source says which file that is.
            boxes: The targets; a path is read, too.
            overwrite: Whether existing files may be replaced.

        Raises:
            OutputError: A suffix that is not known, the same file twice or one that is read, a file that exists or a
                place that cannot be written.
        """
        if self.video is not None and self.video.suffix.lower() not in VIDEO_SUFFIXES:
            raise OutputError(f"{self.video}: video is written as {', '.join(VIDEO_SUFFIXES)}")
        folders = {path for path in self.tracks if format_of(path).folder}
        if self.sheet is not None and self.sheet.suffix.lower() not in _SHEET_SUFFIXES:
            raise OutputError(f"{self.sheet}: the sheet is written as {', '.join(_SHEET_SUFFIXES)}")
        seen: set[Path] = set()
        for path in self.paths:
            real = path.resolve()
            if real in seen:
                raise OutputError(f"{path}: is named as an output twice")
            _check_not_read(path, source, boxes)
            seen.add(real)
            if not overwrite and path.exists():
                raise OutputError(f"{path}: exists already and overwriting is off")
            _check_writable(path, path in folders)

    def open(self, files: ExitStack, source: Source) -> Callable[[Frame, Mapping[TargetId, Track]], None]:
        """Open all files; ``files`` closes them.

        Returns:
            A function that writes one frame and its tracks to each.

        Raises:
            OutputError: One cannot be written.
        """
        media = Media(source.name, source.fps, source.size, source.frame_count)
        records = [files.enter_context(open_records(path, media)) for path in self.tracks]
        video = files.enter_context(VideoSink(self.video, source.fps)) if self.video is not None else None
        sheet = ContactSheet() if self.sheet is not None else None
        if sheet is not None and self.sheet is not None:
            files.callback(_save_sheet, sheet, self.sheet)

        def write(frame: Frame, tracks: Mapping[TargetId, Track]) -> None:
            for record in records:
                record.write(frame, tracks)
            if video is None and sheet is None:
                return
            drawn = draw_tracks(frame.image, tracks)
            if sheet is not None:
                sheet.add(drawn, f"frame {frame.index}  {frame.time_s:.2f} s")
            if video is not None:
                video.write(drawn, frame.time_s)

        return write


def _save_sheet(sheet: ContactSheet, path: Path) -> None:
    if sheet.seen:
        sheet.save(path)


def _check_not_read(path: Path, source: object, boxes: object) -> None:
    """Refuse an output that is also read, under whatever name it is given."""
    place = source.name if isinstance(source, Source) else source
    if isinstance(place, (str, os.PathLike)) and not URL.match(os.fspath(place)):
        if _same(path, Path(place)):
            raise OutputError(f"{path}: is the source itself; choose another name for the output")
        if path.suffix.lower() in IMAGE_SUFFIXES and _same(path.parent, Path(place)):
            raise OutputError(f"{path}: lies among the source's own images; choose another folder for the output")
    if isinstance(boxes, (str, os.PathLike)) and _same(path, Path(boxes)):
        raise OutputError(f"{path}: is the file that the boxes are read from; choose another name for the output")


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _check_writable(path: Path, is_folder: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: cannot be written (there is no folder {folder})")
    if is_folder and (path.is_dir() or not path.exists()):
        return
    if path.is_dir():
        raise OutputError(f"{path}: cannot be written (it is a folder)")
    existed = path.exists()
    try:
        # Opening to append changes nothing in a file that exists, and is the one honest test of permissions.
        path.open("ab").close()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if not existed:
        path.unlink()
