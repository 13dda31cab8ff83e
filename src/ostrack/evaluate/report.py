"""Write a study down: Markdown for reading, JSON for machines, HTML for looking at."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.data.sequence import Sequence
from ostrack.evaluate.filmstrips import Filmstrip, filmstrip
from ostrack.evaluate.page import page
from ostrack.evaluate.study import NAMES, Study
from ostrack.whole import write_whole

__all__ = ["markdown", "worst_strips", "write_study"]

Floats = NDArray[np.float64]


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"


def _rows(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def markdown(study: Study, sequences: bool = True) -> str:
    """The tables of a study as Markdown.

    Args:
        study: The numbers.
        sequences: Whether to list every sequence.
    """
    frames, metric = sum(study.first.frames.values()), study.first.primary
    lines = [
        f"# {study.dataset or 'Comparison'}",
        "",
        f"{len(study.first.sequences)} sequences, {frames} frames, protocol `{study.protocol}`; brackets are 95 % "
        "bootstrap intervals over sequences.",
        "",
    ]
    summary = []
    for name, report in study.reports.items():
        cells = [f"{_number(it.value)} [{_number(it.low)}, {_number(it.high)}]" for it in report.intervals().values()]
        summary.append([name, *cells, f"{study.fps[name]:.1f}" if name in study.fps else "-"])
    lines += _rows(["tracker", *(NAMES.get(key, key) for key in study.metrics), "frames / s"], summary)
    if len(study.reports) > 1:
        pairs = []
        for (a, b), found in study.pairs().items():
            it = found.difference
            wins = f"{found.wins} / {found.ties} / {found.losses}"
            change = it.signed()
            pairs.append([f"{a} - {b}", change, f"{found.chance_better:.3f}", f"{found.p_value:.4f}", wins])
        head = [
            "pair",
            f"difference in {NAMES.get(metric, metric)}",
            "chance to be better",
            "p",
            "wins / ties / losses",
        ]
        lines += ["", *_rows(head, pairs)]
    by_attribute = {name: report.by_attribute() for name, report in study.reports.items()}
    attributes = list(next(iter(by_attribute.values())))
    if attributes:
        table = [[key, *(_number(found[key][metric]) for found in by_attribute.values())] for key in attributes]
        lines += ["", *_rows(["attribute", *study.reports], table)]
    if sequences:
        table = [
            [key, str(study.first.frames[key]), *(_number(r.per_sequence[key][metric]) for r in study.reports.values())]
            for key in study.first.sequences
        ]
        lines += ["", *_rows(["sequence", "frames", *study.reports], table)]
    return "\n".join([*lines, *(["", *study.notes] if study.notes else [])]) + "\n"


def worst_strips(study: Study, sequences: Iterable[Sequence], count: int = 6) -> list[Filmstrip]:
    """Filmstrips of the sequences with the lowest figures.

    Args:
        study: The numbers; needs results by frame, so not of supervised runs.
        sequences: The set, for its frames.
        count: How many.

    Raises:
        DataError: A frame cannot be read.
    """
    if not study.results:
        return []
    by_name = {sequence.name: sequence for sequence in sequences}
    strips = []
    for name in study.worst(count):
        clip = by_name[name]
        shift = np.array([clip.first_pixel, clip.first_pixel, 0, 0], dtype=np.float64)
        rows = {tracker: results[name][: len(clip)] - shift for tracker, results in study.results.items()}
        strips.append(filmstrip(clip, rows))
    return strips


def write_study(study: Study, folder: Path, strips: Iterable[Filmstrip] = (), title: str = "") -> dict[str, Path]:
    """Write ``report.md``, ``report.json`` and ``report.html``.

    Args:
        study: The numbers.
        folder: Where to.
        strips: Filmstrips for the page.
        title: Headline of the page.

    Returns:
        The files by suffix.

    Raises:
        OutputError: A file cannot be written.
    """
    texts = {
        "md": markdown(study),
        "json": json.dumps(study.to_dict(), indent=1, allow_nan=False) + "\n",
        "html": page(study, strips, title),
    }
    paths = {suffix: folder / f"report.{suffix}" for suffix in texts}
    for suffix, text in texts.items():
        write_whole(paths[suffix], text)
    return paths
