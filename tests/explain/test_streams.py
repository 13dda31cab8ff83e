"""Two networks on the same crops: numbers of constructed maps, and the command on a clip with look-alikes."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from small_pairs import write_frames

from ostrack.cli import app
from ostrack.data.images import read_rgb
from ostrack.errors import EvaluationError
from ostrack.explain.streams import StreamReport, compare_frames, target_scores
from ostrack.model import OSTrack, save
from ostrack.model.two_stream import TwoStream
from small_networks import lively, tiny


def test_scores_tell_the_target_from_the_rest() -> None:
    values = np.zeros((8, 8), np.float32)
    values[3, 3], values[4, 4], values[0, 7] = 0.5, 0.25, 0.75
    # The box covers rows and columns 3 and 4.
    found = target_scores(values, np.array([0.5, 0.5, 0.25, 0.25]))
    assert (found.on_target, found.elsewhere, found.mass) == (0.5, 0.75, 0.5)
    assert found.fooled
    outside = target_scores(values, np.array([2.0, 2.0, 0.1, 0.1]))
    assert np.isnan([outside.on_target, outside.mass]).all()
    assert not outside.fooled


def test_both_see_the_same_crop_round_the_truth(tmp_path: Path) -> None:
    boxes = write_frames(tmp_path, 5, lookalikes=2)
    boxes[3] = np.nan
    frames = [(k, read_rgb(tmp_path / f"img/{k + 1:05d}.png")) for k in range(5)]
    nets = lively(OSTrack(tiny())), lively(TwoStream(tiny(), "correlation"), 1)
    pairs = list(compare_frames(nets, frames, None, boxes))
    assert [pair.frame for pair in pairs] == [1, 2, 4]
    for pair in pairs:
        np.testing.assert_allclose(pair.target, boxes[pair.frame])
        assert not np.array_equal(*pair.maps)
        # The crop lies round the frame before, so the target is near its middle.
        np.testing.assert_allclose(pair.target_in_crop[:2], 0.5, atol=0.1)
    same = list(compare_frames((nets[0], nets[0]), frames, None, boxes))
    for pair in same:
        assert np.array_equal(*pair.maps)
        assert pair.scores[0] == pair.scores[1]


def test_networks_for_other_crops_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path, 2)
    frames = [(k, read_rgb(tmp_path / f"img/{k + 1:05d}.png")) for k in range(2)]
    nets = lively(OSTrack(tiny())), lively(OSTrack(tiny(search_size=96)))
    with pytest.raises(EvaluationError, match="search_size=64 and 96"):
        list(compare_frames(nets, frames, (40, 50, 20, 16)))
    corner = lively(OSTrack(tiny(head="corner")))
    with pytest.raises(EvaluationError, match="'corner' gives no score map"):
        list(compare_frames((nets[0], corner), frames, (40, 50, 20, 16)))


def test_one_stream_and_two_by_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "clip", 5, lookalikes=2)
    one = save(tmp_path / "one.safetensors", lively(OSTrack(tiny())))
    two = save(tmp_path / "two.safetensors", lively(TwoStream(tiny(), "relation"), 1))
    out = tmp_path / "out"
    command = ["explain", "streams", one, two, tmp_path / "clip/img"]
    command += ["--truth", tmp_path / "clip/groundtruth.txt", "-o", out]
    with pytest.raises(SystemExit) as ended:
        app([*map(str, command)], prog_name="ostrack")
    assert not ended.value.code
    assert {path.name for path in out.iterdir()} == {f"streams.{kind}" for kind in ("json", "txt", "mp4", "png")}
    rows = json.loads((out / "streams.json").read_text())["frames"]
    assert [row["frame"] for row in rows] == [1, 2, 3, 4]
    assert all(set(row["scores"]) == {"one", "two"} for row in rows)
    with av.open(str(out / "streams.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4
    assert "fooled" in capsys.readouterr().out


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_frames(tmp_path / "clip", 3, lookalikes=1)
    files = []
    for name, net in (("one_stream", OSTrack(tiny())), ("relation", TwoStream(tiny(), "relation"))):
        (tmp_path / name).mkdir()
        files.append(save(tmp_path / name / "model.safetensors", lively(net)))
    command = ["explain", "streams", *files, tmp_path / "clip/img", "--truth", tmp_path / "clip/groundtruth.txt"]
    with pytest.raises(SystemExit) as ended:
        app([*map(str, command), "-o", str(tmp_path / "out")], prog_name="ostrack")
    assert not ended.value.code
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[2:4]] == ["one_stream", "relation"]


def test_the_table_gives_means() -> None:
    one = target_scores(np.full((4, 4), 0.5, np.float32), np.array([0.5, 0.5, 0.5, 0.5]))
    report = StreamReport(("a", "b"), True, ((1, (one, one)), (2, (one, one))))
    line = report.table().splitlines()[2].split()
    assert line == ["a", "0.500", "0.500", "0.000", "25.0%", "0.0%"]


def test_frames_whose_target_is_outside_the_search_region_are_told_and_left_out() -> None:
    values = np.full((4, 4), 0.5, np.float32)
    seen = target_scores(values, np.array([0.5, 0.5, 0.5, 0.5]))
    outside = target_scores(values, np.array([3.0, 3.0, 0.2, 0.2]))
    report = StreamReport(("a", "b"), True, ((1, (seen, seen)), (2, (outside, outside))))
    lines = report.table().splitlines()
    assert "2 frames; the target is the ground truth (outside the search region in 1, which are left out)" in lines[0]
    assert lines[2].split() == ["a", "0.500", "0.500", "0.000", "25.0%", "0.0%"]

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    plain = json.loads(json.dumps(report.to_dict()), parse_constant=refuse)
    assert plain["frames"][1]["scores"]["a"] == {"on_target": None, "elsewhere": 0.5, "mass": None}
    none = StreamReport(("a", "b"), True, ((2, (outside, outside)),))
    assert len(none.table().splitlines()) == 2
