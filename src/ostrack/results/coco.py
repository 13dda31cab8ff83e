"""COCO for video: every frame that was looked at an image, every box an annotation that names its track.

The keys are those of COCO, so any COCO reader takes the file; ``videos``, ``video_id``, ``frame_id`` and ``track_id``
are the ones that TAO and the readers of video data added.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TextIO

from ostrack.results.table import Result
from ostrack.whole import whole_file

__all__ = ["write_coco"]


def write_coco(result: Result, path: Path) -> None:
    """Write one JSON file; boxes are in pixels from 0, frames count from 0 and ids from 1; lost targets are left out.

    A frame that nobody looked at is no image of it, nor one in which there is nothing but a lost target: an image
    without boxes says to a training that nothing is there.

    Raises:
        OutputError: It cannot be written.
    """
    with whole_file(path) as file:
        _write(result, file)


def _write(result: Result, file: TextIO) -> None:
    media, classes = result.media, list(dict.fromkeys(track.label for track in result.targets.values()))
    width, height = media.size
    name = Path(media.name).name
    video = {
        "id": 1, "name": name, "width": width, "height": height, "fps": media.fps, "length": result.frame_count,
    }  # fmt: skip
    info = {"description": f"boxes of {name}", "version": "1.0"}
    categories = [{"id": number, "name": label, "supercategory": ""} for number, label in enumerate(classes, 1)]
    tracks = [
        {"id": number, "video_id": 1, "category_id": classes.index(track.label) + 1, "name": str(track.id)}
        for number, track in enumerate(result.targets.values(), 1)
    ]
    head: dict[str, Any] = {"info": info, "videos": [video], "categories": categories, "tracks": tracks}
    # A line for each image and box: such files are read by people too, and none has to be held in memory.
    file.write(json.dumps(head, ensure_ascii=False)[:-1])
    stem = Path(name).stem.strip(".") or "images"  # the folder "." has no name
    nothing_but_lost = {
        index for index, _, labels in result.rows() if all(label.state == "lost" for label in labels.values())
    }
    images = (
        {
            "id": index + 1, "video_id": 1, "frame_id": index, "file_name": f"{stem}/{index:06d}.jpg",
            "width": width, "height": height,
        }
        for index in result.looked_at()
        if index not in nothing_but_lost
    )  # fmt: skip
    _list(file, "images", images)
    _list(file, "annotations", _annotations(result, classes))
    file.write("}\n")


def _list(file: TextIO, key: str, items: Any) -> None:
    file.write(f', "{key}": [')
    for number, item in enumerate(items):
        file.write((",\n" if number else "\n") + json.dumps(item, ensure_ascii=False))
    file.write("\n]")


def _annotations(result: Result, classes: list[str]) -> Any:
    numbers = {id: number for number, id in enumerate(result.targets, 1)}
    count = 0
    for index, _, labels in result.rows():
        for id, label in labels.items():
            if label.state == "lost":
                continue
            count += 1
            box = [round(value, 3) for value in label.box]
            found: dict[str, Any] = {
                "id": count, "image_id": index + 1, "video_id": 1, "track_id": numbers[id],
                "category_id": classes.index(result.targets[id].label) + 1, "bbox": box,
                "area": round(label.box[2] * label.box[3], 3), "iscrowd": 0, "state": label.state,
                "keyframe": label.keyframe,
            }  # fmt: skip
            if not math.isnan(label.score):
                found["score"] = round(label.score, 4)
            yield found
