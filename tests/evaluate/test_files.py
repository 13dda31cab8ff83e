"""Result files: every wrong line is named; archives hold what the servers' own scripts read."""

from __future__ import annotations

import configparser
import io
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from moving_sequences import toy_set

from ostrack.errors import EvaluationError, OutputError
from ostrack.evaluate import TrackerSpec, read_results, run
from ostrack.evaluate.files import (
    find_result,
    read_boxes,
    read_column,
    read_run,
    read_times,
    write_boxes,
    write_column,
)
from ostrack.evaluate.submit import pack_got10k, pack_trackingnet, trackers_ini, write_truncated
from ostrack.whole import write_whole

HERE = (str(Path(__file__).parent),)


@pytest.mark.parametrize("between", [",", "\t", " ", "   ", ";", ", "])
def test_delimiters_of_other_peoples_files(tmp_path: Path, between: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(between.join(["1", "2.5", "3", "4e1"]) + "\r\n" + between.join("5678") + "\n\n")
    assert read_boxes(path).tolist() == [[1, 2.5, 3, 40], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3,4\n1 2 3 4\n", r"a.txt:2: expected x, y, w, h with commas between them, got '1 2 3 4'"),
        ("1;2;3;4\n1;2;3,5;4\n", r"a.txt:1: expected|a.txt:2: "),
        ("1,2,3,4\n1,2,3\n", "a.txt:2: expected x, y, w, h"),
        ("1,2,3,4\n1,2,x,4\n", "a.txt:2: not four numbers"),
        ("1,2,3,4\n1,2,3,4\n1,nan,3,4\n", "a.txt:3: a box must not hold nan"),
        ("1,2,3,4\nnan,nan,nan,nan\n", "a.txt:2: a box must not hold nan"),
        ("1,2,3,4\n1,2,-3,4\n", "a.txt:2: a box must not have a negative size, got 1, 2, -3, 4"),
        ("1,2,3,4\n1,2,inf,4\n", "a.txt:2: a box must be finite"),
        ("1,2,3,4\n\n1,2,3,4\n", "a.txt:2: expected x, y, w, h"),
        ("", "a.txt: empty"),
        ("frame 1: 2 3 4\n", "a.txt:1: not four numbers|a.txt:1: expected"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=message) as caught:
        read_boxes(path)
    assert "\n" not in str(caught.value)


def test_absent_rows_where_they_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1,2,3,4\nnan,nan,nan,nan\n")
    assert np.isnan(read_boxes(path, absent=True)[1]).all()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EvaluationError, match=r"a.txt: not a text file"):
        read_boxes(path)


def test_sets_that_do_not_fit(tmp_path: Path) -> None:
    for name in ("Basketball", "Bolt"):
        write_boxes(tmp_path / f"{name}.txt", np.ones((3, 4)))
    lengths = {"Basketball": 3, "Bolt": 4}
    with pytest.raises(EvaluationError, match=r"Bolt.txt:3: ends after 3 lines; Bolt has 4 frames"):
        read_results(tmp_path, lengths)
    with pytest.raises(EvaluationError, match=r"no result for 1 of 2 sequences \(Car\); it holds Basketball, Bolt"):
        read_results(tmp_path, {"Basketball": 3, "Car": 9})
    with pytest.raises(EvaluationError, match="results of another benchmark"):
        read_results(tmp_path, {"uav0": 3, "uav1": 3})
    with pytest.raises(EvaluationError, match="no such folder of results"):
        read_results(tmp_path / "nowhere", lengths)


def test_times_are_found_wherever_boxes_are(tmp_path: Path) -> None:
    for boxes, times in (("a/x.txt", "a/x_time.txt"), ("y.txt", "y_time.txt"), ("b/z/z_001.txt", "b/z/z_time.txt")):
        write_boxes(tmp_path / boxes, np.ones((2, 4)))
        write_column(tmp_path / times, [0.5, 0.25])
    names = ["a/x", "folder/y", "b/z"]
    assert all(find_result(tmp_path, name) for name in names)
    found = read_times(tmp_path, names)
    assert [found[name].tolist() for name in names] == [[0.5, 0.25]] * 3


def test_got10k_layout_is_found(tmp_path: Path) -> None:
    write_boxes(tmp_path / "Val_1/Val_1_001.txt", np.ones((2, 4)), 3)
    assert find_result(tmp_path, "Val_1") == tmp_path / "Val_1/Val_1_001.txt"
    assert read_results(tmp_path, {"Val_1": 2})["Val_1"].shape == (2, 4)


def test_text_and_truncation(tmp_path: Path) -> None:
    rows = [[1.99, -1.99, 3.5, 4.0], [0.123456, 1, 2, 3]]
    write_boxes(tmp_path / "f.txt", rows)
    assert (tmp_path / "f.txt").read_text() == "1.9900,-1.9900,3.5000,4.0000\n0.1235,1.0000,2.0000,3.0000\n"
    write_boxes(tmp_path / "i.txt", rows, digits=None, delimiter="\t")
    assert (tmp_path / "i.txt").read_text() == "1\t-1\t3\t4\n0\t1\t2\t3\n"


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    write_whole(tmp_path / "deep/er/x.txt", "one")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(tmp_path / "file/x.txt", "two")
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(tmp_path / "deep/er", "a folder is there")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["er"]


def test_columns_and_runs(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("0.5\n0.25,9,9\n")
    assert read_column(path).tolist() == [0.5, 0.25]
    path.write_text("0.5\nfast\n")
    with pytest.raises(EvaluationError, match=r"t.txt:2: expected a number, got 'fast'"):
        read_column(path)
    path.write_text("1\n1,2,3,4\n2\n0\n")
    assert read_run(path).codes.tolist() == [1, -1, 2, 0]
    for line, message in [("3", "t.txt:2: expected 0, 1, 2"), ("1,2,3", "t.txt:2"), ("1,2,nan,4", "must be finite")]:
        path.write_text(f"1\n{line}\n")
        with pytest.raises(EvaluationError, match=message):
            read_run(path)


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, dict[str, int]]:
    clips = toy_set(3)
    run(clips, TrackerSpec("contract_trackers:Brightest", (), HERE), tmp_path / "run")
    return tmp_path / "run", {clip.name: len(clip) for clip in clips}


def test_got10k_archive(finished: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    folder, lengths = finished
    with zipfile.ZipFile(pack_got10k(folder, lengths, tmp_path / "got.zip")) as archive:
        assert archive.testzip() is None
        expected = {f"{n}/{n}_001.txt" for n in lengths} | {f"{n}/{n}_time.txt" for n in lengths}
        assert set(archive.namelist()) == expected
        for name, count in lengths.items():
            rows = np.loadtxt(io.BytesIO(archive.read(f"{name}/{name}_001.txt")), delimiter=",")
            assert rows.shape == (count, 4)
            np.testing.assert_allclose(rows, read_results(folder, lengths)[name], atol=1e-3)
            assert np.loadtxt(io.BytesIO(archive.read(f"{name}/{name}_time.txt")), delimiter=",").shape == (count,)
    first = (tmp_path / "got.zip").read_bytes()
    assert pack_got10k(folder, lengths, tmp_path / "again.zip").read_bytes() == first
    (folder / "clip1_time.txt").unlink()
    with pytest.raises(EvaluationError, match=r"clip1_time.txt must have 13 lines"):
        pack_got10k(folder, lengths, tmp_path / "got.zip")


def test_trackingnet_archive(finished: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    folder, lengths = finished
    with zipfile.ZipFile(pack_trackingnet(folder, lengths, tmp_path / "tn.zip")) as archive:
        assert set(archive.namelist()) == {f"{name}.txt" for name in lengths}
        assert archive.read("clip0.txt").decode().count(",") == 3 * lengths["clip0"]


def test_truncated_copy(finished: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    folder, lengths = finished
    write_truncated(folder, lengths, tmp_path / "official")
    floats, whole = read_results(folder, lengths), read_results(tmp_path / "official", lengths)
    for name in lengths:
        assert (whole[name] == np.trunc(floats[name])).all()
        assert "\t" in (tmp_path / f"official/{name}.txt").read_text()
        assert (tmp_path / f"official/{name}_time.txt").is_file()
    with pytest.raises(EvaluationError, match="would replace the floats"):
        write_truncated(folder, lengths, folder)


def test_trackers_ini_can_be_read_back(tmp_path: Path) -> None:
    network = tmp_path / "my net.onnx"
    network.write_bytes(b"")
    parsed = configparser.ConfigParser()
    parsed.read_string(trackers_ini(TrackerSpec(str(network), (("threads", "2"),)), "mine"))
    command = shlex.split(parsed["mine"]["command"])
    assert parsed["mine"]["protocol"] == "trax"
    assert command[1:] == ["vot", "--tracker", str(network), "--option", "threads=2"]
    with pytest.raises(EvaluationError, match="letters, digits"):
        trackers_ini(TrackerSpec(str(network)), "my net")
