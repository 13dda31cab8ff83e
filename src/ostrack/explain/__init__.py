"""Looking inside the network: eliminated candidates, attention, score maps; and what elimination costs and saves."""

from __future__ import annotations

from ostrack.explain.clip import Explained, explain_clip, explain_frames, explain_images, explain_pair
from ostrack.explain.inspection import Elimination, Inspection, Quadrants
from ostrack.explain.measures import LayerMeasures, Measures, measure
from ostrack.explain.points import Extent, Point, Sweep
from ostrack.explain.probe import inspect
from ostrack.explain.report import Report
from ostrack.explain.settings import Axes, Setting
from ostrack.explain.streams import StreamReport, compare_streams
from ostrack.explain.sweep import sweep

__all__ = [
    "Axes",
    "Elimination",
    "Explained",
    "Extent",
    "Inspection",
    "LayerMeasures",
    "Measures",
    "Point",
    "Quadrants",
    "Report",
    "Setting",
    "StreamReport",
    "Sweep",
    "compare_streams",
    "explain_clip",
    "explain_frames",
    "explain_images",
    "explain_pair",
    "inspect",
    "measure",
    "sweep",
]
