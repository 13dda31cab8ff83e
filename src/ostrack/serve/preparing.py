"""Work: look at a new file and turn it into the strip of pictures that the page shows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.errors import SourceError
from ostrack.serve.media import open_upload
from ostrack.serve.strip import STRIP_SIDE, StripWriter
from ostrack.serve.worker import Report
from ostrack.video.source import SourceWarning

__all__ = ["small_jpeg", "work"]

_QUALITY = 82


def work(request: dict[str, Any], report: Report) -> None:
    """Decode the whole file once.

    Args:
        request: ``source``, ``name``, ``folder`` (of the strip), ``most_frames``, ``most_bytes`` (of the strip).
        report: ``video`` with width, height, fps and the number of frames found so far (and ``problems`` at the
            end); ``progress``.

    Raises:
        SourceError: No video, or more frames than are allowed.
    """
    warnings.simplefilter("ignore", SourceWarning)
    name, most = request["name"], request["most_frames"]
    with open_upload(Path(request["source"]), name) as source, StripWriter(Path(request["folder"])) as strip:
        width, height = source.size
        about = source.frame_count
        if about is not None and about > most * 1.05:
            raise SourceError(f"{name} has about {about} frames; up to {most} are taken here. Cut it first.")
        video = {"width": width, "height": height, "fps": source.fps}
        for frame in source:
            if strip.frames == most:
                raise SourceError(f"{name} has more than {most} frames, the most that are taken here. Cut it first.")
            if strip.bytes > request["most_bytes"]:
                raise SourceError(f"{name} needs more space than the server has left.")
            strip.write(small_jpeg(frame.image), frame.time_s)
            if strip.frames == 1:
                report("video", **video, frames=1, problems=[])
            report("progress", done=strip.frames, total=about)
        problems = [problem.replace(source.name, name) for problem in source.problems]
        report("video", **video, frames=strip.frames, problems=problems)


def small_jpeg(image: NDArray[np.uint8]) -> bytes:
    """A frame, ``(H, W, 3)`` uint8 RGB, as a JPEG whose longest side is at most ``STRIP_SIDE``."""
    height, width = image.shape[:2]
    scale = STRIP_SIDE / max(width, height)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise SourceError(f"a frame of {width} x {height} cannot be made into a picture")
    return data.tobytes()
