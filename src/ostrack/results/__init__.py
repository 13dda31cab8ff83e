"""What was found: tables of boxes in memory, and the files that other programs read."""

from __future__ import annotations

from ostrack.results.builder import ResultBuilder
from ostrack.results.doubt import Suggestion, suggest
from ostrack.results.formats import FORMATS, format_of, open_records, save
from ostrack.results.reading import read_result
from ostrack.results.table import Label, Media, Result, TargetTrack

__all__ = [
    "FORMATS",
    "Label",
    "Media",
    "Result",
    "ResultBuilder",
    "Suggestion",
    "TargetTrack",
    "format_of",
    "open_records",
    "read_result",
    "save",
    "suggest",
]
