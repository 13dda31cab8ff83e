"""Streams that break: opened again with pauses, given up in time, and never at the cost of what there was."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import ostrack
from mjpeg_camera import Camera, mjpeg_camera
from moving_clips import moving_boxes
from ostrack.boxes import iou_xywh
from ostrack.errors import SourceError
from ostrack.tracker import Tracker
from ostrack.video import Frame, Source, SourceWarning, open_source
from ostrack.video.live import LatestFrames, rgb_of
from ostrack.video.reconnect import Reconnecting

TRUTH = moving_boxes(200)


class Ticker(Source):
    """Some frames in a row, then an end of one kind or another."""

    def __init__(self, frames: int, size: tuple[int, int] = (4, 4), says: str | None = None) -> None:
        super().__init__("ticker")
        self.fps, self.size, self.frame_count = 100.0, size, None
        self.count, self.says, self.closed = frames, says, False

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for index in range(start, self.count):
            yield Frame(index, index / self.fps, np.zeros((self.size[1], self.size[0], 3), np.uint8))
        if self.says is not None:
            raise SourceError(self.says)

    def close(self) -> None:
        self.closed = True


class Clock:
    """Waiting takes no time but this clock's; stands in for the event that ends the waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def is_set(self) -> bool:
        return False

    def set(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time in which streams are opened again."""
    found = Clock()
    monkeypatch.setattr("ostrack.video.reconnect.time", SimpleNamespace(monotonic=lambda: found.now))
    monkeypatch.setattr("ostrack.video.reconnect.threading", SimpleNamespace(Event=lambda: found))
    return found


def reopening(*sources: Source | str) -> Callable[[], Source]:
    """Hands out one after the other; a text is an error; behind the last one all is over."""
    left = list(sources)

    def reopen() -> Source:
        source = left.pop(0) if left else "ticker: gone for good"
        if isinstance(source, str):
            raise SourceError(source)
        return source

    return reopen


@pytest.mark.filterwarnings("ignore::ostrack.video.SourceWarning")
def test_numbers_and_times_go_on_where_they_stopped(clock: Clock) -> None:
    first, second, third = Ticker(3), Ticker(2, says="ticker: cable cut"), Ticker(4)
    reopen = reopening("ticker: busy", second, third)
    with Reconnecting(first, reopen, patience_s=1.0) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(9))
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert times[:3] == [0, 0.01, 0.02]
    assert times[3] - times[2] == pytest.approx(0.75)  # a quarter of a second, then half of one
    assert times[4] - times[3] == pytest.approx(0.01)
    assert source.breaks == 2
    assert [problem.split(" after ")[0] for problem in source.problems] == [
        "ticker: broke off at frame 3 (the stream ended); it came back",
        "ticker: broke off at frame 5 (ticker: cable cut); it came back",
        "ticker: broke off at frame 9 (the stream ended); it did not come back within 1 s (ticker: gone for good)",
    ]
    assert first.closed
    assert second.closed
    assert third.closed


@pytest.mark.filterwarnings("ignore::ostrack.video.SourceWarning")
def test_a_break_before_the_start_does_not_begin_the_count_anew(clock: Clock) -> None:
    with Reconnecting(Ticker(3), reopening(Ticker(4)), patience_s=1.0) as source:
        assert [frame.index for frame in source.frames(start=5)] == [5, 6]


def test_pauses_grow(clock: Clock) -> None:
    tries: list[float] = []

    def reopen() -> Source:
        tries.append(clock.now)
        raise SourceError("ticker: gone")

    with Reconnecting(Ticker(1), reopen, patience_s=2.5) as source, pytest.warns(SourceWarning, match="did not come"):
        list(source)
    assert tries == [0.25, 0.75, 1.75, 2.5]


def test_without_patience_the_first_end_is_the_end() -> None:
    with Reconnecting(Ticker(3), reopening(Ticker(3)), patience_s=0) as source:
        assert len(list(source)) == 3
    assert source.problems == []
    with Reconnecting(Ticker(3, says="ticker: cut"), reopening(), 0) as source, pytest.raises(SourceError, match="cut"):
        list(source)


def test_another_size_ends_the_run() -> None:
    other = Ticker(3, size=(8, 6))
    says = "came back with 8x6 pictures in place of 4x4, which ends the run"
    with Reconnecting(Ticker(2), reopening(other), patience_s=5) as source, pytest.warns(SourceWarning, match=says):
        assert len(list(source)) == 2
    assert other.closed


@pytest.mark.filterwarnings("ignore::ostrack.video.SourceWarning")
def test_the_story_of_many_breaks_stays_short(clock: Clock) -> None:
    with Reconnecting(Ticker(1), reopening(*(Ticker(1) for _ in range(60))), patience_s=1) as source:
        assert len(list(source)) == 61
    assert source.breaks == 60
    assert len(source.problems) == 21  # twenty breaks, and how it ended


def test_closing_does_not_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostrack.video.reconnect._FIRST_PAUSE_S", 600.0)

    def never() -> Source:
        raise SourceError("ticker: gone")

    source = LatestFrames(Reconnecting(Ticker(1), never, patience_s=600))
    steps = iter(source)
    next(steps)
    source.close()
    assert not any(thread.name == "reads ticker" for thread in threading.enumerate())


def test_what_a_slow_reader_missed_is_counted() -> None:
    ended = threading.Event()

    class Ends(Ticker):
        def frames(self, start: int = 0) -> Iterator[Frame]:
            yield from super().frames(start)
            ended.set()

    with LatestFrames(Ends(100)) as source:
        seen = 0
        for _ in source:
            seen += 1
            assert ended.wait(60)
    assert seen + source.dropped == 100
    assert source.dropped >= 98


@pytest.fixture(scope="module")
def tracker(blob_onnx: Path) -> Tracker:
    return Tracker(blob_onnx, threads=1)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore::ostrack.video.SourceWarning")
def test_a_camera_that_breaks_and_comes_back_is_followed_on(tracker: Tracker, tmp_path: Path) -> None:
    with mjpeg_camera(Camera([40, 4000], refuse=1, fps=25)) as camera:
        summary = ostrack.track(
            camera.address, TRUTH[0], tracker=tracker, reconnect_s=60, save_tracks=tmp_path / "t.csv",
            save_video=tmp_path / "o.mp4", max_frames=60,
        )  # fmt: skip
    rows = rows_of(tmp_path / "t.csv")
    assert summary.frames == len(rows) == 60
    assert camera.connections == 3
    assert "came back after" in summary.problems[0]
    frames = [int(row["frame"]) for row in rows]
    assert frames == sorted(set(frames))
    assert summary.dropped >= frames[-1] + 1 - 60
    times = [float(row["time"]) for row in rows]
    assert times == sorted(set(times))
    # After the break the rectangle is where it began; the tracker found it there again.
    last = [float(rows[-1][key]) for key in "xywh"]
    assert iou_xywh(last, TRUTH[(frames[-1] - 40) % len(TRUTH)]) > 0.6


@pytest.mark.parametrize("patience", [0.0, 1.0])
def test_a_stream_that_dies_at_its_third_frame_leaves_what_there_was(
    tracker: Tracker, tmp_path: Path, patience: float
) -> None:
    outputs = {"save_tracks": [tmp_path / "t.csv", tmp_path / "t.xml"], "save_video": tmp_path / "o.mp4"}
    with mjpeg_camera(Camera([3], refuse=99, fps=5)) as camera, pytest.warns(SourceWarning) as told:
        summary = ostrack.track(camera.address, TRUTH[0], tracker=tracker, reconnect_s=patience, **outputs)  # type: ignore[call-overload]  # by name
    # On a busy machine one may have been passed over for the next.
    assert summary.frames + summary.dropped == 3
    rows = rows_of(tmp_path / "t.csv")
    assert len(rows) == summary.frames
    assert rows[-1]["frame"] == "2"
    assert (tmp_path / "t.xml").read_text().endswith("</annotations>\n")
    assert (tmp_path / "o.mp4").stat().st_size > 0
    # Others may speak up at any time: files that somebody left open are noticed late.
    assert sum(issubclass(one.category, SourceWarning) for one in told) == len(summary.problems) == 1
    expected = "did not come back within 1 s" if patience else "the 3 frames before it were kept"
    assert expected in summary.problems[0]
    assert "\n" not in summary.problems[0]


def test_a_target_that_joins_a_live_run_waits_for_its_frame(tracker: Tracker) -> None:
    boxes = {"a": TRUTH[0], "b": {"frame": 12, "box": TRUTH[12]}, "never": {"frame": 4000, "box": TRUTH[12]}}
    with (
        mjpeg_camera(Camera([40], fps=60)) as camera,
        pytest.warns(SourceWarning, match="'never' begins at frame 4000"),
    ):
        found = list(ostrack.track(camera.address, boxes=boxes, tracker=tracker, reconnect_s=0))
    # Frame 12 itself may have been passed over: the next one that is seen stands for it.
    assert [list(tracks) for _, tracks in found] == [["a"] if frame.index < 12 else ["a", "b"] for frame, _ in found]


def test_a_camera_that_changes_its_size_ends_the_run(tracker: Tracker, tmp_path: Path) -> None:
    says = "came back with 320x240 pictures in place of 160x120"
    changing = Camera([10], sizes=[(160, 120), (320, 240)], fps=50)
    with mjpeg_camera(changing) as camera, pytest.warns(SourceWarning, match=says):
        summary = ostrack.track(camera.address, TRUTH[0], tracker=tracker, save_tracks=tmp_path / "t.csv")
    assert len(rows_of(tmp_path / "t.csv")) == summary.frames <= 10


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cameras_of_every_kind_of_picture(shape: tuple[int, ...], dtype: type) -> None:
    image = np.zeros(shape, dtype)
    image[..., 0] = 200 if dtype is np.uint8 else 200 * 257
    if len(shape) == 2:
        image[:] = image[0, 0] = 200 if dtype is np.uint8 else 200 * 257
    found = rgb_of(image, "camera 0")
    assert (found.shape, found.dtype) == ((6, 8, 3), np.uint8)
    # The first channel of OpenCV's pictures is blue.
    assert found[0, 0].tolist() == ([0, 0, 200] if shape[2:] in ((3,), (4,)) else [200, 200, 200])


@pytest.mark.parametrize(
    "image", [np.zeros((6, 8, 2), np.uint8), np.zeros((6, 8, 3), np.float32), np.zeros(7, np.uint8)]
)
def test_a_camera_of_no_known_kind_is_refused_in_one_line(
    image: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> None:
    with pytest.raises(SourceError, match=r"camera 0: delivers .* expected 1, 3 or 4 channels of 8 or 16 bits"):
        rgb_of(image, "camera 0")


@pytest.mark.parametrize("patience", [-1.0, float("inf"), float("nan")])
def test_patience_must_be_a_time(patience: float) -> None:
    with pytest.raises(SourceError, match="reconnect_s must be a number of seconds"):
        open_source("rtsp://127.0.0.1/x", reconnect_s=patience)
