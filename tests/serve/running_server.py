"""A server of its own for tests: a process, as users start it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

OCTETS = {"content-type": "application/octet-stream"}
PATIENCE_S = 180.0
# The server closes connections that were idle for five seconds; a request must not be on its way on one just then.
KEPT = httpx.Limits(keepalive_expiry=1.0)


class Server:
    """``ostrack serve`` on a free port."""

    def __init__(self, data: Path, network: Path, *options: str) -> None:
        self.log = data.parent / f"{data.name}.log"
        command = [sys.executable, "-m", "ostrack", "serve", "--port", "0", "--data", str(data)]
        command += ["--network", str(network), "--workers", "1", "--threads", "1", *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        self.address = self._address()

    def _address(self) -> str:
        for _ in range(int(PATIENCE_S / 0.1)):
            found = re.search(r"ostrack serve: (http://\S+)", self.log.read_text())
            if found:
                return found[1]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        self.process.terminate()
        try:
            self.process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextlib.contextmanager
def running(data: Path, network: Path, *options: str) -> Iterator[Server]:
    """A server for the time of a block."""
    server = Server(data, network, *options)
    try:
        yield server
    finally:
        server.stop() if server.process.poll() is None else None


def send_clip(client: Any, clip: Path, name: str | None = None) -> str:
    """Upload; returns the job's id."""
    answer = client.post("/api/jobs", params={"name": name or clip.name}, content=clip.read_bytes(), headers=OCTETS)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def wait_for(client: Any, job: str, task: str) -> dict[str, Any]:
    """Wait until a task of a job has ended; returns the job."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        view: dict[str, Any] = client.get(f"/api/jobs/{job}").json()
        if view["tasks"][task]["state"] not in ("queued", "running"):
            return view
        time.sleep(0.1)
    raise AssertionError(f"{task} of {job} did not end: {view}")


def give_box(client: Any, job: str, target: int, frame: int, box: Any) -> dict[str, Any]:
    """Say where a target is."""
    boxes = None if box is None else [float(value) for value in box]
    answer = client.put(f"/api/jobs/{job}/targets/{target}/keyframes/{frame}", json={"box": boxes})
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


def track(client: Any, job: str) -> dict[str, Any]:
    """Track to the end; returns the job."""
    assert client.post(f"/api/jobs/{job}/track").status_code == 202
    return wait_for(client, job, "track")


def client_of(server: Server, **options: Any) -> httpx.Client:
    """A client of a running server."""
    return httpx.Client(base_url=server.address.split("?")[0], timeout=PATIENCE_S, limits=KEPT, **options)
