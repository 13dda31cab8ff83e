"""Boxes as the command line is given them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ostrack.errors import BoxError

__all__ = ["Box", "clip_and_box", "parse_box", "read_boxes"]

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""


def parse_box(text: str) -> tuple[str | None, Box]:
    """Read ``x,y,w,h`` or ``id=x,y,w,h``.

    Raises:
        BoxError: Not four numbers.
    """
    name, equals, numbers = text.rpartition("=")
    parts = numbers.split(",")
    try:
        x, y, w, h = (float(part) for part in parts)
    except ValueError as error:
        raise BoxError(f"--box {text}: expected x,y,w,h, four numbers in pixels, as in 120,80,60,90") from error
    return (name if equals else None), (x, y, w, h)


def read_boxes(texts: list[str], file: Path | None) -> dict[Any, Box] | Path:
    """Targets by id from ``--box`` options, those without a name numbered from 0; or the file as it is.

    Raises:
        BoxError: None, both, a name twice, or not four numbers each.
    """
    if texts and file is not None:
        raise BoxError("give --box or --boxes, not both")
    if file is not None:
        return file
    if not texts:
        raise BoxError("give the target's box in the first frame: --box x,y,w,h (or --boxes FILE)")
    targets: dict[Any, Box] = {}
    for number, text in enumerate(texts):
        name, box = parse_box(text)
        key = number if name is None else name
        if key in targets:
            raise BoxError(f"--box {text}: the id {key!r} is given twice")
        targets[key] = box
    return targets


def clip_and_box(clip: Path | None, box: str | None) -> tuple[Path, Box] | None:
    """The clip of ``--clip`` and the target of ``--box`` in it; None where the demo's stand for them.

    Raises:
        BoxError: One without the other, or not four numbers.
    """
    if clip is None and box is None:
        return None
    if clip is None or box is None:
        raise BoxError("--clip and --box go together: the target is given in the clip's first frame")
    return clip, parse_box(box)[1]
