"""Boxes as text: what other programs read, and what is left when a disk fills up."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ostrack.errors import OutputError
from ostrack.results import open_records
from ostrack.results.records import Records
from ostrack.tracker import Track
from ostrack.video import Frame

BLANK = np.zeros((4, 4, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(index, index / 25, BLANK)


def tracks(index: int, *names: int | str) -> dict[int | str, Track]:
    return {name: Track(name, (10.25 + index, 20.5, 30.0, 40.0), 0.875, "tracking", index) for name in names}


def write(path: Path, count: int, *names: int | str, first: int = 0) -> None:
    with open_records(path) as records:
        for index in range(first, first + count):
            records.write(frame(index), tracks(index - first, *names))


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "tracks.csv"
    write(path, 2, "cup", 'a "b", c', first=7)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "time", "id", "x", "y", "w", "h", "score", "state", "confidence"]
    expected = [("7", "cup"), ("7", 'a "b", c'), ("8", "cup"), ("8", 'a "b", c')]
    assert [(row["frame"], row["id"]) for row in rows] == expected
    last = rows[-1]
    numbers = [float(last[key]) for key in ("time", "x", "y", "w", "h", "score")]
    assert numbers == [0.32, 11.25, 20.5, 30, 40, 0.875]
    assert last["state"] == "tracking"


def test_json_lines_count_the_frames_of_the_source(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write(path, 3, "кружка", first=7)
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [record["frame"] for record in records] == [7, 8, 9]
    assert records[1] == {
        "frame": 8, "time": 0.32, "id": "кружка", "box": [11.25, 20.5, 30.0, 40.0], "score": 0.875, "state": "tracking",
        "windowed": None, "confidence": None, "seen": True,
    }  # fmt: skip


def test_json_is_a_whole_array_after_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    with open_records(path) as records:
        assert json.loads(path.read_text()) == []
        for index in range(4):
            records.write(frame(index), tracks(index, 1, 2))
            assert len(json.loads(path.read_text())) == 2 * (index + 1)
        records.write(frame(4), {})
        assert len(json.loads(path.read_text())) == 8


def test_mot_is_one_based_and_numbers_targets_by_appearance(tmp_path: Path) -> None:
    path = tmp_path / "mot.txt"
    with open_records(path) as records:
        records.write(frame(0), tracks(0, "dog", 0))
        records.write(frame(1), {"cat": Track("cat", (0.0, 0.0, 5.0, 6.0), math.nan, "tracking", 1)})
    assert path.read_text().splitlines() == [
        "1,1,11.250,21.500,30.000,40.000,0.8750,-1,-1,-1",
        "1,2,11.250,21.500,30.000,40.000,0.8750,-1,-1,-1",
        "2,3,1.000,1.000,5.000,6.000,-1.0000,-1,-1,-1",
    ]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".txt"])
def test_each_frame_is_on_disk_when_write_returns(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tracks{suffix}"
    with open_records(path) as records:
        sizes = []
        for index in range(3):
            records.write(frame(index), tracks(index, 0))
            sizes.append(path.stat().st_size)
            assert path.read_bytes().endswith(b"\n")
    assert sizes == sorted(set(sizes))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let writes behind ``size`` bytes fail, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_without_end(records: Records) -> None:
    while True:
        records.write(frame(records.frames), tracks(records.frames, 0))


@pytest.mark.parametrize("limit", range(300, 420, 17))
@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl", ".txt"])
def test_a_full_disk_costs_only_the_frame_that_did_not_fit(tmp_path: Path, suffix: str, limit: int) -> None:
    path = tmp_path / f"tracks{suffix}"
    says = rf"tracks\{suffix}: cannot write frame \d+ \(.*\); the \d+ frames"
    with open_records(path) as records, file_size_limit(limit), pytest.raises(OutputError, match=says) as hit:
        write_without_end(records)
    written = records.frames
    assert f"cannot write frame {written} " in str(hit.value)
    assert written > 0
    text = path.read_text()
    if suffix == ".json":
        assert len(json.loads(text)) == written
    else:
        assert text.endswith("\n")
        assert len(text.splitlines()) == written + (suffix == ".csv")


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_disk_that_is_full_from_the_start(tmp_path: Path, suffix: str) -> None:
    says = rf"tracks\{suffix}: cannot write its first line"
    with file_size_limit(0), pytest.raises(OutputError, match=says):
        open_records(tmp_path / f"tracks{suffix}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_takes_nothing(tmp_path: Path) -> None:
    link = tmp_path / "tracks.csv"
    link.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="cannot write its first line"):
        open_records(link)
    lines = tmp_path / "tracks.jsonl"
    lines.symlink_to("/dev/full")
    with open_records(lines) as records, pytest.raises(OutputError, match="frame 0"):
        records.write(frame(0), tracks(0, 0))


@pytest.mark.skipif(sys.platform == "win32", reason="needs /dev/null")
def test_a_json_array_needs_a_file_that_can_be_rewritten(tmp_path: Path) -> None:
    link = tmp_path / "tracks.json"
    link.symlink_to("/dev/null")
    with pytest.raises(OutputError, match=r"use \.jsonl"):
        open_records(link)


def test_other_suffixes_and_places(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"tracks\.avi: tracks are written as \.csv .*\.xml \(cvat\)"):
        open_records(tmp_path / "tracks.avi")
    with pytest.raises(OutputError, match="cannot be written"):
        open_records(tmp_path / "none" / "tracks.csv")
