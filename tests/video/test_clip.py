"""Frames from any place and backwards: the same pictures as from front to back, few of them in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from moving_clips import moving_boxes, picture, write_clip
from ostrack.errors import SourceError
from ostrack.video import SourceWarning, open_clip, open_source


def encode_as(path: Path, codec: str, frames: int = 60, suffix_options: dict[str, str] | None = None) -> None:
    """The moving rectangle in some codec, with long groups of pictures and pictures out of order where it can."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=suffix_options or {})
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for box in moving_boxes(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(box), format="rgb24")))
        container.mux(stream.encode(None))


CASES: dict[str, tuple[str, str, dict[str, str]]] = {
    "b-frames": (".mp4", "libx264", {"g": "25", "bf": "3", "b_strategy": "0"}),
    "open groups": (".mkv", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "one group": (".mp4", "libx264", {"g": "500"}),
    "transport stream": (".ts", "libx264", {"g": "20", "bf": "2"}),
    "without time stamps": (".h264", "libx264", {"g": "20", "bf": "0"}),
    "mpeg4": (".avi", "mpeg4", {"g": "15"}),
    "every frame alone": (".avi", "mjpeg", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_any_stretch_forwards_and_backwards_is_what_a_source_delivers(tmp_path: Path, case: str) -> None:
    suffix, codec, options = CASES[case]
    path = tmp_path / f"clip{suffix}"
    encode_as(path, codec, 60, options)
    with open_source(path) as source:
        truth = list(source)
    clip = open_clip(path, buffer_bytes=7 * 160 * 120 * 3 // 2)
    assert (clip.frame_count, clip.size, clip.fps) == (60, (160, 120), source.fps)
    for first, last in ((0, 59), (0, 0), (59, 59), (13, 40), (24, 26)):
        forward, backward = list(clip.forward(first, last)), list(clip.backward(first, last))
        assert [frame.index for frame in forward] == list(range(first, last + 1))
        assert [frame.index for frame in backward] == list(range(last, first - 1, -1))
        for frame in (*forward, *backward):
            np.testing.assert_array_equal(frame.image, truth[frame.index].image)
            assert frame.time_s == truth[frame.index].time_s


def test_reading_near_the_end_decodes_one_group_not_the_clip(tmp_path: Path) -> None:
    encode_as(tmp_path / "clip.mp4", "libx264", 200, {"g": "20"})
    clip = open_clip(tmp_path / "clip.mp4")
    before = clip.decoded
    assert before == 200
    list(clip.backward(185, 199))
    assert clip.decoded - before <= 20


def test_a_truncated_clip_has_the_frames_it_has(tmp_path: Path) -> None:
    write_clip(tmp_path / "whole.mp4", 60)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 3 // 4])
    clip = open_clip(tmp_path / "cut.mp4")
    assert 10 < clip.frame_count < 60
    assert f"broke off at frame {clip.frame_count} of 60" in clip.problems[0]
    assert [frame.index for frame in clip.backward(0, clip.frame_count - 1)] == list(range(clip.frame_count))[::-1]


def test_a_folder_and_its_unreadable_image(tmp_path: Path) -> None:
    for number, box in enumerate(moving_boxes(6)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(box)[..., ::-1])
    (tmp_path / "3.png").write_bytes(b"broken")
    clip = open_clip(tmp_path, fps=10)
    assert [frame.index for frame in clip.backward(1, 5)] == [5, 4, 2, 1]
    assert [frame.index for frame in clip.forward(2, 4)] == [2, 4]
    assert len(clip.problems) == 1
    assert "frame 3 was passed over" in clip.problems[0]
    assert clip.time(5) == pytest.approx(0.5)


def removed(path: Path) -> None:
    path.unlink()


def exchanged(path: Path) -> None:
    path.unlink()
    write_clip(path, 10)


@pytest.mark.parametrize("change", [removed, exchanged])
def test_a_file_that_changes_meanwhile_is_told_of(tmp_path: Path, change: Callable[[Path], None]) -> None:
    write_clip(tmp_path / "clip.mp4", 40)
    clip = open_clip(tmp_path / "clip.mp4")
    change(tmp_path / "clip.mp4")
    with pytest.raises(SourceError, match=r"clip\.mp4: (cannot be read|frame \d+ cannot be read a second time)"):
        list(clip.backward(0, 39))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.mp4", None, "no such file"),
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"nothing " * 99, "cannot be read as a video"),
        ("0", None, "camera 0: cannot be read backwards"),
    ],
)
def test_what_is_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: Any, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(SourceError, match=says):
        open_clip(name)


MEMORY = """
import resource, sys
from ostrack.video import open_clip
clip = open_clip(sys.argv[1], buffer_bytes=8 * 2**20)
assert sum(1 for _ in clip.backward(0, clip.frame_count - 1)) == clip.frame_count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads kibibytes")
@pytest.mark.parametrize("fps", [0.0, -25.0, float("nan"), float("inf")])
def test_a_frame_rate_that_cannot_be(tmp_path: Path, fps: float) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(SourceError, match="fps must be a positive number"):
        open_clip(tmp_path, fps)


def test_reading_backwards_takes_no_more_memory_for_a_longer_clip(tmp_path: Path) -> None:
    peaks = []
    for frames in (60, 600):
        path = tmp_path / f"{frames}.mp4"
        write_clip(path, frames, size=(320, 240), crf=30)
        done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 16  # holding the 540 further frames would take 62 MB and more


def test_an_edited_file_is_whole_though_it_hides_pictures(tmp_path: Path) -> None:
    """Cut without encoding: the pictures before the cut stay in the file, and its edit list says not to show them."""
    encode_as(tmp_path / "whole.mp4", "libx264", 60, {"g": "30", "bf": "0"})
    options = {"use_editlist": "1", "avoid_negative_ts": "disabled"}
    with av.open(str(tmp_path / "whole.mp4")) as whole, av.open(str(tmp_path / "cut.mp4"), "w", options=options) as cut:
        stream = whole.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        assert stream.time_base is not None
        shift = round(10 / 25 / stream.time_base)
        for packet in whole.demux(stream):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                cut.mux(packet)
    with open_source(tmp_path / "cut.mp4") as source:
        times = [frame.time_s for frame in source]
    clip = open_clip(tmp_path / "cut.mp4")
    assert (clip.frame_count, clip.problems) == (50, ())
    assert [frame.time_s for frame in clip.forward(0, 49)] == times


def test_a_matroska_file_that_was_cut_off_is_told(tmp_path: Path) -> None:
    """It counts no frames, and ends without an error wherever it is cut."""
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    encode_as(whole, "libx264", 150, {"g": "25"})
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    assert open_clip(whole).problems == ()
    with open_source(whole) as source:
        assert len(list(source)) == 150
        assert source.problems == []
    (told,) = open_clip(cut).problems
    assert "(the file ends early)" in told
    with (
        open_source(cut) as source,
        pytest.warns(SourceWarning, match=r"broke off at frame \d+ \(the file ends early\)"),
    ):
        assert 25 < len(list(source)) < 125


@pytest.mark.parametrize("seconds", [1, 4, 10])
def test_a_matroska_file_of_slow_pictures_is_whole(tmp_path: Path, seconds: int) -> None:
    with av.open(str(tmp_path / "slow.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1, seconds))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for box in moving_boxes(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(box), format="rgb24")))
        container.mux(stream.encode(None))
    clip = open_clip(tmp_path / "slow.mkv")
    assert (clip.frame_count, clip.problems) == (8, ())
    with open_source(tmp_path / "slow.mkv") as source:
        assert [frame.time_s for frame in source] == pytest.approx([seconds * number for number in range(8)], abs=0.01)
        assert source.problems == []
