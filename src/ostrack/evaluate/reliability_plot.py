"""The reliability diagram: how often boxes of a confidence are right, as an SVG that stands on its own."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import ArrayLike

from ostrack.calibration import calibration_error
from ostrack.evaluate.plots import COLOURS

__all__ = ["reliability_svg"]

_SIDE, _LEFT, _TOP, _BARS = 280, 52, 34, 60
_WIDTH, _HEIGHT = _LEFT + _SIDE + 16, _TOP + _SIDE + _BARS + 60


def reliability_svg(confidence: ArrayLike, right: ArrayLike, title: str, bins: int = 10) -> str:
    """Draw the share of right boxes over confidence, and below it how many frames each share is of.

    Args:
        confidence: ``(N,)`` in [0, 1].
        right: ``(N,)`` whether the box was right.
        title: Above the plot.
        bins: Bins of equal width.

    Returns:
        An ``<svg>`` document.

    Raises:
        ValueError: No frames, or not as many confidences.
    """
    sure, truth = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if sure.shape != truth.shape or sure.ndim != 1 or not len(sure):
        raise ValueError(f"confidence {sure.shape} and right {truth.shape}: expected two of the same length, not empty")
    place = np.minimum((sure * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    filled = np.flatnonzero(counts)
    means = np.bincount(place, sure, bins)[filled] / counts[filled]
    shares = np.bincount(place, truth, bins)[filled] / counts[filled]
    # Standard error of a share of n frames; frames of one clip are alike, so the truth is wider.
    spread = np.sqrt(shares * (1 - shares) / counts[filled])
    base = _TOP + _SIDE

    def at(x: float, y: float) -> str:
        return f"{_LEFT + _SIDE * x:.1f} {base - _SIDE * y:.1f}"

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="20" font-size="13">{escape(title)}</text>',
        f'<path d="M{at(0, 0)}L{at(1, 1)}" stroke="#999" stroke-dasharray="4 3"/>',
    ]
    for tick in np.linspace(0, 1, 6).tolist():
        out.append(f'<path d="M{at(0, tick)}L{at(1, tick)}M{at(tick, 0)}L{at(tick, 1)}" stroke="#eee"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{base - _SIDE * tick + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
        out.append(f'<text x="{_LEFT + _SIDE * tick:.1f}" y="{base + 16}" text-anchor="middle">{tick:.1f}</text>')
    line = "L".join(at(x, y) for x, y in zip(means.tolist(), shares.tolist(), strict=True))
    out.append(f'<path d="M{line}" fill="none" stroke="{COLOURS[0]}" stroke-width="2"/>')
    floor = base + 30 + _BARS
    for x, y, half, bin_ in zip(means.tolist(), shares.tolist(), spread.tolist(), filled.tolist(), strict=True):
        low, high = max(y - half, 0.0), min(y + half, 1.0)
        out.append(f'<path d="M{at(x, low)}L{at(x, high)}" stroke="{COLOURS[0]}"/>')
        out.append(
            f'<circle cx="{_LEFT + _SIDE * x:.1f}" cy="{base - _SIDE * y:.1f}" r="4" fill="{COLOURS[0]}">'
            f"<title>{counts[bin_]} frames: confidence {x:.2f}, right {y:.2f}</title></circle>"
        )
        height = _BARS * counts[bin_] / counts.max()
        left, width = _LEFT + _SIDE * bin_ / bins + 1, _SIDE / bins - 2
        out.append(
            f'<rect x="{left:.1f}" y="{floor - height:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#bbb"/>'
        )
    out += [
        f'<path d="M{at(0, 1)}L{at(0, 0)}L{at(1, 0)}" fill="none" stroke="#333"/>',
        f'<text x="{_LEFT + _SIDE / 2}" y="{floor + 16}" text-anchor="middle">confidence (grey: frames)</text>',
        f'<text transform="translate(14 {base - _SIDE / 2}) rotate(-90)" text-anchor="middle">'
        "share of right boxes</text>",
        f'<text x="{_LEFT + 10}" y="{_TOP + 16}">expected calibration error {calibration_error(sure, truth):.3f}, '
        f"{len(sure)} frames</text></svg>",
    ]
    return "\n".join(out) + "\n"
