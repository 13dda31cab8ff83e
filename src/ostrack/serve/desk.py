"""What can be done with jobs: every change goes through here, is checked, and is told to those who watch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException

from ostrack.serve.jobs import Job, Keyframe, Target, stretches_of
from ostrack.serve.messages import BoxGiven, FileInFolder, Format
from ostrack.serve.runner import Runner
from ostrack.serve.tasks import Kind
from ostrack.serve.workspace import Workspace

__all__ = ["Desk", "file_id"]


class Desk:
    """What the routes do with jobs: every change goes through here, so that watchers hear of it."""

    def __init__(self, space: Workspace, runner: Runner) -> None:
        self.space = space
        self.runner = runner

    def find(self, id: str) -> Job:
        """The job, or the answer that there is none."""
        job = self.space.jobs.get(id)
        if job is None:
            raise HTTPException(404, "There is no such job; it may have been deleted.")
        return job

    def view(self, id: str) -> dict[str, Any]:
        """A job as the page sees it."""
        return self.space.view(self.find(id))

    def changed(self, id: str) -> dict[str, Any]:
        """Tell watchers and wake workers; returns the view."""
        self.space.jobs.touch(id)
        self.space.tell(id)
        self.runner.notify()
        return self.view(id)

    def enter(self, id: str, name: str, size: int, path: str | None = None) -> dict[str, Any]:
        """A new job for a file that is there."""
        self.space.folder_of(id).mkdir(mode=0o700, exist_ok=True)
        with self.space.database.transaction():
            self.space.jobs.add(id, name, size, path)
            self.space.tasks.add(id, "prepare")
        return self.changed(id)

    def check_room_for_a_job(self) -> None:
        """Refuse new jobs where there are too many."""
        limits = self.space.settings.limits
        if len(self.space.jobs.all()) >= limits.jobs:
            raise HTTPException(507, f"The server keeps up to {limits.jobs} jobs. Delete one first.")
        self.check_queue()

    def check_queue(self) -> None:
        """Refuse work where too much waits already."""
        if self.space.tasks.waiting() >= self.space.settings.limits.queued:
            raise HTTPException(503, "The server has too much to do. Try again later.")

    @contextmanager
    def edit(self, id: str) -> Iterator[None]:
        """Change targets: what reads them is stopped and files made from them are dropped, in one step with the change.

        Nobody's "track" can come in between, which would keep what it finds of a box that is gone.
        """
        with self.space.database.transaction():
            self.find(id)
            self.stop(id)
            self.space.tasks.forget(id, "refine")
            self.space.forget_exports(id)
            yield

    def stop(self, id: str) -> None:
        """Cancel tracking, blending and exports."""
        kinds: tuple[Kind, ...] = ("track", "refine", "export")
        self.runner.kill([task for kind in kinds for task in self.space.tasks.cancel(id, kind)])

    def target(self, id: str, target: int) -> Target:
        """The target, or the answer that there is none."""
        for found in self.space.jobs.targets(id):
            if found.id == target:
                return found
        raise HTTPException(404, "There is no such target; it may have been deleted.")

    def cleared(self, id: str, target: int, frames: tuple[int, int]) -> None:
        """Tell watchers which tracks are gone."""
        self.space.hub.tell(id, {"type": "cleared", "target": target, "first": frames[0], "stop": frames[1]})

    def put_keyframe(self, id: str, target: int, frame: int, given: BoxGiven) -> dict[str, Any]:
        """Say where a target is; makes the target where it is new."""
        video = self.view(id)["video"]
        if video is None:
            raise HTTPException(409, "The video is not ready yet.")
        if frame >= video["frames"]:
            raise HTTPException(422, f"Frame {frame} is not in the video, which has {video['frames']}.")
        if given.box is not None:
            x, y, w, h = given.box
            inside = x < video["width"] and y < video["height"] and x + w > 0 and y + h > 0
            if not inside or w > 4 * video["width"] or h > 4 * video["height"]:
                raise HTTPException(422, "The box lies outside the picture.")
        with self.space.database.transaction():
            known = {found.id for found in self.space.jobs.targets(id)}
            if target not in known:
                if given.box is None:
                    raise HTTPException(404, "There is no such target; it may have been deleted.")
                if len(known) >= self.space.settings.limits.targets:
                    raise HTTPException(409, f"A job may have up to {self.space.settings.limits.targets} targets.")
            with self.edit(id):
                self.space.jobs.set_target(id, target)
                cleared = self.space.jobs.set_keyframe(id, target, Keyframe(frame, given.box))
        self.cleared(id, target, cleared)
        return self.changed(id)

    def drop_keyframe(self, id: str, target: int, frame: int) -> dict[str, Any]:
        """Take back what was said; a target without any box left goes too."""
        with self.space.database.transaction():
            keyframes = self.target(id, target).keyframes
            if frame not in {keyframe.frame for keyframe in keyframes}:
                raise HTTPException(404, "Nothing was said about this target at this frame.")
            if not any(keyframe.box for keyframe in keyframes if keyframe.frame != frame):
                return self.drop_target(id, target)
            with self.edit(id):
                cleared = self.space.jobs.drop_keyframe(id, target, frame)
        if cleared is not None:
            self.cleared(id, target, cleared)
        return self.changed(id)

    def rename(self, id: str, target: int, name: str) -> dict[str, Any]:
        """Give a target a name; files with the old one go, written or not."""
        with self.space.database.transaction():
            self.target(id, target)
            if name in {found.name for found in self.space.jobs.targets(id) if found.id != target}:
                raise HTTPException(409, f"Another target is called {name} already.")
            self.runner.kill(self.space.tasks.cancel(id, "export"))
            self.space.jobs.set_target(id, target, name)
            self.space.forget_exports(id)
        return self.changed(id)

    def drop_target(self, id: str, target: int) -> dict[str, Any]:
        """Remove a target and all that was found of it."""
        with self.space.database.transaction():
            self.target(id, target)
            with self.edit(id):
                self.space.jobs.drop_target(id, target)
        self.cleared(id, target, (0, 2**31))
        return self.changed(id)

    def queue(self, id: str, kind: Kind, format: Format | None = None) -> dict[str, Any]:
        """Put tracking, blending or an export into the queue, unless it is there already."""
        with self.space.database.transaction():
            view = self.view(id)
            if view["state"] == "failed":
                raise HTTPException(409, "The video of this job could not be read.")
            if not view["targets"]:
                raise HTTPException(409, "Draw a box first.")
            if kind == "refine" and not any(stretches_of(target) for target in self.space.jobs.targets(id)):
                raise HTTPException(409, "Draw a second box for a target first, in another frame.")
            same = view["tasks"].get(format or kind)
            if same is None or same["state"] not in ("queued", "running"):
                self.check_queue()
                self.space.tasks.add(id, kind, format)
        return self.changed(id)

    def listing(self) -> list[FileInFolder]:
        """Videos of the folders that the owner opened, under ids that say nothing of paths."""
        return [
            FileInFolder(file=file_id(name), name=name, bytes=path.stat().st_size)
            for name, path in self.space.listing().items()
        ]


def file_id(name: str) -> str:
    """What a file of the listing is asked for by; says nothing of its path."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:24]
