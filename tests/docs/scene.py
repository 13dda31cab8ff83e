"""What the documentation's commands find in the folder they run in: clips, labels, networks, data sets, all small."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from blocks import ROOT, blocks_of

from moving_clips import write_clip
from ostrack.config import OSTrackConfig
from ostrack.demo import START, demo_clip
from ostrack.evaluate import score
from ostrack.export import export_onnx
from ostrack.model import OSTrack, load
from ostrack.model.checkpoint import save
from ostrack.model.kinds import new_network
from ostrack.video import VideoSink, open_source
from tiny_training import write_annotated

FRAMES = 10
BOX = (120.0, 80.0, 60.0, 90.0)
"""What the pages draw; inside the clip's 640 x 272 pixels."""

_TINY = OSTrackConfig(
    template_size=32, search_size=64, patch_size=8, embed_dim=24, depth=3, num_heads=3, head_channels=16,
    elimination_layers=(1, 2), keep_ratios=(0.7, 0.5),
)  # fmt: skip
# The official form does not hold the number of heads, which are 64 channels each.
_OFFICIAL = _TINY.model_copy(update={"embed_dim": 64, "num_heads": 1, "patch_size": 16})

TRACKER = '''"""A tracker that never moves."""


class Tracker:
    def init(self, image, box):
        self.box = box

    def update(self, image):
        return self.box
'''


def pictures() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Frames of the demo clip, ``(272, 640, 3)`` RGB."""
    with open_source(demo_clip()) as source:
        return [frame.image for frame, _ in zip(source.frames(START), range(FRAMES), strict=False)]


def write_images(folder: Path, count: int, digits: int = 8) -> None:
    """The clip's first frames as JPEG files, counted from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pictures()[:count], start=1):
        assert cv2.imwrite(str(folder / f"{number:0{digits}d}.jpg"), image[..., ::-1])


def write_labels(path: Path, count: int, first_pixel: int = 0) -> None:
    """A box a line that moves by a pixel a frame."""
    x, y, w, h = BOX
    lines = [f"{x + number + first_pixel:g},{y + first_pixel:g},{w:g},{h:g}" for number in range(count)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def sequences(root: Path, count: int = 2, frames: int = 5) -> None:
    """Labelled clips in folders of their own."""
    for number in range(count):
        write_images(root / f"clip{number}" / "img", frames)
        write_labels(root / f"clip{number}" / "groundtruth.txt", frames)


def clip(folder: Path) -> None:
    """``clip.mp4``, ``frames``, ``boxes.txt``, ``first.jpg`` and ``second.jpg``."""
    with VideoSink(folder / "clip.mp4", 25) as sink:
        for number, image in enumerate(pictures()):
            sink.write(image, number / 25)
    write_images(folder / "frames", 8)
    write_labels(folder / "boxes.txt", FRAMES)
    for number, name in enumerate(("first", "second"), start=1):
        shutil.copy(folder / "frames" / f"{number:08d}.jpg", folder / f"{name}.jpg")


def labelled(folder: Path) -> None:
    """``sequences`` and ``FOLDER``: labelled clips."""
    sequences(folder / "sequences")
    sequences(folder / "FOLDER", count=4)


def tiny_network(folder: Path) -> None:
    """``tiny.safetensors``: random, small."""
    torch.manual_seed(0)
    save(folder / "tiny.safetensors", OSTrack(_TINY).eval())


def two_networks(folder: Path) -> None:
    """``one_stream.safetensors`` and ``two_stream.safetensors`` beside the tiny one, of the same crops."""
    tiny_network(folder)
    shutil.copy(folder / "tiny.safetensors", folder / "one_stream.safetensors")
    whole = _TINY.model_copy(update={"elimination_layers": (), "keep_ratios": ()})
    save(folder / "two_stream.safetensors", new_network(whole, "two_stream_relation").eval())


def exported_network(folder: Path) -> None:
    """``tiny.safetensors`` and, exported from it, ``float.onnx``."""
    tiny_network(folder)
    export_onnx(folder / "tiny.safetensors", folder / "float.onnx")


def official_checkpoint(folder: Path) -> None:
    """``OSTrack_ep0300.pth.tar``: a small network in the form of the official code's files."""
    torch.manual_seed(0)
    net = OSTrack(_OFFICIAL)
    torch.save({"net": net.state_dict(), "epoch": 300}, folder / "OSTrack_ep0300.pth.tar")
    assert load(folder / "OSTrack_ep0300.pth.tar").config.embed_dim == 64


def films(folder: Path) -> None:
    """``films``: two videos with a few drawn boxes each, and ``my_tests``: a labelled clip."""
    (folder / "films").mkdir()
    for name in ("a", "b", "c"):
        boxes = write_clip(folder / "films" / f"{name}.mp4", frames=8)
        keys = {"cup": {str(frame): boxes[frame].tolist() for frame in (0, 7)}}
        (folder / "films" / f"{name}.json").write_text(json.dumps(keys), encoding="utf-8")
    sequences(folder / "my_tests")


def whole_demo(folder: Path) -> None:
    """``clip.mp4`` is the demo clip itself; ``keys.json`` and ``boxes.json`` are what the page shows of them."""
    shutil.copy(demo_clip(), folder / "clip.mp4")
    shown = [block.code for block in blocks_of(ROOT / "docs" / "annotate.md") if block.language == "json"]
    for name, text in zip(("keys.json", "boxes.json"), shown, strict=True):
        (folder / name).write_text(text, encoding="utf-8")


def benchmarks(folder: Path) -> None:
    """``datasets`` with a sequence in the layout of DTB70, ``clips``, and a tracker of somebody's."""
    drone = folder / "datasets" / "DTB70" / "Basketball"
    write_images(drone / "img", 4, digits=4)
    write_labels(drone / "groundtruth_rect.txt", 4, first_pixel=1)
    sequences(folder / "clips")
    (folder / "mytracker.py").write_text(TRACKER, encoding="utf-8")


def training_data(folder: Path) -> None:
    """``FOLDER``: annotated images; ``my_clips``: labelled clips."""
    write_annotated(folder / "FOLDER")
    for name in ("a", "b", "c"):
        (folder / "my_clips" / name).mkdir(parents=True)
        boxes = write_clip(folder / "my_clips" / name / "video.mp4", frames=8)
        np.savetxt(folder / "my_clips" / name / "groundtruth.txt", boxes, "%.2f", ",")


def reading_names() -> dict[str, Any]:
    """Names that the evaluation page takes as given: boxes of two sequences, whose targets are gone at the end."""
    rng = np.random.default_rng(0)
    boxes = {"Basketball": np.cumsum(rng.uniform(0.5, 2, (20, 4)), 0) + 20, "Car": np.full((20, 4), 30.0)}
    results = {name: found + rng.normal(0, 2, found.shape) for name, found in boxes.items()}
    gone = np.arange(20) > 14
    truth = {name: np.where(gone[:, None], np.nan, found) for name, found in boxes.items()}
    return {
        "results": results, "truth": truth, "boxes": results, "other": score(boxes, truth, protocol="otb"),
        "absent": dict.fromkeys(boxes, gone), "confidence": dict.fromkeys(boxes, np.where(gone, 0.2, 0.8)),
    }  # fmt: skip


def following_names() -> dict[str, Any]:
    """Names that the README takes as given."""
    first, *rest = pictures()[:4]
    return {"first_frame": first, "frames": rest, "x": 120, "y": 80, "w": 60, "h": 90}


SETTINGS: dict[str, tuple[Callable[[Path], None], ...]] = {
    "README.md": (clip, official_checkpoint),
    "docs/start.md": (clip,),
    "docs/track-cli.md": (clip,),
    "docs/track-python.md": (clip,),
    "docs/own-data.md": (clip, films, tiny_network),
    "docs/elimination.md": (clip,),
    "docs/explain.md": (clip, two_networks, labelled),
    "docs/evaluation.md": (benchmarks,),
    "docs/comparison.md": (benchmarks,),
    "docs/annotate.md": (whole_demo,),
    "docs/training.md": (clip, training_data, tiny_network),
    "docs/runtimes.md": (clip, labelled, exported_network),
    "docs/reliability.md": (),
    "docs/live.md": (),
}
"""What lies in the folder of a page; nothing for others."""

NAMES: dict[str, Callable[[], dict[str, Any]]] = {
    "README.md": following_names,
    "docs/evaluation.md": reading_names,
}
