"""What goes wrong by the user's input or surroundings; every message is one line that says what was expected."""

from __future__ import annotations

__all__ = [
    "BoxError",
    "CheckpointError",
    "DataError",
    "EvaluationError",
    "NetworkError",
    "OSTrackError",
    "OutputError",
    "RecipeError",
    "SourceError",
    "TrainingError",
]


class OSTrackError(Exception):
    """Base of all of these; the command line prints the message and ends with exit code 2."""


class BoxError(OSTrackError, ValueError):
    """A box that cannot be tracked: no area, not finite, outside the frame."""


class SourceError(OSTrackError):
    """A video, camera or folder that cannot be read."""


class OutputError(OSTrackError):
    """A result that cannot be written."""


class NetworkError(OSTrackError):
    """An exported network or runtime that cannot be used."""


class CheckpointError(OSTrackError):
    """A weight file that cannot be loaded."""


class RecipeError(OSTrackError, ValueError):
    """A training recipe or data set that cannot be used."""


class DataError(OSTrackError, ValueError):
    """A benchmark, training set, sequence or image that cannot be read."""


class TrainingError(OSTrackError):
    """A training run that cannot go on: losses that are no numbers, a loader process that died, a folder in use."""


class EvaluationError(OSTrackError, ValueError):
    """Results, ground truth or a protocol that cannot be scored together."""
