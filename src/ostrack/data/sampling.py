"""Where training pairs come from: clips (stills and composites have rooms of their own); how sources are mixed.

A sampler draws one :class:`FramePair` from a random generator and nothing else, so a pair is a function of its
seed: the same whatever the number of workers, and the same again after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ostrack.data.annotations import AnnotatedImage, Box
from ostrack.data.benchmarks.collection import SequenceSet
from ostrack.data.images import read_rgb
from ostrack.data.sequence import Sequence
from ostrack.errors import DataError

__all__ = [
    "ATTEMPTS", "ClipPairs", "Collage", "FramePair", "Mixture", "Negatives", "NothingUsableError", "Order",
    "PairSource", "first_usable", "pick",
]  # fmt: skip

ATTEMPTS = 200
"""Draws before a source counts as yielding nothing: of millions of pairs, none may fail by chance where one in five can
be used."""

Order = Literal["causal", "any"]
Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class FramePair:
    """Two frames and the same target in both.

    Attributes:
        template: ``(H, W, 3)`` uint8 RGB.
        template_box: xywh in pixels of ``template``.
        search: ``(H, W, 3)`` uint8 RGB.
        search_box: xywh in pixels of ``search``; where to look when the target is absent.
        present: Whether the template's target is in ``search``.
        skipped: Draws that were thrown away before this one.
        reason: Why the last of them was.
        target: What tells this target from others; empty where nothing does.
        scene: What all targets that may be seen beside this one have in common; empty where none is.
    """

    template: NDArray[np.uint8]
    template_box: Box
    search: NDArray[np.uint8]
    search_box: Box
    present: bool = True
    skipped: int = 0
    reason: str = ""
    target: str = ""
    scene: str = ""


class NothingUsableError(DataError):
    """A source that yields nothing however often it is asked; drawing on would go on for ever."""


def first_usable(draw: Callable[[], Drawn], nothing: str) -> tuple[Drawn, int, str]:
    """Draw until something can be used.

    Args:
        draw: Gives something, or raises :class:`~ostrack.errors.DataError` where that cannot be used.
        nothing: What to say, before the last reason, when nothing can be.

    Returns:
        What was drawn, how many draws before it were thrown away, and why the last of these was.

    Raises:
        NothingUsableError: Nothing usable in 200 draws, or there is no sense in drawing again.
    """
    reason = ""
    for skipped in range(ATTEMPTS):
        try:
            return draw(), skipped, reason
        except NothingUsableError:
            raise
        except DataError as error:
            reason = str(error)
    raise NothingUsableError(f"{nothing}: {reason}")


class PairSource(Protocol):
    """Draws pairs."""

    def draw(self, rng: np.random.Generator) -> FramePair:
        """One pair, determined by the generator's state.

        Raises:
            DataError: A file is broken or the sample cannot be used; the caller counts it and draws again.
            NothingUsableError: There is no sense in drawing again.
        """


class ClipPairs:
    """Two frames of one clip in which the target is seen.

    Args:
        clips: Labelled clips: a list, or a collection that reads labels when asked.
        max_gap: Largest distance of the two, in frames.
        order: ``"causal"`` takes the search frame after the template, within ``max_gap - 1`` frames, and widens the
            gap by 5 while there is none (official); ``"any"`` takes it before or after, or the same frame.
        min_frames: Shorter clips are refused (official: 20).
        min_visible: Clips with fewer frames that show the target are refused (official: 5).
        long_clips: Draw clips in proportion to the square root of their length, not evenly; for lists in memory.
    """

    def __init__(
        self,
        clips: Items[Sequence] | SequenceSet,
        max_gap: int = 200,
        order: Order = "any",
        min_frames: int = 2,
        min_visible: int = 2,
        long_clips: bool = False,
    ) -> None:
        if not len(clips):
            raise DataError("no clip with two labelled frames: nothing to draw pairs from")
        self.clips, self.max_gap, self.order = clips, max_gap, order
        self.min_frames, self.min_visible = min_frames, min_visible
        # Long clips may be drawn more often, but far less than in proportion: they show one target.
        weights = np.sqrt([len(clip) for clip in clips]) if long_clips else np.ones(len(clips))
        self.edges = np.cumsum(weights / weights.sum())

    def draw(self, rng: np.random.Generator) -> FramePair:
        """One pair of frames of a clip."""
        clip = self.clips[pick(self.edges, rng)]
        seen = np.flatnonzero(clip.visible)
        if len(clip) < self.min_frames or len(seen) < self.min_visible:
            raise DataError(
                f"{clip.name}: {len(clip)} frames, {len(seen)} of them with a visible target; "
                f"expected at least {self.min_frames} and {self.min_visible}"
            )
        first, second = self._causal(seen, rng) if self.order == "causal" else self._any(seen, rng)
        template, search = clip.frames[first], clip.frames[second]
        return FramePair(
            template, _box(clip, first), search, _box(clip, second), target=clip.name, scene=clip.scene or clip.name
        )

    def _causal(self, seen: NDArray[np.int64], rng: np.random.Generator) -> tuple[int, int]:
        gap = self.max_gap
        while True:
            first = int(seen[rng.integers(len(seen) - 1)])
            later = seen[(seen > first) & (seen < first + max(gap, 2))]
            if later.size:
                return first, int(later[rng.integers(later.size)])
            gap += 5  # ends: every template but the last one has a later frame somewhere

    def _any(self, seen: NDArray[np.int64], rng: np.random.Generator) -> tuple[int, int]:
        first = int(seen[rng.integers(len(seen))])
        near = seen[np.abs(seen - first) <= self.max_gap]
        return first, int(near[rng.integers(near.size)])


def _box(clip: Sequence, index: int) -> Box:
    x, y, w, h = (float(value) for value in clip.boxes[index])
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise DataError(f"{clip.frames.name(index)}: box {x:g},{y:g},{w:g},{h:g} of {clip.name} has no area")
    return x, y, w, h


def pick(edges: NDArray[np.float64], rng: np.random.Generator) -> int:
    """One of several by the running sum of their shares."""
    return min(int(np.searchsorted(edges, rng.random(), side="right")), len(edges) - 1)


class Negatives:
    """Template of one pair, search region of another: the target is absent.

    Args:
        source: Where both come from.
    """

    def __init__(self, source: PairSource) -> None:
        self.source = source

    def draw(self, rng: np.random.Generator) -> FramePair:
        """Two unrelated pairs crossed; refused where both show one target or scene, for it may be present then."""
        first, second = self.source.draw(rng), self.source.draw(rng)
        if first.target and first.target == second.target:
            raise DataError(f"{first.target}: drawn twice, expected two targets to cross")
        if first.scene and first.scene == second.scene:
            raise DataError(f"{first.scene}: drawn twice, where one of two targets may be seen beside the other")
        return FramePair(
            first.template, first.template_box, second.search, second.search_box, present=False,
            skipped=first.skipped + second.skipped, reason=first.reason or second.reason,
        )  # fmt: skip


class Collage:
    """Surround frames whose target fills them with other photos.

    The search region of a target that fills half of its picture is mostly padding, which teaches little; with
    other photos around it, the same pair teaches to tell the target from clutter.

    Args:
        source: Where pairs come from.
        photos: What surrounds them.
        chance: Share of such pairs that are changed.
        factor: Search crop over the square root of the target's area.
    """

    def __init__(
        self, source: PairSource, photos: Items[AnnotatedImage], chance: float = 0.7, factor: float = 4.0
    ) -> None:
        if not photos:
            raise DataError("a collage needs photos to surround frames with")
        self.source, self.photos, self.chance, self.factor = source, photos, chance, factor

    def draw(self, rng: np.random.Generator) -> FramePair:
        """A pair of the source, perhaps surrounded."""
        pair = self.source.draw(rng)
        if rng.random() >= self.chance:
            return pair
        template, template_box = self._surround(pair.template, pair.template_box, rng)
        search, search_box = self._surround(pair.search, pair.search_box, rng)
        return replace(pair, template=template, template_box=template_box, search=search, search_box=search_box)

    def _surround(self, frame: NDArray[np.uint8], box: Box, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Box]:
        height, width = frame.shape[:2]
        reach = self.factor * float(np.sqrt(box[2] * box[3]))
        if reach < 0.9 * min(width, height):
            return frame, box
        out_w, out_h = (int(max(side, min(reach * 1.5, 3 * side))) for side in (width, height))
        photo = read_rgb(self.photos[int(rng.integers(len(self.photos)))].path)
        canvas = np.asarray(cv2.resize(photo, (out_w, out_h), interpolation=cv2.INTER_LINEAR), np.uint8)
        x, y = (out_w - width) // 2, (out_h - height) // 2
        canvas[y : y + height, x : x + width] = frame
        return canvas, (box[0] + x, box[1] + y, box[2], box[3])


class Mixture:
    """Draws from several sources in fixed proportion.

    A draw that fails is tried again in the same source, so that a broken set cannot quietly leave its share to the
    others.

    Args:
        sources: The sources.
        weights: Their shares; need not sum to 1.
        names: What to call them in messages.
    """

    def __init__(self, sources: Items[PairSource], weights: Items[float], names: Items[str] | None = None) -> None:
        shares = np.asarray(weights, dtype=np.float64)
        if len(sources) != len(shares) or not len(shares) or (shares < 0).any() or shares.sum() <= 0:
            raise DataError(f"{len(sources)} sources need as many non-negative weights, got {list(weights)}")
        self.sources, self.edges = list(sources), np.cumsum(shares / shares.sum())
        self.names = list(names) if names is not None else [type(source).__name__ for source in sources]

    def draw(self, rng: np.random.Generator) -> FramePair:
        """A pair of one of the sources.

        Raises:
            NothingUsableError: The source yields nothing in 200 draws; it is named, with the last reason.
        """
        at = pick(self.edges, rng)
        nothing = f"{self.names[at]}: no usable pair in {ATTEMPTS} draws; the last failed by"
        pair, skipped, reason = first_usable(lambda: self.sources[at].draw(rng), nothing)
        return replace(pair, skipped=pair.skipped + skipped, reason=reason or pair.reason)
