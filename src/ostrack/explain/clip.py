"""A clip, or two pictures, explained: sheets of chosen frames, a side-by-side video, numbers of every frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.checks import Box, Frame
from ostrack.data.images import read_rgb
from ostrack.errors import BoxError, EvaluationError, SourceError
from ostrack.evaluate.files import read_boxes
from ostrack.explain.film import film_frame
from ostrack.explain.inspection import Inspection
from ostrack.explain.measures import Measures
from ostrack.explain.panels import save_png
from ostrack.explain.probe import inspect
from ostrack.explain.report import Report, write_report
from ostrack.explain.sheets import elimination_sheet, heads_sheet, quadrant_sheet
from ostrack.explain.stretch import check_reach, make_folder, numbered
from ostrack.explain.walk import Walk
from ostrack.model import OSTrack
from ostrack.video.sink import VideoSink
from ostrack.video.source import open_source

__all__ = [
    "Explained",
    "explain_clip",
    "explain_frames",
    "explain_images",
    "explain_pair",
    "read_truth",
    "write_sheets",
]

Progress = Callable[[int, int | None], None]
Truth = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explained:
    """One frame.

    Attributes:
        frame: Its number in the source, from 0.
        image: ``(H, W, 3)`` uint8 RGB.
        box: xywh in its pixels, what was found.
        truth: ``(4,)`` cxcywh of the ground truth relative to the search crop; None where unknown or absent.
        inspection: What happened.
    """

    frame: int
    image: Frame
    box: Box
    truth: Truth | None
    inspection: Inspection

    def measure(self) -> Measures:
        """Numbers against the ground truth, or against the found box where there is none."""
        return self.inspection.measure(self.truth)


def read_truth(path: Path) -> Truth:
    """``(N, 4)`` xywh, 0-based pixels, one line a frame; nan where the target is absent."""
    return read_boxes(path, absent=True)


def explain_pair(net: OSTrack, first: Frame, second: Frame, box: ArrayLike, truth: Truth | None = None) -> Explained:
    """Look for the target of one picture in another one, round the same place.

    Args:
        net: In evaluation mode.
        first: ``(H, W, 3)`` uint8 RGB with the target.
        second: ``(H, W, 3)`` uint8 RGB, where it is looked for.
        box: ``(4,)`` xywh of the target in ``first``.
        truth: ``(4,)`` xywh of the target in ``second``.
    """
    return _explain(Walk(net, first, box), 1, second, truth)


def explain_frames(
    net: OSTrack, frames: Iterable[tuple[int, Frame]], box: ArrayLike | None, truth: Truth | None = None
) -> Iterator[Explained]:
    """Follow a target and explain every frame after the first.

    Args:
        net: In evaluation mode.
        frames: Numbers and ``(H, W, 3)`` uint8 RGB pictures.
        box: ``(4,)`` xywh in the first of them; from the ground truth where None.
        truth: ``(N, 4)`` xywh by frame number, nan where absent.

    Raises:
        BoxError: No box for the first frame.
        EvaluationError: The ground truth ends before the frames do.
    """
    for walk, number, image, row in walked(net, frames, box, truth):
        yield _explain(walk, number, image, row)


def walked(
    net: OSTrack, frames: Iterable[tuple[int, Frame]], box: ArrayLike | None, truth: Truth | None
) -> Iterator[tuple[Walk, int, Frame, Truth | None]]:
    """A walk that starts in the first frame, with each frame after it and what is known there: number, picture, truth.

    Raises:
        BoxError: No box for the first frame.
        EvaluationError: The ground truth ends before the frames do.
    """
    walk = None
    for number, image in frames:
        if truth is not None and number >= len(truth):
            raise EvaluationError(f"the ground truth has {len(truth)} rows, but there is a frame {number}")
        row = None if truth is None else truth[number]
        if walk is None:
            start = row if box is None else box
            if start is None:
                raise BoxError("give the target's box in the first frame, or the ground truth")
            walk = Walk(net, image, start)
        else:
            yield walk, number, image, row


def _explain(walk: Walk, number: int, image: Frame, truth: Truth | None) -> Explained:
    look = walk.look(image)
    found = inspect(walk.net, walk.template, look.search, walk.template_box)
    box = walk.step(image, look.crop, found.box)
    known = truth is not None and bool(np.isfinite(truth).all())
    return Explained(number, image, box, look.crop.from_frame(truth) if truth is not None and known else None, found)


def write_sheets(explained: Explained, folder: Path) -> list[Path]:
    """Write the three sheets of a frame: ``elimination_00012.png``, ``quadrants_00012.png``, ``heads_00012.png``."""
    sheets = {
        "elimination": elimination_sheet(explained.inspection, explained.truth),
        "quadrants": quadrant_sheet(explained.inspection),
        "heads": heads_sheet(explained.inspection),
    }
    return [save_png(folder / f"{name}_{explained.frame:05d}.png", sheet) for name, sheet in sheets.items()]


def explain_clip(
    net: OSTrack,
    source: str | Path | int,
    box: ArrayLike | None,
    out: Path,
    *,
    name: str = "",
    sheets: tuple[int, ...] | None = None,
    truth: Truth | None = None,
    start: int = 0,
    max_frames: int | None = None,
    video: bool = True,
    progress: Progress | None = None,
) -> Report:
    """Explain a clip and write everything to a folder.

    Written are ``explain.json``, ``explain.txt`` (the table), ``explain.mp4`` (frame, tokens and score side by side)
    and three sheets for each frame asked for.

    Args:
        net: In evaluation mode.
        source: As for :func:`ostrack.video.open_source`.
        box: ``(4,)`` xywh in the frame ``start``; from the ground truth where None.
        out: Folder, made if it does not exist.
        name: What to call the network.
        sheets: Numbers of the frames to make sheets of, counted from 0 in the source; the middle one where None.
        truth: ``(N, 4)`` xywh by frame of the source.
        start: First frame.
        max_frames: Stop after so many, the first one counted.
        video: Write the video.
        progress: Called with frames done and their number, or None where unknown.

    Raises:
        BoxError: No box, or one that cannot be tracked.
        OutputError: Something cannot be written.
        SourceError: The source cannot be read, has a single frame, or lacks a frame that a sheet was asked for.
        EvaluationError: The ground truth ends before the clip.
        ValueError: ``start``, ``max_frames`` or the number of a sheet that no clip can have.
    """
    rows: list[tuple[int, Box, Measures]] = []
    outputs: list[Path] = []
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        pictures, total = numbered(opened, start, max_frames)
        wanted = set(sheets if sheets is not None else (start + max(1, (total or 2) // 2),))
        beyond = [number for number in wanted if number <= start or number - start >= (max_frames or math.inf)]
        if beyond:
            last = f"before {start + max_frames}" if max_frames else "on"
            raise ValueError(f"no sheet of frame {min(beyond)}: explained are frames from {start + 1} {last}")
        check_reach(opened, source, start, max_frames, sheets or (), truth)
        make_folder(out)
        sink: VideoSink | None = None
        for explained in explain_frames(net, pictures, box, truth):
            measures = explained.measure()
            if truth is None or explained.truth is not None:
                rows.append((explained.frame, explained.box, measures))
            if explained.frame in wanted:
                outputs += write_sheets(explained, out)
                wanted.discard(explained.frame)
            if video:
                # Not before there is a frame for it: what an earlier run wrote stays where this one cannot begin.
                sink = sink or stack.enter_context(VideoSink(out / "explain.mp4", opened.fps))
                sink.write(film_frame(explained, measures), (explained.frame - start) / opened.fps)
            if progress is not None:
                progress(explained.frame - start + 1, total)
    if not rows:
        raise SourceError(f"{source}: nothing to explain: no frame with a target after frame {start}")
    if wanted:
        raise SourceError(
            f"{source}: no sheet of frame {min(wanted)}: explained were frames {start + 1} to {rows[-1][0]}"
        )
    report = Report(name, truth is not None, tuple(rows), ())
    outputs += [out / "explain.mp4"] if video else []
    return write_report(report, out, outputs)


def explain_images(
    net: OSTrack,
    first: str | Path,
    second: str | Path,
    box: ArrayLike | None,
    out: Path,
    *,
    name: str = "",
    truth: Truth | None = None,
) -> Report:
    """Explain two pictures and write sheets, ``explain.json`` and ``explain.txt`` to a folder.

    Args:
        net: In evaluation mode.
        first: Image file with the target.
        second: Image file in which it is looked for, round the same place.
        box: ``(4,)`` xywh in the first; from the ground truth where None.
        out: Folder, made if it does not exist.
        name: What to call the network.
        truth: ``(2, 4)`` xywh in both.

    Raises:
        BoxError: No box, or one that cannot be tracked.
        DataError: An image cannot be read.
        OutputError: Something cannot be written.
    """
    images = [(number, read_rgb(Path(path))) for number, path in enumerate((first, second))]
    (explained,) = explain_frames(net, images, box, truth)
    outputs = write_sheets(explained, out)
    report = Report(name, explained.truth is not None, ((1, explained.box, explained.measure()),))
    return write_report(report, out, outputs)
