"""A folder of numbered images as a source."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.errors import SourceError
from ostrack.pictures import IMAGE_SUFFIXES, decode_rgb, natural_key
from ostrack.video.source import DEFAULT_FPS, Frame, Source

__all__ = ["FolderSource", "read_image"]


def read_image(path: Path) -> NDArray[np.uint8] | None:
    """Read an image, turned as its EXIF data says.

    Returns:
        ``(H, W, 3)`` uint8 RGB, or None where the file holds no image that can be decoded.
    """
    # Read here and not by OpenCV, which cannot open non-ASCII paths on Windows.
    return decode_rgb(path.read_bytes())


class FolderSource(Source):
    """The images of a folder in natural order; an unreadable one is named and passed over.

    Raises:
        SourceError: No images, or the first cannot be read.
    """

    def __init__(self, folder: Path, fps: float | None = None) -> None:
        super().__init__(str(folder))
        self.fps = fps or DEFAULT_FPS
        # Hidden files are no frames: macOS leaves one such as ._1.jpg beside each image on drives of other systems.
        seen = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."]
        self._paths = sorted(filter(Path.is_file, seen), key=lambda path: natural_key(path.name))
        if not self._paths:
            raise SourceError(f"{folder}: no images in this folder ({', '.join(sorted(IMAGE_SUFFIXES))})")
        self.frame_count = len(self._paths)
        first = self._read(self._paths[0])
        if first is None:
            raise SourceError(f"{self._paths[0]}: cannot be read as an image")
        self.size = (first.shape[1], first.shape[0])

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Deliver the images from ``start`` on; see :meth:`Source.frames`.

        Raises:
            SourceError: An image differs in size from the first, or there are fewer than ``start``.
        """
        if start >= len(self._paths):
            raise self._too_short(start, len(self._paths))
        for index in range(start, len(self._paths)):
            frame = self.at(index)
            if frame is not None:
                yield frame

    def at(self, index: int) -> Frame | None:
        """One image by its number; None where it cannot be read, which is noted.

        Raises:
            SourceError: It differs in size from the first.
        """
        path = self._paths[index]
        image = self._read(path)
        if image is None:
            self._problem(f"{path}: cannot be read as an image; frame {index} was passed over")
            return None
        size = (image.shape[1], image.shape[0])
        if size != self.size:
            raise SourceError(f"{path}: is {size[0]}x{size[1]} but the folder began with {self.size[0]}x{self.size[1]}")
        return Frame(index, index / self.fps, image)

    @staticmethod
    def _read(path: Path) -> NDArray[np.uint8] | None:
        try:
            return read_image(path)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing stays open."""
