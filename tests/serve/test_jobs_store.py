"""Jobs and tasks in SQLite: what a change of boxes throws away, what waits for what, what a restart makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ostrack.errors import OSTrackError
from ostrack.serve.database import Database
from ostrack.serve.exporting import result_of
from ostrack.serve.jobs import Jobs, Keyframe, Row, Segment, Target, stretches_of
from ostrack.serve.tasks import Tasks

BOX = (1.0, 2.0, 3.0, 4.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "jobs.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def jobs(database: Database) -> Jobs:
    found = Jobs(database)
    found.add("a", "clip.mp4", 10)
    return found


def rows(target: int, frames: range) -> list[Row]:
    return [(target, frame, *BOX, 0.5, 0.6, "tracking") for frame in frames]


def give(jobs: Jobs, target: int, frame: int, box: tuple[float, float, float, float] | None = BOX) -> None:
    jobs.set_target("a", target)
    jobs.set_keyframe("a", target, Keyframe(frame, box))


def test_no_two_targets_get_one_name(jobs: Jobs) -> None:
    give(jobs, 1, 0)
    jobs.set_target("a", 1, "Target 2")
    for target in (2, 3):
        give(jobs, target, 0)
    give(jobs, 2, 5)
    assert [target.name for target in jobs.targets("a")] == ["Target 2", "Target 2 (2)", "Target 3"]


def test_key_frames_cut_time_into_segments(jobs: Jobs) -> None:
    give(jobs, 1, 0)
    give(jobs, 1, 40)
    give(jobs, 1, 60, None)
    give(jobs, 1, 80)
    give(jobs, 2, 10)
    assert jobs.segments("a", 100) == [
        Segment(1, 0, 40, BOX, 0),
        Segment(1, 40, 60, BOX, 40),
        Segment(1, 80, 100, BOX, 80),
        Segment(2, 10, 100, BOX, 10),
    ]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({0: BOX}, {}),
        ({0: BOX, 5: None, 9: BOX}, {}),
        ({0: BOX, 9: BOX}, {0: BOX, 9: BOX, 10: None}),
        ({2: BOX, 8: BOX, 12: BOX}, {0: None, 2: BOX, 8: BOX, 12: BOX, 13: None}),
        ({2: BOX, 3: BOX, 4: BOX}, {0: None, 2: BOX, 3: BOX, 4: BOX, 5: None}),
        ({0: BOX, 4: BOX, 5: None, 7: BOX, 9: BOX}, {0: BOX, 4: BOX, 5: None, 7: BOX, 9: BOX, 10: None}),
        ({0: BOX, 4: BOX, 6: None, 7: BOX}, {0: BOX, 4: BOX, 5: None}),
    ],
)
def test_stretches_between_two_boxes(
    given: dict[int, tuple[float, float, float, float] | None], wanted: dict[int, object]
) -> None:
    target = Target(1, "cup", tuple(Keyframe(frame, box) for frame, box in given.items()))
    assert stretches_of(target) == wanted


def test_a_key_frame_behind_the_end_of_a_shorter_video_has_no_segment(jobs: Jobs) -> None:
    give(jobs, 1, 5)
    give(jobs, 1, 50)
    assert jobs.segments("a", 20) == [Segment(1, 5, 20, BOX, 5)]


def test_a_correction_throws_away_what_it_changes_and_no_more(jobs: Jobs) -> None:
    give(jobs, 1, 0)
    give(jobs, 1, 70)
    give(jobs, 2, 0)
    jobs.put_tracks("a", rows(1, range(100)) + rows(2, range(100)))
    give(jobs, 1, 30)
    assert [(s.target, s.first, s.stop, s.done) for s in jobs.segments("a", 100)] == [
        (1, 0, 30, 30),
        (1, 30, 70, 30),
        (1, 70, 100, 100),
        (2, 0, 100, 100),
    ]
    left = {(row[0], row[1]) for row in jobs.tracks("a")}
    assert left == {(1, f) for f in range(100) if not 30 <= f < 70} | {(2, f) for f in range(100)}


def test_taking_a_correction_back_opens_the_segment_before_it(jobs: Jobs) -> None:
    give(jobs, 1, 0)
    give(jobs, 1, 30)
    jobs.put_tracks("a", rows(1, range(100)))
    assert jobs.drop_keyframe("a", 1, 30) == (30, 2**31)
    assert jobs.drop_keyframe("a", 1, 30) is None
    assert jobs.segments("a", 100) == [Segment(1, 0, 100, BOX, 30)]


def test_dropping_a_target_drops_all_of_it(jobs: Jobs) -> None:
    give(jobs, 1, 0)
    give(jobs, 2, 0)
    jobs.put_tracks("a", rows(1, range(3)) + rows(2, range(3)))
    assert jobs.drop_target("a", 1)
    assert not jobs.drop_target("a", 1)
    assert [target.id for target in jobs.targets("a")] == [2]
    assert {row[0] for row in jobs.tracks("a")} == {2}


def test_deleting_a_job_leaves_nothing(jobs: Jobs, database: Database) -> None:
    give(jobs, 1, 0)
    jobs.put_tracks("a", rows(1, range(3)))
    Tasks(database).add("a", "track")
    jobs.delete("a")
    for table in ("job", "target", "keyframe", "track", "task"):
        assert database.rows(f"SELECT * FROM {table}") == []  # noqa: S608  (a constant)


def test_renaming_keeps_the_target(jobs: Jobs) -> None:
    give(jobs, 1, 0)
    jobs.set_target("a", 1, "cup")
    give(jobs, 1, 9)
    assert [(t.name, len(t.keyframes)) for t in jobs.targets("a")] == [("cup", 2)]


def test_lanes_do_not_wait_for_each_other_and_jobs_run_one_task_at_a_time(database: Database, jobs: Jobs) -> None:
    jobs.add("b", "other.mp4", 10)
    tasks = Tasks(database)
    for job, kind in (("a", "prepare"), ("a", "track"), ("b", "prepare"), ("b", "track")):
        tasks.add(job, kind)  # type: ignore[arg-type]  # literals in a tuple
    first = tasks.take("light")
    assert first is not None
    assert (first.job, first.kind, first.state) == ("a", "prepare", "running")
    assert tasks.take("heavy") is None  # a's tracking waits for its video, and b's for b's
    second = tasks.take("light")
    assert second is not None
    assert second.job == "b"
    tasks.finish(second.id, "done")
    third = tasks.take("heavy")
    assert third is not None
    assert (third.job, third.kind) == ("b", "track")
    assert tasks.of("a")[1].before == 1  # b's tracking, which runs
    assert tasks.waiting() == 1


def test_cancelled_tasks_stay_cancelled(database: Database, jobs: Jobs) -> None:
    tasks = Tasks(database)
    one = tasks.add("a", "track")
    assert tasks.take("heavy") is not None
    tasks.add("a", "export", "csv")
    assert tasks.cancel("a") == [one.id]
    assert not tasks.running(one.id)
    tasks.finish(one.id, "done")
    assert [task.state for task in tasks.of("a")] == ["cancelled", "cancelled"]


def test_a_restart_begins_anew_what_ran_but_not_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    states = []
    for start in range(4):
        database = Database(file)
        tasks = Tasks(database)
        if start == 0:
            Jobs(database).add("a", "clip.mp4", 10)
            tasks.add("a", "track")
        tasks.recover()
        states.append(tasks.of("a")[0].state)
        tasks.take("heavy")
        database.close()  # as a killed server would leave it
    assert states == ["queued", "queued", "queued", "failed"]


def test_two_servers_cannot_share_a_folder(tmp_path: Path, database: Database) -> None:
    with pytest.raises(OSTrackError, match=r"jobs\.sqlite: is in use by another server"):
        Database(tmp_path / "jobs.sqlite")


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "other.sqlite"
    file.write_bytes(b"not a database at all, but long enough to be looked at" * 40)
    with pytest.raises(OSTrackError, match=r"other\.sqlite: is no database of jobs"):
        Database(file)


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    opened = Database(file)
    opened.run("PRAGMA user_version = 99")
    opened.close()
    with pytest.raises(OSTrackError, match="has format 99, this version reads up to 1"):
        Database(file)


def test_a_frame_is_empty_only_where_nobody_may_be() -> None:
    """One target is gone from frame 5 on; the tracking of the other was cancelled after frame 2."""
    rows = [(target, frame, 1.0, 2.0, 30.0, 40.0, 0.5, 0.5, "tracking") for frame in range(5) for target in (1, 2)]
    request = {
        "name": "clip.mp4",
        "names": {"1": "a", "2": "b"},
        "keyframes": [(1, 0, (1.0, 2.0, 30.0, 40.0)), (2, 0, (1.0, 2.0, 30.0, 40.0))],
        "absent": [(1, 5, 10)],
        "rows": [row for row in rows if row[0] == 1 or row[1] < 3],
        "video": {"width": 160, "height": 120, "fps": 25.0, "frames": 10},
    }
    times = [number / 25 for number in range(10)]
    assert list(result_of(request, times).looked_at()) == [0, 1, 2, 3, 4]
    both = request | {"absent": [(1, 5, 10), (2, 3, 10)]}
    assert list(result_of(both, times).looked_at()) == list(range(10))
