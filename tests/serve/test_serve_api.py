"""The whole way through HTTP: a video in, boxes given, tracks and files out; and what is refused, in plain words."""

from __future__ import annotations

import csv
import io
import json
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from running_server import OCTETS, PATIENCE_S, give_box, send_clip, track, wait_for
from websockets.sync.client import connect

from moving_clips import encode, moving_boxes, picture
from odd_pictures import huge_png

BOXES = moving_boxes(12)


def socket_to(client: Any, path: str, **options: Any) -> Any:
    return connect(f"ws://{client.base_url.host}:{client.base_url.port}{path}", **options)


@pytest.fixture(scope="module")
def tracked(app: Any, clip: Path) -> str:
    """A job whose target has been tracked to the end."""
    job = send_clip(app, clip, "../../My clip?.mp4")
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, BOXES[0])
    view = track(app, job)
    assert view["tasks"]["track"]["state"] == "done", view
    return job


def error_of(answer: Any) -> str:
    body = answer.json()
    assert list(body) == ["error"]
    assert "\n" not in body["error"]
    return str(body["error"])


def test_a_video_is_looked_at_and_shown(app: Any, tracked: str) -> None:
    view = app.get(f"/api/jobs/{tracked}").json()
    assert view["name"] == "My clip?.mp4"
    assert view["video"] == {"width": 160, "height": 120, "fps": 25.0, "frames": 12}
    times = struct.unpack("<12d", app.get(f"/api/jobs/{tracked}/times").content)
    assert np.allclose(times, np.arange(12) / 25)
    data = app.get(f"/api/jobs/{tracked}/frames", params={"first": 4, "count": 16}).content
    count, *sizes = struct.unpack_from("<9I", data)
    assert (count, len(data)) == (8, 36 + sum(sizes))
    # The picture of frame 4 is frame 4.
    image = cv2.imdecode(np.frombuffer(data[36 : 36 + sizes[0]], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(image.astype(int) - picture(BOXES[4])).mean() < 3
    single = app.get(f"/api/jobs/{tracked}/frames/4.jpg")
    assert single.content == data[36 : 36 + sizes[0]]
    assert single.headers["content-type"] == "image/jpeg"
    assert "immutable" in single.headers["cache-control"]
    assert app.get(f"/api/jobs/{tracked}/frames/12.jpg").status_code == 404


def test_targets_are_followed(app: Any, tracked: str) -> None:
    rows = app.get(f"/api/jobs/{tracked}/tracks").json()["rows"]
    assert [(row[0], row[1]) for row in rows] == [(1, frame) for frame in range(12)]
    assert np.abs(np.array([row[2:6] for row in rows]) - BOXES).max() < 2
    assert all(0 < row[6] <= 1 for row in rows)
    assert {row[8] for row in rows} == {"tracking"}


@pytest.mark.parametrize("format", ["mp4", "csv", "json", "jsonl", "mot", "coco", "cvat", "yolo"])
def test_every_format_is_written(app: Any, tracked: str, format: str) -> None:
    assert app.get(f"/api/jobs/{tracked}/exports/{format}").status_code == 404
    assert app.post(f"/api/jobs/{tracked}/exports", json={"format": format}).status_code == 202
    view = wait_for(app, tracked, format)
    assert view["tasks"][format]["state"] == "done", view["tasks"][format]
    answer = app.get(f"/api/jobs/{tracked}/exports/{format}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment; filename")
    data = answer.content
    if format == "mp4":
        with av.open(io.BytesIO(data)) as container:
            assert sum(1 for _ in container.decode(video=0)) == 12
    elif format == "csv":
        table = list(csv.DictReader(io.StringIO(data.decode())))
        assert np.abs([[float(row[key]) for key in "xywh"] for row in table] - BOXES).max() < 2
        assert {row["id"] for row in table} == {"Target 1"}
    elif format == "json":
        assert [row["frame"] for row in json.loads(data)] == list(range(12))
    elif format == "jsonl":
        assert [json.loads(line)["id"] for line in data.splitlines()] == ["Target 1"] * 12
    elif format == "mot":
        assert data.decode().splitlines()[0].startswith("1,1,105.000,49.000,")
    elif format == "coco":
        assert len(json.loads(data)["annotations"]) == 12
    elif format == "cvat":
        assert data.count(b"<box ") >= 12
    else:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert "labels/000011.txt" in archive.namelist()


def test_frames_before_the_first_box_are_not_said_to_be_empty(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 6, BOXES[6])
    give_box(app, job, 1, 10, None)
    track(app, job)
    assert app.post(f"/api/jobs/{job}/exports", json={"format": "yolo"}).status_code == 202
    wait_for(app, job, "yolo")
    with zipfile.ZipFile(io.BytesIO(app.get(f"/api/jobs/{job}/exports/yolo").content)) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist() if info.filename.startswith("labels/0")}
    assert sorted(sizes) == [f"labels/{frame:06d}.txt" for frame in range(6, 12)]
    assert [sizes[f"labels/{frame:06d}.txt"] == 0 for frame in range(6, 12)] == [False] * 4 + [True] * 2


def test_a_box_that_is_drawn_and_not_tracked_from_yet_is_exported(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, BOXES[0])
    track(app, job)
    give_box(app, job, 1, 6, BOXES[6] + (2, 2, 0, 0))
    app.post(f"/api/jobs/{job}/exports", json={"format": "csv"})
    wait_for(app, job, "csv")
    rows = list(csv.DictReader(io.StringIO(app.get(f"/api/jobs/{job}/exports/csv").text)))
    assert [int(row["frame"]) for row in rows] == list(range(7))
    assert [float(rows[6][key]) for key in "xywh"] == pytest.approx(list(BOXES[6] + (2, 2, 0, 0)), abs=1e-3)


def test_a_correction_goes_on_from_its_frame_and_drops_old_files(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, BOXES[0])
    track(app, job)
    app.post(f"/api/jobs/{job}/exports", json={"format": "csv"})
    wait_for(app, job, "csv")
    before = app.get(f"/api/jobs/{job}/tracks").json()["rows"]
    view = give_box(app, job, 1, 6, BOXES[6] + (2, 2, 0, 0))
    assert view["targets"][0]["segments"] == [{"first": 0, "stop": 6, "done": 6}, {"first": 6, "stop": 12, "done": 6}]
    assert app.get(f"/api/jobs/{job}/tracks").json()["rows"] == before[:6]
    assert "csv" not in view["tasks"]
    assert app.get(f"/api/jobs/{job}/exports/csv").status_code == 404
    track(app, job)
    after = app.get(f"/api/jobs/{job}/tracks").json()["rows"]
    assert after[:6] == before[:6]
    assert after[6][2:6] == [*(BOXES[6] + (2, 2, 0, 0))]
    assert len(after) == 12


def test_targets_come_and_go(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, BOXES[0])
    give_box(app, job, 1, 8, None)
    give_box(app, job, 7, 3, BOXES[3])
    assert app.put(f"/api/jobs/{job}/targets/7", json={"name": "cup"}).status_code == 200
    track(app, job)
    found = {(row[0], row[1]) for row in app.get(f"/api/jobs/{job}/tracks").json()["rows"]}
    assert found == {(1, frame) for frame in range(8)} | {(7, frame) for frame in range(3, 12)}
    view = app.delete(f"/api/jobs/{job}/targets/1").json()
    assert [target["name"] for target in view["targets"]] == ["cup"]
    view = app.delete(f"/api/jobs/{job}/targets/7/keyframes/3").json()
    assert view["targets"] == []
    assert app.get(f"/api/jobs/{job}/tracks").json()["rows"] == []


def test_two_boxes_are_blended_between(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 1, BOXES[1])
    assert "second box" in error_of(app.post(f"/api/jobs/{job}/refine"))
    give_box(app, job, 1, 8, BOXES[8] + (1, 1, 0, 0))
    track(app, job)
    before = app.get(f"/api/jobs/{job}/tracks").json()["rows"]
    assert app.post(f"/api/jobs/{job}/refine").status_code == 202
    view = wait_for(app, job, "refine")
    assert view["tasks"]["refine"]["state"] == "done", view
    after = app.get(f"/api/jobs/{job}/tracks").json()["rows"]
    assert [row[1] for row in after] == list(range(1, 12))
    assert after[7:] == before[7:]  # the given box and what lies behind it
    assert after[0][2:6] == list(BOXES[1])
    assert after[1:7] != before[1:7]
    assert np.abs(np.array([row[2:6] for row in after]) - BOXES[1:]).max() < 2.5
    # A new box makes it worth doing again.
    assert "refine" not in give_box(app, job, 1, 4, BOXES[4])["tasks"]


def test_a_target_that_begins_later_costs_no_frames_before(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 9, BOXES[9])
    view = track(app, job)
    assert (view["tasks"]["track"]["done"], view["tasks"]["track"]["total"]) == (3, 3)


def test_watchers_hear_of_everything(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    wait_for(app, job, "prepare")
    with socket_to(app, f"/api/jobs/{job}/live") as socket:
        assert json.loads(socket.recv(timeout=PATIENCE_S))["job"]["targets"] == []
        give_box(app, job, 1, 0, BOXES[0])
        app.post(f"/api/jobs/{job}/track")
        rows, messages = [], []
        while True:
            message = json.loads(socket.recv(timeout=PATIENCE_S))
            messages.append(message["type"])
            rows += message.get("rows", [])
            if message["type"] == "job" and message["job"]["tasks"].get("track", {}).get("state") == "done":
                break
        assert messages.index("cleared") < messages.index("tracks")
        assert rows == app.get(f"/api/jobs/{job}/tracks").json()["rows"]
        app.delete(f"/api/jobs/{job}")
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"type": "gone"}
    assert app.get(f"/api/jobs/{job}").status_code == 404


def test_a_stranger_job_is_gone(app: Any) -> None:
    with socket_to(app, "/api/jobs/AAAAAAAAAAAAAAAA/live") as socket:
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"type": "gone"}


def test_stopping_keeps_what_was_tracked(app: Any, long_clip: Path, slow_tracking: None) -> None:
    job = send_clip(app, long_clip)
    wait_for(app, job, "prepare")
    give_box(app, job, 1, 0, moving_boxes(1)[0])
    app.post(f"/api/jobs/{job}/track")
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        task = app.get(f"/api/jobs/{job}").json()["tasks"]["track"]
        if task["done"] > 3:
            break
        time.sleep(0.05)
    assert task["state"] == "running"
    assert task["total"] == 1000
    view = app.post(f"/api/jobs/{job}/cancel").json()
    assert view["tasks"]["track"]["state"] == "cancelled"
    time.sleep(0.5)
    rows = app.get(f"/api/jobs/{job}/tracks").json()["rows"]
    assert 3 < len(rows) < 1000
    # A box given while it runs stops it too; what came before the box stays.
    app.post(f"/api/jobs/{job}/track")
    view = give_box(app, job, 1, 2, moving_boxes(3)[2])
    assert view["tasks"]["track"]["state"] == "cancelled"
    time.sleep(0.5)
    assert [row[1] for row in app.get(f"/api/jobs/{job}/tracks").json()["rows"]] == [0, 1]
    assert app.delete(f"/api/jobs/{job}").status_code == 204


def test_requests_that_make_no_sense_are_told_why(app: Any, tracked: str) -> None:
    put = f"/api/jobs/{tracked}/targets/1/keyframes"
    assert "not in the video" in error_of(app.put(f"{put}/12", json={"box": [1, 1, 5, 5]}))
    assert "outside the picture" in error_of(app.put(f"{put}/0", json={"box": [200, 1, 5, 5]}))
    assert app.put(f"{put}/0", json={"box": [1, 1, 0, 5]}).status_code == 422
    assert app.put(f"{put}/0", content=b'{"box": [NaN, 1, 5, 5]}').status_code == 422
    assert "box" in error_of(app.put(f"{put}/0", json={"bax": None}))
    assert "no such target" in error_of(app.put(f"/api/jobs/{tracked}/targets/9/keyframes/0", json={"box": None}))
    assert "no such target" in error_of(app.delete(f"/api/jobs/{tracked}/targets/9"))
    assert "Nothing was said" in error_of(app.delete(f"{put}/5"))
    assert "no such job" in error_of(app.get("/api/jobs/AAAAAAAAAAAAAAAA"))
    assert app.get("/api/jobs/..%2f..%2fetc").status_code == 404
    assert app.post(f"/api/jobs/{tracked}/exports", json={"format": "exe"}).status_code == 422
    assert error_of(app.get("/nothing")) == "There is nothing here."


def test_nothing_is_tracked_without_a_box(app: Any, clip: Path) -> None:
    job = send_clip(app, clip)
    assert error_of(app.post(f"/api/jobs/{job}/track")) == "Draw a box first."


def test_a_camera_is_followed(app: Any) -> None:
    boxes = moving_boxes(6)
    pictures = [cv2.imencode(".jpg", np.ascontiguousarray(picture(box)[..., ::-1]))[1].tobytes() for box in boxes]
    with socket_to(app, "/api/camera") as socket:
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"ready": True}
        socket.send(json.dumps({"target": 1, "box": [1, 2, 3, 4]}))
        assert "no picture yet" in json.loads(socket.recv(timeout=PATIENCE_S))["error"]
        socket.send(pictures[0])
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"rows": []}
        socket.send(json.dumps({"target": 1, "box": list(boxes[0])}))
        assert json.loads(socket.recv(timeout=PATIENCE_S))["rows"][0][:2] == [1, 0]
        for index in (1, 2, 3):
            socket.send(pictures[index])
            (row,) = json.loads(socket.recv(timeout=PATIENCE_S))["rows"]
            assert np.abs(np.array(row[2:6]) - boxes[index]).max() < 2
        for nonsense in ("{}", "no", json.dumps({"target": 1, "box": [0, 0, -1, 4]})):
            socket.send(nonsense)
            assert json.loads(socket.recv(timeout=PATIENCE_S))["error"] == "That was no box."
        # One that is refused does not cost the target that is followed.
        socket.send(json.dumps({"target": 1, "box": [900, 900, 5, 4]}))
        assert "box" in json.loads(socket.recv(timeout=PATIENCE_S))["error"]
        for wrong in (b"no picture", huge_png()):
            socket.send(wrong)
            assert "could not be read" in json.loads(socket.recv(timeout=PATIENCE_S))["error"]
        socket.send(pictures[4])
        (row,) = json.loads(socket.recv(timeout=PATIENCE_S))["rows"]
        assert np.abs(np.array(row[2:6]) - boxes[4]).max() < 2
        socket.send(json.dumps({"target": 1, "box": None}))
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"rows": []}
        socket.send(pictures[5])
        assert json.loads(socket.recv(timeout=PATIENCE_S)) == {"rows": []}


def test_videos_of_an_allowed_folder_can_be_chosen(open_app: Any, tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "Films"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.mp4").write_bytes(clip.read_bytes())
    (folder / "notes.txt").write_text("not a video")
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip.read_bytes())
    (folder / "link.mp4").symlink_to(secret)
    client = open_app(folders=(folder,))
    (found,) = client.get("/api/folder").json()
    assert (found["name"], found["bytes"]) == ("Films/deep/one.mp4", clip.stat().st_size)
    answer = client.post("/api/jobs/from-folder", json={"file": found["file"]})
    assert answer.status_code == 201
    job = answer.json()["id"]
    assert wait_for(client, job, "prepare")["state"] == "ready"
    assert client.post("/api/jobs/from-folder", json={"file": "Films/link.mp4"}).status_code == 404
    # Deleting the job leaves the owner's file alone; a file that is gone is told of.
    (folder / "deep" / "one.mp4").rename(tmp_path / "moved.mp4")
    give_box(client, job, 1, 0, BOXES[0])
    assert "no longer in a folder" in track(client, job)["tasks"]["track"]["error"]
    (tmp_path / "moved.mp4").rename(folder / "deep" / "one.mp4")
    assert track(client, job)["tasks"]["track"]["state"] == "done"
    assert client.delete(f"/api/jobs/{job}").status_code == 204
    assert (folder / "deep" / "one.mp4").exists()


@pytest.mark.slow
def test_eight_jobs_of_two_visitors_all_get_done(open_app: Any, clip: Path) -> None:
    client = open_app(workers=2)
    jobs = [send_clip(client, clip, f"clip {number}.mp4") for number in range(8)]
    for job in jobs:
        wait_for(client, job, "prepare")
        give_box(client, job, 1, 0, BOXES[0])
        assert client.post(f"/api/jobs/{job}/track").status_code == 202
    for job in jobs:
        assert wait_for(client, job, "track")["tasks"]["track"]["state"] == "done"
        assert len(client.get(f"/api/jobs/{job}/tracks").json()["rows"]) == 12
    assert {job["id"] for job in client.get("/api/jobs").json()} == set(jobs)


def test_a_video_with_times_of_its_own_keeps_them(app: Any, tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.24, 0.9]
    path = tmp_path / "uneven.mkv"
    encode(path, [picture(box) for box in moving_boxes(5)], times_s=times)
    job = send_clip(app, path)
    wait_for(app, job, "prepare")
    found = struct.unpack("<5d", app.get(f"/api/jobs/{job}/times").content)
    assert np.allclose(found, times, atol=0.002)


def test_the_page_is_there_without_the_network(app: Any) -> None:
    page = app.get("/")
    assert page.status_code == 200
    assert "https:" not in page.text
    for name in ("app.js", "app.css", "editor.css", "icon.svg", "job.js"):
        answer = app.get(f"/static/{name}")
        assert answer.status_code == 200
        assert "//cdn" not in answer.text
    assert app.get("/docs").status_code == 404


def test_an_empty_upload_is_refused(app: Any) -> None:
    answer = app.post("/api/jobs", content=b"", headers=OCTETS)
    assert (answer.status_code, error_of(answer)) == (400, "The file is empty.")
