"""Two people at one job: a change of boxes and what reads them are one step, and nothing is queued twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the web app needs the serve extra")

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
