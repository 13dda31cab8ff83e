"""Cameras and streams: newest frame first, clean ends, errors that do not hang."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import ostrack
from moving_clips import moving_boxes, write_clip
from ostrack.errors import SourceError
from ostrack.video import Frame, Source, open_source
from ostrack.video.live import LatestFrames


class Ticker(Source):
    """Frames every few milliseconds, each filled with its number; ``ended`` is set when there are no more."""

    def __init__(self, frames: int, fails: bool = False) -> None:
        super().__init__("ticker")
        self.fps, self.size, self.frame_count = 200.0, (4, 4), None
        self.count, self.fails, self.closed = frames, fails, False
        self.ended = threading.Event()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for index in range(start, self.count):
            time.sleep(0.005)
            yield Frame(index, index / self.fps, np.full((4, 4, 3), index % 256, np.uint8))
        self.ended.set()
        if self.fails:
            raise SourceError("ticker: unplugged")

    def close(self) -> None:
        self.closed = True


def test_a_slow_reader_gets_the_newest_frame_and_the_last_one() -> None:
    inner = Ticker(100)
    with LatestFrames(inner) as source:
        indices = []
        for frame in source:
            indices.append(frame.index)
            assert inner.ended.wait(60)
    assert source.live
    assert indices[-1] == 99
    assert len(indices) <= 2  # frames were missed, not queued


class Silent(Source):
    """One frame, then none until it is told."""

    def __init__(self) -> None:
        super().__init__("silent")
        self.fps, self.size, self.frame_count = 25.0, (64, 48), None
        self.goes_on = threading.Event()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        yield Frame(0, 0.0, np.zeros((48, 64, 3), np.uint8))
        self.goes_on.wait(60)

    def close(self) -> None:
        self.goes_on.set()


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_ends_when_asked_to_while_its_stream_is_silent(number: int, blob_onnx: Path, tmp_path: Path) -> None:
    inner = Silent()

    def ask(done: int, total: int | None) -> None:
        threading.Timer(0.3, os.kill, (os.getpid(), number)).start()

    try:
        summary = ostrack.track(
            LatestFrames(inner), box=(10, 10, 20, 20), network=blob_onnx, save_tracks=tmp_path / "t.csv", progress=ask
        )
        assert not inner.goes_on.is_set()
    finally:
        inner.close()
    assert summary.interrupted
    assert summary.frames == 1
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2


def test_what_ends_a_stream_reaches_the_reader() -> None:
    with LatestFrames(Ticker(5, fails=True)) as source, pytest.raises(SourceError, match="unplugged"):
        list(source)


def test_closing_in_the_middle_stops_the_thread() -> None:
    inner = Ticker(10**9)
    with LatestFrames(inner) as source:
        next(iter(source))
    assert inner.closed
    assert not any(thread.name == "reads ticker" for thread in threading.enumerate())


def test_a_camera_that_is_not_there_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="camera 97: cannot be opened"):
        open_source("97")
    assert capfd.readouterr().err == ""  # OpenCV's own warnings of each backend stay away


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nobody_at_the_address_is_an_error_soon() -> None:
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"rtsp://127\.0\.0\.1.*cannot be read"):
        open_source(f"rtsp://127.0.0.1:{free_port()}/stream")
    assert time.monotonic() - began < 60


def test_a_file_behind_http_is_read_whole(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", 30)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with open_source(f"http://127.0.0.1:{server.server_address[1]}/clip.mp4") as source:
            assert not source.live
            assert source.frame_count == 30
            assert len(list(source)) == 30
        with pytest.raises(SourceError, match="404"):
            open_source(f"http://127.0.0.1:{server.server_address[1]}/none.mp4")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


SENDER = """
import sys, time
from fractions import Fraction
import av
from moving_clips import moving_boxes, picture
# Listens until a reader comes; a process of its own, since PyAV waits here without letting other threads run.
with av.open(f"tcp://127.0.0.1:{sys.argv[1]}?listen=1", "w", format="mpegts") as container:
    options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
    stream = container.add_stream("libx264", rate=Fraction(25), options=options)
    stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
    for box in moving_boxes(int(sys.argv[2])):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(box), format="rgb24")))
        time.sleep(0.01)
    container.mux(stream.encode(None))
"""


def test_a_network_stream_is_live() -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    sender = subprocess.Popen([sys.executable, "-c", SENDER, str(port), "150"], env=environment)
    try:
        deadline = time.monotonic() + 180
        source = None
        while source is None:
            try:
                source = open_source(f"tcp://127.0.0.1:{port}", reconnect_s=0)
            except SourceError:
                assert sender.poll() is None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        with source:
            assert source.live
            assert source.frame_count is None
            assert source.size == (160, 120)
            frames = list(source)
        assert sender.wait(60) == 0
    finally:
        sender.kill()
        sender.wait()
    assert frames[-1].index >= 140
    red = frames[-1].image[..., 0] > 128
    assert red.sum() == pytest.approx(moving_boxes(1)[0, 2:].prod(), rel=0.2)
