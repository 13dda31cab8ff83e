"""Frames of a clip as image files, for those who train on its boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2

from ostrack.video.source import open_source
from ostrack.whole import write_whole

__all__ = ["write_images"]

_QUALITY = 95


def write_images(
    source: str | os.PathLike[str], files: Mapping[int, Path], progress: Callable[[int, int | None], None] | None = None
) -> list[int]:
    """Write some frames of a clip, numbered as the tracker numbers them.

    Args:
        source: The clip, see :func:`ostrack.video.open_source`.
        files: File of each frame by its 0-based number, ``.jpg`` or what else OpenCV writes; folders are made.
        progress: Called after each file with their number so far and in all.

    Returns:
        Frames that the clip does not have.

    Raises:
        SourceError: The clip cannot be read.
        OutputError: A file cannot be written.
    """
    left = dict(files)
    with open_source(source) as opened:
        for frame in opened if left else ():
            file = left.pop(frame.index, None)
            if file is not None:
                bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
                _, data = cv2.imencode(file.suffix, bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
                write_whole(file, data.tobytes())
                if progress is not None:
                    progress(len(files) - len(left), len(files))
            if not left:
                break
    return sorted(left)
