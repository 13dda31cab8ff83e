"""Real video files for tests: a red rectangle that drifts over black, its place known for every frame."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RED = (220, 30, 30)


def moving_boxes(frames: int, size: tuple[int, int] = (160, 120)) -> NDArray[np.float64]:
    """``(frames, 4)`` xywh, whole pixels: a rectangle on an ellipse, one turn every 200 frames."""
    width, height = size
    turn = 2 * np.pi * np.arange(frames) / 200
    x = np.round(width * (0.4 + 0.25 * np.cos(turn)))
    y = np.round(height * (0.4 + 0.2 * np.sin(turn)))
    ones = np.ones(frames)
    return np.stack([x, y, ones * round(width * 0.15), ones * round(height * 0.2)], -1)


def picture(box: Iterable[float], size: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 RGB."""
    x, y, w, h = (int(v) for v in box)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[y : y + h, x : x + w] = RED
    return image


def write_clip(path: Path, frames: int = 40, size: tuple[int, int] = (160, 120), **options: Any) -> NDArray[np.float64]:
    """Write the moving rectangle; returns its boxes."""
    boxes = moving_boxes(frames, size)
    encode(path, (picture(box, size) for box in boxes), **options)
    return boxes


def encode(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    fps: int | Fraction = 25,
    times_s: Iterable[float] | None = None,
    movflags: str = "faststart",
    orientation: dict[str, Any] | None = None,
    matrix: tuple[int, ...] | None = None,
    crf: int = 10,
) -> None:
    """Encode RGB images as H.264.

    Args:
        path: Target; its suffix names the container.
        images: ``(H, W, 3)`` uint8, even sizes.
        fps: Frame rate.
        times_s: Time of each frame in place of a constant rate.
        movflags: For MP4.
        orientation: Arguments of PyAV's ``set_display_rotation``.
        matrix: The nine numbers of a display matrix.
        crf: Quality.
    """
    mp4 = path.suffix == ".mp4"
    times = iter(times_s) if times_s is not None else None
    with av.open(str(path), "w", options={"movflags": movflags} if mp4 else {}) as container:
        stream = None
        for image in images:
            if stream is None:
                options = {"crf": str(crf), "preset": "ultrafast", "g": "25"}
                stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                if times is not None:
                    stream.codec_context.time_base = Fraction(1, 1000)
                if orientation is not None:
                    stream.set_display_rotation(**orientation)
                if matrix is not None:
                    stream.set_display_matrix(matrix)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(next(times) * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode(None))


def decode(path: Path) -> list[NDArray[np.uint8]]:
    """All frames of a file, straight from PyAV: RGB, not turned."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def atoms(path: Path) -> list[str]:
    """The top-level boxes of an MP4 file, in order."""
    data, at, found = path.read_bytes(), 0, []
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8].decode("latin1"))
        at += int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else max(size, 8)
    return found
