"""The queue of work on jobs, in SQLite, so that it survives the server."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ostrack.serve.database import Database

__all__ = ["Kind", "Lane", "Task", "TaskState", "Tasks"]

Kind: TypeAlias = Literal["prepare", "track", "refine", "export"]
TaskState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
Lane: TypeAlias = Literal["light", "heavy"]

_LANES: dict[Lane, tuple[Kind, Kind]] = {"light": ("prepare", "export"), "heavy": ("track", "refine")}
"""A visitor's upload does not wait for another's tracking."""

_ATTEMPTS = 3
"""How often a task is begun anew when the server, not the task, ended."""


@dataclass(frozen=True)
class Task:
    """One piece of work on a job.

    Attributes:
        id: Number, in the order of arrival.
        job: Id of the job.
        kind: What is to be done.
        format: Of an export.
        state: Where it stands.
        done: Frames done.
        total: Of how many, where known.
        eta_s: Seconds left, where that can be told.
        error: Why it failed, in one line for people.
        before: Tasks of the same lane that come first, while it is queued.
    """

    id: int
    job: str
    kind: Kind
    format: str | None
    state: TaskState
    done: int
    total: int | None
    eta_s: float | None
    error: str | None
    before: int = 0

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("queued", "running")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: value for key, value in vars(self).items() if key != "job"}


class Tasks:
    """The tasks of all jobs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, job: str, kind: Kind, format: str | None = None) -> Task:
        """Put one at the end of the queue."""
        with self._db.transaction():
            self._db.run("INSERT INTO task(job, kind, format, state) VALUES(?, ?, ?, 'queued')", job, kind, format)
            return _task(self._db.rows("SELECT * FROM task WHERE id = last_insert_rowid()")[0])

    def take(self, lane: Lane) -> Task | None:
        """Begin the next one of a lane; a job's tasks run one at a time and in order."""
        with self._db.transaction():
            found = self._db.rows(
                "SELECT * FROM task WHERE state = 'queued' AND kind IN (?, ?) AND NOT EXISTS (SELECT 1 FROM task AS o"
                " WHERE o.job = task.job AND o.id < task.id AND o.state IN ('queued', 'running')) ORDER BY id LIMIT 1",
                *_LANES[lane],
            )
            if not found:
                return None
            self._db.run("UPDATE task SET state = 'running', attempts = attempts + 1 WHERE id = ?", found[0]["id"])
            return _task(found[0], state="running")

    def running(self, task: int) -> bool:
        """Whether it still runs, as opposed to having been cancelled or deleted."""
        return bool(self._db.rows("SELECT 1 FROM task WHERE id = ? AND state = 'running'", task))

    def progress(self, task: int, done: int, total: int | None, eta_s: float | None) -> None:
        """Note how far it is."""
        self._db.run("UPDATE task SET done = ?, total = ?, eta_s = ? WHERE id = ?", done, total, eta_s, task)

    def finish(self, task: int, state: TaskState, error: str | None = None) -> None:
        """End one that runs; one that was cancelled meanwhile stays cancelled."""
        self._db.run(
            "UPDATE task SET state = ?, error = ?, eta_s = NULL WHERE id = ? AND state = 'running'", state, error, task
        )

    def cancel(self, job: str, kind: Kind | None = None) -> list[int]:
        """Cancel what waits and runs for a job; returns the numbers of what ran."""
        kinds = (kind,) * 4 if kind else ("prepare", "track", "refine", "export")
        with self._db.transaction():
            live = self._db.rows(
                "SELECT id, state FROM task WHERE job = ? AND kind IN (?, ?, ?, ?) AND state IN ('queued', 'running')",
                job,
                *kinds,
            )
            for row in live:
                self._db.run("UPDATE task SET state = 'cancelled', eta_s = NULL WHERE id = ?", row["id"])
        return [row["id"] for row in live if row["state"] == "running"]

    def of(self, job: str) -> list[Task]:
        """The last task of each kind of a job (and of each format of export), oldest first."""
        rows = self._db.rows(
            "SELECT *, (SELECT count(*) FROM task AS o WHERE"
            " (o.kind IN ('track', 'refine')) = (task.kind IN ('track', 'refine')) AND"
            " (o.state = 'running' OR (o.state = 'queued' AND o.id < task.id))) AS before_it FROM task WHERE id IN"
            " (SELECT max(id) FROM task WHERE job = ? GROUP BY kind, format) ORDER BY id",
            job,
        )
        return [_task(row, before=row["before_it"] if row["state"] == "queued" else 0) for row in rows]

    def waiting(self) -> int:
        """How many are queued."""
        return int(self._db.rows("SELECT count(*) FROM task WHERE state = 'queued'")[0][0])

    def forget(self, job: str, kind: Kind) -> None:
        """Drop finished ones, which the job has left behind."""
        self._db.run("DELETE FROM task WHERE job = ? AND kind = ? AND state NOT IN ('queued', 'running')", job, kind)

    def recover(self) -> None:
        """After a server ended in mid-work: begin anew what ran, unless it has been begun too often."""
        with self._db.transaction():
            self._db.run(
                "UPDATE task SET state = 'failed', error = 'The server stopped while this ran, several times. Start it"
                " again when you like.' WHERE state = 'running' AND attempts >= ?",
                _ATTEMPTS,
            )
            self._db.run("UPDATE task SET state = 'queued', done = 0, eta_s = NULL WHERE state = 'running'")

    def put_back(self, task: int) -> None:
        """Return a running one to the queue, because the server is being stopped."""
        self._db.run(
            "UPDATE task SET state = 'queued', done = 0, eta_s = NULL WHERE id = ? AND state = 'running'", task
        )


def _task(row: sqlite3.Row, state: TaskState | None = None, before: int = 0) -> Task:
    names = ("id", "job", "kind", "format", "state", "done", "total", "eta_s", "error")
    values = {name: row[name] for name in names}
    if state is not None:
        values["state"] = state
    return Task(**values, before=before)
