"""Jobs in SQLite: a video, its targets with the boxes a person gave, and where the tracker found them.

A *keyframe* is what a person said about a target at a frame: here is its box, or, without a box, it is gone from here
on. Keyframes cut a target's time into *segments*, each tracked forward from its own box; changing one throws away the
tracks of the segments it touches and nothing else.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from ostrack.serve.database import Database

__all__ = [
    "Job", "Jobs", "Keyframe", "Row", "Segment", "Target", "Video", "absences_of", "new_id", "segments_of",
    "stretches_of",
]  # fmt: skip

Box: TypeAlias = tuple[float, float, float, float]
Row: TypeAlias = tuple[int, int, float, float, float, float, float | None, float | None, str]
"""Target, frame, x, y, w, h, score, confidence, state."""


@dataclass(frozen=True)
class Video:
    """What is known of a job's video: size in pixels, frames a second, frames in all."""

    width: int
    height: int
    fps: float
    frames: int


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        id: What its address is made of; cannot be guessed.
        name: What the visitor's file was called; shown, never used as a path.
        path: File in an allowed folder; None for an upload.
        bytes: Size of the file.
        created: Seconds since the epoch, as is ``touched``, when it was last opened or changed.
        video: None until the file has been looked at.
        problems: What the file could not deliver, one line each.
    """

    id: str
    name: str
    path: str | None
    bytes: int
    created: float
    touched: float
    video: Video | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Keyframe:
    """A person's word on a frame: xywh in pixels of the video, or None where the target is gone."""

    frame: int
    box: Box | None


@dataclass(frozen=True)
class Target:
    """Something followed."""

    id: int
    name: str
    keyframes: tuple[Keyframe, ...]


@dataclass(frozen=True)
class Segment:
    """Frames ``first`` to before ``stop`` of a target, tracked from ``box``; ``done`` is the first frame not yet."""

    target: int
    first: int
    stop: int
    box: Box
    done: int


class Jobs:
    """All jobs."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, id: str, name: str, size: int, path: str | None = None) -> Job:
        """Enter a job for a file."""
        now = time.time()
        self._db.run(
            "INSERT INTO job(id, name, path, bytes, created, touched) VALUES(?, ?, ?, ?, ?, ?)",
            *(id, name, path, size, now, now),
        )
        return Job(id, name, path, size, now, now, None, ())

    def get(self, id: str) -> Job | None:
        """The job, or None."""
        found = self._db.rows("SELECT * FROM job WHERE id = ?", id)
        return _job(found[0]) if found else None

    def all(self) -> list[Job]:
        """All jobs, the latest first."""
        return [_job(row) for row in self._db.rows("SELECT * FROM job ORDER BY created DESC")]

    def touch(self, id: str) -> None:
        """Note that somebody looked at it."""
        self._db.run("UPDATE job SET touched = ? WHERE id = ?", time.time(), id)

    def delete(self, id: str) -> None:
        """Forget it, with all that belongs to it."""
        self._db.run("DELETE FROM job WHERE id = ?", id)

    def set_video(self, id: str, video: Video, problems: Iterable[str] = ()) -> None:
        """Note what its file turned out to be."""
        values = (*asdict(video).values(), json.dumps(list(problems)))
        self._db.run("UPDATE job SET width=?, height=?, fps=?, frames=?, problems=? WHERE id = ?", *values, id)

    def targets(self, id: str) -> list[Target]:
        """Its targets in the order they came."""
        given: dict[int, list[Keyframe]] = {}
        for row in self._db.rows("SELECT * FROM keyframe WHERE job = ? ORDER BY target, frame", id):
            box = None if row["x"] is None else (row["x"], row["y"], row["w"], row["h"])
            given.setdefault(row["target"], []).append(Keyframe(row["frame"], box))
        rows = self._db.rows("SELECT id, name FROM target WHERE job = ? ORDER BY id", id)
        return [Target(row["id"], row["name"], tuple(given.get(row["id"], ()))) for row in rows]

    def set_target(self, id: str, target: int, name: str | None = None) -> None:
        """Add a target, or rename one; one that is added without a name gets one that nobody has."""
        with self._db.transaction():
            taken = {
                row["name"] for row in self._db.rows("SELECT name FROM target WHERE job = ? AND id <> ?", id, target)
            }
            usual = f"Target {target}"
            free = next(n for n in (usual, *(f"{usual} ({i})" for i in range(2, len(taken) + 3))) if n not in taken)
            self._db.run(
                "INSERT INTO target(job, id, name) VALUES(?, ?, ?)"
                " ON CONFLICT DO UPDATE SET name = coalesce(?, target.name)",
                *(id, target, name or free, name),
            )

    def drop_target(self, id: str, target: int) -> bool:
        """Remove a target with all its boxes; False where there was none."""
        return self._db.run("DELETE FROM target WHERE job = ? AND id = ?", id, target) > 0

    def set_keyframe(self, id: str, target: int, keyframe: Keyframe) -> tuple[int, int]:
        """Say where a target is, or that it is gone; what was tracked from there to its next keyframe is dropped.

        Returns:
            First frame, and the one after the last, whose tracks were dropped.
        """
        box = keyframe.box or (None, None, None, None)
        with self._db.transaction():
            values = (id, target, keyframe.frame, *box)
            self._db.run("INSERT OR REPLACE INTO keyframe VALUES(?, ?, ?, ?, ?, ?, ?)", *values)
            return self._drop_tracks(id, target, keyframe.frame)

    def drop_keyframe(self, id: str, target: int, frame: int) -> tuple[int, int] | None:
        """Take back what was said; None where nothing was, else the frames whose tracks were dropped."""
        with self._db.transaction():
            values = (id, target, frame)
            if not self._db.run("DELETE FROM keyframe WHERE job = ? AND target = ? AND frame = ?", *values):
                return None
            return self._drop_tracks(id, target, frame)

    def _drop_tracks(self, id: str, target: int, first: int) -> tuple[int, int]:
        after = "SELECT min(frame) FROM keyframe WHERE job = ? AND target = ? AND frame > ?"
        stop = self._db.rows(after, id, target, first)[0][0]
        stop = stop if stop is not None else 2**31
        dropped = "DELETE FROM track WHERE job = ? AND target = ? AND frame >= ? AND frame < ?"
        self._db.run(dropped, id, target, first, stop)
        return first, stop

    def segments(self, id: str, frames: int) -> list[Segment]:
        """All segments of all targets in a video of so many frames, with how far each has been tracked."""
        with self._db.transaction():
            found = []
            for target in self.targets(id):
                for first, stop, box in segments_of(target, frames):
                    last = self._db.rows(
                        "SELECT max(frame) FROM track WHERE job = ? AND target = ? AND frame >= ? AND frame < ?",
                        *(id, target.id, first, stop),
                    )[0][0]
                    found.append(Segment(target.id, first, stop, box, first if last is None else last + 1))
        return found

    def put_tracks(self, id: str, rows: Iterable[Row]) -> None:
        """Note where the tracker found targets."""
        self._db.run_many(
            "INSERT OR REPLACE INTO track VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", ((id, *row) for row in rows)
        )

    def tracks(self, id: str) -> list[Row]:
        """All tracks of a job, by frame and target."""
        columns = "target, frame, x, y, w, h, score, confidence, state"
        rows = self._db.rows(f"SELECT {columns} FROM track WHERE job = ? ORDER BY frame, target", id)  # noqa: S608 (constants)
        return [tuple(row) for row in rows]


def segments_of(target: Target, frames: int) -> list[tuple[int, int, Box]]:
    """First frame, the one after the last, and the box to start from, of each time that a target is there."""
    return [(given.frame, stop, given.box) for given, stop in _spans(target, frames) if given.box is not None]


def absences_of(target: Target, frames: int) -> list[tuple[int, int]]:
    """First frame and the one behind the last of each time that a target is said to be gone."""
    return [(given.frame, stop) for given, stop in _spans(target, frames) if given.box is None]


def _spans(target: Target, frames: int) -> list[tuple[Keyframe, int]]:
    """Each key frame within the clip, and the frame behind the last that it speaks for."""
    starts = [keyframe.frame for keyframe in target.keyframes] + [frames]
    spans = zip(target.keyframes, starts[1:], strict=True)
    return [(given, min(stop, frames)) for given, stop in spans if given.frame < frames]


def stretches_of(target: Target) -> dict[int, Box | None]:
    """The parts of a target's time that lie between two boxes, as key frames; the rest is said to be absent.

    Empty where no two boxes follow each other.
    """
    wanted: dict[int, Box | None] = {}
    for one, other in zip(target.keyframes, target.keyframes[1:], strict=False):
        if one.box is None or other.box is None:
            continue
        wanted.pop(one.frame + 1, None)  # where an earlier stretch ended, this one goes on
        wanted[one.frame], wanted[other.frame] = one.box, other.box
        wanted[other.frame + 1] = None
    if wanted and min(wanted) > 0:
        wanted[0] = None
    return wanted


def new_id() -> str:
    """Sixteen letters that cannot be guessed."""
    return secrets.token_urlsafe(12)


def _job(row: Any) -> Job:
    known = row["frames"] is not None
    video = Video(row["width"], row["height"], row["fps"], row["frames"]) if known else None
    return Job(
        row["id"], row["name"], row["path"], row["bytes"], row["created"], row["touched"], video,
        tuple(json.loads(row["problems"])),
    )  # fmt: skip
