"""Transcripts on the page about the web app: its servers start and say what is shown, its requests are answered."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blocks import ROOT, blocks_of

from moving_clips import write_clip

PATIENCE_S = 180.0
ADDRESS = "http://127.0.0.1:8765"
TRANSCRIPTS = [block.code for block in blocks_of(ROOT / "docs" / "serve.md") if block.language == "console"]
TYPED = [line.removeprefix("$ ") for code in TRANSCRIPTS for line in code.splitlines() if line.startswith("$ ")]
SERVERS = [line for line in TYPED if line.startswith("ostrack serve")]
REQUESTS = [line for line in TYPED if line.startswith("curl ")]

pytest.importorskip("fastapi", reason="needs the extra serve")


@contextmanager
def started(command: str, folder: Path, *options: str) -> Iterator[str]:
    """Run a server's command on a free port; yields the address that it prints."""
    folder.joinpath("Videos").mkdir(exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command} --port 0 --data '{folder}/data' {' '.join(options)}"],
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path, "HOME": str(folder)},
        )  # fmt: skip
    try:
        give_up = time.monotonic() + PATIENCE_S
        while not (found := re.search(r"^ostrack serve: (http://\S+)", log.read_text(), re.MULTILINE)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_every_line_that_is_typed_is_tried() -> None:
    assert {line for line in TYPED if not line.startswith("pip install")} == {*SERVERS, *REQUESTS}
    assert SERVERS
    assert REQUESTS


@pytest.mark.parametrize("command", SERVERS)
def test_servers_start_and_say_where(command: str, tmp_path: Path) -> None:
    (code,) = (code for code in TRANSCRIPTS if f"$ {command}\n" in code)
    shown = re.search(r"^ostrack serve: http://([\d.]+):\d+/(\S*)", code, re.MULTILINE)
    assert shown is not None
    with started(command, tmp_path) as address:
        assert address.startswith(f"http://{shown[1]}:")
        assert ("?token=" in address) == ("?token=" in shown[2])


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_requests_are_answered(tmp_path: Path, blob_onnx: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=6, size=(640, 272))
    with started("ostrack serve", tmp_path, "--network", str(blob_onnx)) as address:
        job = ""
        for line in REQUESTS:
            assert ADDRESS in line
            command = line.replace(ADDRESS, address.rstrip("/")).replace("/JOB/", f"/{job}/")
            answer = asked(command, tmp_path)
            job = job or json.loads(answer)["id"]
        assert json.loads(answer), "tracks"


def asked(command: str, folder: Path) -> str:
    """What a request answers; asked again while the server is still reading the video."""
    give_up = time.monotonic() + PATIENCE_S
    while True:
        done = subprocess.run(
            ["bash", "-c", command.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout
        assert "not ready" in done.stdout, f"{command}\n{done.stdout}\n{done.stderr}"
        assert time.monotonic() < give_up, done.stdout
        time.sleep(0.2)
