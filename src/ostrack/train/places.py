"""Where training data lies below the folder that a recipe names, and in which form."""

from __future__ import annotations

from pathlib import Path

from ostrack.data.benchmarks import KINDS, recognise
from ostrack.data.storage import open_storage
from ostrack.errors import RecipeError

__all__ = ["annotated_folders", "below", "refuse_others_beside"]


def annotated_folders(root: Path) -> list[Path]:
    """Folders of this package's own form, in a root and one below; COCO gives its files the same name at times."""
    files = [*sorted(root.glob("*/annotations.json")), root / "annotations.json"]
    return [file.parent for file in files if file.is_file() and not _opens_with_brace(file)]


def refuse_others_beside(root: Path, annotated: Path) -> None:
    """Refuse a folder that is of another form beside holding annotated images.

    Raises:
        RecipeError: Names both.
    """
    if root.is_dir() and (found := recognise(open_storage(root))) is not None:
        raise RecipeError(
            f"data.root={root}: holds {KINDS[found[0]].title} beside the annotated images of {annotated.name}/; "
            "one of them would be left out, so give the folder of one"
        )


def below(root: Path, name: str) -> Path:
    """A set's folder, archive or database in the folder of all sets; the folder's name where none of them is there."""
    names = (name, f"{name}.zip", f"{name}.lmdb", f"{name}_lmdb")
    return next((root / file for file in names if (root / file).exists()), root / name)


def _opens_with_brace(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
