"""Many targets from a file or from Python, each from a frame of its own."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ostrack
from moving_clips import RED, encode, moving_boxes, write_clip
from ostrack.boxes import iou_xywh
from ostrack.errors import BoxError, SourceError
from ostrack.tracker import Tracker
from ostrack.video import SourceWarning, Start

GREEN = (30, 200, 40)
TRUTH = moving_boxes(60)


def lower(frame: int) -> tuple[float, float, float, float]:
    """A green target under the red one, which comes into the picture at frame 20."""
    return 10 + frame, 92, 20, 16


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def image(frame: int) -> NDArray[np.uint8]:
        canvas = np.zeros((120, 160, 3), np.uint8)
        for (x, y, w, h), colour in (((*TRUTH[frame],), RED), (lower(frame), GREEN)):
            if colour == RED or frame >= 20:
                canvas[int(y) : int(y + h), int(x) : int(x + w)] = colour
        return canvas

    path = tmp_path_factory.mktemp("clips") / "two.mp4"
    encode(path, (image(frame) for frame in range(60)))
    return path


@pytest.fixture(scope="module")
def tracker(blob_onnx: Path) -> Tracker:
    return Tracker(blob_onnx, threads=1)


@pytest.mark.parametrize("form", ["mapping", "starts", "records", "file of a mapping", "file of a list"])
def test_a_target_may_begin_later(clip: Path, tracker: Tracker, tmp_path: Path, form: str) -> None:
    later = {"frame": 25, "box": list(lower(25))}
    forms: dict[str, Any] = {
        "mapping": {"red": TRUTH[5], "green": later},
        "starts": [Start("green", lower(25), 25), Start("red", tuple(TRUTH[5]), 5)],
        "records": [{"id": "green", **later}, {"id": "red", "box": TRUTH[5]}],
    }
    boxes = forms.get(form, tmp_path / "boxes.json")
    if form == "file of a mapping":
        boxes.write_text(json.dumps({"red": TRUTH[5].tolist(), "green": later}))
    elif form == "file of a list":
        boxes.write_text(json.dumps([{"id": "green", **later}, {"id": "red", "frame": 5, "box": TRUTH[5].tolist()}]))
    found = list(ostrack.track(clip, boxes=boxes, start=5, tracker=tracker))
    assert [frame.index for frame, _ in found] == list(range(5, 60))
    assert [list(tracks) for _, tracks in found] == [["red"]] * 20 + [["red", "green"]] * 35
    assert found[20][1]["green"].box == lower(25)
    for frame, tracks in found:
        assert iou_xywh(tracks["red"].box, TRUTH[frame.index]) > 0.6
        if "green" in tracks:
            assert iou_xywh(tracks["green"].box, lower(frame.index)) > 0.6


def test_tracking_begins_with_the_first_target(clip: Path, tracker: Tracker) -> None:
    boxes = {"red": {"frame": 40, "box": TRUTH[40]}, "green": {"frame": 30, "box": lower(30)}}
    found = list(ostrack.track(clip, boxes=boxes, tracker=tracker, max_frames=15))
    assert [frame.index for frame, _ in found] == list(range(30, 45))
    assert list(found[-1][1]) == ["green", "red"]


def test_a_target_whose_frame_never_comes_is_named_and_the_rest_is_on_disk(
    clip: Path, tracker: Tracker, tmp_path: Path
) -> None:
    boxes = {"red": TRUTH[0], "never": {"frame": 60, "box": lower(25)}}
    with pytest.warns(SourceWarning, match="'never' begins at frame 60"):
        summary = ostrack.track(clip, boxes=boxes, tracker=tracker, save_tracks=tmp_path / "t.csv")
    assert summary.problems == (
        f"{clip}: target 'never' begins at frame 60, but the run ended after frame 59; it was not followed",
    )
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(60))
    assert {row["id"] for row in rows} == {"red"}
    with pytest.raises(SourceError, match="60 frames, so it cannot start at frame 99"):
        ostrack.track(
            clip, boxes={"a": {"frame": 99, "box": lower(25)}}, tracker=tracker, save_tracks=tmp_path / "t.csv"
        )
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 61  # what was finished stays


def test_a_frame_that_cannot_be_read_costs_the_target_that_begins_there(tmp_path: Path, tracker: Tracker) -> None:
    import cv2

    from moving_clips import picture

    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(TRUTH[number])[..., ::-1])
    (tmp_path / "4.png").write_bytes(b"broken")
    boxes = {"a": TRUTH[0], "b": {"frame": 4, "box": TRUTH[4]}}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = list(ostrack.track(tmp_path, boxes=boxes, tracker=tracker))
    assert [list(tracks) for _, tracks in found] == [["a"]] * 9
    assert any("'b' begins at frame 4, but this frame cannot be read" in str(item.message) for item in told)


def test_given_boxes_do_not_count_in_the_mean_score(clip: Path, tracker: Tracker, tmp_path: Path) -> None:
    boxes = {"red": TRUTH[0], "green": {"frame": 30, "box": lower(30)}}
    summary = ostrack.track(clip, boxes=boxes, tracker=tracker, save_tracks=tmp_path / "t.json")
    rows = json.loads((tmp_path / "t.json").read_text())
    given = {("red", 0), ("green", 30)}
    scores = [row["score"] for row in rows if (row["id"], row["frame"]) not in given]
    assert summary.mean_score == pytest.approx(np.mean(scores))


WRONG: list[tuple[Any, str]] = [
    ({}, "boxes is empty"),
    ([], "boxes is empty"),
    (7, "boxes is a int"),
    ([{"id": "a", "box": (1, 1, 9, 9)}, {"id": "a", "frame": 9, "box": (1, 1, 9, 9)}], "'a' is given twice"),
    ([(1, 1, 9, 9)], r"target number 0 is \(1, 1, 9, 9\), expected"),
    ({"a": {"frame": 3}}, "'a' is .* expected"),
    ({"a": {"frame": 3, "box": (1, 1, 9, 9), "label": "x"}}, "'a' is .* expected"),
    ({"a": {"frame": -3, "box": (1, 1, 9, 9)}}, "'a': frame -3, expected a whole number, 0 or more"),
    ({"a": {"frame": 2.5, "box": (1, 1, 9, 9)}}, "'a': frame 2.5, expected"),
    ({"a": {"frame": True, "box": (1, 1, 9, 9)}}, "'a': frame True, expected"),
    ({"a": (1, 1, 9, 9), "b": (1, 1, -9, 9)}, "'b' is 1,1,-9,9: width and height must be positive"),
    ({"a": (1, 1, 9, 9), "b": (1, 1, float("inf"), 9)}, "'b' is .*: not finite"),
    ({"a": (1, 1, 9, 9), "b": "here"}, "'b' is 'here', expected four numbers"),
    ({"a": (1, 1, 9, 9), "b": {"frame": 50, "box": (700, 1, 9, 9)}}, "'b': .* outside the frame of 160 x 120"),
    ({True: (1, 1, 9, 9)}, "id is True"),
    ({"": (1, 1, 9, 9)}, "id is ''"),
    ({0: (1, 1, 9, 9), "0": (1, 1, 9, 9)}, "'0' is given twice"),
]


@pytest.mark.parametrize(("boxes", "says"), WRONG)
def test_targets_that_cannot_be_followed_are_refused_before_anything_runs(
    clip: Path, tracker: Tracker, tmp_path: Path, boxes: Any, says: str
) -> None:
    (tmp_path / "old.csv").write_text("kept\n")
    with pytest.raises(BoxError, match=says) as told:
        ostrack.track(clip, boxes=boxes, tracker=tracker, save_tracks=tmp_path / "old.csv")
    assert "\n" not in str(told.value)
    assert (tmp_path / "old.csv").read_text() == "kept\n"


def test_a_target_before_the_start_is_refused(clip: Path, tracker: Tracker) -> None:
    with pytest.raises(BoxError, match="'a' begins at frame 3, before frame 10 where tracking starts"):
        ostrack.track(clip, boxes={"a": {"frame": 3, "box": (1, 1, 9, 9)}}, tracker=tracker, start=10)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": [1, 2, 3, 4], "a": [5, 6, 7, 8]}', "'a' is given twice"),
        ('[{"id": "a", "box": [1, 2, 3, 4]}, {"id": "a", "box": [1, 2, 3, 4]}]', "'a' is given twice"),
        ('{"a": [1, 2, 3, -4]}', "must be positive"),
        ('{"a": [1, 2, 3, NaN]}', "not finite"),
        ('{"a": [1, 2, 3]}', "expected four numbers"),
        ("{}", "expected"),
        ("3", "expected"),
        ("{", "not JSON"),
        ("[" * 100000, "not JSON"),
        (f'{{"a": [1, 2, 3, {"9" * 5000}]}}', "not JSON"),
        ("\udcff", "not JSON"),
    ],
)
def test_files_of_targets_that_cannot_be_used(
    clip: Path, tracker: Tracker, tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "boxes.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BoxError, match=says) as told:
        ostrack.track(clip, boxes=file, tracker=tracker)
    assert str(told.value).startswith(str(file))
    assert "\n" not in str(told.value)


def test_the_command_line(clip: Path, blob_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ostrack.cli import app

    targets = {
        "red": TRUTH[0].tolist(),
        "late": {"frame": 30, "box": lower(30)},
        "never": {"frame": 60, "box": lower(30)},
    }
    (tmp_path / "boxes.json").write_text(json.dumps(targets))
    names = ("t.csv", "t.coco.json", "t.xml", "t.yolo")
    saves = [part for name in names for part in ("--save", str(tmp_path / name))]
    arguments = ["track", str(clip), "--boxes", str(tmp_path / "boxes.json"), *saves]
    with pytest.raises(SystemExit) as left:
        app([*arguments, "--network", str(blob_onnx), "--threads", "1"], prog_name="ostrack")
    captured = capsys.readouterr()
    assert left.value.code == 1  # done, but for a target that never came
    assert captured.err == (
        f"warning: {clip}: target 'never' begins at frame 60, but the run ended after frame 59; it was not followed\n"
    )
    with (tmp_path / "t.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 60 + 30
    assert len(json.loads((tmp_path / "t.coco.json").read_text())["annotations"]) == 90
    assert (tmp_path / "t.xml").read_text().count("<track ") == 2
    assert len(list((tmp_path / "t.yolo" / "labels").iterdir())) == 60
    assert not list(tmp_path.glob("*.part.jsonl"))


def test_grey_deep_and_transparent_frames_are_followed(tmp_path: Path, tracker: Tracker) -> None:
    import cv2

    # The same bright target on black in every kind of picture that a folder or a video may hold.
    for kind in ("grey", "deep", "deep grey", "transparent"):
        folder = tmp_path / kind
        folder.mkdir()
        for number in range(5):
            x, y, w, h = (int(value) for value in TRUTH[number])
            canvas = np.zeros((120, 160, 4), np.uint8)
            canvas[y : y + h, x : x + w] = 200
            canvas[..., 3] = 255
            image: NDArray[Any] = canvas if kind == "transparent" else canvas[..., :3]
            image = image[..., 0] if "grey" in kind else image
            image = image.astype(np.uint16) * 257 if "deep" in kind else image
            cv2.imwrite(str(folder / f"{number}.png"), image)
        found = list(ostrack.track(folder, box=TRUTH[0], tracker=tracker))
        assert len(found) == 5, kind
        for frame, tracks in found:
            assert (frame.image.shape, frame.image.dtype) == ((120, 160, 3), np.uint8), kind
            assert frame.image.max() >= 199, kind
            assert iou_xywh(tracks[0].box, TRUTH[frame.index]) > 0.7, kind


@pytest.mark.parametrize("pixels", ["gray", "gray16le", "bgra", "yuva420p", "yuv420p10le", "rgb48le"])
def test_videos_of_every_kind_of_pixel(tmp_path: Path, tracker: Tracker, pixels: str) -> None:
    import av

    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixels
        for number in range(5):
            x, y, w, h = (int(value) for value in TRUTH[number])
            canvas = np.zeros((120, 160, 3), np.uint8)
            canvas[y : y + h, x : x + w] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(canvas, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode(None))
    found = list(ostrack.track(path, box=TRUTH[0], tracker=tracker))
    assert len(found) == 5
    assert all(iou_xywh(tracks[0].box, TRUTH[frame.index]) > 0.7 for frame, tracks in found)


def test_a_frame_that_changes_size_ends_the_run_with_what_there_was(tmp_path: Path, tracker: Tracker) -> None:
    for name, size in (("a.ts", (160, 120)), ("b.ts", (320, 240))):
        write_clip(tmp_path / name, 20, size=size)
    (tmp_path / "both.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.warns(SourceWarning, match="the picture changes from 160x120 to 320x240"):
        summary = ostrack.track(
            tmp_path / "both.ts",
            TRUTH[0],
            tracker=tracker,
            save_tracks=tmp_path / "t.csv",
            save_video=tmp_path / "o.mp4",
        )
    assert summary.frames == 20
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 21
    assert len(summary.problems) == 1
