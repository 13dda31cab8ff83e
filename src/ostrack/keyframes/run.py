"""A whole clip labelled, and the files of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostrack.errors import OutputError
from ostrack.keyframes.plan import fit
from ostrack.keyframes.segments import STEP, check_options, plans_of, run_segments
from ostrack.results import FORMATS, Media, Result, ResultBuilder, format_of
from ostrack.tracker import Tracker
from ostrack.video.clip import Clip, open_clip
from ostrack.video.run import Progress
from ostrack.video.signals import stop_on_request
from ostrack.whole import whole_file

__all__ = ["annotate", "outputs_of", "write_folder"]

_NAME = "tracks"
_SEQUENCE = "seqinfo.ini"


def annotate(
    source: str | os.PathLike[str] | Clip,
    keyframes: Any,
    *,
    save_to: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = ("csv",),
    tracker: Tracker | None = None,
    work: str | os.PathLike[str] | None = None,
    step: int = STEP,
    fps: float | None = None,
    progress: Progress | None = None,
    **tracker_options: Any,
) -> Result:
    """Label a whole clip from a few boxes.

    Each target is tracked by itself, forward and backward from every key frame; in between, both passes are blended.
    Boxes are exact at the key frames. Where the passes disagree, frames are ``uncertain``: ``result.suggest()`` says
    which of them to correct first. Then call it again with one more key frame::

        result = ostrack.annotate("clip.mp4", {"cup": {0: (80, 40, 24, 24), 120: (60, 44, 22, 25), 200: None}})
        result.save("tracks.xml")          # CVAT; .coco.json, .yolo, .csv, ... likewise

    Ctrl-C ends it early with what is finished; with ``save_to`` or ``work`` the next call goes on from there, as it
    does after a crash.

    Args:
        source: A video file, a folder of images, or a clip opened by ``open_clip``.
        keyframes: ``{id: {frame: (x, y, w, h) or None}}``, None where the target is absent until its next key frame;
            or a list of ``{"id", "frame", "box"}``, or the path of a JSON file of either.
        save_to: Folder for the files and, in its subfolder ``work``, for finished steps; made if it does not exist.
        formats: What to write there: names of :data:`ostrack.results.FORMATS`.
        tracker: A tracker to use; made from ``tracker_options`` where None.
        work: Another folder for finished steps.
        step: Frames a step: what a killed run loses at most.
        fps: Frame rate to assume where the source states none.
        progress: Called after each frame with the number tracked and the total of all passes.
        **tracker_options: ``network``, ``runtime``, ``device``, ``threads``, ... of :class:`ostrack.Tracker`.

    Raises:
        BoxError: Key frames that cannot be used.
        SourceError: The source cannot be read.
        OutputError: A file cannot be written, or a format is not known.
        NetworkError: The network cannot be used.
        ValueError: Arguments that contradict each other.
    """
    plans = plans_of(keyframes)
    check_options(step, tracker, tracker_options)
    names = [format_of(_NAME, name).name for name in dict.fromkeys(formats)]
    folder = Path(save_to) if save_to is not None else None
    if folder is not None:
        _make(folder)
        for path in outputs_of(folder, names) if isinstance(keyframes, (str, os.PathLike)) else ():
            if path.exists() and path.samefile(keyframes):
                raise OutputError(f"{path}: is the file that the key frames are read from; choose another folder")
    builder = ResultBuilder({plan.id: plan.label for plan in plans})
    clip = source if isinstance(source, Clip) else open_clip(source, fps)
    with stop_on_request() as stop:
        kept, problems = fit(plans, clip.name, clip.frame_count, clip.size)
        follower = tracker if tracker is not None else Tracker(**tracker_options)
        steps = Path(work) if work is not None else folder / "work" if folder is not None else None
        for plan in plans:
            builder.open(plan.id)
        interrupted = False
        try:
            for segment in run_segments(clip, kept, follower, steps, step, _stopping(progress, stop)):
                for time_s, label in zip(segment.times, segment.labels, strict=True):
                    builder.add(time_s, label)
        except KeyboardInterrupt:
            interrupted = True
        media = Media(clip.name, clip.fps, clip.size, clip.frame_count)
        result = builder.build(media, (*clip.problems, *problems), interrupted)
    if folder is not None:
        write_folder(result, folder, names)
    return result


def outputs_of(folder: Path, formats: Sequence[str]) -> tuple[Path, ...]:
    """The files and folders that :func:`annotate` writes: ``tracks`` in each format, each once."""
    paths = [folder / f"{_NAME}{FORMATS[name].ending}" for name in dict.fromkeys(formats)]
    return (*paths, folder / _SEQUENCE) if "mot" in formats else tuple(paths)


def write_folder(result: Result, folder: Path, formats: Sequence[str]) -> None:
    """Write ``tracks`` in each format; beside MOTChallenge text a ``seqinfo.ini`` with rate, length and size.

    Raises:
        OutputError: One cannot be written.
    """
    _make(folder)
    for name, path in zip(dict.fromkeys(formats), outputs_of(folder, formats), strict=False):
        result.save(path, name)
    if "mot" in formats:
        width, height = result.media.size
        with whole_file(folder / _SEQUENCE) as file:
            file.write(
                f"[Sequence]\nname={Path(result.media.name).stem}\nimDir=img1\nframeRate={result.media.fps:g}\n"
                f"seqLength={result.frame_count}\nimWidth={width}\nimHeight={height}\nimExt=.jpg\n"
            )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error


def _stopping(progress: Progress | None, stop: threading.Event) -> Progress:
    """Report progress, and end the run where a signal asked for it."""

    def tell(done: int, total: int | None) -> None:
        if progress is not None:
            progress(done, total)
        if stop.is_set():
            raise KeyboardInterrupt

    return tell
