"""Crops of one frame through the network in one call, and what it points at in each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import clip_xywh
from ostrack.checks import Box, Frame
from ostrack.crop import Crop, cut_crop, normalise
from ostrack.decode import decode
from ostrack.network import Network
from ostrack.recovery import Sighting
from ostrack.runtimes import FloatArray, Maps

__all__ = ["Gaze", "Look", "Sought", "View", "kept_inside"]

_LEAST_SIDE = 2.0
_LEAST_SIDE_OFFICIAL = 10.0


@dataclass(frozen=True)
class Look:
    """Where to look.

    Attributes:
        box: x, y, w, h in frame pixels; the search region is a square round it.
        factor: Side of that square over the square root of the box's area.
        window: Strength of the window that favours its middle.
        tokens: ``(Nz, D)`` float32, the template to look for where it is not the target's first.
    """

    box: Box
    factor: float
    window: float
    tokens: FloatArray | None = None


@dataclass(frozen=True)
class View:
    """What the network answered about each look of a frame.

    Attributes:
        network: The network, for its calibration.
        frame_size: Height and width in pixels.
        looks: Where it looked.
        crops: What it saw there.
        maps: What it said.
        faithful: Whether the official tracker's conventions are kept.
    """

    network: Network
    frame_size: tuple[int, int]
    looks: Sequence[Look]
    crops: Sequence[Crop]
    maps: Maps
    faithful: bool

    def sightings(self, closed: NDArray[np.bool_] | None = None) -> list[Sighting]:
        """The best box of each look.

        Args:
            closed: ``(B, S, S)`` cells that may not be chosen.
        """
        peaks = decode(self.maps, [look.window for look in self.looks], closed)
        calibration = self.network.calibration
        sure = peaks.scores
        if calibration is not None:
            sure = calibration(peaks.scores, peaks.windowed, peaks.rivals)
        numbers = np.stack([peaks.scores, peaks.windowed, peaks.rivals, sure], -1).tolist()
        found = []
        for look, crop, box, (score, windowed, rival, confidence) in zip(
            self.looks, self.crops, peaks.boxes, numbers, strict=True
        ):
            if np.isfinite(box).all():
                place = crop.to_frame(box, self.faithful).tolist()
            else:  # an answer that is no number is no find
                place, score, windowed, confidence = look.box, 0.0, 0.0, 0.0
            found.append(
                Sighting(kept_inside(place, self.frame_size, self.faithful), score, windowed, rival, confidence)
            )
        return found


@dataclass(frozen=True)
class Sought:
    """What to look for.

    Attributes:
        template: Crop round the target.
        box: ``(4,)`` float32 cxcywh, the target relative to that crop.
        tokens: ``(1, Nz, D)`` float32, the crop as the network embeds it.
    """

    template: Crop
    box: FloatArray
    tokens: FloatArray


class Gaze:
    """Looks at frames through a network.

    Attributes:
        network: The network.
        faithful: Whether crops and boxes follow the official tracker's conventions.
    """

    def __init__(self, network: Network, faithful: bool = False) -> None:
        """Look through a network."""
        self.network = network
        self.faithful = faithful
        self._searches = np.empty((0, 3, network.config.search_size, network.config.search_size), np.float32)

    def embed(self, frame: Frame, box: Box) -> Sought:
        """Take what is in a box as what to look for."""
        config = self.network.config
        template = cut_crop(frame, box, config.template_factor, config.template_size, self.faithful)
        relative = template.from_frame(box).astype(np.float32)
        return Sought(template, relative, self.network.embed(normalise(template.image)[None], relative[None]))

    def __call__(self, frame: Frame, looks: Sequence[Look], tokens: FloatArray) -> View:
        """Look at one frame.

        Args:
            frame: ``(H, W, 3)`` uint8 RGB.
            looks: Where; at least one.
            tokens: ``(B, Nz, D)`` the template to look for in each.

        Returns:
            What is there. Its maps are the network's own until the next call.
        """
        size = self.network.config.search_size
        crops = [cut_crop(frame, look.box, look.factor, size, self.faithful) for look in looks]
        return self.at(crops, looks, tokens, frame.shape[:2])

    def at(self, crops: Sequence[Crop], looks: Sequence[Look], tokens: FloatArray, frame_size: tuple[int, int]) -> View:
        """Look at crops that were cut before, of a frame of this height and width."""
        if len(self._searches) < len(crops):
            self._searches = np.empty((len(crops), *self._searches.shape[1:]), np.float32)
        searches = self._searches[: len(crops)]
        for crop, place in zip(crops, searches, strict=True):
            normalise(crop.image, out=place)
        maps = self.network.search(tokens, searches)
        return View(self.network, frame_size, looks, crops, maps, self.faithful)


def kept_inside(box_xywh: Sequence[float], frame_size: tuple[int, int], faithful: bool = False) -> Box:
    """The part of a box within the frame (height, width), never without an area: 2 px, or the official 10."""
    height, width = frame_size
    least = _LEAST_SIDE_OFFICIAL if faithful else _LEAST_SIDE
    x, y, w, h = clip_xywh(box_xywh, width, height, least).tolist()
    return x, y, w, h
