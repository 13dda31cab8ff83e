"""Tell what a data set is, what of it can be used and why the rest cannot: ``ostrack data check``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ostrack.data.annotations import read_folder
from ostrack.data.benchmarks import KINDS, load, recognise
from ostrack.data.labels import has_box
from ostrack.data.sequence import LabelledImage, Sequence
from ostrack.data.storage import open_storage
from ostrack.errors import DataError

__all__ = ["CheckReport", "Decode", "Problem", "check"]

Decode = Literal["first", "all", "none"]
Progress = Callable[[int, int | None], None]

# The official sampler's rule for a training clip.
_LEAST_FRAMES, _LEAST_VISIBLE = 20, 5


@dataclass(frozen=True)
class Problem:
    """Something that cannot be used.

    Attributes:
        name: Sequence or image.
        reason: One line that names the file and says what was found and expected.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class CheckReport:
    """What a data set holds.

    Attributes:
        root: Where it lies.
        kind: Its kind.
        title: The kind's name for people.
        split: Part of it that was looked at.
        usable: Sequences (or images) that can be used.
        frames: Frames of these.
        visible: Of these, frames with a visible target (or boxes, for images).
        short: Of the usable sequences, those too short to train on (under 20 frames or 5 visible ones).
        problems: What cannot be used.
        missing: What the published list holds beside these.
        also: Other kinds that the same root can be read as.
    """

    root: str
    kind: str
    title: str
    split: str
    usable: int
    frames: int
    visible: int
    short: int
    problems: tuple[Problem, ...]
    missing: tuple[str, ...]
    also: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)

    def text(self, most: int = 20) -> str:
        """Some lines for people.

        Args:
            most: Problems (and missing names) to list before the rest is only counted.
        """
        still = self.kind in _STILL
        unit = "images" if still else "sequences"
        lines = [f"{self.root}: {self.title} ({self.kind}{', ' + self.split if self.split else ''})"]
        lines.append(
            f"usable: {self.usable} {unit}" + ("" if still else f", {self.frames} frames")
            + (f", {self.visible} boxes" if still else f", the target visible in {self.visible}")
        )  # fmt: skip
        if self.short:
            lines.append(
                f"too short to train on: {self.short} (under {_LEAST_FRAMES} frames or {_LEAST_VISIBLE} visible)"
            )
        if self.missing:
            shown = ", ".join(self.missing[:most])
            rest = f" and {len(self.missing) - most} more" if len(self.missing) > most else ""
            lines.append(f"missing from the published list: {len(self.missing)} ({shown}{rest})")
        if self.problems:
            lines.append(f"not usable: {len(self.problems)}")
            lines += [f"  {problem.name}: {problem.reason}" for problem in self.problems[:most]]
            if len(self.problems) > most:
                lines.append(f"  and {len(self.problems) - most} more")
        if self.also:
            lines.append(f"can also be read as: {', '.join(self.also)}")
        return "\n".join(lines)


_STILL = frozenset({"coco", "annotated"})


def _verify(item: Sequence | LabelledImage, decode: Decode) -> None:
    """Raise where an evaluation or a training run would trip later."""
    if isinstance(item, Sequence):
        if len(item) < 2:
            raise DataError(f"{item.frames.name(0)}: a sequence of one frame; nothing to follow")
        if not item.visible.any():
            raise DataError(f"{item.name}: the target is visible in none of {len(item)} frames")
        if item.dataset != "vid" and not has_box(item.boxes[:1])[0]:
            raise DataError(f"{item.name}: no box in the first frame, so that a tracker cannot be started")
    indices = {"first": range(1), "all": range(len(item.frames)), "none": range(0)}[decode]
    for index in indices:
        height, width = item.frames[index].shape[:2]
        if index == 0 and isinstance(item, Sequence) and item.visible[0]:
            x, y, w, h = item.boxes[0]
            if x >= width or y >= height or x + w <= 0 or y + h <= 0:
                raise DataError(
                    f"{item.frames.name(0)}: first box {x:g},{y:g},{w:g},{h:g} lies outside {width} x {height} pixels"
                )


def _left_out(boxes: int) -> str:
    return f"{boxes} of its boxes not finite or without area: left out"


def _check_annotated(root: Path, decode: Decode) -> CheckReport | None:
    """Folders with an ``annotations.json`` of our own, or None."""
    folders = [f for f in (root, *sorted(root.iterdir())) if (f / "annotations.json").is_file()]
    if not folders:
        return None
    images, boxes, problems = 0, 0, []
    for folder in folders:
        try:
            entries = read_folder(folder)
        except DataError as error:
            problems.append(Problem(folder.name, str(error)))
            continue
        for entry in entries:
            if decode != "none" and not entry.path.is_file():
                problems.append(Problem(f"{folder.name}/{entry.path.name}", f"{entry.path}: no such file"))
                continue
            if entry.left_out:
                problems.append(Problem(f"{folder.name}/{entry.path.name}", _left_out(entry.left_out)))
            images, boxes = images + 1, boxes + len(entry.boxes)
    title = "annotated images"
    return CheckReport(str(root), "annotated", title, "", images, images, boxes, 0, tuple(problems), ())


def check(
    root: Path | str, kind: str = "auto", split: str = "", decode: Decode = "first", progress: Progress | None = None
) -> CheckReport:
    """Read all labels of a data set and look at its frames.

    Args:
        root: Folder, zip archive or LMDB.
        kind: Kind of data set, or ``"auto"``.
        split: Part of it; empty for the usual one.
        decode: Which frames of each sequence to decode.
        progress: Called with the number of sequences done and their total.

    Returns:
        The report; ``usable`` is 0 when nothing can be used.

    Raises:
        DataError: Nothing is recognised at all.
    """
    if kind == "auto" and Path(root).is_dir() and recognise(open_storage(root)) is None:
        report = _check_annotated(Path(root), decode)
        if report is not None:
            return report
    opened = load(root, kind, split)
    usable = frames = visible = short = 0
    problems = [Problem(name, f"{opened.storage.where(name)}: no label file") for name in opened.unlabelled]
    if opened.left_out:
        problems.append(Problem(opened.split, _left_out(opened.left_out)))
    for number, name in enumerate(opened.names, 1):
        try:
            item: Sequence | LabelledImage = opened[name]
            _verify(item, decode)
        except DataError as error:
            problems.append(Problem(name, str(error)))
        else:
            seen = int(item.visible.sum()) if isinstance(item, Sequence) else len(item)
            usable, frames, visible = usable + 1, frames + len(item.frames), visible + seen
            short += isinstance(item, Sequence) and (len(item) < _LEAST_FRAMES or seen < _LEAST_VISIBLE)
        if progress is not None:
            progress(number, len(opened))
    also = tuple(name for name, other in KINDS.items() if name != opened.kind and other.matches(opened.storage))
    # Any folder of labelled clips also fits the plain layout; that is no news.
    also = tuple(name for name in also if name != "folder")
    return CheckReport(
        str(root), opened.kind, KINDS[opened.kind].title, opened.split, usable, frames, visible, short, tuple(problems),
        opened.missing, also,
    )  # fmt: skip
