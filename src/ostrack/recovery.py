"""What a tracker does when it doubts its box: hold it, look further, search the frame, and return only when sure.

A target is in one of three states. ``tracking``: the box of the frame is followed. ``uncertain``: confidence fell
below :attr:`Recovery.doubt` and has not come back to :attr:`Recovery.trust`; the box is still followed unless the
confidence is below :attr:`Recovery.gone`, where it glides on with its last motion and the search region grows.
``lost``: the running mean of the confidence fell below :attr:`Recovery.despair`; besides all that the whole frame is
searched, and what is found must hold for :attr:`Recovery.confirm` frames before it is the target again.

While all is well a view of the target is taken now and then. It is a second template, asked only when the first one is
in doubt, and never takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ostrack.checks import Box

__all__ = ["PLAIN", "STATES", "Belief", "Recovery", "Sighting", "State", "wide_tiles"]

State: TypeAlias = Literal["tracking", "uncertain", "lost"]
STATES: tuple[State, ...] = get_args(State)
"""From the surest to the least sure; tables keep a state as its place in here."""

# Share of the newest step in the running mean of the motion.
_NEWEST = 0.4
# A target seldom comes back at another size than this many times its last, on either side.
_MOST_RESIZED = 2.5
# Share of a tile's side from one tile to the next: the network was trained on targets at most 3/8 off the middle.
_STRIDE = 0.6


@dataclass(frozen=True)
class Recovery:
    """When to doubt a box, what to do meanwhile, and what brings a lost target back. Each policy can be switched off.

    Attributes:
        doubt: Confidence below which tracking becomes uncertain.
        trust: Confidence from which uncertain becomes tracking again, and a find is followed up.
        gone: Confidence below which the frame's box is not believed at all.
        despair: Running mean of the confidence below which the target is lost.
        patience: Frames that this mean is over; 0 never gives up a target.
        hold: Keep the last box where the new one is not believed; otherwise follow whatever is found.
        damping: Motion kept from one held frame to the next; 0 holds the box in its place.
        growth: Growth of the search region with each held frame; 1 never grows it.
        most_growth: The most it grows to, over its usual side.
        wide: Search the whole frame for a lost target; otherwise only where it was lost.
        tiles: Parts of the frame searched in each frame, in one call of the network with all else; where the frame
            has more, they take turns.
        scales: Sides of these parts over the usual search region's.
        confirm: Frames in which a find must be believed before it is the target again.
        verify: Ask whether the find, taken as template, points back to the target in the first frame.
        refresh: Frames from one view taken as second template to the next; 0 takes none.
        sure: Confidence, by the first template, from which a view may be taken, and that an answer by the second one
            needs to be believed.
    """

    doubt: float = 0.4
    trust: float = 0.6
    gone: float = 0.02
    despair: float = 0.05
    patience: int = 8
    hold: bool = True
    damping: float = 0.8
    growth: float = 1.1
    most_growth: float = 2.0
    wide: bool = True
    tiles: int = 4
    scales: tuple[float, ...] = (1.0, 2.0)
    confirm: int = 3
    verify: bool = True
    refresh: int = 10
    sure: float = 0.8

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ValueError: Names the setting, what was found and what is expected.
        """
        if not 0 <= self.gone <= self.doubt <= self.trust <= 1:
            found = f"gone={self.gone}, doubt={self.doubt}, trust={self.trust}"
            raise ValueError(f"{found}: expected 0 <= gone <= doubt <= trust <= 1")
        for name in ("despair", "damping", "sure"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 to 1")
        for name in ("growth", "most_growth"):
            if not 1 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name}={getattr(self, name)}: expected 1 or more")
        for name, least in (("patience", 0), ("tiles", 1), ("confirm", 1), ("refresh", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: expected {least} or more")
        if not self.scales or not all(0 < scale < np.inf for scale in self.scales):
            raise ValueError(f"scales={self.scales}: expected positive numbers")


PLAIN = Recovery(doubt=0, trust=0, gone=0, patience=0, growth=1, refresh=0)
"""Believe everything: what a tracker without recovery does."""


@dataclass(frozen=True)
class Sighting:
    """A box that the network points at in one frame, and how sure that is.

    Attributes:
        box: x, y, w, h in frame pixels; finite and with an area.
        score: Peak of the score map; nan where the head gives none.
        windowed: The same under the window.
        rival: Best score outside the box.
        confidence: Probability that the box is right; nan where nothing is known of it.
    """

    box: Box
    score: float
    windowed: float
    rival: float
    confidence: float


@dataclass
class Belief:
    """What is thought of one target between frames.

    Attributes:
        state: ``"tracking"``, ``"uncertain"`` or ``"lost"``.
        seen: Whether the last frame's box was seen, not held.
        mean: Running mean of the confidence.
        held: Frames in a row in which the box was held.
        motion: Running mean of the centre's step, pixels a frame.
        size: Width and height of the last trusted box.
        find: What a lost target may have come back as.
        hits: Frames in which the find was believed.
        turn: Tiles searched since the target was lost.
        doubted: Whether the first template was in doubt in the last frame.
    """

    size: tuple[float, float]
    state: State = "tracking"
    seen: bool = True
    mean: float = 1.0
    held: int = 0
    motion: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    find: Sighting | None = None
    hits: int = 0
    turn: int = 0
    doubted: bool = False

    def growth(self, policy: Recovery) -> float:
        """Side of the next search region over its usual one."""
        # Capped before raising: a target may stay lost for as many frames as there are.
        return min(policy.growth ** min(self.held, 1000), policy.most_growth)

    def expect(self, last: Box, frame_size: tuple[int, int]) -> Box:
        """The box moved on by its motion; its centre stays within the frame (height, width)."""
        height, width = frame_size
        x, y, w, h = last
        cx = min(max(x + w / 2 + float(self.motion[0]), 0.0), width)
        cy = min(max(y + h / 2 + float(self.motion[1]), 0.0), height)
        return cx - w / 2, cy - h / 2, w, h

    def follow(self, last: Box, box: Box) -> None:
        """Note the step from the last box to this one, which was seen."""
        step = np.array([box[0] + box[2] / 2 - last[0] - last[2] / 2, box[1] + box[3] / 2 - last[1] - last[3] / 2])
        # After frames without a sight the step is of several frames, and the old motion is no longer true.
        self.motion = step / (self.held + 1) if self.held else (1 - _NEWEST) * self.motion + _NEWEST * step
        self.seen, self.held = True, 0

    def hold(self, policy: Recovery, last: Box, frame_size: tuple[int, int]) -> Box:
        """The box to go on with where none was seen."""
        self.seen, self.held = False, self.held + 1
        self.motion = self.motion * policy.damping
        return self.expect(last, frame_size)

    def prefer(self, policy: Recovery, first: Sighting, second: Sighting | None) -> Sighting:
        """Which to go by: what the first template points at, or, where that is in doubt, what the second is sure of."""
        self.doubted = first.confidence < policy.doubt
        if second is None or not self.doubted:
            return first
        return second if second.confidence >= policy.sure and self._alike(second.box) else first

    def judge(self, policy: Recovery, last: Box, found: Sighting | None, frame_size: tuple[int, int]) -> Box:
        """Believe a sighting or not, of a target that is not lost.

        Args:
            policy: Settings.
            last: Box of the last frame.
            found: What the network points at now; None where that belongs to another target.
            frame_size: Height and width.

        Returns:
            The box to go on with.
        """
        sure = 0.0 if found is None else found.confidence
        if policy.patience and not np.isnan(sure):
            self.mean += (sure - self.mean) * 2 / (policy.patience + 1)
        if found is None or sure < policy.doubt:
            self.state = "uncertain"
        elif not sure < policy.trust:
            self.state = "tracking"
        if self.state == "uncertain" and policy.patience and self.mean < policy.despair:
            self.state, self.find, self.hits, self.turn = "lost", None, 0, 0
        if self.state == "tracking" and found is not None:
            self.size = found.box[2:]
        return self.move(policy, last, found, frame_size)

    def move(self, policy: Recovery, last: Box, found: Sighting | None, frame_size: tuple[int, int]) -> Box:
        """Follow a sighting if there is any belief in it, or hold the box; arguments as for :meth:`judge`."""
        # A confidence of nan is below nothing: without any, every box is followed.
        if found is None or (policy.hold and found.confidence < policy.gone):
            return self.hold(policy, last, frame_size)
        self.follow(last, found.box)
        return found.box

    def consider(self, policy: Recovery, found: Sequence[Sighting]) -> bool:
        """Weigh what was found for a lost target.

        Args:
            policy: Settings.
            found: The sighting round the present find alone, or those of all places searched.

        Returns:
            Whether the find has been believed for long enough to be the target; :meth:`regain` or :meth:`reject` says
            what becomes of it.
        """
        likely = [sighting for sighting in found if sighting.confidence >= policy.trust and self._alike(sighting.box)]
        if not likely:
            self.reject()
            return False
        self.find, self.hits = max(likely, key=lambda sighting: sighting.confidence), self.hits + 1
        return self.hits >= policy.confirm

    def reject(self) -> None:
        """Drop the find."""
        self.find, self.hits = None, 0

    def regain(self, find: Sighting) -> Box:
        """Take a find for the target; returns its box."""
        self.state, self.held, self.seen, self.doubted = "tracking", 0, True, False
        self.motion, self.size, self.mean = np.zeros(2), find.box[2:], find.confidence
        self.reject()
        return find.box

    def _alike(self, box: Box) -> bool:
        ratio = np.sqrt(box[2] * box[3] / (self.size[0] * self.size[1]))
        return bool(1 / _MOST_RESIZED <= ratio <= _MOST_RESIZED)


def wide_tiles(frame_size: tuple[int, int], side: float, scales: Sequence[float]) -> NDArray[np.float64]:
    """Squares that cover a frame, so that any place is well inside one of each scale.

    Args:
        frame_size: Height and width in pixels.
        side: Side of the usual search region in pixels.
        scales: Sides over that one.

    Returns:
        ``(N, 4)`` xywh, the largest scale first, since few of its squares cover all.
    """
    parts = []
    for scale in sorted(scales, reverse=True):
        tile = side * scale
        across = [max(1, int(np.ceil(length / (_STRIDE * tile)))) for length in frame_size]
        # All at once: a target of a few pixels in a large frame has a hundred thousand of them.
        places = np.indices(across).reshape(2, -1).T[:, ::-1] + 0.5
        corners = places * frame_size[::-1] / across[::-1] - tile / 2
        parts.append(np.hstack([corners, np.full(corners.shape, tile)]))
    return np.concatenate(parts)
