"""The network in torch: the ViT with candidate elimination, its heads, and weight files."""

from __future__ import annotations

from ostrack.config import PRESETS, OSTrackConfig
from ostrack.model.backbone import LoadReport, initialise_backbone
from ostrack.model.checkpoint import load, save
from ostrack.model.conversion import ConversionReport, convert
from ostrack.model.ostrack import OSTrack, Prediction

__all__ = [
    "PRESETS",
    "ConversionReport",
    "LoadReport",
    "OSTrack",
    "OSTrackConfig",
    "Prediction",
    "convert",
    "initialise_backbone",
    "load",
    "save",
]
