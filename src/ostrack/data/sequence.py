"""One labelled clip: frames, boxes and what the labels say about them.

All benchmarks and training sets are read into :class:`Sequence`. Pixels are 0-based: the left edge of the first
column is ``x = 0``. Sets labelled in MATLAB's 1-based pixels are shifted by one on reading and say so in
``Sequence.first_pixel``; add it to x and y to get the benchmark's own numbers back.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.errors import DataError

__all__ = ["ArrayFrames", "FrameList", "LabelledImage", "Sequence", "polygon_to_xywh"]


class FrameList(Protocol):
    """Frames of one clip, decoded when asked for."""

    def __len__(self) -> int:
        """Number of frames."""

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index``: ``(H, W, 3)`` uint8 RGB.

        Raises:
            DataError: The frame is missing or broken; the message names it.
        """

    def name(self, index: int) -> str:
        """Where frame ``index`` comes from, for messages: a path or a key."""


@dataclass(frozen=True)
class ArrayFrames:
    """Frames that are in memory already.

    Attributes:
        images: ``(H, W, 3)`` uint8 RGB each.
        label: Stands for the path in messages.
    """

    images: Items[NDArray[np.uint8]]
    label: str = "memory"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.images[index]

    def name(self, index: int) -> str:
        """``label`` and the index."""
        return f"{self.label}[{index}]"


@dataclass(frozen=True, eq=False)
class Sequence:
    """A labelled clip of one target.

    Attributes:
        name: Name within its set, as the benchmark's result files spell it.
        frames: The ``N`` frames.
        boxes: ``(N, 4)`` float64 xywh, 0-based pixels; all nan where the target is absent or not labelled.
        visible: ``(N,)`` bool: labelled and seen, by the set's own rule; never True where the box is nan.
        attributes: Names of the challenges the clip shows (occlusion, fast motion, ...).
        cover: ``(N,)`` float64 share of the target that is seen, 0 to 1, where the set tells (GOT-10k).
        region: ``(N, 8)`` float64 polygon corners x1, y1, ... x4, y4 in 0-based pixels, where the set gives them.
        dataset: Set it belongs to, in lower case (``"otb100"``).
        first_pixel: Number that the set's own files give to the first pixel: 0 or 1.
        frame_labels: Further per-frame marks of the set by name, each ``(N,)`` bool (VOT's tags, GOT-10k's cuts).
        scene: What it shares with clips of other targets in the same pictures; empty where there are none.
    """

    name: str
    frames: FrameList
    boxes: NDArray[np.float64]
    visible: NDArray[np.bool_]
    attributes: tuple[str, ...] = ()
    cover: NDArray[np.float64] | None = None
    region: NDArray[np.float64] | None = None
    dataset: str = ""
    first_pixel: int = 0
    frame_labels: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    scene: str = ""

    def __post_init__(self) -> None:
        count = len(self.frames)
        rows: dict[str, tuple[NDArray[Any] | None, tuple[int, ...]]] = {
            "boxes": (self.boxes, (count, 4)),
            "visible": (self.visible, (count,)),
            "cover": (self.cover, (count,)),
            "region": (self.region, (count, 8)),
            **{name: (mask, (count,)) for name, mask in self.frame_labels.items()},
        }
        for key, (array, shape) in rows.items():
            if array is not None and array.shape != shape:
                raise DataError(f"{self.name}: {count} frames need {key} of shape {shape}, got {array.shape}")
        wrong = self.visible & ~np.isfinite(self.boxes).all(-1)
        if wrong.any():
            raise DataError(f"{self.name}: frame {int(wrong.argmax())} is marked visible but has no box")

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One still image with many boxes: the image form of a :class:`Sequence`.

    Attributes:
        name: File name of the image within its set.
        frames: A list of one frame.
        boxes: ``(K, 4)`` float64 xywh, 0-based pixels; all with an area.
        categories: ``K`` class names, empty strings where the set does not tell.
        mask: Gives the ``(H, W)`` bool mask of box ``k``, or None where the set has none for it.
        dataset: Set it belongs to, in lower case.
    """

    name: str
    frames: FrameList
    boxes: NDArray[np.float64]
    categories: tuple[str, ...]
    mask: Callable[[int], NDArray[np.bool_] | None] = field(repr=False)
    dataset: str = ""

    def __post_init__(self) -> None:
        if len(self.frames) != 1 or self.boxes.shape != (len(self.categories), 4):
            raise DataError(
                f"{self.name}: one frame and a category for each of (K, 4) boxes expected, got {len(self.frames)} "
                f"frames, boxes of shape {self.boxes.shape} and {len(self.categories)} categories"
            )

    def __len__(self) -> int:
        return len(self.boxes)


def polygon_to_xywh(polygon: ArrayLike, keep_area: bool = False) -> NDArray[np.float64]:
    """Axis-aligned box of a polygon.

    Args:
        polygon: ``(..., 2 * K)`` corners x1, y1, x2, y2, ... in pixels.
        keep_area: Shrink the bounding box about the corners' mean so that it has the area of the polygon's first
            four corners' rectangle, the convention of several VOT trackers, instead of the bounding box.

    Returns:
        ``(..., 4)`` xywh; nan where a corner is nan.
    """
    corners = np.asarray(polygon, dtype=np.float64)
    corners = corners.reshape(*corners.shape[:-1], -1, 2)
    low, high = corners.min(-2), corners.max(-2)
    if not keep_area:
        return np.concatenate([low, high - low], -1)
    sides = np.linalg.norm(np.diff(corners[..., :3, :], axis=-2), axis=-1).prod(-1)
    bounds = (high - low).prod(-1)
    scale = np.sqrt(sides / np.where(bounds > 0, bounds, 1.0))[..., None]
    size = scale * (high - low) + 1
    return np.concatenate([corners.mean(-2) - size / 2, size], -1)
