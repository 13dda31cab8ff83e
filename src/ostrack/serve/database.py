"""The SQLite file behind jobs and tasks: its tables, and one connection that threads share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ostrack.errors import OSTrackError

__all__ = ["Database"]

_VERSION = 1
_TABLES = """
CREATE TABLE job(
    id TEXT PRIMARY KEY, name TEXT NOT NULL, path TEXT, bytes INTEGER NOT NULL, created REAL NOT NULL,
    touched REAL NOT NULL, width INTEGER, height INTEGER, fps REAL, frames INTEGER,
    problems TEXT NOT NULL DEFAULT '[]');
CREATE TABLE target(
    job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, id INTEGER NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY(job, id)) WITHOUT ROWID;
CREATE TABLE keyframe(
    job TEXT NOT NULL, target INTEGER NOT NULL, frame INTEGER NOT NULL, x REAL, y REAL, w REAL, h REAL,
    PRIMARY KEY(job, target, frame), FOREIGN KEY(job, target) REFERENCES target ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE track(
    job TEXT NOT NULL, target INTEGER NOT NULL, frame INTEGER NOT NULL, x REAL NOT NULL, y REAL NOT NULL,
    w REAL NOT NULL, h REAL NOT NULL, score REAL, confidence REAL, state TEXT NOT NULL,
    PRIMARY KEY(job, target, frame), FOREIGN KEY(job, target) REFERENCES target ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE task(
    id INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, kind TEXT NOT NULL,
    format TEXT, state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER, eta_s REAL,
    attempts INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX task_by_state ON task(state, id);
CREATE INDEX task_by_job ON task(job, id);
"""


class Database:
    """One SQLite file, used by this process alone.

    Args:
        path: The file; created where it is missing.

    Raises:
        OSTrackError: Another server uses it, it was written by a newer version, or it is no database.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
            # Exclusive: a second server on the same folder would run every task twice.
            for setting in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {setting}")
            self._connection.row_factory = sqlite3.Row
            self._create(path)
        except sqlite3.OperationalError as error:
            reason = "is in use by another server" if "locked" in str(error) else f"cannot be opened ({error})"
            raise OSTrackError(f"{path}: {reason}") from error
        except sqlite3.DatabaseError as error:
            raise OSTrackError(f"{path}: is no database of jobs ({error})") from error

    def _create(self, path: Path) -> None:
        with self.transaction():
            found = self.rows("PRAGMA user_version")[0][0]
            if found > _VERSION:
                raise OSTrackError(f"{path}: has format {found}, this version reads up to {_VERSION}")
            if found == 0:
                for statement in _TABLES.split(";")[:-1]:
                    self.run(statement)
                self.run(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, or nothing of it; other threads wait. May be nested."""
        with self._lock:
            outermost = not self._connection.in_transaction
            if outermost:
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if outermost:
                    self._connection.execute("ROLLBACK")
                raise
            if outermost:
                self._connection.execute("COMMIT")

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def run(self, statement: str, *values: Any) -> int:
        """Run one statement; returns how many rows it changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def run_many(self, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run one statement for every row of values."""
        with self._lock:
            self._connection.executemany(statement, values)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
