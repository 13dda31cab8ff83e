"""A whole clip labelled from a few drawn boxes: tracked forwards and backwards from each, blended in between."""

from __future__ import annotations

from ostrack.keyframes.plan import Keyframe, TargetPlan, parse_keyframes, read_keyframes
from ostrack.keyframes.run import annotate
from ostrack.keyframes.segments import Segment, annotate_segments

__all__ = [
    "Keyframe",
    "Segment",
    "TargetPlan",
    "annotate",
    "annotate_segments",
    "parse_keyframes",
    "read_keyframes",
]
