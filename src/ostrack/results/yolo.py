"""YOLO's folder of text files: one a frame, one line a box, everything relative to the frame."""

from __future__ import annotations

import json
from pathlib import Path

from ostrack.errors import OutputError
from ostrack.results.table import Result
from ostrack.whole import whole_file

__all__ = ["write_yolo"]


def write_yolo(result: Result, folder: Path) -> None:
    """Write ``labels/000000.txt`` and so on, ``classes.txt`` and ``data.yaml``.

    A line is ``class cx cy w h`` with the class counted from 0 and the box, cut at the frame's edge, as shares of its
    width and height. A frame in which nothing is to be seen has an empty file. A frame in which a target is lost, or
    that nobody looked at, has none: what it shows is not known, and an empty file would say that nothing is there.
    ``images`` stays empty, see :func:`ostrack.video.write_images`.

    Raises:
        OutputError: It cannot be written.
    """
    labels = folder / "labels"
    try:
        labels.mkdir(parents=True, exist_ok=True)
        (folder / "images").mkdir(exist_ok=True)
        old = {path for path in labels.glob("[0-9]" * 6 + "*.txt") if path.stem.isdecimal()}
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    classes = list(dict.fromkeys(track.label for track in result.targets.values()))
    texts = dict.fromkeys(result.looked_at(), "")
    for index, _, found in result.rows():
        if any(label.state == "lost" for label in found.values()):
            texts.pop(index, None)
            continue
        lines = ((classes.index(result.targets[id].label), label.box) for id, label in found.items())
        texts[index] = "".join(f"{number} {shares}\n" for number, box in lines if (shares := _shares(box, result)))
    for index, text in texts.items():
        path = labels / f"{index:06d}.txt"
        _write(path, text)
        old.discard(path)
    for path in old:
        path.unlink(missing_ok=True)  # of an earlier result, whose frames this one does not have
    _write(folder / "classes.txt", "".join(f"{name}\n" for name in classes))
    names = json.dumps(classes, ensure_ascii=False)  # a JSON list is a YAML list
    _write(folder / "data.yaml", f"train: images\nval: images\nnc: {len(classes)}\nnames: {names}\n")


def _shares(box: tuple[float, float, float, float], result: Result) -> str | None:
    width, height = result.media.size
    x1, y1 = max(0.0, box[0]), max(0.0, box[1])
    x2, y2 = min(float(width), box[0] + box[2]), min(float(height), box[1] + box[3])
    if x2 <= x1 or y2 <= y1:
        return None
    numbers = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
    return " ".join(f"{number:.6f}" for number in numbers)


def _write(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text)
