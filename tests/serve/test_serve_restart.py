"""A server that is killed, started again, and takes up its work; and the command that starts it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from running_server import PATIENCE_S, client_of, give_box, running, send_clip, wait_for

from moving_clips import moving_boxes
from ostrack.serve.runner import Runner
from ostrack.serve.settings import Limits, Settings
from ostrack.serve.workspace import Workspace


def command(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; {before}\nfrom ostrack.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "serve", *arguments], capture_output=True, text=True, check=False, timeout=600
    )


def workers_of(data: Path) -> list[int]:
    """Working processes of the server of a data folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ostrack.serve.worker" in (process / "cmdline").read_bytes() and (process / "cwd").readlink() == data:
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_killed_server_goes_on_where_it_was(tmp_path: Path, blob_onnx: Path, long_clip: Path, clip: Path) -> None:
    data = tmp_path / "data"
    with running(data, blob_onnx) as server, client_of(server) as client:
        job, other = send_clip(client, long_clip), send_clip(client, clip)
        wait_for(client, job, "prepare")
        wait_for(client, other, "prepare")
        give_box(client, job, 1, 0, moving_boxes(1)[0])
        give_box(client, other, 1, 0, moving_boxes(1)[0])
        client.post(f"/api/jobs/{job}/track")
        client.post(f"/api/jobs/{other}/track")
        ends = time.monotonic() + PATIENCE_S
        while client.get(f"/api/jobs/{job}").json()["tasks"]["track"]["done"] < 5:
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert len(workers_of(data)) >= 1
        server.kill()
    ends = time.monotonic() + PATIENCE_S
    while workers_of(data):  # nobody listens to them any more
        assert time.monotonic() < ends
        time.sleep(0.1)
    with running(data, blob_onnx) as server, client_of(server) as client:
        for number, frames in ((job, 1000), (other, 12)):
            view = wait_for(client, number, "track")
            assert view["tasks"]["track"]["state"] == "done", view
            rows = client.get(f"/api/jobs/{number}/tracks").json()["rows"]
            assert [row[1] for row in rows] == list(range(frames))


def test_a_server_that_is_stopped_puts_its_work_back(tmp_path: Path, blob_onnx: Path, long_clip: Path) -> None:
    data = tmp_path / "data"
    with running(data, blob_onnx) as server, client_of(server) as client:
        job = send_clip(client, long_clip)
    space = Workspace(Settings(data=data))
    (task,) = space.tasks.of(job)
    assert task.state in ("queued", "done")
    space.close()


def test_two_servers_on_one_folder(tmp_path: Path, blob_onnx: Path) -> None:
    data = tmp_path / "data"
    with running(data, blob_onnx):
        second = command("--port", "0", "--data", str(data), "--network", str(blob_onnx))
    assert second.returncode == 2
    assert second.stderr.strip().endswith("jobs.sqlite: is in use by another server")


def test_a_network_address_makes_up_a_token(tmp_path: Path, blob_onnx: Path) -> None:
    with running(tmp_path / "data", blob_onnx, "--host", "0.0.0.0") as server:  # noqa: S104  (what is tested)
        assert re.fullmatch(r"http://0\.0\.0\.0:\d+/\?token=\S{32}", server.address)
        token = server.address.partition("token=")[2]
        with client_of(server) as client:
            client.base_url = str(client.base_url).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
            assert client.get("/api/jobs").status_code == 401
            assert client.get("/api/jobs", headers={"host": "evil.example"}).status_code == 421
            bearer = {"authorization": f"Bearer {token}"}
            assert client.get("/api/jobs", headers=bearer | {"host": "192.168.1.20:80"}).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--token", "short", "--port", "0"), "--token has 5 letters, expected 12 or more"),
        (("--folder", "/no/such/folder", "--port", "0"), "--folder /no/such/folder: no such folder"),
        (("--network", "nothing", "--port", "0"), "nothing: neither a file nor a packaged network"),
        (("--workers", "0"), "'--workers': Input should be greater than or equal to 1"),
        (("--keep-days", "0"), "expected more than 0"),
        (("--host", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1 port 0"),
    ],
)
def test_wrong_options_are_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = command("--data", str(tmp_path / "data"), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_told(tmp_path: Path, blob_onnx: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command("--port", port, "--data", str(tmp_path / "d"), "--network", str(blob_onnx))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port} (Address already in use)" in done.stderr


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path, blob_onnx: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = command("--port", "0", "--data", str(tmp_path / "file"), "--network", str(blob_onnx))
    assert done.returncode == 2
    assert "cannot be used as the data folder" in done.stderr


def test_help_and_the_missing_extra() -> None:
    assert command("--help").stdout.startswith("Usage: ostrack serve")
    done = command(before="sys.modules['fastapi'] = None")
    assert (done.returncode, done.stderr) == (
        2,
        'error: fastapi is not installed; run: pip install "ostrack[serve]"\n',
    )


def test_old_jobs_and_stray_folders_go(tmp_path: Path) -> None:
    space = Workspace(Settings(data=tmp_path, limits=Limits(keep_days=2.0)))
    for name in ("old", "busy", "new"):
        space.jobs.add(name, "clip.mp4", 5)
        space.folder_of(name).mkdir()
    space.tasks.add("busy", "track")
    space.database.run("UPDATE job SET touched = touched - 3 * 86400 WHERE id != 'new'")
    stray = space.folder_of("stray")
    stray.mkdir()
    past = time.time() - 7200
    os.utime(stray, (past, past))
    space.folder_of("arriving").mkdir()
    slow = space.folder_of("slow")
    slow.mkdir()
    (slow / "source").write_bytes(b"half")
    os.utime(slow, (past, past))  # as of a folder in which one file grows for hours
    assert space.clean() == ["old"]
    assert sorted(folder.name for folder in space.folder.iterdir()) == ["arriving", "busy", "new", "slow"]
    space.close()


def test_what_cannot_be_cleaned_does_not_end_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, cleaned = Workspace(Settings(data=tmp_path, limits=Limits(stall_s=0.05))), threading.Event()

    def clean() -> list[str]:
        cleaned.set()
        raise FileNotFoundError("a folder that somebody else removed")

    monkeypatch.setattr(space, "clean", clean)
    runner = Runner(space)
    runner.start()
    assert cleaned.wait(60)
    time.sleep(0.2)
    assert all(thread.is_alive() for thread in runner._threads)
    runner.stop()
    space.close()


def test_folders_of_one_name_do_not_hide_each_other(tmp_path: Path) -> None:
    folders = tuple(tmp_path / disk / "Videos" for disk in ("one", "two"))
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "clip.mp4").write_bytes(b"x")
    space = Workspace(Settings(data=tmp_path / "data", folders=folders))
    assert {name: path.parent for name, path in space.listing().items()} == {
        "Videos (1)/clip.mp4": folders[0], "Videos (2)/clip.mp4": folders[1],
    }  # fmt: skip
    space.close()
