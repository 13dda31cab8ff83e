"""One HTML page that needs nothing else: plots, tables and filmstrips of a study."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostrack import __version__
from ostrack.evaluate.filmstrips import Filmstrip
from ostrack.evaluate.intervals import draw
from ostrack.evaluate.plots import Line, dot_plot, line_plot, sparkline, style_of
from ostrack.evaluate.scores import Curve, Report
from ostrack.evaluate.study import NAMES, Study

__all__ = ["document", "page", "table"]

Floats = NDArray[np.float64]

_AXES = {
    "success": ("Success", "overlap threshold", "share of frames"),
    "precision": ("Precision", "centre distance in pixels", "share of frames"),
    "norm_precision": ("Normalised precision", "centre distance over target size", "share of frames"),
    "expected_overlap": ("Expected overlap", "length of a fragment in frames", "expected overlap"),
}
_CORNERS: dict[str, Literal["left", "right", "top"]] = {"success": "left", "expected_overlap": "top"}
_DASH = "\N{EN DASH}"
# More bands than this hide each other.
_BANDS = 4


def _name(metric: str) -> str:
    return NAMES.get(metric, metric)


def _swatch(index: int, label: str) -> str:
    return f'<span class="swatch" style="background:{style_of(index)[0]}"></span>{escape(label)}'


def _number(value: float) -> str:
    return _DASH if np.isnan(value) else f"{value:.3f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], sortable: bool = False) -> str:
    """A table of cells in HTML; a cell that begins with ``<td`` brings its own tag."""
    mark = ' data-sort="1"' if sortable else ""
    top = "".join(f"<th{mark}>{cell}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _best(values: list[float], lower: bool = False) -> int | None:
    known = [value for value in values if np.isfinite(value)]
    if len(known) < 2:
        return None
    return int(np.nanargmin(values) if lower else np.nanargmax(values))


def _summary(study: Study) -> str:
    intervals = {name: report.intervals() for name, report in study.reports.items()}
    best = {
        metric: _best([found[metric].value for found in intervals.values()], metric in ("failures", "robustness"))
        for metric in study.metrics
    }
    rows = []
    for index, (name, found) in enumerate(intervals.items()):
        cells = [_swatch(index, name)]
        for metric in study.metrics:
            it = found[metric]
            kind = ' class="best"' if best[metric] == index else ""
            cells.append(f"<td{kind}>{_number(it.value)}<small>[{_number(it.low)}, {_number(it.high)}]</small></td>")
        cells.append(f"{study.fps[name]:.1f}" if name in study.fps else _number(float("nan")))
        rows.append(cells)
    return table(["Tracker", *map(_name, study.metrics), "Frames / s"], rows)


def _band(curve: Curve, multiplicity: Floats) -> tuple[Floats, Floats]:
    weights = np.broadcast_to(
        curve.weights if curve.weights.ndim == 2 else curve.weights[:, None], curve.per_sequence.shape
    )
    total = multiplicity @ weights
    drawn = (multiplicity @ (weights * curve.per_sequence)) / np.where(total > 0, total, np.nan)
    edges = np.full((2, drawn.shape[1]), np.nan)
    known = np.isfinite(drawn).any(0)
    edges[:, known] = np.nanpercentile(drawn[:, known], [2.5, 97.5], axis=0)
    return edges[0], edges[1]


def _plots(study: Study) -> str:
    out = []
    multiplicity = draw(len(study.first.sequences), 500)
    for key in study.first.curves:
        title, x_label, y_label = _AXES.get(key, (key, "threshold", "value"))
        lines = []
        for name, report in study.reports.items():
            curve = report.curves[key]
            metric = key if key in report.scores else report.primary
            label = f"{name} [{report.scores[metric]:.3f}]"
            low, high = _band(curve, multiplicity) if len(study.reports) <= _BANDS else (None, None)
            lines.append(Line(label, curve.thresholds, curve.values, low, high))
        free = key == "expected_overlap"
        out.append(line_plot(title, x_label, y_label, lines, None if free else (0.0, 1.0), _CORNERS.get(key, "right")))
    return f'<div class="plots">{"".join(out)}</div>'


def _pairs(study: Study) -> str:
    rows = []
    for (a, b), found in study.pairs().items():
        it = found.difference
        clear = it.low > 0 or it.high < 0
        kind = ' class="best"' if clear else ""
        p = _DASH if np.isnan(found.p_value) else f"{found.p_value:.4f}"
        interval = f"<td{kind}>{it.value:+.3f}<small>[{it.low:+.3f}, {it.high:+.3f}]</small></td>"
        wins = f"{found.wins} / {found.ties} / {found.losses}"
        rows.append([f"{escape(a)} {_DASH} {escape(b)}", interval, _number(found.chance_better), p, wins])
    head = ["Pair", f"Difference in {_name(study.first.primary)}", "Chance to be better", "p", "Wins / ties / losses"]
    return table(head, rows)


def _attributes(study: Study) -> str:
    metric = study.first.primary
    found = {name: report.by_attribute() for name, report in study.reports.items()}
    names = list(next(iter(found.values())))
    counts = {name: sum(name in study.first.attributes.get(seq, ()) for seq in study.first.sequences) for name in names}
    rows = []
    for name in names:
        values = [scores[name][metric] for scores in found.values()]
        best = _best(values)
        kinds = [' class="best"' if index == best else "" for index in range(len(values))]
        cells = [f"<td{kind}>{_number(value)}</td>" for kind, value in zip(kinds, values, strict=True)]
        rows.append([f"{escape(name)}<small class='soft'> ({counts[name]})</small>", *cells])
    columns = {label: [scores[name][metric] for name in names] for label, scores in found.items()}
    plot = dot_plot(f"{_name(metric)} by attribute", [f"{n} ({counts[n]})" for n in names], columns, _name(metric))
    head = ["Attribute (sequences)", *(_swatch(i, label) for i, label in enumerate(found))]
    return f'<div class="wide">{plot}</div>' + table(head, rows, sortable=True)


def _sequences(study: Study) -> str:
    metric = study.first.primary
    rows = []
    for sequence in study.first.sequences:
        values = [report.per_sequence[sequence][metric] for report in study.reports.values()]
        best = _best(values)
        cells = [_cell(value, index == best) for index, value in enumerate(values)]
        rows.append([escape(sequence), str(study.first.frames[sequence]), *cells])
    head = ["Sequence", "Frames", *(_swatch(i, name) for i, name in enumerate(study.reports))]
    return table(head, rows, sortable=True)


def _cell(value: float, best: bool) -> str:
    if np.isnan(value):
        return f'<td data-v="-1">{_number(value)}</td>'
    # A bar behind the number shows the pattern over many rows at a glance.
    share = 100 * min(max(value, 0.0), 1.0)
    back = f"background:linear-gradient(90deg,#0072b22b {share:.0f}%,transparent {share:.0f}%)"
    weight = ";font-weight:600" if best else ""
    return f'<td style="{back}{weight}" data-v="{value:.6f}">{value:.3f}</td>'


def _strip(strip: Filmstrip, reports: dict[str, Report]) -> str:
    metric = next(iter(reports.values())).primary
    told = []
    for index, (name, lost) in enumerate(strip.lost.items()):
        value = reports[name].per_sequence[strip.sequence][metric]
        told.append(f"{_swatch(index, name)} {_number(value)}" + (f", lost at {lost}" if lost is not None else ""))
    encoded = (base64.b64encode(blob).decode() for blob in strip.pictures)
    images = "".join(
        f'<img alt="{escape(strip.sequence)} frame {frame}" src="data:image/jpeg;base64,{data}">'
        for frame, data in zip(strip.frames, encoded, strict=True)
    )
    line = sparkline(list(strip.overlaps.values()), list(strip.frames), strip.absent)
    return (
        f"<figure><h3>{escape(strip.sequence)}</h3><div class='soft'>{' &nbsp; '.join(told)}</div>"
        f'<div class="film">{images}</div><div class="wide">{line}</div></figure>'
    )


def page(study: Study, strips: Iterable[Filmstrip] = (), title: str = "") -> str:
    """The whole page as text.

    Args:
        study: The numbers.
        strips: Filmstrips of the worst sequences.
        title: Headline; made from the set's name where empty.
    """
    headline = escape(title or f"{len(study.reports)} trackers on {study.dataset or 'a set of sequences'}")
    frames = sum(study.first.frames.values())
    primary = _name(study.first.primary)
    intro = (
        f"{len(study.first.sequences)} sequences, {frames:,} frames, protocol <code>{escape(study.protocol)}</code>. "
        f"Brackets and bands are 95 % bootstrap intervals over sequences (2,000 draws; 500 for bands)."
    )
    parts = [f"<h1>{headline}</h1><p class='soft'>{intro}</p>", "<h2>Summary</h2>", _summary(study)]
    if study.fps:
        parts.append("<p class='soft'>Frames per second: tracker only, without reading frames, start left out.</p>")
    if study.first.curves:
        parts += ["<h2>Curves</h2>", _plots(study)]
    if len(study.reports) > 1:
        parts += [
            "<h2>Pairs</h2>",
            "<p class='soft'>Both trackers are drawn together, so what is easy or hard for both cancels. Chance to be "
            "better: share of draws. p: two-sided sign-flip test over sequences, not corrected for the number of pairs."
            " Shaded: the interval leaves out zero.</p>",
            _pairs(study),
        ]
    if any(study.first.attributes.values()):
        parts += ["<h2>Attributes</h2>", _attributes(study)]
    parts += [f"<h2>Sequences</h2><p class='soft'>{primary}; click a heading to sort.</p>", _sequences(study)]
    shown = [_strip(strip, study.reports) for strip in strips]
    if shown:
        parts += [
            "<h2>Worst sequences</h2><p class='soft'>Lowest average over the trackers. Dashed white: ground truth. "
            "Below: overlap over time; grey where the target is absent, dotted lines at the pictures. Lost: overlap "
            "under 0.1 for 10 frames or to the end.</p>",
            *shown,
        ]
    return document(headline, "".join(parts), study.notes)


def document(headline: str, body: str, notes: Iterable[str] = ()) -> str:
    """A whole page round its body, with the style and the script inside, so that it works offline.

    Args:
        headline: For the browser's tab, escaped already.
        body: HTML.
        notes: Lines at the foot.
    """
    style, script = ((files(__package__) / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    foot = f"Made with ostrack {__version__}." + "".join(f"<br>{escape(note)}" for note in notes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{headline}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{style}</style></head>'
        f"<body>{body}<p class='soft'>{foot}</p><script>{script}</script></body></html>\n"
    )
