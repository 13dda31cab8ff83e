"""Annotated folders: what is read, what is left out, and what a broken one says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ostrack.data.annotations import clips, read_folder
from ostrack.data.images import cut_out, read_rgb, read_rgba
from ostrack.errors import DataError
from tiny_training import write_annotated, write_image, write_json


def test_clips_are_sequences_in_order_of_time(tmp_path: Path) -> None:
    root = write_annotated(tmp_path, clips=2, frames=12)
    found = clips(read_folder(root / "moving"))
    assert [clip.name for clip in found] == ["moving/clip0/0", "moving/clip1/0"]
    assert all(len(clip) == 12 for clip in found)
    assert found[1].frames.name(10).endswith("1_010.png")
    frame, (x, y, w, h) = found[0].frames[3], found[0].boxes[3].astype(int)
    assert frame.shape == (80, 96, 3)
    assert (frame[y + h - 1, x + w - 1] == frame[y + h - 1, x]).all(), "the box holds the square to its last pixel"
    assert clips(read_folder(root / "photos")) == []


def test_boxes_that_cannot_be_targets_are_left_out_and_masks_keep_their_numbers(tmp_path: Path) -> None:
    boxes = [[1, 1, 0.5, 9], [float("nan"), 1, 5, 5], [2, 3, 10, 12], [0, 0, float("inf"), 3]]
    write_json(tmp_path / "annotations.json", [{"image": "a.png", "size": [40, 30], "boxes": boxes, "mask": "m.png"}])
    (image,) = read_folder(tmp_path)
    assert image.boxes == ((2.0, 3.0, 10.0, 12.0),)
    assert image.mask_values == (3,)
    assert image.left_out == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "annotations.json: not found"),
        ("{", "annotations.json:1: not JSON"),
        ('{"image": 3}', "expected a list of images, found dict"),
        ('[{"size": [3, 4], "boxes": []}]', "entry 0: KeyError.'image'.*expected image, size"),
        ('[{"image": "a", "size": [3], "boxes": []}]', "entry 0: ValueError"),
        ('[{"image": "a", "size": [3, 4], "boxes": [[1, 2, 3]]}]', "entry 0: ValueError"),
        ('[{"image": "a", "size": [3, 4], "boxes": [["x", 2, 3, 4]]}]', "entry 0: ValueError"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_folder(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_frame_marks_that_cannot_be_ordered_are_named(tmp_path: Path) -> None:
    entries = [
        {"image": "a.png", "size": [9, 9], "boxes": [[1, 1, 5, 5]], "video": "v", "frame": frame} for frame in (1, "2")
    ]
    write_json(tmp_path / "annotations.json", entries)
    with pytest.raises(DataError, match="/v/0: its frame marks are numbers and strings"):
        clips(read_folder(tmp_path))


def test_broken_images_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_bytes(b"not an image at all")
    write_image(tmp_path / "rgb.png", np.zeros((4, 4, 3), np.uint8))
    for name, message in (("empty.jpg", "not an image"), ("text.jpg", "not an image"), ("none.jpg", "cannot be read")):
        with pytest.raises(DataError, match=f"{name}: {message}"):
            read_rgb(tmp_path / name)
    with pytest.raises(DataError, match=r"rgb\.png: a cut-out needs an alpha channel"):
        read_rgba(tmp_path / "rgb.png")


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((40, 50, 3), np.uint8))
    write_image(tmp_path / "m.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match=r"m\.png: mask of 40x40 for a\.png: 50x40"):
        cut_out(tmp_path / "a.png", tmp_path / "m.png", 1)


def test_cut_outs_are_trimmed_to_the_object_and_slivers_refused(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:45] = 2
    mask[50:53, :] = 1
    write_image(tmp_path / "a.png", np.full((60, 80, 3), 90, np.uint8))
    write_image(tmp_path / "m.png", mask)
    found = cut_out(tmp_path / "a.png", tmp_path / "m.png", 2)
    assert found is not None
    assert found.shape == (30, 25, 4)
    assert cut_out(tmp_path / "a.png", tmp_path / "m.png", 1) is None
    assert cut_out(tmp_path / "a.png", tmp_path / "m.png", 7) is None
