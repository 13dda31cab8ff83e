"""Two people at one job: a change of boxes and what reads them are one step, and nothing is queued twice."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the web app needs the serve extra")

from fastapi import HTTPException

from ostrack.serve.desk import Desk
from ostrack.serve.jobs import Keyframe, Video
from ostrack.serve.messages import BoxGiven
from ostrack.serve.runner import Runner
from ostrack.serve.settings import Settings
from ostrack.serve.strip import StripWriter
from ostrack.serve.workspace import Workspace

OLD, NEW = (1.0, 2.0, 3.0, 4.0), (9.0, 9.0, 5.0, 5.0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with one job of one target, and nobody who works its tasks off."""
    space = Workspace(Settings(data=tmp_path))
    space.jobs.add("a", "clip.mp4", 10)
    space.jobs.set_video("a", Video(64, 48, 10.0, 20), [])
    space.tasks.add("a", "prepare")
    prepared = space.tasks.take("light")
    assert prepared is not None
    space.tasks.finish(prepared.id, "done")
    space.folder_of("a").mkdir()
    with StripWriter(space.folder_of("a")) as strip:
        for frame in range(20):
            strip.write(b"picture", frame / 10)
    space.jobs.set_target("a", 1)
    space.jobs.set_keyframe("a", 1, Keyframe(0, OLD))
    yield Desk(space, Runner(space))
    space.database.close()


def box_when_tracked(desk: Desk, monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> list[object]:
    """Boxes of the job when somebody else's "track", pressed in the middle of a change, is in the queue."""
    seen: list[object] = []

    def track() -> None:
        with desk.space.database.transaction():
            desk.queue("a", "track")
            seen.extend(keyframe.box for target in desk.space.jobs.targets("a") for keyframe in target.keyframes)

    other = threading.Thread(target=track)
    dropped = desk.space.forget_exports

    def in_the_middle(job: str) -> None:
        dropped(job)
        other.start()
        other.join(0.3)

    monkeypatch.setattr(desk.space, "forget_exports", in_the_middle)
    change()
    other.join(60)
    assert not other.is_alive()
    return seen


def test_nothing_is_queued_between_the_old_box_and_the_new_one(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = box_when_tracked(desk, monkeypatch, lambda: desk.put_keyframe("a", 1, 0, BoxGiven(box=NEW)))
    assert boxes == [NEW]
    assert desk.view("a")["tasks"]["track"]["state"] == "queued"


def test_nothing_is_queued_while_a_box_is_taken_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put_keyframe("a", 1, 5, BoxGiven(box=NEW))
    assert box_when_tracked(desk, monkeypatch, lambda: desk.drop_keyframe("a", 1, 0)) == [NEW]


def test_a_new_name_stops_the_file_that_is_being_written(desk: Desk) -> None:
    exports = desk.space.folder_of("a") / "exports"
    exports.mkdir()
    desk.space.jobs.set_target("a", 2)
    desk.queue("a", "export", "csv")
    assert desk.space.tasks.take("light") is not None
    (exports / "draft-tracks.csv").write_text("half")
    view = desk.rename("a", 1, "cup")
    assert "csv" not in view["tasks"]
    assert not exports.exists()
    assert view["targets"][0]["name"] == "cup"
    with pytest.raises(HTTPException) as refused:
        desk.rename("a", 2, "cup")
    assert refused.value.status_code == 409


def run_as(desk: Desk, monkeypatch: pytest.MonkeyPatch, answer: dict[str, str]) -> dict[str, Any]:
    """The job after a "track" whose working process gave this answer."""
    script = f"import sys; sys.stdin.readline(); print({json.dumps(answer)!r})"
    monkeypatch.setattr("ostrack.serve.runner.worker_command", lambda: [sys.executable, "-c", script])
    desk.queue("a", "track")
    desk.runner.start()
    ends = time.monotonic() + 60
    while desk.view("a")["tasks"]["track"]["state"] in ("queued", "running"):
        assert time.monotonic() < ends
        time.sleep(0.02)
    desk.runner.stop()
    return desk.view("a")["tasks"]


def test_tracking_that_goes_on_makes_files_old(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.queue("a", "export", "csv")
    written = desk.space.tasks.take("light")
    assert written is not None
    path = desk.space.export_of("a", "csv")
    path.parent.mkdir()
    path.write_text("of what was tracked so far")
    desk.space.tasks.finish(written.id, "done")
    tasks = run_as(desk, monkeypatch, {"event": "done"})
    assert tasks["track"]["state"] == "done"
    assert "csv" not in tasks
    assert not path.exists()


def test_people_are_not_told_where_the_server_keeps_its_files(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"{desk.space.folder_of('a')}/exports/tracks.csv: cannot be written"
    tasks = run_as(desk, monkeypatch, {"event": "failed", "message": said})
    assert tasks["track"]["error"] == "exports/tracks.csv: cannot be written"


def test_two_presses_at_once_are_one_task(desk: Desk) -> None:
    gate = threading.Barrier(4)

    def press() -> None:
        gate.wait()
        desk.queue("a", "track")

    people = [threading.Thread(target=press) for _ in range(4)]
    for one in people:
        one.start()
    for one in people:
        one.join(60)
    assert desk.space.tasks.waiting() == 1
