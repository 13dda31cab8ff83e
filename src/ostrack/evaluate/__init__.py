"""Measuring trackers by the published protocols: scoring, running, submitting and comparing."""

from __future__ import annotations

from ostrack.evaluate.files import read_results
from ostrack.evaluate.intervals import Comparison, Interval
from ostrack.evaluate.peers import TrackerSpec
from ostrack.evaluate.presence import call_absent, threshold_for_f
from ostrack.evaluate.protocols import PROTOCOLS, protocol_for
from ostrack.evaluate.report import write_study
from ostrack.evaluate.runner import RunSummary, run
from ostrack.evaluate.scores import Curve, Report, Scores
from ostrack.evaluate.scoring import score
from ostrack.evaluate.study import Study, study
from ostrack.evaluate.truth import Truth, truth_of
from ostrack.evaluate.vot import SupervisedRun, score_vot

__all__ = [
    "PROTOCOLS",
    "Comparison",
    "Curve",
    "Interval",
    "Report",
    "RunSummary",
    "Scores",
    "Study",
    "SupervisedRun",
    "TrackerSpec",
    "Truth",
    "call_absent",
    "protocol_for",
    "read_results",
    "run",
    "score",
    "score_vot",
    "study",
    "threshold_for_f",
    "truth_of",
    "write_study",
]
