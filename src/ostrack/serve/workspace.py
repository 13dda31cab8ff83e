"""All that a server has: its database, the folders of its jobs, and what is told to those who watch."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ostrack.errors import OSTrackError
from ostrack.serve.database import Database
from ostrack.serve.jobs import Job, Jobs
from ostrack.serve.live import Hub
from ostrack.serve.settings import Settings
from ostrack.serve.strip import Strip
from ostrack.serve.tasks import Tasks

__all__ = ["EXPORTS", "VIDEO_SUFFIXES", "Workspace"]

EXPORTS = {
    "mp4": ("tracked.mp4", "Video with boxes", "video/mp4"),
    "csv": ("tracks.csv", "CSV table", "text/csv"),
    "json": ("tracks.json", "JSON", "application/json"),
    "jsonl": ("tracks.jsonl", "JSON lines", "application/jsonl"),
    "mot": ("tracks.txt", "MOTChallenge", "text/plain"),
    "coco": ("tracks.coco.json", "COCO", "application/json"),
    "cvat": ("tracks.xml", "CVAT", "application/xml"),
    "yolo": ("tracks.yolo.zip", "YOLO (zip)", "application/zip"),
}
"""By name: the file, what people call it, its media type."""

_MPEG = (".mp4", ".m4v", ".mov", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".mxf", ".mjpeg")
VIDEO_SUFFIXES = frozenset({*_MPEG, ".mkv", ".webm", ".avi", ".flv", ".wmv", ".asf", ".ogv", ".ogg", ".gif"})
_MOST_LISTED = 1000


class Workspace:
    """Everything of one server.

    Raises:
        OSTrackError: The data folder cannot be used, or another server uses it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.data / "jobs"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise OSTrackError(f"{settings.data}: cannot be used as the data folder ({error.strerror})") from error
        self.database = Database(settings.data / "jobs.sqlite")
        self.jobs = Jobs(self.database)
        self.tasks = Tasks(self.database)
        self.hub = Hub()
        # Microseconds since the epoch to begin with, so that a server started later goes on above this one.
        self._order = itertools.count(time.time_ns() // 1000)

    def folder_of(self, job: str) -> Path:
        """Where a job's files lie."""
        return self.folder / job

    def strip_of(self, job: str) -> Strip:
        """The pictures of a job's video."""
        return Strip(self.folder_of(job))

    def source_of(self, job: Job) -> Path:
        """A job's video.

        Raises:
            OSTrackError: It was chosen from a folder and is not there any more.
        """
        if job.path is None:
            return self.folder_of(job.id) / "source"
        path = Path(job.path)
        if not path.is_file() or not self.allowed(path):
            raise OSTrackError(f"{job.name} is no longer in a folder that this server may read.")
        return path

    def allowed(self, path: Path) -> bool:
        """Whether a file lies in a folder that the owner opened, wherever links lead."""
        real = path.resolve()
        return any(real.is_relative_to(folder) for folder in self.settings.folders)

    def listing(self) -> dict[str, Path]:
        """Videos that visitors may choose, by the name they are shown under."""
        found: dict[str, Path] = {}
        names = [folder.name for folder in self.settings.folders]
        for number, folder in enumerate(self.settings.folders, 1):
            shown = folder.name if names.count(folder.name) == 1 else f"{folder.name} ({number})"
            for base, folders, files in os.walk(folder):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(files):
                    path = Path(base) / name
                    if path.suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".") and self.allowed(path):
                        found[f"{shown}/{path.relative_to(folder).as_posix()}"] = path.resolve()
                    if len(found) == _MOST_LISTED:
                        return found
        return found

    def export_of(self, job: str, format: str) -> Path:
        """Where an export lies, or will."""
        return self.folder_of(job) / "exports" / EXPORTS[format][0]

    def forget_exports(self, job: str) -> None:
        """Drop finished exports, since the tracks have changed."""
        self.tasks.forget(job, "export")
        shutil.rmtree(self.folder_of(job) / "exports", ignore_errors=True)

    def delete(self, job: str) -> None:
        """Delete a job with its files; whatever runs for it must have been stopped."""
        self.jobs.delete(job)
        shutil.rmtree(self.folder_of(job), ignore_errors=True)

    def used_bytes(self) -> int:
        """What all jobs take on disk."""
        total = 0
        for base, _, files in os.walk(self.folder):
            for name in files:
                with suppress(OSError):
                    total += (Path(base) / name).stat().st_size
        return total

    def room(self) -> int:
        """Bytes that may still be written: by the limit on the data folder and by what the disk has free."""
        limits = self.settings.limits
        free = shutil.disk_usage(self.folder).free - limits.spare_bytes
        return max(0, min(limits.disk_bytes - self.used_bytes(), free))

    def clean(self) -> list[str]:
        """Delete jobs that nobody opened for long, and folders without a job; returns the ids of the former."""
        oldest = time.time() - self.settings.limits.keep_days * 86400
        gone = []
        for job in self.jobs.all():
            if job.touched < oldest and not any(task.active for task in self.tasks.of(job.id)):
                self.delete(job.id)
                gone.append(job.id)
        known = {job.id for job in self.jobs.all()}
        for folder in self.folder.iterdir():
            if folder.name in known:
                continue
            # An upload that is being written has a folder before it has a job, and takes as long as it takes.
            with suppress(FileNotFoundError):
                written = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
                if written < time.time() - 3600:
                    shutil.rmtree(folder, ignore_errors=True)
        return gone

    def view(self, job: Job) -> dict[str, Any]:
        """A job as the page sees it.

        Views travel on several ways: one with a lower ``order`` than another was begun before it and knows no more.
        """
        order = next(self._order)
        job = self.jobs.get(job.id) or job
        tasks = {task.format or task.kind: task for task in self.tasks.of(job.id)}
        prepare = tasks.get("prepare")
        state = "ready"
        if prepare is None or prepare.state != "done":
            state = "preparing" if prepare is not None and prepare.active else "failed"
        ready = len(self.strip_of(job.id))
        frames = job.video.frames if job.video is not None and state == "ready" else ready
        video = None
        if job.video is not None and ready:
            video = {**vars(job.video), "frames": frames}
        segments: dict[int, list[dict[str, Any]]] = {}
        for segment in self.jobs.segments(job.id, frames):
            values = {key: getattr(segment, key) for key in ("first", "stop", "done")}
            segments.setdefault(segment.target, []).append(values)
        targets = [
            {
                "id": target.id,
                "name": target.name,
                "keyframes": [vars(keyframe) for keyframe in target.keyframes],
                "segments": segments.get(target.id, []),
            }
            for target in self.jobs.targets(job.id)
        ]
        return {
            "id": job.id,
            "order": order,
            "name": job.name,
            "created": job.created,
            "bytes": job.bytes,
            "state": state,
            "video": video,
            "problems": list(job.problems),
            "targets": targets,
            "tasks": {name: task.to_dict() for name, task in tasks.items()},
        }

    def tell(self, job: str) -> None:
        """Send a job's state to those who watch it."""
        if not self.hub.watched(job):
            return
        found = self.jobs.get(job)
        if found is not None:
            self.hub.tell(job, {"type": "job", "job": self.view(found)})
        else:
            self.hub.tell(job, {"type": "gone"})

    def close(self) -> None:
        """Close the database."""
        self.database.close()
