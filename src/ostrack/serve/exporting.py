"""Work: write a job's tracks as a file in one of the package's formats, or as a video with the boxes drawn in."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ostrack.results import FORMATS, Label, Media, Result, ResultBuilder, save
from ostrack.serve.media import open_upload
from ostrack.serve.strip import Strip
from ostrack.serve.worker import Report
from ostrack.tracker import TargetId, Track
from ostrack.video.draw import draw_tracks
from ostrack.video.sink import VideoSink
from ostrack.video.source import SourceWarning

__all__ = ["result_of", "work"]


def work(request: dict[str, Any], report: Report) -> None:
    """Write one file; it appears under its name when it is whole.

    Args:
        request: ``target`` (the file), ``format`` (``"mp4"`` or one of :data:`ostrack.results.FORMATS`), ``names`` (of
            the targets by number, as text), ``keyframes`` (target, frame and box of each), ``absent``
            (target, first frame and the one behind the last of each time that it is said to be gone), ``rows`` as
            :func:`ostrack.serve.following.row_of` makes them, ``folder`` of the strip, ``source``, ``name`` and
            ``video`` (width, height, fps, frames).
        report: ``progress``.
    """
    warnings.simplefilter("ignore", SourceWarning)
    target, format = Path(request["target"]), request["format"]
    draft = target.with_name(f"draft-{target.name}")
    result = result_of(request, Strip(Path(request["folder"])).times())
    if format == "mp4":
        _write_video(request, draft, result, report)
    elif FORMATS[format].folder:
        # A browser takes one file, so a folder of files is packed.
        folder = draft.with_suffix("")
        save(result, folder, format)
        shutil.make_archive(str(folder), "zip", folder)
        shutil.rmtree(folder)
    else:
        save(result, draft, format)
    draft.replace(target)


def _write_video(request: Mapping[str, Any], draft: Path, result: Result, report: Report) -> None:
    tracks: dict[int, dict[TargetId, Track]] = {
        index: {
            id: Track(id, label.box, label.score, label.state, index, confidence=label.confidence)
            for id, label in labels.items()
        }
        for index, _, labels in result.rows()
    }
    order = list(result.targets)
    with (
        open_upload(Path(request["source"]), request["name"]) as source,
        VideoSink(draft, source.fps) as sink,
    ):
        for frame in source:
            sink.write(draw_tracks(frame.image, tracks.get(frame.index, {}), order), frame.time_s)
            report("progress", done=frame.index + 1, total=request["video"]["frames"])


def result_of(request: Mapping[str, Any], times: list[float]) -> Result:
    """The rows of a job as a result of the package.

    Args:
        request: As for :func:`work`.
        times: Of each frame, in seconds.
    """
    video, names = request["video"], {int(key): value for key, value in request["names"].items()}
    given = {(target, frame): box for target, frame, box in request["keyframes"]}
    builder = ResultBuilder()
    for name in names.values():
        builder.open(name)
    for target, frame, x, y, w, h, score, confidence, state in request["rows"]:
        drawn = (target, frame) in given
        label = Label(
            names[target],
            (x, y, w, h),
            1.0 if drawn else math.nan if score is None else score,
            state,
            frame,
            keyframe=drawn,
            confidence=1.0 if drawn else math.nan if confidence is None else confidence,
        )
        builder.add(times[frame], label)
    known: dict[int, set[int]] = {target: set() for target in names}
    for target, frame, *_ in request["rows"]:
        known[target].add(frame)
    # Boxes that were drawn and not tracked from yet.
    for (target, frame), (x, y, w, h) in given.items():
        if frame not in known[target] and frame < len(times):
            label = Label(names[target], (x, y, w, h), 1.0, "tracking", frame, keyframe=True, confidence=1.0)
            builder.add(times[frame], label)
    media = Media(request["name"], video["fps"], (video["width"], video["height"]), video["frames"])
    # Tracking goes forward from the boxes and may have been cancelled: a frame is known to be empty only where every
    # target is said to be gone, or was looked for.
    for target, first, stop in request["absent"]:
        known[target].update(range(first, stop))
    return builder.build(media, absent=set.intersection(*known.values()) if known else ())
