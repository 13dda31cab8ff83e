"""Video files, as phones, cameras and broken disks leave them."""

from __future__ import annotations

import warnings
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from moving_clips import decode, encode, moving_boxes, picture, write_clip
from ostrack.errors import SourceError
from ostrack.video import SourceWarning, open_source


def test_a_video_file_says_what_it_is_and_delivers_every_frame_once(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    boxes = write_clip(clip, 40)
    with open_source(clip) as source:
        assert (source.name, source.fps, source.size, source.frame_count) == (str(clip), 25.0, (160, 120), 40)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(40))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(40) / 25, atol=1e-6)
    for frame, box in zip(frames, boxes, strict=True):
        assert frame.image.shape == (120, 160, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert np.abs(frame.image.astype(int) - picture(box)).mean() < 2  # RGB, not BGR, and in order
    assert source.problems == []


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(12), Fraction(60)])
def test_the_frame_rate_is_read(tmp_path: Path, rate: Fraction) -> None:
    write_clip(tmp_path / "clip.mp4", 10, fps=rate)
    with open_source(tmp_path / "clip.mp4") as source:
        assert source.fps == pytest.approx(float(rate), rel=1e-4)


def test_uneven_times_are_kept_and_start_at_zero(tmp_path: Path) -> None:
    times = [0.5, 0.54, 0.7, 0.71, 1.9]
    encode(tmp_path / "vfr.mp4", (picture(box) for box in moving_boxes(5)), times_s=times)
    with open_source(tmp_path / "vfr.mp4") as source:
        found = [frame.time_s for frame in source]
    np.testing.assert_allclose(found, np.array(times) - 0.5, atol=1e-3)


def corner_card() -> NDArray[np.uint8]:
    """A picture that no turn or mirror image of itself equals."""
    card = np.full((48, 64, 3), 40, np.uint8)
    card[:16, :32] = (220, 30, 30)
    card[32:, :16] = (30, 220, 30)
    return card


TURNS = [(degrees, hflip) for degrees in (0, 90, 180, 270) for hflip in (False, True)]


@pytest.mark.parametrize(("degrees", "hflip"), TURNS)
def test_the_eight_orientations_are_shown_upright(tmp_path: Path, degrees: int, hflip: bool) -> None:
    card = corner_card()
    orientation = {"degrees": degrees, "hflip": hflip}
    encode(tmp_path / "turned.mp4", [card] * 3, orientation=orientation)
    expected = np.rot90(card, degrees // 90)  # both counter-clockwise; the mirror comes after
    expected = expected[:, ::-1] if hflip else expected
    with open_source(tmp_path / "turned.mp4") as source:
        frames = list(source)
    assert source.size == (expected.shape[1], expected.shape[0])
    assert np.abs(frames[-1].image.astype(int) - expected).mean() < 4
    assert frames[-1].image.flags.c_contiguous


def test_a_phone_held_upright(tmp_path: Path) -> None:
    """The matrix that phones write for portrait: turn clockwise by 90 degrees to show."""
    one = 1 << 16
    card = corner_card()
    encode(tmp_path / "phone.mp4", [card] * 2, matrix=(0, one, 0, -one, 0, 0, 0, 0, 1 << 30))
    with open_source(tmp_path / "phone.mp4") as source:
        image = next(iter(source)).image
    assert np.abs(image.astype(int) - np.rot90(card, -1)).mean() < 4


def test_start_passes_over_frames(tmp_path: Path) -> None:
    boxes = write_clip(tmp_path / "clip.mp4", 30)
    with open_source(tmp_path / "clip.mp4") as source:
        frames = list(source.frames(start=12))
    assert [frame.index for frame in frames] == list(range(12, 30))
    assert frames[0].time_s == pytest.approx(12 / 25)
    assert np.abs(frames[0].image.astype(int) - picture(boxes[12])).mean() < 2


def test_a_start_behind_the_end_says_how_long_the_clip_is(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 30)
    with (
        open_source(tmp_path / "clip.mp4") as source,
        pytest.raises(SourceError, match=r"30 frames.*start at frame 30"),
    ):
        list(source.frames(start=30))


def test_a_source_is_read_once(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 5)
    with open_source(tmp_path / "clip.mp4") as source:
        list(source)
        with pytest.raises(SourceError, match="read already"):
            list(source)


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov+default_base_moof"])
def test_a_truncated_file_delivers_what_it_has_and_says_where_it_broke(tmp_path: Path, movflags: str) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(60)]  # noise: even bytes a frame
    encode(whole, images, movflags=movflags, crf=25)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    with open_source(cut) as source, pytest.warns(SourceWarning) as caught:
        frames = list(source)
    assert 20 < len(frames) < 40
    for frame, truth in zip(frames, decode(whole), strict=False):
        np.testing.assert_array_equal(frame.image, truth)
    assert len(caught) == len(source.problems) == 1
    assert f"cut.mp4: broke off at frame {len(frames)}" in source.problems[0]
    assert f"the {len(frames)} frames before it were kept" in source.problems[0]


def test_a_file_damaged_in_the_middle_stops_there(tmp_path: Path) -> None:
    whole, hurt = tmp_path / "whole.mp4", tmp_path / "hurt.mp4"
    rng = np.random.default_rng(1)
    encode(whole, (rng.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(60)), crf=25)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 6] = b"\xff" * (len(data) // 6)
    hurt.write_bytes(data)
    with open_source(hurt) as source, pytest.warns(SourceWarning, match=r"hurt\.mp4: broke off at frame \d+ of 60"):
        frames = list(source)
    assert 20 < len(frames) < 40


def test_an_intact_clip_warns_of_nothing(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".avi", ".mov"):
        write_clip(tmp_path / f"clip{suffix}", 50)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with open_source(tmp_path / f"clip{suffix}") as source:
                assert source.frame_count == 50, suffix
                assert len(list(source)) == 50, suffix


def make_wave(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"this is no video\n" * 40, "cannot be read as a video"),
        ("sound.wav", "wave", "holds no video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | str | None, says: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "wave":
        make_wave(path)
    with pytest.raises(SourceError, match=says) as caught:
        open_source(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_head_without_one_whole_frame_is_refused(tmp_path: Path) -> None:
    encode(tmp_path / "clip.mp4", (picture(box) for box in moving_boxes(30)))
    data = (tmp_path / "clip.mp4").read_bytes()
    (tmp_path / "head.mp4").write_bytes(data[: data.index(b"mdat") + 12])
    with pytest.raises(SourceError, match=r"head\.mp4"):
        open_source(tmp_path / "head.mp4")


def test_a_frame_rate_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="fps"):
        open_source(tmp_path, fps=0)
