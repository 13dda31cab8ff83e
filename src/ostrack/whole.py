"""Files that are seen whole or not at all: written beside their names, and moved there when they are done."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ostrack.errors import OutputError

__all__ = ["draft_of", "drop_drafts", "whole_file", "write_whole"]


@contextmanager
def draft_of(path: Path, ending: str = "", folders: bool = False) -> Iterator[Path]:
    """A file to write in place of another one, which it replaces if the block ends without an error; else it vanishes.

    Args:
        path: The file to be.
        ending: What the draft's name must end with.
        folders: Make the folders that it lies in.

    Raises:
        OutputError: It cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp{ending}")
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def drop_drafts(folder: Path, names: str) -> None:
    """Remove drafts of files of these names, a pattern, which killed processes left; nobody may be writing them now."""
    for file in folder.iterdir():
        if re.fullmatch(rf"\.(?:{names})\.\d+\.tmp", file.name):
            file.unlink()


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """The same for UTF-8 text, with the line ends that are written.

    Raises:
        OutputError: It cannot be written.
    """
    # A clip's name may hold bytes that are no text, and must not cost the boxes.
    with draft_of(path) as draft, draft.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
        yield stream


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file; folders are made.

    Raises:
        OutputError: It cannot be written.
    """
    with draft_of(path, folders=True) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
