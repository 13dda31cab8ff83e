"""Line plots as SVG text: small, sharp at any size, and a page that holds them needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "Line", "dot_plot", "line_plot", "sparkline", "style_of", "ticks"]

Floats = NDArray[np.float64]

# Okabe and Ito's palette, told apart by colour-blind readers too; black is left for axes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#8a8a00")
_DASHES = ("", "6 3", "2 2")
_WIDTH, _HEIGHT = 420, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 12, 30, 44
# Longer names would make a legend that hides the curves.
_LABEL = 34


@dataclass(frozen=True)
class Line:
    """One curve of a plot.

    Attributes:
        label: Name in the legend.
        x: ``(K,)``.
        y: ``(K,)``; nan breaks the line.
        low: ``(K,)`` lower edge of its band, or None.
        high: ``(K,)`` upper edge.
    """

    label: str
    x: Floats
    y: Floats
    low: Floats | None = None
    high: Floats | None = None


def style_of(index: int) -> tuple[str, str]:
    """Colour and dash pattern of the ``index``-th tracker."""
    return COLOURS[index % len(COLOURS)], _DASHES[index // len(COLOURS) % len(_DASHES)]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two ends, about ``count`` of them."""
    raw = (high - low) / count
    size = 10.0 ** np.floor(np.log10(raw))
    step = min((size * m for m in (1, 2, 2.5, 5, 10)), key=lambda value: abs(value - raw))
    # Adding zero turns the -0 that ceil makes into 0.
    return [float(value) + 0.0 for value in np.arange(np.ceil(low / step - 1e-9) * step, high + step * 1e-6, step)]


def _path(x: Floats, y: Floats) -> str:
    parts, pen = [], "M"
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if np.isnan(b):
            pen = "M"
            continue
        parts.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L"
    return "".join(parts)


def line_plot(
    title: str,
    x_label: str,
    y_label: str,
    lines: list[Line],
    y_range: tuple[float, float] | None = (0.0, 1.0),
    legend: Literal["left", "right", "top"] = "right",
) -> str:
    """Draw curves with their bands.

    Args:
        title: Above the plot.
        x_label: Below the axis.
        y_label: Beside the axis.
        lines: The curves, the best first; they share the palette by position.
        y_range: Lower and upper end of the axis; from the data where None.
        legend: Its corner: lower left, lower right or upper right; the one that the curves leave free.

    Returns:
        An ``<svg>`` element.
    """
    x_low, x_high = (float(f(np.concatenate([line.x for line in lines]))) for f in (np.min, np.max))
    if y_range is None:
        values = np.concatenate([line.y for line in lines])
        top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
        y_range = (0.0, max(top * 1.08, 1e-3))
    inner = (_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)

    def px(values: Floats) -> Floats:
        return _LEFT + (values - x_low) / (x_high - x_low or 1) * inner[0]

    def py(values: Floats) -> Floats:
        return _TOP + inner[1] - (np.clip(values, *y_range) - y_range[0]) / (y_range[1] - y_range[0]) * inner[1]

    out = [f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    out.append(f'<text x="{_LEFT + inner[0] / 2}" y="18" class="title">{escape(title)}</text>')
    for value in ticks(x_low, x_high):
        x = float(px(np.array(value)))
        out.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{_TOP + inner[1]}"/>')
        out.append(f'<text x="{x:.1f}" y="{_TOP + inner[1] + 15}" class="tick">{value:g}</text>')
    for value in ticks(*y_range):
        y = float(py(np.array(value)))
        out.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_LEFT + inner[0]}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick left">{value:g}</text>')
    for index, line in enumerate(lines):
        colour, dash = style_of(index)
        if line.low is not None and line.high is not None:
            edge = np.concatenate([line.x, line.x[::-1]]), np.concatenate([line.high, line.low[::-1]])
            known = ~np.isnan(edge[1])
            band = _path(px(edge[0][known]), py(edge[1][known]))
            out.append(f'<path d="{band}Z" fill="{colour}" opacity="0.13"/>')
    for index, line in reversed(list(enumerate(lines))):
        colour, dash = style_of(index)
        out.append(
            f'<path d="{_path(px(line.x), py(line.y))}" fill="none" stroke="{colour}" stroke-width="1.8" '
            f'stroke-dasharray="{dash}"><title>{escape(line.label)}</title></path>'
        )
    out.append(f'<rect x="{_LEFT}" y="{_TOP}" width="{inner[0]}" height="{inner[1]}" class="frame"/>')
    out += _legend(lines, legend)
    out.append(f'<text x="{_LEFT + inner[0] / 2}" y="{_HEIGHT - 8}" class="label">{escape(x_label)}</text>')
    middle = _TOP + inner[1] / 2
    out.append(f'<text transform="translate(13 {middle}) rotate(-90)" class="label">{escape(y_label)}</text></svg>')
    return "".join(out)


def _legend(lines: list[Line], place: str) -> list[str]:
    shown = lines[:10]
    labels = [_shortened(line.label) for line in shown]
    height = 15 * len(shown) + 8
    width = 34 + 6.1 * max(map(len, labels))
    x = _LEFT + 6 if place == "left" else _WIDTH - _RIGHT - width - 6
    y = _TOP + 6 if place == "top" else _HEIGHT - _BOTTOM - height - 6
    out = [f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" class="legend"/>']
    for index, label in enumerate(labels):
        colour, dash = style_of(index)
        row = y + 15 + 15 * index
        out.append(
            f'<path d="M{x + 6:.1f} {row - 4}h18" stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}"/>'
            f'<text x="{x + 29:.1f}" y="{row}" class="key">{escape(label)}</text>'
        )
    return out


def _shortened(label: str) -> str:
    """A label with its middle left out where it is long: its end holds the figure."""
    return label if len(label) <= _LABEL else f"{label[: _LABEL - 13]}\N{HORIZONTAL ELLIPSIS}{label[-12:]}"


def dot_plot(title: str, rows: list[str], columns: dict[str, list[float]], x_label: str) -> str:
    """One row for each name, one dot for each tracker: who is better where.

    Args:
        title: Above the plot.
        rows: Names, from top to bottom.
        columns: Values by tracker, one for each row, in [0, 1]; nan is left out.
        x_label: Below the axis.

    Returns:
        An ``<svg>`` element.
    """
    left = 20 + 6.3 * max(map(len, rows))
    width, step = 860, 20
    inner, height = width - left - 20, _TOP + step * len(rows)

    def px(value: float) -> float:
        return left + value * inner

    out = [f'<svg class="wide" viewBox="0 0 {width} {height + 40}" role="img" aria-label="{escape(title)}">']
    out.append(f'<text x="{left + inner / 2:.0f}" y="18" class="title">{escape(title)}</text>')
    for value in np.arange(0, 1.01, 0.1).tolist():
        out.append(f'<path class="grid" d="M{px(value):.1f} {_TOP}V{height}"/>')
        out.append(f'<text x="{px(value):.1f}" y="{height + 15}" class="tick">{value:.1f}</text>')
    for number, name in enumerate(rows):
        y = _TOP + step * (number + 0.5)
        found = [values[number] for values in columns.values() if np.isfinite(values[number])]
        out.append(f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" class="tick left">{escape(name)}</text>')
        if found:
            out.append(f'<path class="range" d="M{px(min(found)):.1f} {y}H{px(max(found)):.1f}"/>')
        for index, (label, values) in enumerate(columns.items()):
            if np.isfinite(values[number]):
                tip = f"{escape(label)}, {escape(name)}: {values[number]:.3f}"
                colour, _ = style_of(index)
                place = f'cx="{px(values[number]):.1f}" cy="{y}" r="4.5" fill="{colour}"'
                out.append(f"<circle {place}><title>{tip}</title></circle>")
    out.append(f'<text x="{left + inner / 2:.0f}" y="{height + 34}" class="label">{escape(x_label)}</text></svg>')
    return "".join(out)


def sparkline(series: list[Floats], marks: list[int], absent: NDArray[np.bool_]) -> str:
    """Overlap over time of several trackers, with the frames that pictures show and those without a target.

    Args:
        series: ``(N,)`` in [0, 1] each.
        marks: Frames to point at.
        absent: ``(N,)`` frames without a target, shaded.

    Returns:
        An ``<svg>`` element.
    """
    width, height, left, right = 1000, 90, 26, 16
    count = max(len(absent) - 1, 1)
    out = [f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="overlap over time">']

    def px(frame: float) -> float:
        return left + frame / count * (width - left - right)

    edges = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]]).astype(int)))
    for start, end in edges.reshape(-1, 2).tolist():
        wide = max(px(end) - px(start), 1)
        out.append(f'<rect x="{px(start):.1f}" y="4" width="{wide:.1f}" height="70" class="absent"/>')
    for value in (0.0, 0.5, 1.0):
        y = 74 - 70 * value
        out.append(f'<path class="grid" d="M{left} {y}H{width - right}"/>')
        out.append(f'<text x="{left - 4}" y="{y + 4}" class="tick left">{value:g}</text>')
    for frame in marks:
        out.append(f'<path class="mark" d="M{px(frame):.1f} 4V76"/>')
        out.append(f'<text x="{px(frame):.1f}" y="88" class="tick">{frame}</text>')
    for index, values in enumerate(series):
        colour, dash = style_of(index)
        line = _path(left + np.arange(len(values)) / count * (width - left - right), 74 - 70 * values)
        out.append(f'<path d="{line}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"/>')
    return "".join([*out, "</svg>"])
