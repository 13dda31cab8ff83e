"""Which targets to follow, and from which frame on: as users hand them over, in Python or in a JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ostrack.checks import Box, check_box, check_id, shown
from ostrack.errors import BoxError

if TYPE_CHECKING:
    from ostrack.tracker import TargetId

__all__ = [
    "Start",
    "check_inside",
    "number_of_frame",
    "parse_box",
    "parse_starts",
    "read_json",
    "read_starts",
]


@dataclass(frozen=True)
class Start:
    """A target and where it is first seen.

    Attributes:
        id: Name or number.
        box: x, y, w, h in pixels.
        frame: 0-based frame of the source that the box belongs to.
    """

    id: TargetId
    box: Box
    frame: int = 0


def parse_starts(boxes: Any, start: int = 0) -> tuple[Start, ...]:
    """Read targets in any of the forms that ``ostrack.track(boxes=...)`` takes.

    Args:
        boxes: ``{id: (x, y, w, h)}``, ``{id: {"frame": 40, "box": (x, y, w, h)}}`` or a list of :class:`Start` or of
            ``{"id": ..., "frame": 40, "box": (x, y, w, h)}``; ``frame`` may be left out.
        start: Frame of those that name none.

    Returns:
        The targets in the order of their frames.

    Raises:
        BoxError: None at all, two with one id, or one that cannot be a target; the message names it.
    """
    starts = [_start(id, value, start) for id, value in _pairs(boxes)]
    if not starts:
        raise BoxError("boxes is empty; give at least one target")
    seen: set[str] = set()
    for found in starts:
        # As text, for 0 and "0" would be one target in a file.
        if str(found.id) in seen:
            raise BoxError(f"target {found.id!r} is given twice; ids must differ")
        seen.add(str(found.id))
    return tuple(sorted(starts, key=lambda found: found.frame))


def read_starts(file: Path, start: int = 0) -> tuple[Start, ...]:
    """Read targets from a JSON file in one of the forms of :func:`parse_starts`.

    Raises:
        BoxError: The file is no such JSON; the message names the file and the target.
        FileNotFoundError: There is no such file.
    """
    content = read_json(file)
    if not isinstance(content, (dict, list)) or not content:
        raise BoxError(
            f'{file}: expected {{"id": [x, y, w, h], ...}} or [{{"id": ..., "frame": 0, "box": [...]}}, ...]'
        )
    try:
        return parse_starts(content, start)
    except BoxError as error:
        raise BoxError(f"{file}: {error}") from error


def read_json(file: Path) -> Any:
    """A JSON file in which no object names a key twice.

    Raises:
        BoxError: Not such JSON.
        FileNotFoundError: There is no such file.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise BoxError(f"{file}: {twice!r} is given twice")
        return found

    try:
        return json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except BoxError:
        raise
    except (RecursionError, ValueError) as error:
        raise BoxError(f"{file}: not JSON ({error})") from error


def parse_box(value: Any, where: str) -> Box:
    """Four finite numbers with an area; that they lie inside a frame is seen later.

    Raises:
        BoxError: ``where`` and what was found.
    """
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BoxError(f"{where} is {shown(value)}, expected four numbers [x, y, w, h]") from error
    if numbers.shape != (4,):
        raise BoxError(f"{where} is {shown(value)}, expected four numbers [x, y, w, h]")
    x, y, w, h = numbers.tolist()
    if not all(map(math.isfinite, (x, y, w, h))):
        raise BoxError(f"{where} is {x:g},{y:g},{w:g},{h:g}: not finite, expected x, y, w, h in pixels")
    if w <= 0 or h <= 0:
        raise BoxError(f"{where} is {x:g},{y:g},{w:g},{h:g}: width and height must be positive")
    return x, y, w, h


def number_of_frame(value: Any, where: str) -> int:
    """A 0-based frame number.

    Raises:
        BoxError: Not a whole number from 0 on.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise BoxError(f"{where}: frame {shown(value)}, expected a whole number, 0 or more")
    return int(value)


def check_inside(box: Box, size: tuple[int, int], where: str) -> None:
    """Refuse a box that lies outside frames of a size.

    Raises:
        BoxError: ``where`` and why.
    """
    width, height = size
    # A view of one number: check_box asks for the shape of the frame only.
    blank = np.broadcast_to(np.zeros(1, np.uint8), (height, width, 3))
    try:
        check_box(blank, box)
    except BoxError as error:
        raise BoxError(f"{where}: {error}") from error


def _pairs(boxes: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(boxes, Mapping):
        return boxes.items()
    if not isinstance(boxes, Sequence) or isinstance(boxes, (str, bytes)):
        raise BoxError(f"boxes is a {type(boxes).__name__}, expected {{id: (x, y, w, h)}} or a list of targets")
    return [_identified(item, number) for number, item in enumerate(boxes)]


def _identified(item: Any, number: int) -> tuple[Any, Any]:
    if isinstance(item, Start):
        return item.id, item
    if isinstance(item, Mapping) and "id" in item:
        return item["id"], {key: value for key, value in item.items() if key != "id"}
    raise BoxError(f'target number {number} is {shown(item)}, expected {{"id": ..., "frame": 0, "box": [x, y, w, h]}}')


def _start(id: Any, value: Any, start: int) -> Start:
    id = check_id(id)
    where = f"target {id!r}"
    frame, box = start, value
    if isinstance(value, Start):
        frame, box = value.frame, value.box
    elif isinstance(value, Mapping):
        unknown = set(value) - {"frame", "box"}
        if unknown or "box" not in value:
            raise BoxError(f'{where} is {shown(value)}, expected {{"frame": 0, "box": [x, y, w, h]}}')
        frame, box = value.get("frame", start), value["box"]
    frame = number_of_frame(frame, where)
    if frame < start:
        raise BoxError(f"{where} begins at frame {frame}, before frame {start} where tracking starts")
    return Start(id, parse_box(box, where), frame)
