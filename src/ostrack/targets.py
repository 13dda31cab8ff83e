"""What is said of a target in a frame, and what is remembered of it between frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from ostrack.checks import Box
from ostrack.crop import Crop
from ostrack.recovery import Belief, State
from ostrack.runtimes import FloatArray

__all__ = ["Home", "TargetId", "TargetState", "Track"]

TargetId: TypeAlias = int | str


@dataclass(frozen=True)
class Track:
    """Where a target is in one frame.

    In the frame that the box was given for, ``score``, ``windowed`` and ``confidence`` are 1.

    Attributes:
        id: Name or number of the target; 0 for a single one.
        box: x, y, w, h in frame pixels.
        score: Raw peak of the score map, in (0, 1); nan for networks whose head gives no score.
        state: ``"tracking"``, ``"uncertain"`` or ``"lost"``, see :mod:`ostrack.recovery`.
        frame: Index of the frame, 0 where the tracker was started.
        windowed: The peak under the window; nan for networks without a score map.
        confidence: Probability that the box overlaps the target by more than half; the raw score where the network
            is not calibrated.
        seen: Whether the box was seen in this frame; False where it is held or moved on by guess, because nothing in
            the frame was believed to be the target.
    """

    id: TargetId
    box: Box
    score: float
    state: State
    frame: int
    windowed: float = math.nan
    confidence: float = math.nan
    seen: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers that are nan become None."""
        values: dict[str, Any] = {
            "id": self.id,
            "frame": self.frame,
            "box": list(self.box),
            "score": self.score,
            "state": self.state,
            "windowed": self.windowed,
            "confidence": self.confidence,
            "seen": self.seen,
        }
        missing = [key for key, value in values.items() if isinstance(value, float) and math.isnan(value)]
        return values | dict.fromkeys(missing)


@dataclass(frozen=True)
class Home:
    """Where a target was first seen, to ask a find whether it leads back there.

    Attributes:
        box: The box that was given.
        region: Search region round it.
        frame_size: Height and width of the frame, pixels.
    """

    box: Box
    region: Crop
    frame_size: tuple[int, int]


@dataclass
class TargetState:
    """What the tracker remembers of a target.

    Attributes:
        id: Name or number.
        box: Last box, x, y, w, h in frame pixels; always finite and with an area. A held box may stick out of the
            frame.
        template: Crop it was first seen in.
        template_tokens: ``(Nz, D)`` float32, that crop as the network embeds it.
        template_box: ``(4,)`` float32 cxcywh, the target relative to that crop.
        belief: How sure the tracker is of it.
        home: Where it was first seen; None where nobody will ask.
        recent_tokens: ``(Nz, D)`` float32, a later view of it as the network embeds it, for when the first is in doubt.
        taken: Frame of that view; of the first one where there is none.
    """

    id: TargetId
    box: Box
    template: Crop
    template_tokens: FloatArray
    template_box: FloatArray
    belief: Belief
    home: Home | None = None
    recent_tokens: FloatArray | None = None
    taken: int = 0
