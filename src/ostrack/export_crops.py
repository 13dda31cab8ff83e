"""Crops to try exported networks on: noise, made-up scenes, and what a tracker sees of real clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostrack.config import OSTrackConfig
from ostrack.crop import cut_crop, normalise
from ostrack.data.annotations import clips, read_folder
from ostrack.data.benchmarks import load_sequences
from ostrack.data.sequence import Sequence as Clip
from ostrack.errors import DataError
from ostrack.network import Network
from ostrack.runtimes import FloatArray, Maps
from ostrack.tracker import Tracker

__all__ = ["Crops", "Sample", "crops", "followed", "labelled", "labelled_clips", "scene"]

Sample: TypeAlias = tuple[NDArray[np.uint8], ArrayLike]
"""A frame ``(H, W, 3)`` uint8 RGB and a box xywh in it, pixels."""

_NOISE, _SCENES = 4, 8


@dataclass(frozen=True)
class Crops:
    """Inputs to compare on, one row each: ``(B, 3, Hz, Wz)``, ``(B, 3, Hx, Wx)`` and ``(B, 4)``, float32."""

    template: NDArray[np.float32]
    search: NDArray[np.float32]
    template_box: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.template)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Crops:
        """Some of the rows."""
        return Crops(*(np.ascontiguousarray(getattr(self, field.name)[rows]) for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Crops]) -> Crops:
        """All rows of several."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def crops(config: OSTrackConfig, samples: Sequence[Sample], seed: int = 0) -> Crops:
    """Pairs of crops: some of noise, some of made-up scenes, one of each sample.

    Args:
        config: Crop sizes and factors.
        samples: Frames with a box each; the search crop is cut a little off the box, as when a target has moved.
        seed: Of the noise and the scenes.
    """
    rng = np.random.default_rng(seed)
    template = [_noise(rng, config.template_size) for _ in range(_NOISE)]
    search = [_noise(rng, config.search_size) for _ in range(_NOISE)]
    boxes = [np.array([0.5, 0.5, *rng.uniform(0.2, 0.7, 2)]) for _ in range(_NOISE)]
    for frame, box in [*(scene(rng) for _ in range(_SCENES)), *samples]:
        x, y, w, h = (float(v) for v in np.asarray(box, dtype=np.float64))
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        at = cut_crop(frame, (x, y, w, h), config.template_factor, config.template_size)
        around = cut_crop(frame, (x + dx * w, y + dy * h, w, h), config.search_factor, config.search_size)
        template.append(normalise(at.image))
        search.append(normalise(around.image))
        boxes.append(at.from_frame((x, y, w, h)))
    return Crops(*(np.stack(rows).astype(np.float32) for rows in (template, search, boxes)))


def _noise(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    return rng.standard_normal((3, size, size), dtype=np.float32)


def scene(rng: np.random.Generator, height: int = 240, width: int = 320) -> Sample:
    """A frame with the spectrum of photographs (noise of all scales, coarse ones strongest) and a few objects.

    Returns:
        ``(H, W, 3)`` uint8 and the xywh of one of its objects.
    """
    frame: NDArray[np.float64] = np.zeros((height, width, 3))
    for cells in (2, 4, 8, 16, 32, 64, 128):
        grid = rng.standard_normal((cells, cells, 3))
        octave = np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float64)
        frame += octave / cells**0.7
    frame = 110 + 60 * frame / frame.std()
    x, y, w, h = 0.0, 0.0, 0.0, 0.0
    for _ in range(4):
        w, h = rng.uniform(20, 80, 2)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        centre, axes = (round(x + w / 2), round(y + h / 2)), (round(w / 2), round(h / 2))
        cv2.ellipse(frame, centre, axes, 0, 0, 360, rng.uniform(0, 255, 3).tolist(), -1, cv2.LINE_AA)
    frame += rng.normal(0, 3, frame.shape)
    return frame.clip(0, 255).astype(np.uint8), (x, y, w, h)


def labelled_clips(folder: Path) -> list[Clip]:
    """Clips of a folder of annotated images (``annotations.json``) or of a benchmark's layout.

    Raises:
        DataError: There are none.
    """
    annotated = (folder / "annotations.json").is_file()
    found = clips(read_folder(folder)) if annotated else list(load_sequences(folder))
    if not found:
        raise DataError(f"{folder}: no clip with boxes; expected frames of a clip with one box each")
    return found


def labelled(config: OSTrackConfig, sequences: Sequence[Clip], count: int, seed: int = 0) -> Crops:
    """Pairs of crops from labelled clips, the search crop off the target by about as much as while tracking.

    Args:
        config: Crop sizes and factors.
        sequences: The clips.
        count: Pairs, dealt out over the clips in turn.
        seed: Of the choice of frames.

    Raises:
        DataError: No clip has two frames in which the target is seen.
    """
    rng = np.random.default_rng(seed)
    seen = [(clip, np.flatnonzero(clip.visible)) for clip in sequences]
    seen = [(clip, frames) for clip, frames in seen if len(frames) > 1]
    if not seen:
        raise DataError("no clip has two frames in which the target is seen")
    rows = []
    for number in range(count):
        clip, frames = seen[number % len(seen)]
        first, second = (int(frame) for frame in np.sort(rng.choice(frames, 2, replace=False)))
        box, (x, y, w, h) = clip.boxes[first], clip.boxes[second]
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        grown = np.exp(rng.normal(0, 0.1, 2)) * (w, h)
        around = (x + w / 2 + dx * w - grown[0] / 2, y + h / 2 + dy * h - grown[1] / 2, *grown)
        rows.append(_pair(config, (clip.frames[first], box), (clip.frames[second], around)))
    return _stacked(rows)


def followed(network: Network, frames: Iterable[NDArray[np.uint8]], box: ArrayLike) -> Crops:
    """Pairs of crops from a clip without labels: what a tracker cuts while it follows a target.

    Args:
        network: Follows.
        frames: ``(H, W, 3)`` uint8 RGB.
        box: xywh in the first of them, pixels.

    Raises:
        DataError: There are fewer than two frames.
    """
    recorder = _Recorder(network)
    tracker = Tracker(Network(recorder))
    for number, frame in enumerate(frames):
        if number == 0:
            tracker.init(frame, box)
        else:
            tracker.update(frame)
    if not recorder.rows:
        raise DataError("the clip is too short: two frames or more are needed")
    return _stacked(recorder.rows)


class _Recorder:
    """A runtime that keeps the crops of one target on their way to a network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.config, self.name = network.config, network.name
        self.description, self.token_width = network.runtime, network.token_width
        self.rows: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self._template: tuple[FloatArray, FloatArray] | None = None

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        boxes = np.zeros((len(templates), 4), np.float32) if template_boxes is None else template_boxes
        self._template = self._template or (templates[0].copy(), boxes[0].copy())
        return self._network.embed(templates, template_boxes)

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        if self._template is not None:
            template, box = self._template
            self.rows.append((template, searches[0].copy(), box))
        return self._network.search(tokens, searches)


def _pair(config: OSTrackConfig, template: Sample, search: Sample) -> tuple[FloatArray, FloatArray, FloatArray]:
    box = np.asarray(template[1], dtype=np.float64)
    at = cut_crop(template[0], box, config.template_factor, config.template_size)
    around = cut_crop(search[0], np.asarray(search[1], dtype=np.float64), config.search_factor, config.search_size)
    return normalise(at.image), normalise(around.image), at.from_frame(box).astype(np.float32)


def _stacked(rows: Sequence[tuple[FloatArray, FloatArray, FloatArray]]) -> Crops:
    return Crops(*(np.stack(column).astype(np.float32) for column in zip(*rows, strict=True)))
