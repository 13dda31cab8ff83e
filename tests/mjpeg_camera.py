"""A camera on the network that a test can break: JPEG pictures over HTTP, the moving rectangle in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

from moving_clips import moving_boxes, picture


@dataclass
class Camera:
    """What the camera does for whoever connects.

    Attributes:
        lives: How many frames each connection gets before it is cut; the last number holds for all further ones.
        sizes: Width and height, likewise.
        fps: Frames a second.
        refuse: How many connections are turned away after the first.
        sent: Frames sent so far, over all connections.
        connections: How many there were, those turned away included.
        address: Where it is.
    """

    lives: list[int]
    sizes: list[tuple[int, int]] = field(default_factory=lambda: [(160, 120)])
    fps: float = 50.0
    refuse: int = 0
    sent: int = 0
    connections: int = 0
    address: str = ""

    def jpegs(self, size: tuple[int, int]) -> list[bytes]:
        """One turn of the rectangle."""
        boxes = moving_boxes(200, size)
        return [cv2.imencode(".jpg", picture(box, size)[..., ::-1])[1].tobytes() for box in boxes]


@contextmanager
def mjpeg_camera(camera: Camera) -> Iterator[Camera]:
    """Serve it on a free port of this machine."""
    turns = {size: camera.jpegs(size) for size in set(camera.sizes)}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = camera.connections
            camera.connections += 1
            if 0 < number <= camera.refuse:
                self.send_error(503)
                return
            served = max(0, number - camera.refuse)
            life = camera.lives[min(served, len(camera.lives) - 1)]
            turn = turns[camera.sizes[min(served, len(camera.sizes) - 1)]]
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            began = time.monotonic()
            for index in range(life):
                data = turn[index % len(turn)]
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                try:
                    self.wfile.write(head + data + b"\r\n")
                except OSError:
                    return  # the reader has left
                camera.sent += 1
                time.sleep(max(0.0, began + (index + 1) / camera.fps - time.monotonic()))

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    camera.address = f"http://127.0.0.1:{server.server_address[1]}/live"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield camera
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
