"""Folders of images with boxes: ``FOLDER/annotations.json`` beside ``images/`` and, where there are any, ``masks/``.

Each entry is ``{"image", "size": [w, h], "boxes": [[x, y, w, h], ...]}`` and, where they apply, ``mask`` (8-bit PNG,
value ``i + 1`` marks box ``i``), ``video`` / ``frame`` / ``track`` (the image is a frame of a clip), ``cutout``
(the image itself is an RGBA cut-out) and ``auto`` (boxes made by a program).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.data.images import read_rgb
from ostrack.data.sequence import Sequence
from ostrack.errors import DataError

__all__ = ["AnnotatedImage", "Box", "ImageFiles", "clips", "read_folder"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and what is known of it.

    Attributes:
        path: Image file.
        size: Width and height in pixels.
        boxes: xywh in pixels, 0-based; only boxes with finite numbers and an area of at least one pixel.
        mask_values: Value of each box in the mask.
        mask: Mask file, or None.
        source: Name of the folder it came from.
        video: Clip it belongs to, or None.
        frame: Sort key within the clip.
        track: Target within the clip.
        cutout: The image is an RGBA cut-out of one object.
        auto: The boxes were made by a program.
        left_out: Boxes that cannot be used: a number that is not finite, or less than a pixel wide or high.
    """

    path: Path
    size: tuple[int, int]
    boxes: tuple[Box, ...]
    mask_values: tuple[int, ...]
    mask: Path | None
    source: str
    video: str | None = None
    frame: int | str = 0
    track: int | str = 0
    cutout: bool = False
    auto: bool = False
    left_out: int = 0


@dataclass(frozen=True)
class ImageFiles:
    """Frames of a clip in image files, decoded when asked for.

    Attributes:
        paths: One file for each frame.
    """

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8 RGB."""
        return read_rgb(self.paths[index])

    def name(self, index: int) -> str:
        """Path of the file."""
        return str(self.paths[index])


def _usable(box: Iterable[float]) -> bool:
    x, y, w, h = (float(v) for v in box)
    return all(math.isfinite(v) for v in (x, y, w, h)) and w >= 1 and h >= 1


def read_folder(folder: Path) -> list[AnnotatedImage]:
    """Read one annotated folder.

    Args:
        folder: Holds ``annotations.json``.

    Returns:
        One entry per listed image; boxes that cannot be used are left out and counted.

    Raises:
        DataError: The file is missing, is not JSON, or an entry lacks a key; the message names file and entry.
    """
    file = folder / "annotations.json"
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file}: not found; expected a list of images with boxes") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not JSON: byte {error.start} is not UTF-8") from None
    if not isinstance(entries, list):
        raise DataError(f"{file}: expected a list of images, found {type(entries).__name__}")
    images = []
    for number, entry in enumerate(entries):
        try:
            boxes = [(i + 1, tuple(float(v) for v in box)) for i, box in enumerate(entry["boxes"]) if _usable(box)]
            width, height = entry["size"]
            images.append(
                AnnotatedImage(
                    path=folder / entry["image"],
                    size=(int(width), int(height)),
                    boxes=tuple(box for _, box in boxes),  # type: ignore[misc]  # four numbers: checked by _usable
                    mask_values=tuple(value for value, _ in boxes),
                    mask=folder / entry["mask"] if entry.get("mask") else None,
                    source=folder.name,
                    video=entry.get("video"),
                    frame=entry.get("frame", 0),
                    track=entry.get("track", 0),
                    cutout=bool(entry.get("cutout", False)),
                    auto=bool(entry.get("auto", False)),
                    left_out=len(entry["boxes"]) - len(boxes),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{file}: entry {number}: {error!r}; expected image, size [w, h] and boxes") from None
    return images


def clips(images: Iterable[AnnotatedImage], min_frames: int = 2) -> list[Sequence]:
    """Group frames of one target into clips.

    Args:
        images: Frames with a video name and exactly one box; others are passed over.
        min_frames: Shorter clips are left out.

    Returns:
        Clips named ``source/video/track``, sorted by name, their frames in order of time.

    Raises:
        DataError: Frame marks of one clip are numbers and strings mixed.
    """
    groups: dict[str, list[AnnotatedImage]] = defaultdict(list)
    for image in images:
        if image.video is not None and len(image.boxes) == 1:
            groups[f"{image.source}/{image.video}/{image.track}"].append(image)
    found = []
    for name, frames in sorted(groups.items()):
        if len(frames) < min_frames:
            continue
        try:
            frames.sort(key=lambda image: image.frame)
        except TypeError:
            raise DataError(f"{name}: its frame marks are numbers and strings; they cannot be put in order") from None
        boxes = np.array([image.boxes[0] for image in frames], dtype=np.float64)
        paths = ImageFiles(tuple(image.path for image in frames))
        seen, scene = np.ones(len(frames), dtype=bool), name.rpartition("/")[0]
        found.append(Sequence(name, paths, boxes, seen, dataset=frames[0].source, scene=scene))
    return found
