"""``ostrack data check``: what is there, what is missing, what cannot be used and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dataset_trees import got10k_sequence, images, jpeg, rows, write
from typer.testing import CliRunner, Result

from ostrack.cli.data import app
from ostrack.data.benchmarks import KINDS
from ostrack.data.check import check
from ostrack.errors import DataError


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, ["check", *words])


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Six clips: two good ones and four that cannot be used."""
    return write(
        tmp_path,
        {
            **images("good/img", range(25)),
            "good/groundtruth.txt": rows(25),
            **images("brief/img", range(4)),
            "brief/groundtruth.txt": "1,1,4,4\n1,1,4,4\nnan,nan,nan,nan\n1,1,4,4\n",
            **images("one/img", range(1)),
            "one/groundtruth.txt": rows(1),
            **images("never/img", range(2)),
            "never/groundtruth.txt": "nan,nan,nan,nan\n0,0,0,0\n",
            **images("late/img", range(2)),
            "late/groundtruth.txt": "nan,nan,nan,nan\n1,1,4,4\n",
            "torn/img/1.jpg": jpeg()[:50],
            "torn/img/2.jpg": jpeg(),
            "torn/groundtruth.txt": rows(2),
            **images("outside/img", range(2)),
            "outside/groundtruth.txt": "100,1,4,4\n1,1,4,4\n",
        },
    )


def test_every_problem_is_named_and_counted(mixed: Path) -> None:
    report = check(mixed)
    assert (report.kind, report.usable, report.frames, report.visible, report.short) == ("folder", 2, 29, 28, 1)
    reasons = {problem.name: problem.reason for problem in report.problems}
    assert set(reasons) == {"one", "never", "late", "torn", "outside"}
    assert "a sequence of one frame" in reasons["one"]
    assert "visible in none of 2 frames" in reasons["never"]
    assert "no box in the first frame" in reasons["late"]
    assert "1.jpg: not an image that can be decoded (50 bytes)" in reasons["torn"]
    assert "first box 100,1,4,4 lies outside 16 x 12 pixels" in reasons["outside"]


def test_clips_without_a_label_file_are_named(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **images("good/img", range(3)), "good/groundtruth.txt": rows(3),
            **images("home/bare/img", range(3)), **images("flat", range(2)),
            **images("home/cat", range(2)), "home/cat/groundtruth.csv": "frame,x,y,w,h\n0,1,1,4,4\n",
            "home/cover.jpg": jpeg(), "film.mp4": b"", "index.json": "[]",
        },
    )  # fmt: skip
    report = check(root)
    assert report.usable == 2
    assert {problem.name for problem in report.problems} == {"home/bare", "flat", "film"}
    assert f"{root / 'home/bare'}: no label file" in report.text()
    assert _run(str(root), "--strict").exit_code == 1


def test_decoding_is_a_choice(mixed: Path) -> None:
    assert {problem.name for problem in check(mixed, decode="none").problems} == {"one", "never", "late"}
    write(mixed, {"good/img/0007.jpg": b"torn"})
    assert "good" not in {problem.name for problem in check(mixed).problems}
    assert "good" in {problem.name for problem in check(mixed, decode="all").problems}


def test_the_report_is_printed(mixed: Path) -> None:
    result = _run(str(mixed))
    assert result.exit_code == 0
    assert "labelled clips (folder)" in result.output
    assert "usable: 2 sequences, 29 frames, the target visible in 28" in result.output
    assert "too short to train on: 1" in result.output
    assert "not usable: 5" in result.output
    assert "one: " in result.output
    assert _run(str(mixed), "--strict").exit_code == 1


def test_the_report_as_json(mixed: Path) -> None:
    loaded = json.loads(_run(str(mixed), "--json").output)
    assert loaded["usable"] == 2
    assert {problem["name"] for problem in loaded["problems"]} == {"one", "never", "late", "torn", "outside"}


def test_missing_sequences_are_counted(tmp_path: Path) -> None:
    files = {
        **got10k_sequence("val/GOT-10k_Val_000001", 22),
        "val/list.txt": "GOT-10k_Val_000001\nGOT-10k_Val_000002\n",
    }
    result = _run(str(write(tmp_path, files)))
    assert "GOT-10k (got10k, val)" in result.output
    assert "missing from the published list: 1 (GOT-10k_Val_000002)" in result.output
    assert _run(str(tmp_path), "--strict").exit_code == 1


def test_nothing_usable_ends_with_2(tmp_path: Path) -> None:
    root = write(tmp_path, {**images("one/img", range(1)), "one/groundtruth.txt": rows(1)})
    result = _run(str(root))
    assert result.exit_code == 2
    assert "usable: 0 sequences" in result.output


def test_nothing_recognised_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known layout; found nothing at all"):
        check(tmp_path)


def test_another_kind_than_asked_for(mixed: Path) -> None:
    with pytest.raises(DataError, match=r"expected LaSOT .*, but this is labelled clips; its kind is 'folder'"):
        check(mixed, "lasot")


def test_other_readings_of_the_same_root_are_mentioned(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **images("data_seq/UAV123/bike2", range(1, 554), 6),
            "anno/UAV123/bike2.txt": rows(553),
            "anno/UAV20L/bike1.txt": rows(3),
        },
    )
    assert check(root).also == ("uav20l",)
    assert "can also be read as: uav20l" in _run(str(root)).output


def test_still_images(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 16, "height": 12}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    result = _run(str(write(tmp_path, {"export.json": json.dumps(content), "1.jpg": jpeg()})))
    assert "usable: 1 images, 1 boxes" in result.output


def test_annotated_folders(tmp_path: Path) -> None:
    entries = [
        {"image": "images/1.jpg", "size": [16, 12], "boxes": [[1, 2, 3, 4], [5, 6, 0, 0]]},
        {"image": "gone.jpg", "size": [1, 1], "boxes": []},
    ]
    root = write(tmp_path, {"cats/annotations.json": json.dumps(entries), "cats/images/1.jpg": jpeg()})
    report = check(root)
    assert (report.kind, report.usable, report.visible) == ("annotated", 1, 1)
    assert [problem.name for problem in report.problems] == ["cats/1.jpg", "cats/gone.jpg"]
    assert "1 of its boxes not finite or without area: left out" in report.problems[0].reason
    assert "gone.jpg: no such file" in report.problems[1].reason


def test_the_layouts_are_listed() -> None:
    result = CliRunner().invoke(app, ["kinds"])
    assert result.exit_code == 0
    for name, kind in KINDS.items():
        assert f"{kind.title}: {kind.layout}" in result.output
        assert name in result.output


def test_progress_is_told(mixed: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    check(mixed, decode="none", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 7) for i in range(1, 8)]


def test_a_wrong_choice_of_frames(mixed: Path) -> None:
    assert _run(str(mixed), "--decode", "some").exit_code == 2
