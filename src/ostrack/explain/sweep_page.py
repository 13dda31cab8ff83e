"""The laboratory's report: trade-off curves, a table of all settings, one sentence that sums them up."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np

from ostrack.evaluate.page import document, table
from ostrack.evaluate.plots import style_of, ticks
from ostrack.explain.points import Point, Sweep
from ostrack.explain.settings import AXES
from ostrack.whole import write_whole

__all__ = ["differences", "finding", "page", "table_text", "trade_off", "write_sweep"]

Place = Callable[[Point], tuple[float, float]]
"""A setting's place in the plot, pixels."""

_NAMES = {
    "none": "nothing eliminated",
    "ratio": "keep ratio",
    "layers": "which layers",
    "query": "who decides",
    "mass": "adaptive: share of the score",
}
_COSTS = {
    "macs": ("G multiply-adds a frame, paper's count", 1e-9),
    "full_macs": ("G multiply-adds a frame, attention's products included", 1e-9),
    "ms": ("ms a forward pass, median", 1.0),
}
_GAINS = {"success": "success AUC", "precision": "precision at 20 px"}
_LOSS = 0.02
_WIDTH, _HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 34, 46
_STYLE = (
    "text{font:11.5px system-ui,sans-serif;fill:#1b1f24;text-anchor:middle}.title{font-size:14px;font-weight:600}"
    ".tick{fill:#5c6670;font-size:10.5px}.left{text-anchor:end}.key{text-anchor:start;font-size:11px}"
    ".grid{stroke:#d9dee3;stroke-width:.7;fill:none}.frame{fill:none;stroke:#1b1f24;stroke-width:.9}"
    ".legend{fill:#fff;fill-opacity:.86;stroke:#d9dee3}"
)


def _tag(point: Point) -> str:
    """The varied value alone, for the label beside a marker."""
    return point.setting.label.rsplit(" ", 1)[-1]


def trade_off(sweep: Sweep, cost: str, gain: str, alone: bool = False) -> str:
    """Accuracy over cost, a line for each axis.

    Args:
        sweep: The measured settings.
        cost: ``"macs"``, ``"full_macs"`` or ``"ms"``.
        gain: ``"success"`` or ``"precision"``.
        alone: Bring colours and letters along, for a file of its own.

    Returns:
        An ``<svg>`` element.
    """
    what, unit = _COSTS[cost]
    # Who decides costs next to nothing, so those dots would lie on one another; the differences show them.
    drawn = [point for point in sweep.points if point.setting.axis != "query"]
    x = {id(point): unit * getattr(point, cost) for point in drawn}
    y = {id(point): float(getattr(point, gain)) for point in drawn}
    low_x, high_x = _range(list(x.values()))
    low_y, high_y = _range(list(y.values()))
    inner = (_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM)

    def place(point: Point) -> tuple[float, float]:
        across = (x[id(point)] - low_x) / (high_x - low_x)
        up = (y[id(point)] - low_y) / (high_y - low_y)
        return _LEFT + across * inner[0], _TOP + (1 - up) * inner[1]

    title = f"{_GAINS[gain]} over {'time' if cost == 'ms' else 'multiply-adds'}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">'
    ]
    if alone:
        out.append(f'<style>{_STYLE}</style><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>')
    out.append(f'<text x="{_LEFT + inner[0] / 2}" y="20" class="title">{escape(title)}</text>')
    for value in ticks(low_x, high_x, 6):
        at = _LEFT + (value - low_x) / (high_x - low_x) * inner[0]
        out.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{_TOP + inner[1]}"/>')
        out.append(f'<text x="{at:.1f}" y="{_TOP + inner[1] + 15}" class="tick">{value:g}</text>')
    for value in ticks(low_y, high_y, 6):
        at = _TOP + (1 - (value - low_y) / (high_y - low_y)) * inner[1]
        out.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_LEFT + inner[0]}"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" class="tick left">{value:g}</text>')
    told: set[str] = set()
    for number, axis in enumerate(AXES):
        points = [point for point in drawn if point.setting.axis == axis]
        out += _series(points, number, place, drawn[0], told)
    out.append(f'<rect x="{_LEFT}" y="{_TOP}" width="{inner[0]}" height="{inner[1]}" class="frame"/>')
    out += _legend(drawn)
    out.append(f'<text x="{_LEFT + inner[0] / 2}" y="{_HEIGHT - 8}">{escape(what)}</text>')
    middle = _TOP + inner[1] / 2
    out.append(f'<text transform="translate(14 {middle}) rotate(-90)">{escape(_GAINS[gain])}</text></svg>')
    return "".join(out)


def _series(points: list[Point], number: int, place: Place, full: Point, told: set[str]) -> list[str]:
    """Dots of one axis; ``told`` holds the settings that have a label already."""
    colour, _ = style_of(number)
    out = []
    if points and points[0].setting.axis in ("ratio", "mass"):
        # Amounts are a scale, whose upper end is to eliminate nothing; layers and queries are not one.
        line = " L".join("{:.1f} {:.1f}".format(*place(point)) for point in [full, *points])
        out.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    for rank, point in enumerate(points):
        cx, cy = place(point)
        tip = f"{point.setting.describe()}: success {point.success:.3f}, precision {point.precision:.3f}, "
        tip += f"{point.macs / 1e9:.2f} G, {point.ms:.1f} ms"
        out.append(
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="{colour}" stroke="#fff">'
            f"<title>{escape(tip)}</title></circle>"
        )
        if point.setting.axis != "none" and point.setting.key not in told:
            told.add(point.setting.key)
            above = -8 if (rank + number) % 2 else 16
            out.append(
                f'<text x="{cx:.1f}" y="{cy + above:.1f}" style="font-size:9.5px;fill:{colour}">'
                f"{escape(_tag(point))}</text>"
            )
    return out


def _legend(points: list[Point]) -> list[str]:
    shown = [(number, axis) for number, axis in enumerate(AXES) if any(p.setting.axis == axis for p in points)]
    height, width = 15 * len(shown) + 8, 196
    left, top = _WIDTH - _RIGHT - width - 6, _TOP + sum((_HEIGHT - _TOP - _BOTTOM, -height, -6))
    out = [f'<rect x="{left}" y="{top}" width="{width}" height="{height}" class="legend"/>']
    for row, (number, axis) in enumerate(shown):
        at = top + 15 + 15 * row
        out.append(f'<circle cx="{left + 12}" cy="{at - 4}" r="4" fill="{style_of(number)[0]}"/>')
        out.append(f'<text x="{left + 23}" y="{at}" class="key">{escape(_NAMES[axis])}</text>')
    return out


def differences(sweep: Sweep) -> str:
    """Success of every setting minus that of eliminating nothing, with its interval, as an ``<svg>`` element."""
    rows = sweep.points[1:]
    found = [point.report.against(sweep.points[0].report).difference for point in rows]
    low, high = _range([0.0, *(gap.low for gap in found), *(gap.high for gap in found)])
    left, width, step = 230, 860, 20
    inner, height = width - left - 20, _TOP + step * len(rows)

    def px(value: float) -> float:
        return left + (value - low) / (high - low) * inner

    title = "success AUC minus that of eliminating nothing, 95 % interval"
    out = [f'<svg class="wide" viewBox="0 0 {width} {height + 24}" role="img" aria-label="{title}">']
    out.append(f'<text x="{left + inner / 2:.0f}" y="18" class="title">{title}</text>')
    for value in ticks(low, high, 8):
        kind = "frame" if abs(value) < 1e-9 else "grid"
        out.append(f'<path class="{kind}" d="M{px(value):.1f} {_TOP}V{height}"/>')
        out.append(f'<text x="{px(value):.1f}" y="{height + 15}" class="tick">{value:+.3g}</text>')
    for number, (point, gap) in enumerate(zip(rows, found, strict=True)):
        y, colour = _TOP + step * (number + 0.5), style_of(AXES.index(point.setting.axis))[0]
        tip = gap.signed()
        out.append(
            f'<text x="{left - 8}" y="{y + 4:.1f}" class="tick left">{escape(point.setting.describe())}</text>'
            f'<path d="M{px(gap.low):.1f} {y}H{px(gap.high):.1f}" stroke="{colour}" stroke-width="2"/>'
            f'<circle cx="{px(gap.value):.1f}" cy="{y}" r="4.5" fill="{colour}"><title>{tip}</title></circle>'
        )
    return "".join([*out, "</svg>"])


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def finding(sweep: Sweep) -> str:
    """A sentence about the cheapest setting that is sure to lose little against eliminating nothing.

    Sure: the lower end of the difference's 95 % interval, paired over sequences. A setting that only was not shown to
    be worse would be chosen for the noise of its measurement.
    """
    full = sweep.points[0]
    gaps = {id(point): point.report.against(full.report).difference for point in sweep.points[1:]}
    sure = [p for p in sweep.points[1:] if p.macs < full.macs and gaps[id(p)].low >= -_LOSS]
    where = f"{len(sweep.sequences)} sequences, {sweep.frames} frames"
    if not sure:
        return f"No setting that saves anything is sure to lose less than {_LOSS:g} of success ({where})."
    best = min(sure, key=lambda point: point.macs)
    gap = gaps[id(best)]
    return (
        f"The cheapest setting that is sure to lose less than {_LOSS:g} of success against eliminating nothing "
        f"({where}): {best.setting.describe()}. It saves {1 - best.macs / full.macs:.0%} of the multiply-adds and "
        f"{1 - best.ms / full.ms:.0%} of the time of a pass; success {best.success:.3f} against {full.success:.3f}, "
        f"difference {gap.signed()}."
    )


def _rows(sweep: Sweep) -> list[list[str]]:
    full = sweep.points[0]
    rows = []
    for point in sweep.points:
        gap = point.report.against(full.report).difference
        same = point is full
        rows.append(
            [
                _NAMES[point.setting.axis],
                point.setting.describe(),
                f"{point.success:.3f}",
                "" if same else gap.signed(),
                f"{point.precision:.3f}",
                f"{point.macs / 1e9:.2f}",
                f"{point.full_macs / 1e9:.2f}",
                f"{point.kept:.0f}",
                f"{point.ms:.1f}",
            ]
        )
    return rows


_HEAD = (
    "varied", "elimination", "success AUC", "minus none [95 %]", "precision", "G MACs", "with attention", "tokens left",
    "ms a pass",
)  # fmt: skip


def table_text(sweep: Sweep) -> str:
    """The settings as a table in Markdown."""
    lines = ["| " + " | ".join(_HEAD) + " |", "| --- | --- |" + " ---: |" * (len(_HEAD) - 2)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in _rows(sweep))]) + "\n"


def page(sweep: Sweep) -> str:
    """The whole report as one HTML page that needs nothing else."""
    headline = escape(f"Candidate elimination of {sweep.network}")
    extent = sweep.extent
    intro = (
        f"{len(sweep.sequences)} sequences, at most {extent.frames} frames of each, every {extent.every}. frame; "
        f"{sweep.frames} passes a setting. Trained once, never retrained: only the elimination differs. Differences "
        "are paired over sequences, brackets are 95 % bootstrap intervals. The plain tracker of the paper, without "
        "lost state or wide search. Hover over a dot for its numbers."
    )
    plots = "".join(trade_off(sweep, cost, gain) for cost in ("macs", "ms") for gain in _GAINS)
    body = (
        f"<h1>{headline}</h1><p class='soft'>{escape(intro)}</p><p>{escape(finding(sweep))}</p>"
        f"<h2>Accuracy over cost</h2><div class='plots' style='grid-template-columns:1fr 1fr'>{plots}</div>"
        f"<h2>Differences</h2>{differences(sweep)}<h2>All settings</h2>"
        f"<p class='soft'>Click a heading to sort.</p>{_table(sweep)}"
    )
    return document(headline, body, [f"{sweep.machine}; {sweep.threads} threads"])


def _table(sweep: Sweep) -> str:
    best = int(np.argmax([point.success for point in sweep.points]))
    rows = []
    for number, row in enumerate(_rows(sweep)):
        cells = [escape(cell) for cell in row]
        if number == best:
            cells[2] = f'<td class="best">{cells[2]}</td>'
        cells[1] = f'<td style="text-align:left">{cells[1]}</td>'
        rows.append(cells)
    return table(_HEAD, rows, sortable=True)


def write_sweep(sweep: Sweep, out: Path, plot: Path | None = None) -> list[Path]:
    """Write ``sweep.html``, ``sweep.json`` and ``sweep.md`` to a folder, and the main plot as SVG.

    Args:
        sweep: The measured settings.
        out: Folder, made if it does not exist.
        plot: Where the plot goes; ``sweep.svg`` in the folder where None.

    Raises:
        OutputError: Something cannot be written.
    """
    texts = {
        out / "sweep.html": page(sweep),
        out / "sweep.json": json.dumps(sweep.to_dict(), indent=1) + "\n",
        out / "sweep.md": f"{finding(sweep)}\n\n{table_text(sweep)}\n{sweep.machine}; {sweep.threads} threads\n",
        plot or out / "sweep.svg": trade_off(sweep, "macs", "success", alone=True) + "\n",
    }
    for path, text in texts.items():
        write_whole(path, text)
    return list(texts)
