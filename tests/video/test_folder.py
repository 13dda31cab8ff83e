"""Folders of images, with the names and files that people really have."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odd_pictures import huge_png
from ostrack.errors import SourceError
from ostrack.pictures import natural_key
from ostrack.video import SourceWarning, open_source


def grey_level(path: Path, level: int, size: tuple[int, int] = (32, 24)) -> None:
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), level, np.uint8))


def test_natural_order_with_gaps_and_mixed_formats(tmp_path: Path) -> None:
    names = ["img1.png", "img2.bmp", "img10.tiff", "img11.PNG", "img100.webp", "img101.jpg"]
    for level, name in enumerate(names):
        grey_level(tmp_path / name, 40 * level)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "img5.png").mkdir()
    with open_source(tmp_path) as source:
        assert (source.frame_count, source.size, source.fps) == (6, (32, 24), 25.0)
        frames = list(source)
    assert [round(float(frame.image.mean()) / 40) for frame in frames] == [0, 1, 2, 3, 4, 5]
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(6) / 25)


@given(st.lists(st.integers(0, 10**12), min_size=2, unique=True))
def test_numbers_in_names_sort_by_value(numbers: list[int]) -> None:
    names = sorted((f"frame_{number}.jpg" for number in numbers), key=natural_key)
    assert names == [f"frame_{number}.jpg" for number in sorted(numbers)]


@given(st.lists(st.text(max_size=8), unique=True))
def test_any_names_have_one_order(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


def test_an_image_that_claims_too_many_pixels_is_passed_over(tmp_path: Path) -> None:
    for name in ("1.png", "3.png"):
        grey_level(tmp_path / name, 40)
    (tmp_path / "2.png").write_bytes(huge_png())
    with open_source(tmp_path) as source, pytest.warns(SourceWarning, match="frame 1 was passed over"):
        assert [frame.index for frame in source] == [0, 2]


def test_images_arrive_as_rgb_whatever_they_hold(tmp_path: Path) -> None:
    rgb = np.zeros((24, 32, 3), np.uint8)
    rgb[:] = (200, 100, 50)
    bgra = np.dstack([rgb[..., ::-1], np.full((24, 32), 128, np.uint8)])
    cv2.imwrite(str(tmp_path / "1_alpha.png"), bgra)
    cv2.imwrite(str(tmp_path / "2_deep.png"), rgb[..., ::-1].astype(np.uint16) * 256)
    cv2.imwrite(str(tmp_path / "3_grey.png"), np.full((24, 32), 77, np.uint8))
    with open_source(tmp_path) as source:
        alpha, deep, grey = (frame.image for frame in source)
    assert alpha[0, 0].tolist() == deep[0, 0].tolist() == [200, 100, 50]
    assert grey[0, 0].tolist() == [77, 77, 77]


def test_a_camera_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :16] = 255
    _, jpeg = cv2.imencode(".jpg", image)
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # orientation 6: turn clockwise to show
    exif = b"Exif\0\0" + tiff
    data = jpeg.tobytes()
    (tmp_path / "phone.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    with open_source(tmp_path) as source:
        upright = next(iter(source)).image
    assert source.size == (24, 32)
    assert upright[:12].mean() > 240  # the white left half lies on top now
    assert upright[20:].mean() < 15


def test_unreadable_images_are_named_and_keep_their_number(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        grey_level(tmp_path / f"{number}.png", 50 * number)
    (tmp_path / "2.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "3.png").write_bytes(b"")
    with open_source(tmp_path) as source, pytest.warns(SourceWarning):
        assert [frame.index for frame in source] == [0, 3]
    assert [problem.split(":")[0] for problem in source.problems] == [str(tmp_path / "2.png"), str(tmp_path / "3.png")]


def test_an_unreadable_first_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"1\.png: cannot be read as an image"):
        open_source(tmp_path)


def test_an_image_of_another_size_is_an_error(tmp_path: Path) -> None:
    grey_level(tmp_path / "1.png", 10)
    grey_level(tmp_path / "2.png", 10, size=(40, 24))
    with open_source(tmp_path) as source, pytest.raises(SourceError, match=r"2\.png: is 40x24 .* 32x24"):
        list(source)


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(SourceError, match="no images in this folder"):
        open_source(tmp_path)


def test_start_and_rate(tmp_path: Path) -> None:
    for number in range(5):
        grey_level(tmp_path / f"{number}.png", 10 * number)
    with open_source(tmp_path, fps=10) as source:
        frames = list(source.frames(start=3))
    assert [(frame.index, frame.time_s) for frame in frames] == [(3, 0.3), (4, 0.4)]
    with open_source(tmp_path) as source, pytest.raises(SourceError, match="5 frames"):
        list(source.frames(start=5))


def test_hidden_files_are_no_frames(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        grey_level(tmp_path / name, 90)
        (tmp_path / f"._{name}").write_bytes(b"what macOS keeps beside files on other drives")
    with open_source(tmp_path) as source:
        assert len(list(source)) == 2
        assert source.problems == []
