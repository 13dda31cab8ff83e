"""What a person drew, and the stretches of the clip that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostrack.checks import Box, check_id
from ostrack.errors import BoxError
from ostrack.results.table import label_of
from ostrack.video.targets import check_inside, number_of_frame, parse_box, read_json

if TYPE_CHECKING:
    from ostrack.tracker import TargetId

__all__ = ["Drawn", "Keyframe", "Span", "TargetPlan", "fit", "parse_keyframes", "read_keyframes", "spans"]

_FORM = '{"id": {"0": [x, y, w, h], "90": null}, ...} or [{"id": ..., "frame": 0, "box": [x, y, w, h]}, ...]'


@dataclass(frozen=True)
class Keyframe:
    """What a person said of a target in one frame.

    Attributes:
        frame: 0-based frame of the clip.
        box: x, y, w, h in pixels; None where the target is absent from here on, until the next key frame.
    """

    frame: int
    box: Box | None


@dataclass(frozen=True)
class TargetPlan:
    """All key frames of a target.

    Attributes:
        id: Name or number.
        label: Its class in formats that have classes.
        keyframes: By frame, ascending; at least one has a box.
    """

    id: TargetId
    label: str
    keyframes: tuple[Keyframe, ...]


@dataclass(frozen=True)
class Drawn:
    """A box that a person drew, where passes begin."""

    frame: int
    box: Box


@dataclass(frozen=True)
class Span:
    """A stretch of the clip between two key frames, or between one and an end.

    Attributes:
        id: The target.
        first: First frame to label; the key frame ``start`` where there is one.
        last: Last frame to label; ``end`` itself belongs to the span that begins with it.
        start: Key frame from which tracking runs forward; None before the first one.
        end: Key frame from which it runs backward; None behind the last one and before an absence.
    """

    id: TargetId
    first: int
    last: int
    start: Drawn | None
    end: Drawn | None

    @property
    def steps(self) -> int:
        """Frames to be tracked, both passes counted."""
        forward = self.last - self.first if self.start is not None else 0
        inner = self.last - self.first + (self.start is None)
        return forward + (inner if self.end is not None else 0)


def read_keyframes(file: Path) -> tuple[TargetPlan, ...]:
    """Read key frames from a JSON file; see :func:`parse_keyframes`.

    Raises:
        BoxError: The file is no such JSON; the message names the file, the target and the frame.
        FileNotFoundError: There is no such file.
    """
    try:
        return parse_keyframes(read_json(file))
    except BoxError as error:
        text = str(error)
        raise BoxError(text if text.startswith(str(file)) else f"{file}: {text}") from error


def parse_keyframes(keyframes: Any) -> tuple[TargetPlan, ...]:
    """Read key frames in either of two forms.

    Args:
        keyframes: ``{id: {frame: (x, y, w, h) or None, ...}, ...}``, frames as numbers or strings of digits; or a list
            of ``{"id": ..., "frame": ..., "box": (x, y, w, h) or None, "label": class}``, the last left out at will.

    Returns:
        The targets in the order they are first named.

    Raises:
        BoxError: None at all, two for one frame of a target, a target without a box, or what is no box or frame.
    """
    found: dict[TargetId, dict[int, Keyframe]] = {}
    labels: dict[TargetId, str] = {}
    for given, frame, box, label in _entries(keyframes):
        id = check_id(given)
        number = number_of_frame(frame, f"target {id!r}")
        where = f"target {id!r}: the box at frame {number}"
        if number in found.setdefault(id, {}):
            raise BoxError(f"target {id!r}: frame {number} is given twice")
        found[id][number] = Keyframe(number, None if box is None else parse_box(box, where))
        if label is not None and (not isinstance(label, str) or labels.setdefault(id, label) != label):
            raise BoxError(f"target {id!r}: its label is {label!r} at frame {number}, expected one name for all")
    if len({str(id) for id in found}) < len(found):
        ids = ", ".join(map(repr, found))
        raise BoxError(f"two targets have one id in writing: {ids}")
    if not found:
        raise BoxError(f"no key frames; expected {_FORM}")
    for id, frames in found.items():
        if all(keyframe.box is None for keyframe in frames.values()):
            raise BoxError(f"target {id!r} has no box in any frame")
    return tuple(
        TargetPlan(id, labels.get(id, label_of(id)), tuple(frames[number] for number in sorted(frames)))
        for id, frames in found.items()
    )


def _entries(keyframes: Any) -> Iterable[tuple[Any, Any, Any, Any]]:
    if isinstance(keyframes, Mapping):
        for id, frames in keyframes.items():
            if not isinstance(frames, Mapping):
                raise BoxError(f"target {id!r} is {frames!r}, expected {{frame: [x, y, w, h] or null, ...}}")
            for frame, box in frames.items():
                number = int(frame) if isinstance(frame, str) and frame.isdecimal() else frame
                yield id, number, box, None
    elif isinstance(keyframes, Sequence) and not isinstance(keyframes, (str, bytes)):
        for number, item in enumerate(keyframes):
            keys = set(item) if isinstance(item, Mapping) else set()
            if not {"id", "frame", "box"} <= keys or keys - {"id", "frame", "box", "label"}:
                raise BoxError(f'key frame number {number} is {item!r}, expected {{"id", "frame", "box"}}')
            yield item["id"], item["frame"], item["box"], item.get("label")
    else:
        raise BoxError(f"key frames are a {type(keyframes).__name__}, expected {_FORM}")


def fit(
    plans: Sequence[TargetPlan], name: str, frame_count: int, size: tuple[int, int]
) -> tuple[tuple[TargetPlan, ...], tuple[str, ...]]:
    """Leave out what lies behind the end of a clip.

    Args:
        plans: As the person gave them.
        name: The clip, for messages.
        frame_count: Its frames.
        size: Width and height.

    Returns:
        Targets of which something is left, and one line for each thing left out.

    Raises:
        BoxError: A box lies outside the frame, or nothing at all is left.
    """
    kept: list[TargetPlan] = []
    problems: list[str] = []
    for plan in plans:
        inside = tuple(keyframe for keyframe in plan.keyframes if keyframe.frame < frame_count)
        late = [keyframe.frame for keyframe in plan.keyframes if keyframe.frame >= frame_count]
        for keyframe in inside:
            if keyframe.box is not None:
                check_inside(keyframe.box, size, f"target {plan.id!r}, frame {keyframe.frame}")
        if late:
            frames = f"frame {late[0]}" if len(late) == 1 else f"frames {', '.join(map(str, late))}"
            problems.append(f"{name}: has {frame_count} frames; the key of target {plan.id!r} at {frames} was left out")
        if any(keyframe.box is not None for keyframe in inside):
            kept.append(replace(plan, keyframes=inside))
    if not kept:
        raise BoxError(f"{name}: has {frame_count} frames, and no box belongs to any of them")
    return tuple(kept), tuple(problems)


def spans(plan: TargetPlan, frame_count: int) -> list[Span]:
    """The stretches in which a target is to be followed, from front to back.

    Before the first key frame it is followed backwards to the clip's beginning, behind the last one forwards to its
    end. From a key frame without a box to the next with one it is absent, and no pass crosses that gap.
    """
    keys = plan.keyframes
    drawn = [None if key.box is None else Drawn(key.frame, key.box) for key in keys]
    found: list[Span] = []
    if drawn[0] is not None and drawn[0].frame > 0:
        found.append(Span(plan.id, 0, drawn[0].frame - 1, None, drawn[0]))
    for number, here in enumerate(drawn):
        if here is None:
            continue
        behind = number + 1 == len(keys)
        last = frame_count - 1 if behind else keys[number + 1].frame - 1
        found.append(Span(plan.id, here.frame, last, here, None if behind else drawn[number + 1]))
    return found
