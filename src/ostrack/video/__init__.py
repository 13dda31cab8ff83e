"""From files, cameras and streams to tracks, drawn videos and tables of boxes."""

from __future__ import annotations

from ostrack.results import open_records
from ostrack.video.clip import Clip, open_clip
from ostrack.video.draw import ContactSheet, draw_tracks
from ostrack.video.extract import write_images
from ostrack.video.run import Summary, track
from ostrack.video.sink import VideoSink
from ostrack.video.source import Frame, Source, SourceWarning, open_source
from ostrack.video.targets import Start

__all__ = [
    "Clip",
    "ContactSheet",
    "Frame",
    "Source",
    "SourceWarning",
    "Start",
    "Summary",
    "VideoSink",
    "draw_tracks",
    "open_clip",
    "open_records",
    "open_source",
    "track",
    "write_images",
]
