"""Runs the queued tasks: threads that start one working process each, listen to it and note what it says."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from ostrack.errors import OSTrackError
from ostrack.serve.jobs import Job, Row, Video, absences_of, stretches_of
from ostrack.serve.tasks import Lane, Task
from ostrack.serve.workspace import Workspace

__all__ = ["Runner", "worker_command", "worker_environment"]

_LOG = logging.getLogger("ostrack.serve")
_FLUSH_S = 0.2
_CLEAN_S = 3600.0


@dataclass
class _Run:
    """A working process and what has come from it."""

    task: Task
    job: Job
    process: subprocess.Popen[bytes]
    heard: float = field(default_factory=time.monotonic)
    stalled: bool = False
    done: int = 0
    total: int | None = None
    began: tuple[float, int] | None = None
    rows: list[Row] = field(default_factory=list)
    flushed: float = 0.0
    error: str | None = None
    finished: bool = False

    def eta_s(self) -> float | None:
        """Seconds left at the pace so far; None before there is one."""
        if self.began is None or self.total is None or self.done <= self.began[1]:
            return None
        pace = (time.monotonic() - self.began[0]) / (self.done - self.began[1])
        return max(0.0, pace * (self.total - self.done))


class Runner:
    """Works the queue off until it is stopped."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._wake = threading.Condition()
        self._stopping = False
        self._runs: dict[int, _Run] = {}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Take up what an earlier server left, and begin."""
        self._space.tasks.recover()
        heavy: Lane = "heavy"
        lanes: list[Lane] = ["light", *(heavy for _ in range(self._space.settings.workers))]
        self._threads = [threading.Thread(target=self._work, args=(lane,), daemon=True) for lane in lanes]
        self._threads.append(threading.Thread(target=self._watch, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all work; what ran goes back to the queue."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for run in list(self._runs.values()):
            _kill(run.process)
        for thread in self._threads:
            thread.join(timeout=10)

    def notify(self) -> None:
        """Say that there is something new in the queue."""
        with self._wake:
            self._wake.notify_all()

    def kill(self, tasks: list[int]) -> None:
        """End the processes of tasks that were cancelled."""
        for task in tasks:
            run = self._runs.get(task)
            if run is not None:
                _kill(run.process)

    def _work(self, lane: Lane) -> None:
        while not self._stopping:
            try:
                idle = not self._next(lane)
            except sqlite3.Error:
                # A full disk; it may have room again later. The task is found as unfinished by the next start.
                _LOG.exception("the database cannot be used")
                idle = True
            with self._wake:
                if idle and not self._stopping:
                    self._wake.wait(timeout=1.0)

    def _next(self, lane: Lane) -> bool:
        """Do one task of a lane; False where there is none."""
        task = self._space.tasks.take(lane)
        if task is None:
            return False
        try:
            self._do(task)
        except OSTrackError as error:
            self._space.tasks.finish(task.id, "failed", str(error))
        except (OSError, KeyError, TypeError, ValueError):
            # A process that could not be started, or that said what none of ours would.
            _LOG.exception("task %d (%s) of job %s", task.id, task.kind, task.job)
            self._space.tasks.finish(task.id, "failed", "It failed in a way that was not foreseen.")
        self._space.tell(task.job)
        self.notify()  # the next task of this job may be for another lane
        return True

    def _do(self, task: Task) -> None:
        job = self._space.jobs.get(task.job)
        if job is None:
            return
        request = self._request(task, job)
        if request is None:
            self._space.tasks.finish(task.id, "done")
            return
        if task.kind in ("track", "refine"):
            # What it finds is in no file yet; a job's tasks run one at a time, so none is being written.
            self._space.forget_exports(job.id)
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(  # noqa: S603  (our own command)
                worker_command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=self._space.settings.data,
                env=worker_environment(self._space.settings.threads),
            )
            self._runs[task.id] = run = _Run(task, job, process)
            try:
                if self._stopping or not self._space.tasks.running(task.id):
                    _kill(process)  # cancelled before it could be found
                self._listen(run, request)
                code = process.wait()
            finally:
                _kill(process)
                process.wait()
                del self._runs[task.id]
            complaints.seek(0)
            self._settle(run, code, complaints.read().decode(errors="replace"))

    def _listen(self, run: _Run, request: dict[str, Any]) -> None:
        requests, answers = run.process.stdin, run.process.stdout
        if requests is None or answers is None:
            raise RuntimeError("a working process was started without a way in or out")
        self._space.tell(run.job.id)
        with requests, answers:
            try:
                requests.write(json.dumps(request).encode() + b"\n")
                requests.flush()
            except OSError:  # it ended before it was asked; its exit code tells
                with suppress(OSError):
                    requests.close()  # what it did not read would be written once more
                return
            for line in answers:
                run.heard = time.monotonic()
                self._hear(run, json.loads(line))
                if run.heard - run.flushed >= _FLUSH_S:
                    self._flush(run)
            self._flush(run)

    def _hear(self, run: _Run, said: dict[str, Any]) -> None:
        match said["event"]:
            case "progress":
                run.done, run.total = int(said["done"]), said["total"]
                run.began = run.began or (time.monotonic(), run.done)
            case "tracks":
                run.rows += [tuple(row) for row in said["rows"]]
            case "video":
                video = Video(said["width"], said["height"], said["fps"], said["frames"])
                self._space.jobs.set_video(run.job.id, video, said["problems"])
                run.flushed = 0.0
            case "failed":
                # Where the server keeps its files is nobody's business.
                run.error = str(said["message"]).replace(f"{self._space.folder_of(run.job.id)}{os.sep}", "")
            case "done":
                run.finished = True

    def _flush(self, run: _Run) -> None:
        """Note rows and progress, unless the task was cancelled: then its targets may have changed already."""
        rows, run.rows, run.flushed = run.rows, [], time.monotonic()
        space, job = self._space, run.job.id
        with space.database.transaction():
            if not space.tasks.running(run.task.id):
                return
            space.jobs.put_tracks(job, rows)
            space.tasks.progress(run.task.id, run.done, run.total, run.eta_s())
        if rows:
            space.hub.tell(job, {"type": "tracks", "rows": rows})
        space.tell(job)

    def _settle(self, run: _Run, code: int, complaints: str) -> None:
        tasks, task = self._space.tasks, run.task
        if run.finished and code == 0:
            tasks.finish(task.id, "done")
        elif run.error is not None:
            tasks.finish(task.id, "failed", run.error)
        elif self._stopping:
            tasks.put_back(task.id)
        elif tasks.running(task.id):
            _LOG.error("task %d (%s) of job %s ended with %d:\n%s", task.id, task.kind, task.job, code, complaints)
            tasks.finish(task.id, "failed", _crash(run, code, complaints))

    def _request(self, task: Task, job: Job) -> dict[str, Any] | None:
        """What the process is asked for; None where there is nothing to do."""
        space, limits = self._space, self._space.settings.limits
        room = space.room()
        request: dict[str, Any] = {
            "kind": task.kind,
            "source": str(space.source_of(job)),
            "name": job.name,
            "folder": str(space.folder_of(job.id)),
            "network": space.settings.network,
            "threads": space.settings.threads,
            "limits": {"memory": limits.memory_bytes, "cpu": limits.cpu_s, "file": room},
        }
        if task.kind == "prepare":
            return request | {"most_frames": limits.frames, "most_bytes": room}
        frames = job.video.frames if job.video is not None else 0
        if frames == 0:
            raise OSTrackError("The video could not be read.")
        if task.kind == "track":
            wanted = [segment for segment in space.jobs.segments(job.id, frames) if segment.done < segment.stop]
            spans = [{key: asdict(s)[key] for key in ("target", "first", "stop", "box")} for s in wanted]
            return request | {"spans": spans} if spans else None
        if task.kind == "refine":
            between = {target.id: stretches_of(target) for target in space.jobs.targets(job.id)}
            keyframes = {key: frames for key, frames in between.items() if frames}
            passes = str(space.folder_of(job.id) / "passes")
            return request | {"keyframes": keyframes, "passes": passes} if keyframes else None
        target = space.export_of(job.id, str(task.format))
        target.parent.mkdir(exist_ok=True)
        targets = space.jobs.targets(job.id)
        return request | {
            "target": str(target),
            "format": task.format,
            "names": {str(found.id): found.name for found in targets},
            "keyframes": [(t.id, given.frame, given.box) for t in targets for given in t.keyframes if given.box],
            "absent": [(found.id, *span) for found in targets for span in absences_of(found, frames)],
            "rows": space.jobs.tracks(job.id),
            "video": vars(job.video),
        }

    def _watch(self) -> None:
        """End processes that say nothing any more, and tidy up now and then."""
        cleaned = -_CLEAN_S
        stall = self._space.settings.limits.stall_s
        pause = min(max(stall / 4, 0.02), 1.0)
        while not self._stopping:
            now = time.monotonic()
            for run in list(self._runs.values()):
                if now - run.heard > stall and run.process.poll() is None:
                    run.stalled = True
                    _kill(run.process)
            if now - cleaned > _CLEAN_S:
                cleaned = now
                try:
                    self._space.clean()
                except (OSError, sqlite3.Error):
                    # Without this thread nobody would end what stalls; the next hour may go better.
                    _LOG.exception("old jobs cannot be cleaned up")
            with self._wake:
                if not self._stopping:
                    self._wake.wait(timeout=pause)


def worker_command() -> list[str]:
    """How a working process is started."""
    return [sys.executable, "-m", "ostrack.serve.worker"]


def worker_environment(threads: int) -> dict[str, str]:
    """Its environment: no more threads than were asked for, in any library."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()


def _crash(run: _Run, code: int, complaints: str) -> str:
    """What to tell people when a process died without a word of its own."""
    doing = {"prepare": "Reading the video", "track": "Tracking", "refine": "Blending", "export": "Writing the file"}
    what = doing[run.task.kind]
    if run.stalled:
        return f"{what} made no progress for too long and was ended."
    if "bad_alloc" in complaints or "MemoryError" in complaints or "Cannot allocate memory" in complaints:
        return f"{what} needed more memory than one video is allowed here."
    if sys.platform != "win32" and code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"{what} took more than the server allows and was ended."
    if sys.platform != "win32" and code == -signal.SIGXFSZ:
        return f"{what} needed more space than the server has left."
    if code < 0 or run.task.kind == "prepare":
        return f"{what} failed: the decoder broke down on this file. Converting it to MP4 (H.264) often helps."
    return f"{what} failed in a way that was not foreseen; the server's log says more."
