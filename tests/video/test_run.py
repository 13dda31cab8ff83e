"""From a clip to tracks and files, with a real network."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import ostrack
from moving_clips import decode, moving_boxes, picture, write_clip
from ostrack.boxes import iou_xywh
from ostrack.errors import BoxError, OutputError, SourceError
from ostrack.tracker import Tracker
from ostrack.video import open_source

BOX = tuple(moving_boxes(1)[0])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_clip(path, 60)
    return path


@pytest.fixture(scope="module")
def tracker(blob_onnx: Path) -> Tracker:
    return Tracker(blob_onnx, threads=1)


def test_iterating_yields_each_frame_with_its_tracks(clip: Path, blob_onnx: Path) -> None:
    truth = moving_boxes(60)
    found = list(ostrack.track(clip, box=BOX, network=blob_onnx, threads=1))
    assert [frame.index for frame, _ in found] == list(range(60))
    assert all(list(tracks) == [0] for _, tracks in found)
    assert found[0][1][0].box == BOX
    boxes = np.array([tracks[0].box for _, tracks in found])
    assert iou_xywh(boxes, truth).min() > 0.75


def test_it_is_lazy(clip: Path, tracker: Tracker) -> None:
    steps = ostrack.track(clip, box=BOX, tracker=tracker)
    for _ in range(3):
        next(steps)
    assert tracker.frame == 2


def test_several_targets_and_a_later_start(clip: Path, tracker: Tracker) -> None:
    truth = moving_boxes(60)
    boxes = {"a": truth[20], "b": truth[20] + [2, 0, 0, 0]}
    found = list(ostrack.track(clip, boxes=boxes, tracker=tracker, start=20, max_frames=10))
    assert [frame.index for frame, _ in found] == list(range(20, 30))
    assert list(found[-1][1]) == ["a", "b"]
    assert iou_xywh(found[-1][1]["a"].box, truth[29]) > 0.75


def test_saving_runs_to_the_end_and_files_agree(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    outputs = [tmp_path / name for name in ("t.csv", "t.json", "t.jsonl", "mot.txt")]
    seen: list[tuple[int, int | None]] = []
    summary = ostrack.track(
        clip, BOX, tracker=tracker, start=5, max_frames=40, save_video=tmp_path / "out.mp4", save_tracks=outputs,
        save_sheet=tmp_path / "sheet.png", progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert (summary.frames, summary.interrupted, summary.problems) == (40, False, ())
    assert summary.outputs == (tmp_path / "out.mp4", *outputs, tmp_path / "sheet.png")
    assert summary.fps > 0
    assert 0 < summary.mean_score <= 1
    assert seen == [(done, 40) for done in range(1, 41)]
    with outputs[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(5, 45))
    array = json.loads(outputs[1].read_text())
    assert array == [json.loads(line) for line in outputs[2].read_text().splitlines()]
    mot = np.loadtxt(outputs[3], delimiter=",")
    boxes = np.array([[float(row[key]) for key in "xywh"] for row in rows])
    np.testing.assert_allclose(boxes, [record["box"] for record in array], atol=1e-3)
    np.testing.assert_allclose(mot[:, 2:6], boxes + np.array([1, 1, 0, 0]), atol=1e-9)
    assert mot[:, 0].tolist() == list(range(6, 46))
    assert summary.mean_score == pytest.approx(np.mean([record["score"] for record in array[1:]]))
    assert len(decode(tmp_path / "out.mp4")) == 40
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    assert json.loads(json.dumps(summary.to_dict()))["frames"] == 40
    assert "tracked 40 frames" in summary.text()


def test_an_opened_source_stays_open(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    with open_source(clip) as source:
        ostrack.track(source, BOX, tracker=tracker, max_frames=3, save_tracks=tmp_path / "t.csv")
        assert source.frame_count == 60


def test_a_damaged_clip_is_tracked_as_far_as_it_goes(tracker: Tracker, tmp_path: Path) -> None:
    write_clip(tmp_path / "whole.mp4", 60)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 3 // 4])
    with pytest.warns(UserWarning, match="broke off"):
        summary = ostrack.track(tmp_path / "cut.mp4", BOX, tracker=tracker, save_tracks=tmp_path / "t.csv")
    assert 10 < summary.frames < 60
    assert f"broke off at frame {summary.frames} of 60" in summary.problems[0]
    assert len((tmp_path / "t.csv").read_text().splitlines()) == summary.frames + 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "give either box"),
        ({"box": BOX, "boxes": {1: BOX}}, "give either box"),
        ({"boxes": {}}, "boxes is empty"),
        ({"box": (10, 10, 0, 5)}, "width and height must be positive"),
        ({"box": (500, 10, 20, 20)}, "outside the frame"),
        ({"box": (1, 2, 3)}, "expected four numbers"),
    ],
)
def test_boxes_that_cannot_be_tracked(
    clip: Path, tracker: Tracker, tmp_path: Path, arguments: dict[str, object], says: str
) -> None:
    old = tmp_path / "old.csv"
    old.write_text("kept\n")
    with pytest.raises(BoxError, match=says):
        ostrack.track(clip, tracker=tracker, save_tracks=old, **arguments)  # type: ignore[call-overload]  # wrong on purpose
    assert old.read_text() == "kept\n"  # outputs are emptied only once tracking begins


def test_arguments_that_contradict_each_other(clip: Path, tracker: Tracker) -> None:
    with pytest.raises(ValueError, match="takes no options, got threads"):
        ostrack.track(clip, BOX, tracker=tracker, threads=2)
    with pytest.raises(ValueError, match="start must be"):
        ostrack.track(clip, BOX, tracker=tracker, start=-1)
    with pytest.raises(SourceError, match="cannot start at frame 60"):
        list(ostrack.track(clip, BOX, tracker=tracker, start=60))


def outputs_that_fail(folder: Path, clip: Path) -> Iterator[tuple[dict[str, object], str]]:
    (folder / "folder.csv").mkdir()
    (folder / "old.csv").write_text("kept\n")
    yield {"save_tracks": folder / "none" / "t.csv"}, "there is no folder"
    yield {"save_tracks": folder / "folder.csv"}, "it is a folder"
    yield {"save_tracks": folder / "t.ods"}, r"written as \.csv"
    yield {"save_video": folder / "out.avi"}, r"written as \.mp4"
    yield {"save_sheet": folder / "sheet.gif"}, r"written as \.png"
    yield {"save_video": clip}, "is the source itself"
    (folder / "linked.mp4").hardlink_to(clip)
    yield {"save_video": folder / "linked.mp4"}, "linked.mp4: is the source itself"
    (folder / "boxes.json").write_text('{"cup": [1, 2, 30, 40]}')
    yield {"save_tracks": folder / "boxes.json", "box": None, "boxes": folder / "boxes.json"}, "boxes are read from"
    yield {"save_tracks": [folder / "t.csv", folder / "x" / ".." / "t.csv"]}, "named as an output twice"
    yield {"save_tracks": folder / "old.csv", "overwrite": False}, "exists already"


def test_outputs_are_checked_before_anything_runs(clip: Path, tmp_path: Path) -> None:
    before = clip.read_bytes()
    for arguments, says in outputs_that_fail(tmp_path, clip):
        # No network exists: had anything else been tried first, that would be the error.
        with pytest.raises(OutputError, match=says):
            ostrack.track(clip, **{"box": BOX, "network": tmp_path / "none.onnx"} | arguments)  # type: ignore[call-overload]  # by name
    assert (tmp_path / "old.csv").read_text() == "kept\n"
    with open_source(clip) as source, pytest.raises(OutputError, match="is the source itself"):
        ostrack.track(source, BOX, network=tmp_path / "none.onnx", save_video=clip)
    assert not (tmp_path / "t.csv").exists()
    assert clip.read_bytes() == before


def test_the_first_frame_must_be_the_one_the_box_belongs_to(tracker: Tracker, tmp_path: Path) -> None:
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(BOX)[..., ::-1])
    (tmp_path / "2.png").write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"2\.png"), pytest.raises(SourceError, match="frame 2, which the boxes"):
        list(ostrack.track(tmp_path, BOX, tracker=tracker, start=2))


MEMORY = """
import resource, sys
import ostrack
clip, network, out, frames = sys.argv[1:]
ostrack.track(clip, (64, 48, 24, 24), network=network, threads=1, max_frames=int(frames),
              save_video=out + "/out.mp4", save_tracks=out + "/t.json", save_sheet=out + "/s.png")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform != "darwin" else 1024**2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures with the resource module")
def test_memory_does_not_grow_with_length(tmp_path: Path, blob_onnx: Path) -> None:
    clip = tmp_path / "long.mp4"
    write_clip(clip, 900, size=(320, 240), crf=30)
    peaks = []
    for frames in (60, 900):
        command = [sys.executable, "-c", MEMORY, str(clip), str(blob_onnx), str(tmp_path), str(frames)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        peaks.append(int(done.stdout))
    # Holding the 840 further frames would take 193 MB.
    assert peaks[1] - peaks[0] < 10


def test_no_picture_is_put_among_those_of_the_source(tracker: Tracker, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        cv2.imwrite(str(images / f"{number}.png"), picture(moving_boxes(3)[number])[..., ::-1])
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    for name in ("1.png", "sheet.jpg"):
        with pytest.raises(OutputError, match="lies among the source's own images"):
            ostrack.track(images, BOX, tracker=tracker, save_sheet=images / name)
    ostrack.track(images, BOX, tracker=tracker, save_tracks=images / "tracks.csv")
    (images / "tracks.csv").unlink()
    assert {path.name: path.read_bytes() for path in images.iterdir()} == before
