"""Work: where a person gave two boxes, follow the target from both ends and blend the two."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from ostrack.keyframes import annotate_segments
from ostrack.serve.media import open_upload
from ostrack.serve.worker import Report
from ostrack.tracker import Tracker
from ostrack.video.source import SourceWarning

__all__ = ["work"]


def work(request: dict[str, Any], report: Report) -> None:
    """Blend.

    Args:
        request: ``source``, ``name``, ``network``, ``threads``, ``keyframes`` (of
            :func:`ostrack.serve.jobs.stretches_of`, by target) and ``passes``, a folder where finished passes are
            kept for the next time.
        report: ``tracks`` with the rows of a piece, ``progress``.
    """
    warnings.simplefilter("ignore", SourceWarning)
    source = Path(request["source"])
    open_upload(source, request["name"]).close()  # no other kinds of files than for everything else
    keyframes = {int(target): frames for target, frames in request["keyframes"].items()}
    pieces = annotate_segments(
        source,
        keyframes,
        tracker=Tracker(request["network"], threads=request["threads"]),
        work=request["passes"],
        progress=lambda done, total: report("progress", done=done, total=total),
    )
    for piece in pieces:
        rows = [
            [piece.id, label.frame, *map(float, label.box), _plain(label.score), _plain(label.confidence), label.state]
            for label in piece.labels
        ]
        report("tracks", rows=rows)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
