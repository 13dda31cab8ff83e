"""Who is let in, from where, and what a hostile file or request can do: nothing."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from running_server import OCTETS, PATIENCE_S, give_box, send_clip, track, wait_for
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from moving_clips import encode, moving_boxes, picture
from ostrack.serve.security import COOKIE, pass_of
from ostrack.serve.uploads import display_name

TOKEN = "a-token-of-some-length"  # noqa: S105  (of a server that lives for a test)


def at(client: Any) -> str:
    return f"{client.base_url.host}:{client.base_url.port}"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "["])
def test_a_name_that_is_not_ours_is_refused(app: Any, host: str) -> None:
    for path in ("/", "/api/jobs", "/static/app.js"):
        assert app.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8765", "LOCALHOST:1"])
def test_this_machine_is_known_by_its_names(app: Any, host: str) -> None:
    assert app.get("/api/limits", headers={"host": host}).status_code == 200


def test_changes_come_only_from_our_own_pages(app: Any) -> None:
    send = {"content": b"x", "headers": OCTETS}
    for origin in ("http://evil.example", "null", f"http://{at(app)}.evil.example", "http://127.0.0.1:1"):
        answer = app.post("/api/jobs", content=b"x", headers={**OCTETS, "origin": origin})
        assert answer.status_code == 403, origin
    assert app.post("/api/jobs", content=b"x", headers={**OCTETS, "sec-fetch-site": "cross-site"}).status_code == 403
    assert app.post("/api/jobs", **send).status_code == 201
    own = app.post("/api/jobs", content=b"x", headers={**OCTETS, "origin": f"http://{at(app)}"})
    assert own.status_code == 201


@pytest.mark.parametrize("path", ["/api/camera", "/api/jobs/AAAAAAAAAAAAAAAA/live"])
def test_sockets_of_other_sites_are_refused(app: Any, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{at(app)}{path}", origin="http://evil.example")  # type: ignore[arg-type]  # a NewType of str
    assert refused.value.response.status_code == 403
    with connect(f"ws://{at(app)}{path}", origin=f"http://{at(app)}"):  # type: ignore[arg-type]
        pass


def test_pages_may_run_and_load_only_our_own_files(app: Any) -> None:
    for path in ("/", "/static/app.js", "/api/jobs", "/nothing"):
        headers = app.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
    page = app.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", page)


def test_big_bodies_are_refused_before_they_are_read(app: Any) -> None:
    answer = app.post("/api/jobs/from-folder", content=b"{" + b" " * 70_000 + b"}")
    assert answer.status_code == 413


def test_nothing_outside_the_static_folder_is_served(app: Any) -> None:
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"):
        assert app.get(path).status_code == 404


def test_a_token_opens_the_door(open_app: Any) -> None:
    client = open_app(token=TOKEN)
    assert client.get("/api/jobs").status_code == 401
    assert client.get("/static/app.js").status_code == 401
    page = client.get("/")
    assert (page.status_code, "asks for its token" in page.text) == (401, True)
    assert client.get("/static/app.css").status_code == 200
    assert client.get("/api/jobs", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/api/jobs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.post("/login", data={"token": "wrong"}).status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    with pytest.raises(InvalidStatus):
        connect(f"ws://{at(client)}/api/camera")
    answer = client.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert TOKEN not in answer.headers["set-cookie"]
    assert client.cookies[COOKIE] == pass_of(TOKEN)
    assert client.get("/api/jobs").status_code == 200
    assert "Choose a video" in client.get("/").text
    with connect(f"ws://{at(client)}/api/camera", additional_headers={"cookie": f"{COOKIE}={pass_of(TOKEN)}"}):
        pass
    fresh = httpx.Client(base_url=client.base_url)
    assert fresh.post("/login", data={"token": TOKEN}).status_code == 303
    assert fresh.get("/api/jobs").status_code == 200


@pytest.mark.parametrize("cookie", ["ostrack=\xe9", 'ostrack="\\351"', "a" * 4000, "=;=;", "ostrack"])
def test_strange_cookies_are_only_wrong(open_app: Any, cookie: str) -> None:
    client = open_app(token=TOKEN)
    assert client.get("/api/jobs", headers={"cookie": cookie.encode("latin-1")}).status_code == 401


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Videos\\cat.mp4", "cat.mp4"),
        ("a\x00b\n\x1b[31m.mp4", "ab[31m.mp4"),
        ("", "video"),
        ("x" * 500, "x" * 120),
        ("\u202egpm.4", "gpm.4"),
    ],
)
def test_names_are_shown_and_nothing_else(name: str, shown: str) -> None:
    assert display_name(name) == shown


def hostile_files(folder: Path) -> dict[str, bytes]:
    encode(folder / "whole.mp4", [picture(box) for box in moving_boxes(30)])
    whole = (folder / "whole.mp4").read_bytes()
    return {
        "text": b"hello " * 100,
        "zeros": bytes(100_000),
        "html": b"<!doctype html><script>alert(1)</script>",
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>',
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "truncated": whole[: len(whole) // 3],
        "flipped": bytes(byte ^ (0x5A if 200 < index < 260 else 0) for index, byte in enumerate(whole)),
        "huge picture": b"YUV4MPEG2 W60000 H60000 F25:1 C420\nFRAME\n" + bytes(1000),
        "large picture": b"YUV4MPEG2 W8000 H8000 F25:1 C420\nFRAME\n" + bytes(8000 * 8000 * 3 // 2),
        "sound": b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x44\xac\x00\x00\x88\x58\x01\x00\x02\x00"
        b"\x10\x00data" + bytes(2000),
    }


@pytest.mark.slow
def test_hostile_files_end_in_plain_words_and_the_server_lives(
    open_app: Any, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Decoders have a thread a core, and each would reserve 64 MB of the address space for what it allocates.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    client = open_app(limits={"memory_bytes": 700 * 2**20, "stall_s": 60.0})
    jobs = {
        name: client.post("/api/jobs", params={"name": f"{name}.mp4"}, content=data, headers=OCTETS).json()["id"]
        for name, data in hostile_files(tmp_path).items()
    }
    for name, job in jobs.items():
        view = wait_for(client, job, "prepare")
        task = view["tasks"]["prepare"]
        if name == "flipped" and task["state"] == "done":
            continue  # some damage can be decoded
        if name == "truncated":
            assert "broke off at frame" in view["problems"][0]
            continue
        assert task["state"] == "failed", (name, view)
        assert re.fullmatch(r"[A-Z\w][^\n]{10,200}\.", task["error"]), (name, task["error"])
        assert str(tmp_path) not in task["error"]
        assert client.post(f"/api/jobs/{job}/track").status_code == 409
        assert client.post(f"/api/jobs/{job}/restart").status_code == 200
    job = send_clip(client, clip)
    assert wait_for(client, job, "prepare")["state"] == "ready"


def test_too_many_frames_are_refused(open_app: Any, clip: Path) -> None:
    client = open_app(limits={"frames": 11})
    job = send_clip(client, clip)
    assert "11" in wait_for(client, job, "prepare")["tasks"]["prepare"]["error"]


def test_uploads_are_counted_whatever_they_state(open_app: Any, tmp_path: Path) -> None:
    client = open_app(limits={"upload_bytes": 100_000})
    stated = client.post("/api/jobs", content=bytes(200_000), headers=OCTETS)
    assert (stated.status_code, stated.json()["error"]) == (
        413,
        "The file has 195 kB; up to 97.7 kB are taken here.",
    )
    unstated = client.post("/api/jobs", content=(bytes(10_000) for _ in range(20)), headers=OCTETS)
    assert unstated.status_code == 413
    assert list((tmp_path / "data" / "jobs").iterdir()) == []


def test_an_upload_that_breaks_off_leaves_nothing(open_app: Any, tmp_path: Path) -> None:
    client = open_app()
    folder = tmp_path / "data" / "jobs"
    with socket.create_connection((client.base_url.host, client.base_url.port)) as line:
        head = f"POST /api/jobs HTTP/1.1\r\nHost: {at(client)}\r\nContent-Length: 100000\r\n\r\n"
        line.sendall(head.encode() + bytes(5000))
        ends = time.monotonic() + PATIENCE_S
        while not list(folder.iterdir()):
            assert time.monotonic() < ends
            time.sleep(0.02)
    while list(folder.iterdir()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    assert client.get("/api/jobs").json() == []


def test_room_jobs_and_queue_are_limited(open_app: Any, tmp_path: Path, clip: Path) -> None:
    client = open_app(limits={"disk_bytes": 1000})
    answer = client.post("/api/jobs", content=clip.read_bytes(), headers=OCTETS)
    assert (answer.status_code, "no room left" in answer.json()["error"]) == (507, True)
    unstated = client.post("/api/jobs", content=iter([clip.read_bytes()]), headers=OCTETS)
    assert unstated.status_code == 507
    assert list((tmp_path / "data" / "jobs").iterdir()) == []
    client = open_app(data=tmp_path / "one", limits={"jobs": 1})
    send_clip(client, clip)
    answer = client.post("/api/jobs", content=clip.read_bytes(), headers=OCTETS)
    assert (answer.status_code, "up to 1 jobs" in answer.json()["error"]) == (507, True)
    client = open_app(data=tmp_path / "two", limits={"targets": 1})
    job = send_clip(client, clip)
    wait_for(client, job, "prepare")
    give_box(client, job, 1, 0, (1, 1, 9, 9))
    assert client.put(f"/api/jobs/{job}/targets/2/keyframes/0", json={"box": [1, 1, 9, 9]}).status_code == 409


def test_a_network_that_breaks_is_told_and_the_server_lives(open_app: Any, clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    client = open_app(network=str(broken))
    job = send_clip(client, clip)
    wait_for(client, job, "prepare")
    give_box(client, job, 1, 0, (60, 40, 20, 20))
    view = track(client, job)
    assert view["tasks"]["track"]["state"] == "failed"
    assert "\n" not in view["tasks"]["track"]["error"]
    assert client.get("/api/jobs").status_code == 200


def test_limits_hold_in_a_working_process() -> None:
    pytest.importorskip("resource", reason="this system has no such limits")
    code = (
        "from ostrack.serve.worker import set_limits\n"
        "set_limits({'memory': 2**28, 'cpu': 60, 'file': 1000})\n"
        "try:\n    bytearray(2**29)\nexcept MemoryError:\n    print('memory')\n"
        "import signal, tempfile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n    open(tempfile.mkstemp()[0], 'wb', buffering=0).write(bytes(5000)) <= 1000 and print('file')\n"
        "except OSError:\n    print('file')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["memory", "file"]


def test_a_process_that_says_nothing_is_ended(open_app: Any, long_clip: Path) -> None:
    client = open_app(limits={"stall_s": -1.0})
    job = send_clip(client, long_clip)
    view = wait_for(client, job, "prepare")
    assert "made no progress for too long" in view["tasks"]["prepare"]["error"]
    assert json.loads(client.get("/api/limits").text)["frames"] == 20_000
