"""MP4 files that browsers play, whatever ends the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from moving_clips import atoms, decode, moving_boxes, picture
from ostrack.errors import OutputError
from ostrack.video import VideoSink, open_clip, open_source

ROOT = Path(__file__).resolve().parents[1]


def write(path: Path, frames: int = 30, size: tuple[int, int] = (160, 120), fps: float = 25) -> None:
    with VideoSink(path, fps) as sink:
        for index, box in enumerate(moving_boxes(frames, size)):
            sink.write(picture(box, size), index / fps)


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.frames, stream.average_rate, stream.width, stream.height) == (30, 25, 160, 120)
        assert stream.codec_context.colorspace == 1  # BT.709, said and not guessed
        assert container.duration == pytest.approx(30 / 25 * 1e6, rel=0.05)
    found = atoms(path)
    assert found.index("moov") < found.index("mdat")
    assert "moof" not in found
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_and_colours_survive(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    colours = [(220, 30, 30), (30, 200, 40), (40, 60, 220), (128, 128, 128), (250, 250, 250)]
    with VideoSink(path, 25, quality=1) as sink:
        for index, colour in enumerate(colours):
            sink.write(np.full((64, 64, 3), colour, np.uint8), index / 25)
    for image, colour in zip(decode(path), colours, strict=True):
        assert np.abs(image.reshape(-1, 3).mean(0) - colour).max() < 4


@pytest.mark.parametrize("size", [(161, 120), (160, 121), (161, 121), (2, 2), (3, 3)])
def test_odd_sizes_lose_one_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    with VideoSink(path, 25) as sink:
        for index in range(5):
            sink.write(np.full((size[1], size[0], 3), 90, np.uint8), index / 25)
    assert [image.shape for image in decode(path)] == [(size[1] // 2 * 2, size[0] // 2 * 2, 3)] * 5


@pytest.mark.parametrize("fps", [29.97, 23.976, 7.5, 120, 0.5, 1 / 3600])
def test_any_frame_rate(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "out.mp4"
    write(path, 12, fps=fps)
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(12) / fps, atol=1e-3)


def test_frames_keep_their_own_times(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times = [4.0, 4.04, 4.2, 4.2, 6.0]  # a start that is not zero, a jump, and one that does not advance
    with VideoSink(path, 25) as sink:
        for time_s, box in zip(times, moving_boxes(5), strict=True):
            sink.write(picture(box), time_s)
    with av.open(str(path)) as container:
        found = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(found, np.array(times) - 4, atol=1e-3)


def test_a_second_ctrl_c_while_the_file_is_finished_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out.mp4", 9)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert len(decode(tmp_path / "out.mp4")) == 9


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("2026-01-31T12:30:00.mp4"), 9)
    with open_source("2026-01-31T12:30:00.mp4") as source:
        assert source.name == "2026-01-31T12:30:00.mp4"
        assert len(list(source)) == 9
    assert open_clip("2026-01-31T12:30:00.mp4").frame_count == 9


def test_an_exception_in_the_middle_leaves_a_playable_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"

    def stopped_by_hand() -> None:
        with VideoSink(path, 25) as sink:
            for index, box in enumerate(moving_boxes(9)):
                sink.write(picture(box), index / 25)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_by_hand()
    assert len(decode(path)) == 9


@pytest.mark.parametrize(("frames", "least"), [(12, 1), (25, 12), (40, 25), (300, 200)])
def test_a_killed_process_leaves_whole_fragments(tmp_path: Path, frames: int, least: int) -> None:
    path = tmp_path / "out.mp4"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from moving_clips import moving_boxes, picture\n"
        "from ostrack.video import VideoSink\n"
        "sink = VideoSink(Path(sys.argv[1]), 25)\n"
        "for index, box in enumerate(moving_boxes(int(sys.argv[2]))): sink.write(picture(box), index / 25)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, str(path), str(frames)], env=environment, check=False)
    assert done.returncode == -9
    assert len(decode(path)) >= least


def test_a_full_disk_is_told_once_and_leaves_a_playable_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "out.mp4"
    rng = np.random.default_rng(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_until_full() -> None:
        with VideoSink(path, 25) as sink:
            for index in range(1000):
                sink.write(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), index / 25)

    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    try:
        with pytest.raises(OutputError, match=r"out\.mp4: cannot write frame \d+ \(.+\); its first \d+ f") as told:
            write_until_full()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size <= 600_000
    kept = len(decode(path))
    assert kept >= 25
    assert f"its first {kept} frames stay playable" in str(told.value)


@pytest.mark.parametrize("limit", [0, 300, 8192, 20_000, 60_000])
def test_what_is_said_to_play_on_a_full_disk_does(tmp_path: Path, limit: int) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "out.mp4"
    rng = np.random.default_rng(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = VideoSink(path, 25)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    def write_until_full() -> None:
        for index in range(1000):
            sink.write(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), index / 25)

    try:
        with pytest.raises(OutputError) as told:
            write_until_full()
        with pytest.raises(OutputError, match=r"out\.mp4: is closed"):
            write_until_full()
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if path.exists():
        assert f"its first {len(decode(path))} frames stay playable" in str(told.value)
    else:
        assert "no frame of it can be played, so it was removed" in str(told.value)
    assert path.exists() == (limit >= 20_000)


def test_a_disk_that_fills_with_the_last_fragment_is_noticed(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "out.mp4"
    rng = np.random.default_rng(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    sink = VideoSink(path, 25)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        # The last fragment is the one that does not fit, and nothing but closing writes it.
        for index in range(30):
            sink.write(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), index / 25)
        with pytest.raises(
            OutputError, match=r"out\.mp4: could not be finished \([^:]+\); its first \d+ frames stay"
        ) as told:
            sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(path) not in str(told.value).removeprefix(str(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_no_frames_and_other_mistakes(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "none.mp4", 25):
        pass
    assert not (tmp_path / "none.mp4").exists()
    with pytest.raises(OutputError, match=r"out\.avi: video is written as \.mp4"):
        VideoSink(tmp_path / "out.avi", 25)
    with pytest.raises(OutputError, match="No such file or directory"):
        VideoSink(tmp_path / "none" / "out.mp4", 25)
    with VideoSink(tmp_path / "out.mp4", 25) as sink:
        sink.write(np.zeros((8, 8, 3), np.uint8), 0)
        with pytest.raises(OutputError, match="frame 1 is 10x8"):
            sink.write(np.zeros((8, 10, 3), np.uint8), 1)
    assert len(decode(tmp_path / "out.mp4")) == 1


def test_a_first_frame_that_is_too_small_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"out\.mp4: a 1x8 frame is too small for H\.264"),
        VideoSink(tmp_path / "out.mp4", 25) as sink,
    ):
        sink.write(np.zeros((8, 1, 3), np.uint8), 0.0)
