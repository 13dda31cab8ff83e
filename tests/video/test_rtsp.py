"""A camera on the network: a small RTSP server of our own, H.264 in RTP over the RTSP connection."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import pytest

from moving_clips import moving_boxes, picture
from ostrack.video import open_source

FRAMES = 100
SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track\r\n"
)


def coded_frames() -> list[bytes]:
    """Each frame's NAL units with start codes, parameter sets included."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 160, 120, "yuv420p", Fraction(25)
    encoder.time_base = Fraction(1, 25)
    parameters = "annexb=1:sliced-threads=0"
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10", "x264-params": parameters}
    images = (av.VideoFrame.from_ndarray(picture(box), format="rgb24") for box in moving_boxes(FRAMES))
    return [b"".join(bytes(packet) for packet in encoder.encode(image)) for image in images]


def units(coded: bytes) -> list[bytes]:
    return [part for part in coded.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if part]


def answer(connection: socket.socket, frames: list[bytes]) -> None:
    """Speak just enough RTSP for one client, then play all frames and hang up."""
    while True:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            part = connection.recv(4096)
            if not part:
                return
            request += part
        method = request.split(b" ")[0].decode()
        number = next(line for line in request.decode().split("\r\n") if line.lower().startswith("cseq"))
        extra, body = "", ""
        if method == "OPTIONS":
            extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            extra, body = f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n", SDP
        elif method == "SETUP":
            extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
        connection.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{extra}\r\n{body}".encode())
        if method == "PLAY":
            break
    sequence = 0
    for index, coded in enumerate(frames):
        parts = units(coded)
        for place, unit in enumerate(parts):
            mark = 0x80 if place == len(parts) - 1 else 0
            packet = struct.pack(">BBHII", 0x80, mark | 96, sequence, index * 3600, 7) + unit
            connection.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
            sequence += 1
        time.sleep(0.01)


@pytest.fixture
def camera() -> Iterator[str]:
    frames = coded_frames()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            answer(connection, frames)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live"
    thread.join(10)
    listener.close()


def test_an_rtsp_camera_is_followed_live(camera: str) -> None:
    with open_source(camera, reconnect_s=0) as source:
        assert source.live
        assert source.name == camera
        assert source.size == (160, 120)
        frames = list(source)
    assert frames[-1].index >= FRAMES - 10
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    x, y, w, h = moving_boxes(FRAMES)[frames[-1].index]
    rows, columns = (frames[-1].image[..., 0] > 128).nonzero()
    assert (columns.min(), rows.min()) == pytest.approx((x, y), abs=2)
    assert (columns.max() + 1, rows.max() + 1) == pytest.approx((x + w, y + h), abs=2)
