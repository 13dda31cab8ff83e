"""Where the time of a frame goes: reading it, cutting the crop, the network, its maps, bookkeeping, drawing."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ostrack.checks import Frame
from ostrack.crop import cut_crop, normalise
from ostrack.decode import decode
from ostrack.errors import SourceError
from ostrack.network import Maps, Network
from ostrack.runtimes import FloatArray
from ostrack.tracker import Tracker
from ostrack.video import open_source
from ostrack.video.draw import draw_tracks

__all__ = ["STAGES", "ClockedRuntime", "Latency", "Stages", "measure_latency", "measure_stages"]

STAGES = ("read", "crop", "network", "decode", "keep", "draw")
"""Reading and decoding the video's frame; cutting and normalising the search crop; the network; from its maps to the
box; what else the tracker does; drawing the box."""


class ClockedRuntime:
    """A network behind a clock: ``Network(ClockedRuntime(network))`` is one that a tracker takes like any other.

    Attributes:
        config: Architecture of the network.
        name: The network's name.
        description: What runs it.
        token_width: Width of a template token.
        seconds: Time spent in searches since it was last set to 0.
        answer: What the last search said.
        scratch: ``(3, Hx, Wx)`` float32, to normalise crops into.
    """

    def __init__(self, network: Network) -> None:
        """Put a clock on a loaded network."""
        self._network = network
        self.config, self.name = network.config, network.name
        self.description, self.token_width = network.runtime, network.token_width
        self.seconds = 0.0
        self.answer: Maps | None = None
        self.scratch = np.empty((3, self.config.search_size, self.config.search_size), np.float32)

    def embed(self, templates: FloatArray, template_boxes: FloatArray | None) -> FloatArray:
        """Template tokens; not timed, for they are made once for each target and now and then for a later view."""
        return self._network.embed(templates, template_boxes)

    def search(self, tokens: FloatArray, searches: FloatArray) -> Maps:
        """Look for the targets, timed."""
        began = time.perf_counter()
        self.answer = self._network.search(tokens, searches)
        self.seconds += time.perf_counter() - began
        return self.answer


@dataclass(frozen=True)
class Latency:
    """Time of one call of a network, in milliseconds.

    Attributes:
        median: Half of the runs were faster.
        fastest: The fastest run.
        runs: How many were timed.
        batch: Pairs of crops in one run.
    """

    median: float
    fastest: float
    runs: int
    batch: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(vars(self))

    def text(self) -> str:
        """One line."""
        rate = 1e3 * self.batch / self.median
        return (
            f"{self.median:.1f} ms median of {self.runs} (fastest {self.fastest:.1f}), batch {self.batch}: "
            f"{rate:.1f} targets a second; network only, no cropping"
        )


@dataclass(frozen=True)
class Stages:
    """Time of a tracked frame by stage.

    Attributes:
        clip: Name of the source.
        size: Width and height of its frames.
        frames: Frames timed.
        milliseconds: For each stage of :data:`STAGES` the time of every frame.
    """

    clip: str
    size: tuple[int, int]
    frames: int
    milliseconds: dict[str, tuple[float, ...]]

    @property
    def medians(self) -> dict[str, float]:
        """Median of each stage, milliseconds."""
        return {name: statistics.median(times) for name, times in self.milliseconds.items()}

    @property
    def frame(self) -> float:
        """Median time of a whole frame, milliseconds."""
        return statistics.median(map(sum, zip(*self.milliseconds.values(), strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: medians in milliseconds."""
        return {
            "clip": self.clip,
            "size": list(self.size),
            "frames": self.frames,
            "frame_ms": self.frame,
            "stages_ms": self.medians,
        }

    def text(self) -> str:
        """A table."""
        told = {
            "read": "read and decode the frame",
            "crop": "cut and normalise the crop",
            "network": "network",
            "decode": "maps to a box",
            "keep": "rest of the tracker",
            "draw": "draw the box",
        }
        total, medians = self.frame, self.medians
        lines = [f"{'stage':<28} {'ms, median':>10} {'share':>7}"]
        lines += [f"{told[name]:<28} {medians[name]:>10.2f} {medians[name] / total:>7.1%}" for name in STAGES]
        width, height = self.size
        lines.append(f"{'whole frame':<28} {total:>10.2f} {1e3 / total:>5.1f} fps")
        lines.append(f"one target, {self.frames} frames of {Path(self.clip).name} ({width} x {height})")
        return "\n".join(lines)


def measure_stages(
    network: Network,
    clip: str | Path,
    box: Sequence[float],
    start: int = 0,
    frames: int = 40,
    warm_up: int = 5,
    progress: Callable[[int, int | None], None] | None = None,
) -> Stages:
    """Follow one target through a clip with a clock at every stage.

    The tracker is the one that users run; its crop and its decoding are done once more beside it, on the same frame
    and the same maps, to learn what they take of its time.

    Args:
        network: What to time.
        clip: Video file or folder of images.
        box: ``(4,)`` xywh in pixels of frame ``start``.
        start: 0-based frame that the box belongs to.
        frames: Frames timed at most; fewer where the clip ends.
        warm_up: Frames before that: a runtime allocates and tunes during its first calls.
        progress: Called after each frame with the number done and the total or None.

    Returns:
        Times of each stage.

    Raises:
        SourceError: The clip cannot be read, or ends before the first timed frame.
        BoxError: The box cannot be tracked.
        ValueError: ``frames`` is not positive.
    """
    if frames < 1 or warm_up < 0 or start < 0:
        raise ValueError(f"expected frames from 1 and warm_up, start from 0, got {frames}, {warm_up}, {start}")
    clocked = ClockedRuntime(network)
    tracker = Tracker(Network(clocked, network.calibration))
    rows: list[tuple[float, ...]] = []
    with open_source(clip) as source:
        images = source.frames(start)
        first = next(images, None)
        if first is None or first.index != start:
            raise SourceError(f"{source.name}: frame {start}, which the box belongs to, cannot be read")
        tracker.init(first.image, tuple(box))
        for done in range(warm_up + frames):
            began = time.perf_counter()
            frame = next(images, None)
            read = time.perf_counter() - began
            if frame is None:
                break
            row = (read, *_follow(tracker, clocked, frame.image))
            if done >= warm_up:
                rows.append(row)
            if progress is not None:
                progress(done + 1, warm_up + frames)
        if not rows:
            raise SourceError(f"{source.name}: ends within {warm_up} frames of frame {start}, nothing is left to time")
        name, size = source.name, source.size
    columns = zip(*rows, strict=True)
    times = {stage: tuple(1e3 * t for t in column) for stage, column in zip(STAGES, columns, strict=True)}
    return Stages(name, size, len(rows), times)


def _follow(tracker: Tracker, clocked: ClockedRuntime, image: Frame) -> tuple[float, float, float, float, float]:
    """Seconds of every stage but the first, for one frame."""
    last = [state.box for state in tracker.targets.values()]
    clocked.seconds = 0.0
    began = time.perf_counter()
    found = tracker.update(image)
    whole = time.perf_counter() - began
    tracks = found if isinstance(found, dict) else {found.id: found}
    size = tracker.network.config.search_size
    began = time.perf_counter()
    for box in last:
        normalise(cut_crop(image, box, tracker.search_factor, size, tracker.faithful).image, out=clocked.scratch)
    crop = time.perf_counter() - began
    began = time.perf_counter()
    if clocked.answer is not None:
        decode(clocked.answer, tracker.window)
    decoding = time.perf_counter() - began
    began = time.perf_counter()
    draw_tracks(image, tracks)
    drawing = time.perf_counter() - began
    keep = max(whole - clocked.seconds - crop - decoding, 0.0)
    return crop, clocked.seconds, decoding, keep, drawing


def measure_latency(network: Network, batch: int = 1, runs: int = 50, warm_up: int = 5) -> Latency:
    """Time calls of a network on noise.

    Args:
        network: In whichever runtime.
        batch: Pairs of crops in one call.
        runs: Calls timed.
        warm_up: Calls before that.

    Returns:
        Milliseconds.

    Raises:
        ValueError: A number that is not positive.
    """
    if batch < 1 or runs < 1 or warm_up < 0:
        raise ValueError(f"expected batch and runs from 1 and warm_up from 0, got {batch}, {runs} and {warm_up}")
    config, noise = network.config, np.random.default_rng(0)
    template = noise.standard_normal((batch, 3, config.template_size, config.template_size), np.float32)
    search = noise.standard_normal((batch, 3, config.search_size, config.search_size), np.float32)
    box = np.full((batch, 4), 0.5, np.float32)
    tokens, times = network.embed(template, box), []
    for _ in range(warm_up + runs):
        began = time.perf_counter()
        network.search(tokens, search)
        times.append(1e3 * (time.perf_counter() - began))
    times = times[warm_up:]
    return Latency(statistics.median(times), min(times), runs, batch)
