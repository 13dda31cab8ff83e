"""Results in the form that benchmarks and their servers ask for.

The files of a run are floats in the benchmark's own pixels; here they are packed. Nothing is removed.
"""

from __future__ import annotations

import io
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostrack.errors import EvaluationError
from ostrack.evaluate.files import format_boxes, read_results, read_times, write_boxes
from ostrack.evaluate.peers import TrackerSpec
from ostrack.whole import write_whole

__all__ = ["SUBMISSIONS", "add_to_ini", "pack_got10k", "pack_trackingnet", "trackers_ini", "write_truncated"]

Floats = NDArray[np.float64]
# Zip archives carry the time of every file; a fixed one makes equal results equal bytes.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def _zip(path: Path, files: Mapping[str, str]) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, text)
    write_whole(path, buffer.getvalue())
    return path


def _column(values: Floats, digits: int) -> str:
    return "".join(f"{value:.{digits}f}\n" for value in values.tolist())


def pack_got10k(folder: Path, lengths: Mapping[str, int], path: Path) -> Path:
    """Pack results for GOT-10k's server.

    ``NAME/NAME_001.txt`` with comma-separated floats of three decimals and ``NAME/NAME_time.txt`` with the seconds of
    each frame, as its toolkit writes them; no folder above.

    Args:
        folder: Results of a run.
        lengths: Number of frames by sequence.
        path: The zip archive to write.

    Raises:
        EvaluationError: A sequence has no result or no times, or of another length.
    """
    boxes, times = read_results(folder, lengths), read_times(folder, lengths)
    files = {}
    for name, rows in boxes.items():
        if name not in times or len(times[name]) != len(rows):
            raise EvaluationError(f"{folder}: {name}_time.txt must have {len(rows)} lines; the server asks for times")
        files[f"{name}/{name}_001.txt"] = format_boxes(rows, 3)
        files[f"{name}/{name}_time.txt"] = _column(times[name], 8)
    return _zip(path, files)


def pack_trackingnet(folder: Path, lengths: Mapping[str, int], path: Path) -> Path:
    """Pack results for TrackingNet's server: ``NAME.txt`` with comma-separated floats, no folder above.

    Args:
        folder: Results of a run.
        lengths: Number of frames by sequence.
        path: The zip archive to write.

    Raises:
        EvaluationError: A sequence has no result, or one of another length.
    """
    boxes = read_results(folder, lengths)
    return _zip(path, {f"{name}.txt": format_boxes(rows, 2) for name, rows in boxes.items()})


def write_truncated(folder: Path, lengths: Mapping[str, int], target: Path) -> None:
    """Write results as the official code does: tab-separated whole numbers, cut (not rounded), and ``NAME_time.txt``.

    Cutting moves boxes by half a pixel on average; keep the floats for your own scores.

    Args:
        folder: Results of a run.
        lengths: Number of frames by sequence.
        target: Folder to write to.

    Raises:
        EvaluationError: A sequence has no result, or one of another length; or ``target`` is ``folder``.
    """
    if folder.resolve() == target.resolve():
        raise EvaluationError(f"{target}: truncated results would replace the floats; choose another folder")
    times = read_times(folder, lengths)
    for name, rows in read_results(folder, lengths).items():
        write_boxes(target / f"{name}.txt", rows, digits=None, delimiter="\t")
        if name in times:
            write_whole(target / f"{name}_time.txt", _column(times[name], 6))


SUBMISSIONS = {"got10k": pack_got10k, "trackingnet": pack_trackingnet}
"""Packers by kind of benchmark."""


def trackers_ini(spec: TrackerSpec, name: str | None = None) -> str:
    """The entry of a tracker in the VOT toolkit's ``trackers.ini``.

    Args:
        spec: What to run.
        name: Identifier; letters, digits, ``-`` and ``_``.

    Raises:
        EvaluationError: The name has other characters.
    """
    name = name or spec.label
    if not name.replace("-", "").replace("_", "").isalnum():
        raise EvaluationError(f"the VOT toolkit takes letters, digits, - and _ in a tracker's name, got {name!r}")
    program = Path(sys.executable).with_name("ostrack")
    command = [str(program) if program.is_file() else shutil.which("ostrack") or "ostrack", "vot"]
    source = spec.source
    if spec.kind == "ostrack" and Path(source).is_file():
        source = str(Path(source).resolve())
    if source:
        command += ["--tracker", source]
    for option, value in spec.options:
        command += ["--option", f"{option}={value}"]
    for folder in spec.search_path:
        command += ["--path", str(Path(folder).resolve())]
    quoted = " ".join(f'"{part}"' if " " in part else part for part in command)
    return f"[{name}]\nlabel = {name}\nprotocol = trax\ncommand = {quoted}\n"


def add_to_ini(path: Path, spec: TrackerSpec, name: str | None = None) -> None:
    """Add a tracker to a ``trackers.ini``, or replace its entry; the other entries stay.

    Args:
        path: The file; made when it is not there.
        spec: What to run.
        name: Identifier in the file.

    Raises:
        EvaluationError: The name has other characters than the toolkit takes, or the file is no ``trackers.ini``.
    """
    entry = trackers_ini(spec, name)
    header = entry.splitlines()[0]
    kept: list[str] = []
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], 1):
        if not kept and line.strip() and line.strip()[0] not in "[#;" and not inside:
            raise EvaluationError(f"{path}:{number}: expected a [tracker], got {line[:60]!r}")
        if line.strip().startswith("["):
            inside = line.strip() == header
        if not inside:
            kept.append(line)
    before = "\n".join(kept).strip()
    write_whole(path, (before + "\n\n" if before else "") + entry)
