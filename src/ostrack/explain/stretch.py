"""The stretch of a clip that is explained: its frames, and what is refused before any of them is looked at."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.checks import Frame
from ostrack.errors import EvaluationError, OutputError, SourceError
from ostrack.video.clip import open_clip
from ostrack.video.source import Source

__all__ = ["check_reach", "make_folder", "numbered"]


def numbered(source: Source, start: int, max_frames: int | None) -> tuple[Iterator[tuple[int, Frame]], int | None]:
    """Numbers and pictures of the frames from ``start`` on, and how many there are where that is known.

    Args:
        source: Opened.
        start: First frame.
        max_frames: Stop after so many, the first one counted.

    Raises:
        ValueError: ``start`` is negative, or no frame is left beside the first, which shows the target only.
    """
    if start < 0 or (max_frames is not None and max_frames < 2):
        raise ValueError(f"start must be 0 or more and max_frames 2 or more, got {start} and {max_frames}")
    pictures = ((frame.index, frame.image) for frame in source.frames(start))
    left = [] if source.frame_count is None else [source.frame_count - start]
    limit = [] if max_frames is None else [max_frames]
    return islice(pictures, max_frames), min(left + limit, default=None)


def check_reach(
    opened: Source,
    source: str | Path | int,
    start: int,
    max_frames: int | None,
    sheets: Collection[int],
    truth: NDArray[np.float64] | None,
) -> None:
    """Refuse a sheet behind the end of the clip, and a ground truth that ends before it.

    Args:
        opened: The source; one of unknown length may hold anything.
        source: What it was opened from.
        start: First frame.
        max_frames: Stop after so many, the first one counted.
        sheets: Numbers of the frames to make sheets of.
        truth: ``(N, 4)`` by frame of the source; None where it is not known.

    Raises:
        EvaluationError: The ground truth is too short.
        SourceError: There is no such frame.
    """
    rows = math.inf if truth is None else len(truth)
    stop = math.inf if max_frames is None else start + max_frames
    count = opened.frame_count
    if count is None or (max(sheets, default=0) < count and min(count, stop) <= rows):
        return
    # What a file states of its length may be wrong, and was estimated where it states none.
    count = open_clip(str(source)).frame_count
    if max(sheets, default=0) >= count:
        raise SourceError(f"{source}: no sheet of frame {max(sheets)}: its frames are 0 to {count - 1}")
    if min(count, stop) > rows:
        raise EvaluationError(f"the ground truth has {rows} rows, but there is a frame {min(count, stop) - 1}")


def make_folder(out: Path) -> None:
    """Make a folder to write to, where there is none.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror})") from error
