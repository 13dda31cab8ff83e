"""Results handed to other libraries."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ostrack.boxes import xywh_to_xyxy
from ostrack.errors import OSTrackError
from ostrack.results.table import Label, Result

if TYPE_CHECKING:
    import supervision

__all__ = ["to_supervision"]


def to_supervision(result: Result) -> list[supervision.Detections]:
    """One ``supervision.Detections`` for each frame; see :meth:`ostrack.results.Result.to_supervision`.

    Raises:
        OSTrackError: The package supervision is not installed.
    """
    try:
        from supervision import Detections
    except ModuleNotFoundError as error:
        raise OSTrackError(f"{error.name} is not installed; run: pip install supervision") from error
    numbers = {id: number for number, id in enumerate(result.targets, 1)}
    classes = list(dict.fromkeys(track.label for track in result.targets.values()))
    frames = [Detections.empty() for _ in range(result.frame_count)]
    for index, _, labels in result.rows():
        found = [label for label in labels.values() if label.state != "lost"]
        if not found:
            continue
        kinds = [result.targets[label.id].label for label in found]
        frames[index] = Detections(
            xyxy=xywh_to_xyxy([label.box for label in found]).astype(np.float32),
            confidence=np.array([_sure(label) for label in found], np.float32),
            class_id=np.array([classes.index(kind) for kind in kinds], np.int64),
            tracker_id=np.array([numbers[label.id] for label in found], np.int64),
            data={
                "class_name": np.array(kinds),
                "target": np.array([str(label.id) for label in found]),
                "state": np.array([label.state for label in found]),
            },
        )
    return frames


def _sure(label: Label) -> float:
    return label.score if math.isnan(label.confidence) else label.confidence
