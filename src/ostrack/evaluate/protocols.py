"""The published protocols, rule by rule, as data.

Most benchmarks count the same three things per frame (overlap, centre distance, centre distance over the target's
size) and differ in four rules that move the printed figures by up to three points:

=================== ============ ============== ============== ================= ===============================
protocol            target there absent: precis. absent: norm. zero-size result  where the rules come from
=================== ============ ============== ============== ================= ===============================
otb                 x, y, w, h>0 hit            hit            kept              OTB toolkit; also UAVDT, DTB70
uav                 w, h > 0     hit            hit            copies row before OSTrack's code on UAV123
lasot               w, h > 0     miss           miss           copies row before OSTrack's code on LaSOT
lasot_ext           w, h > 0     miss           **hit**        copies row before OSTrack's code on LaSOT_ext
lasot_ext_corrected w, h > 0     miss           miss           copies row before the same, absent frames missed
pytracking          x, y, w, h>0 miss           hit            copies row before pytracking's analysis
ostrack             w, h > 0     miss           hit            copies row before OSTrack's code, any other set
tnl2k               x, y, w, h>0 hit, nan: miss hit, nan: miss copies row before TNL2K and LaSOT MATLAB toolkits
trackingnet         w, h > 0     miss           miss           kept              TrackingNet development kit
=================== ============ ============== ============== ================= ===============================

In all of them an absent frame misses for success and stays in the denominator, the first result is replaced by the
ground truth, success is ``overlap > t`` and the mean over ``t = 0, .05, ... 1``, precision is ``distance <= 20 px``,
normalised precision is ``distance / size <= 0.2``, and a figure is the mean over sequences of the mean over frames.
``trackingnet`` rounds both boxes to whole pixels first and integrates all three curves by trapezoids (precision over
0 to 50 px, normalised precision over 0 to 0.5), as the server's published script does.

``got10k`` pools the frames of all sequences (see :mod:`ostrack.evaluate.pooled`), ``presence`` asks who noticed that
the target is gone (:mod:`ostrack.evaluate.presence`), and ``vot`` restarts after failures
(:mod:`ostrack.evaluate.vot`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostrack.errors import EvaluationError

__all__ = ["PER_SEQUENCE", "PROTOCOLS", "Rule", "check_protocol", "protocol_for"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """What one protocol counts, and how.

    Attributes:
        name: Name of the protocol.
        present: Which ground truth counts as a target: ``"positive"`` needs x, y, w and h above 0 (in the
            benchmark's own pixels, so a box that touches the left edge of a 0-based set is lost), ``"sized"`` only
            w and h.
        absent_precise: A frame without target counts as a hit for precision.
        absent_norm_precise: The same for normalised precision.
        nan_misses: Frames whose ground truth is nan miss everything, whatever the two rules above say.
        repeat_empty: A result without area copies the result before it.
        rounded: Both boxes are rounded to whole pixels first.
        trapezoid: Curves are integrated by trapezoids, and precision is an area as well.
        longer_allowed: Results may be longer than the ground truth; the rest is cut.
    """

    name: str
    present: Literal["positive", "sized"] = "sized"
    absent_precise: bool = False
    absent_norm_precise: bool = False
    nan_misses: bool = False
    repeat_empty: bool = True
    rounded: bool = False
    trapezoid: bool = False
    longer_allowed: bool = False

    @property
    def overlaps(self) -> Floats:
        """``(21,)`` overlap thresholds."""
        return np.arange(21) / 20

    @property
    def distances(self) -> Floats:
        """Centre distance thresholds in pixels."""
        return np.linspace(0, 50, 21 if self.trapezoid else 51)

    @property
    def norm_distances(self) -> Floats:
        """Thresholds of the centre distance over the target's size."""
        return np.linspace(0, 0.5, 21 if self.trapezoid else 51)


PER_SEQUENCE: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("otb", "positive", True, True, repeat_empty=False),
        Rule("uav", "sized", True, True),
        Rule("lasot", longer_allowed=True),
        Rule("lasot_ext", absent_norm_precise=True),
        Rule("lasot_ext_corrected"),
        Rule("pytracking", "positive", absent_norm_precise=True),
        Rule("ostrack", absent_norm_precise=True),
        Rule("tnl2k", "positive", True, True, nan_misses=True, longer_allowed=True),
        Rule("trackingnet", repeat_empty=False, rounded=True, trapezoid=True),
    )
}
"""Protocols that average over sequences."""

PROTOCOLS: tuple[str, ...] = (*PER_SEQUENCE, "got10k", "presence", "vot")
"""Names that :func:`ostrack.evaluate.score` takes."""

_BY_DATASET = {
    "otb": "otb",
    "uavdt": "otb",
    "dtb70": "otb",
    "uav123": "otb",
    "uav20l": "otb",
    "nfs": "ostrack",
    "lasot": "lasot",
    "lasot_ext": "lasot_ext",
    "lasotext": "lasot_ext",
    "got10k": "got10k",
    "trackingnet": "trackingnet",
    "tnl2k": "tnl2k",
    "vot": "vot",
    # 0-based pixels, so x = 0 is a place like any other; absent frames miss.
    "folder": "lasot",
}


def check_protocol(name: str) -> None:
    """Refuse a name that is no protocol's.

    Raises:
        EvaluationError: It names those that there are.
    """
    if name not in PROTOCOLS:
        raise EvaluationError(f"unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")


def protocol_for(dataset: str) -> str:
    """The protocol that a benchmark's literature uses.

    Args:
        dataset: Name of a set, such as ``"otb100"``, ``"uav123_10fps"`` or ``"lasot"``.

    Raises:
        EvaluationError: No protocol is known for it.
    """
    key = dataset.lower().replace("-", "").removesuffix("_val").removesuffix("_test")
    best = max((known for known in _BY_DATASET if key.startswith(known)), key=len, default=None)
    if best is None:
        raise EvaluationError(f"no protocol known for {dataset!r}; choose one of {', '.join(PROTOCOLS)}")
    return _BY_DATASET[best]
