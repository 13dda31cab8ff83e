"""Files that other programs read, read by other programs."""

from __future__ import annotations

import json
import math
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.boxes import xywh_to_xyxy
from ostrack.errors import DataError, OSTrackError, OutputError
from ostrack.results import FORMATS, Label, Media, Result, ResultBuilder, format_of, open_records, read_result, save
from ostrack.video import Frame

MEDIA = Media("some/clip & co.mp4", 25.0, (160, 120), 12)
SPECIAL = 'a "b" <c> & кружка'


def result(media: Media = MEDIA) -> Result:
    """Two targets over twelve frames: one with a gap and lost frames, one named badly that sticks out of the frame."""
    builder = ResultBuilder({SPECIAL: "mug"})
    for frame in range(10):
        if frame in (4, 5):
            continue
        state = "lost" if frame == 7 else "uncertain" if frame == 3 else "tracking"
        agreement = math.nan if frame in (0, 9) else 0.875
        builder.add(frame / 25, Label(1, (10.25 + frame, 20.5, 30, 40), 0.75, state, frame, frame == 0, agreement, 0.5))  # type: ignore[arg-type]  # one of the three
    for frame in range(6, 12):
        builder.add(frame / 25, Label(SPECIAL, (130.0, 90.0, 50.0, 60.0), math.nan, "tracking", frame))
    return builder.build(media)


SEEN = [0, 1, 2, 3, 6, 8, 9]


def test_coco_by_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco_api = pytest.importorskip("pycocotools.coco")
    result().save(tmp_path / "t.coco.json")
    coco = coco_api.COCO(str(tmp_path / "t.coco.json"))
    assert len(coco.imgs) == 12
    assert {image["file_name"] for image in coco.loadImgs([1, 12])} == {"clip & co/000000.jpg", "clip & co/000011.jpg"}
    assert all((image["width"], image["height"]) == (160, 120) for image in coco.imgs.values())
    assert {category["name"]: id for id, category in coco.cats.items()} == {"object": 1, "mug": 2}
    found = [coco.anns[id] for id in coco.getAnnIds(catIds=[1])]
    assert [coco.imgs[annotation["image_id"]]["frame_id"] for annotation in found] == SEEN
    for annotation, frame in zip(found, SEEN, strict=True):
        assert annotation["bbox"] == [10.25 + frame, 20.5, 30, 40]
        assert annotation["area"] == 1200
        assert (annotation["iscrowd"], annotation["score"], annotation["track_id"]) == (0, 0.75, 1)
    assert len(coco.getAnnIds(catIds=[2])) == 6
    assert len(coco.getAnnIds(imgIds=[9], areaRng=[2000, 5000])) == 1
    video = coco.dataset["videos"][0]
    assert (video["fps"], video["length"], video["width"], video["height"]) == (25, 12, 160, 120)
    assert [track["name"] for track in coco.dataset["tracks"]] == ["1", SPECIAL]
    # Our own boxes as detections on themselves: the protocol finds nothing wrong with them.
    evaluation = pytest.importorskip("pycocotools.cocoeval").COCOeval(coco, coco.loadRes(scored(coco)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    capsys.readouterr()


def scored(coco: Any) -> list[dict[str, Any]]:
    keys = ("image_id", "category_id", "bbox")
    return [{**{key: found[key] for key in keys}, "score": 0.5} for found in coco.anns.values()]


def test_mot_by_motmetrics(tmp_path: Path) -> None:
    io = pytest.importorskip("motmetrics").io
    result().save(tmp_path / "gt.txt")
    table = io.loadtxt(str(tmp_path / "gt.txt"), fmt=io.Format.MOT16)
    rows = table.xs(1, level="Id")
    assert [frame - 1 for frame in rows.index] == SEEN
    # This reader takes the 1 off again.
    np.testing.assert_allclose(rows[["X", "Y", "Width", "Height"]].to_numpy()[0], [10.25, 20.5, 30, 40])
    assert len(table.xs(2, level="Id")) == 6


def cvat_boxes(track: ET.Element) -> list[dict[str, str]]:
    return [dict(box.attrib) for box in track.findall("box")]


def test_cvat_as_its_documentation_says(tmp_path: Path) -> None:
    """https://docs.cvat.ai/docs/manual/advanced/xml_format/, and the rules of its loader: key frames only."""
    result().save(tmp_path / "t.xml")
    root = ET.parse(tmp_path / "t.xml").getroot()  # noqa: S314  (our own file)
    assert root.tag == "annotations"
    assert root.findtext("version") == "1.1"
    task = root.find("meta/task")
    assert task is not None
    assert (task.findtext("name"), task.findtext("size"), task.findtext("mode")) == (
        "clip & co.mp4", "12", "interpolation",
    )  # fmt: skip
    assert (task.findtext("original_size/width"), task.findtext("original_size/height")) == ("160", "120")
    labels = {label.findtext("name"): label for label in task.findall("labels/label")}
    assert list(labels) == ["object", "mug"]
    tracks = root.findall("track")
    assert [(track.get("id"), track.get("label"), track.get("source")) for track in tracks] == [
        ("0", "object", "auto"), ("1", "mug", "auto"),
    ]  # fmt: skip
    keys = {"frame", "xtl", "ytl", "xbr", "ybr", "outside", "occluded", "keyframe", "z_order"}
    for track in tracks:
        boxes = cvat_boxes(track)
        assert all(set(box) == keys for box in boxes)
        frames = [int(box["frame"]) for box in boxes]
        assert frames == sorted(set(frames))
        assert all(box["keyframe"] == "1" for box in boxes)
        attributes = {item.get("name") for item in track.iter("attribute")}
        assert attributes <= {name.text for name in labels[track.get("label")].findall("attributes/attribute/name")}
    first = {int(box["frame"]): box for box in cvat_boxes(tracks[0])}
    assert [frame for frame, box in first.items() if box["outside"] == "0"] == SEEN
    assert [frame for frame, box in first.items() if box["outside"] == "1"] == [4, 7, 10]
    assert [float(first[3][key]) for key in ("xtl", "ytl", "xbr", "ybr")] == [13.25, 20.5, 43.25, 60.5]
    assert [box["outside"] for box in cvat_boxes(tracks[1])] == ["0"] * 6  # it stays to the last frame
    assert {item.text for item in tracks[1].iter("attribute") if item.get("name") == "target"} == {SPECIAL}


def shown_by_cvat(track: ET.Element, frames: int) -> dict[int, list[float]]:
    """What CVAT shows of a track: key frames, straight lines between them, nothing from an outside box on."""
    keys = [box for box in cvat_boxes(track) if box["keyframe"] == "1"]
    shown = {}
    for here, there in zip(keys, [*keys[1:], None], strict=True):
        end = int(there["frame"]) if there else frames
        if here["outside"] == "1":
            continue
        for frame in range(int(here["frame"]), end):
            share = (frame - int(here["frame"])) / (end - int(here["frame"]))
            target = there if there and there["outside"] == "0" else here
            shown[frame] = [
                (1 - share) * float(here[key]) + share * float(target[key]) for key in ("xtl", "ytl", "xbr", "ybr")
            ]
    return shown


@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30)))
def test_cvat_shows_each_box_where_it_is_and_none_where_there_is_none(frames: set[int], lost: set[int]) -> None:
    import tempfile

    builder = ResultBuilder()
    for frame in sorted(frames, reverse=True):
        state = "lost" if frame in lost else "tracking"
        builder.add(0, Label("a", (float(frame**2), 5, 10, 10), 0.5, state, frame))  # type: ignore[arg-type]  # one of them
    with tempfile.TemporaryDirectory() as folder:
        save(builder.build(Media("x", 25, (2000, 100), 31)), Path(folder) / "t.xml")
        tracks = ET.parse(Path(folder) / "t.xml").getroot().findall("track")  # noqa: S314  (our own file)
    shown = shown_by_cvat(tracks[0], 31) if tracks else {}
    assert sorted(shown) == sorted(frames - lost)
    assert all(box == [frame**2, 5, frame**2 + 10, 15] for frame, box in shown.items())


def test_yolo_by_supervision(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    folder = tmp_path / "t.yolo"
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "000099.txt").write_text("of an earlier, longer clip")
    (folder / "labels" / "notes.txt").write_text("somebody's own")
    result().save(folder)
    labels = sorted(path.name for path in (folder / "labels").iterdir())
    # Frame 7, where a target is lost, has no file; frames 4 and 5, where nothing is, have empty ones.
    assert labels == [*(f"{frame:06d}.txt" for frame in range(12) if frame != 7), "notes.txt"]
    assert (folder / "labels" / "000004.txt").read_text() == ""
    (folder / "labels" / "notes.txt").unlink()
    assert not list((folder / "images").iterdir())
    for frame in range(12):
        cv2.imwrite(str(folder / "images" / f"{frame:06d}.png"), np.zeros((120, 160, 3), np.uint8))
    data = supervision.DetectionDataset.from_yolo(
        str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml")
    )
    assert data.classes == ["object", "mug"]
    assert (folder / "classes.txt").read_text() == "object\nmug\n"
    by_frame = {int(Path(path).stem): found for path, _, found in data}
    np.testing.assert_allclose(by_frame[2].xyxy, [[12.25, 20.5, 42.25, 60.5]], atol=1e-3)
    assert by_frame[6].class_id.tolist() == [0, 1]
    np.testing.assert_allclose(by_frame[6].xyxy[1], [130, 90, 160, 120], atol=1e-3)  # cut at the frame's edge
    assert [len(by_frame[frame]) for frame in (4, 7, 11)] == [0, 0, 1]


def test_supervision_detections(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision")
    frames = result().to_supervision()
    assert [len(found) for found in frames] == [1, 1, 1, 1, 0, 0, 2, 1, 2, 2, 1, 1]
    both = frames[6]
    np.testing.assert_allclose(both.xyxy, xywh_to_xyxy([[16.25, 20.5, 30, 40], [130, 90, 50, 60]]))
    assert both.tracker_id.tolist() == [1, 2]
    np.testing.assert_array_equal(both.confidence, np.float32([0.5, np.nan]))
    assert both.class_id.tolist() == [0, 1]
    assert both.data["target"].tolist() == ["1", SPECIAL]
    assert both.data["class_name"].tolist() == ["object", "mug"]
    assert frames[3].data["state"].tolist() == ["uncertain"]
    # What their users do with it: draw, filter, merge.
    scene = supervision.BoxAnnotator().annotate(np.zeros((120, 160, 3), np.uint8), both)
    assert scene.any()
    assert len(both[both.tracker_id == 2]) == 1
    assert len(supervision.Detections.merge([frames[3], frames[4], frames[6]])) == 3


def test_supervision_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(OSTrackError, match="supervision is not installed; run: pip install supervision"):
        result().to_supervision()


@pytest.mark.parametrize("name", ["csv", "json", "jsonl", "mot"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"t{FORMATS[name].ending}"
    result().save(path)
    again = read_result(path, MEDIA)
    for (id, track), (other_id, other) in zip(result().targets.items(), again.targets.items(), strict=True):
        kept = track.states != "lost" if name == "mot" else slice(None)
        np.testing.assert_array_equal(other.frames, track.frames[kept])
        np.testing.assert_allclose(other.boxes, track.boxes[kept], atol=1e-3)
        np.testing.assert_allclose(other.times, track.times[kept], atol=1e-4)
        np.testing.assert_allclose(other.scores, track.scores[kept], atol=1e-4)
        sure = np.full(len(other), np.nan) if name == "mot" else track.confidences
        np.testing.assert_allclose(other.confidences, sure, atol=1e-4)
        if name != "mot":
            assert other_id == id
            assert other.states.tolist() == track.states.tolist()
        if name.startswith("json"):
            np.testing.assert_array_equal(other.keyframes, track.keyframes)
            np.testing.assert_array_equal(other.agreement, track.agreement)


BROKEN = [
    ("t.csv", "frame,id,x,y,w\n", "no column h"),
    ("t.csv", "frame,id,x,y,w,h\n0,1,a,2,3,4\n", "line 2: expected whole frames and numbers"),
    ("t.csv", "frame,id,x,y,w,h\n0,1,1,2,3\n", "line 2: expected"),
    ("t.csv", "frame,id,x,y,w,h,state\n0,1,1,2,3,4,gone\n", "line 2: state 'gone'"),
    ("t.csv", "frame,id,x,y,w,h\n0,1,nan,2,3,4\n", "line 2: expected .* finite"),
    ("t.csv", "frame,id,x,y,w,h\n-1,1,1,2,3,4\n", "line 2: expected a frame"),
    ("t.csv", "frame,x,y,w,h,id\n0,1,2,3,4\n", "line 2: expected whole frames"),
    ("t.csv", f"frame,id,x,y,w,h\n{'9' * 400},1,1,2,3,4\n", "line 2: expected whole frames"),
    ("t.csv", "frame,id,x,y,w,h\n3000000000,1,1,2,3,4\n", "line 2: expected a frame"),
    ("t.csv", "frame,id,x,y,w,h\n0,1,1,2,-3,4\n", "line 2: expected no negative width"),
    ("t.csv", f"frame,id,x,y,w,h\n0,{'a' * 200000},1,2,3,4\n", "line 2: not CSV"),
    ("t.csv", "frame,time,id,x,y,w,h\n0,inf,1,1,2,3,4\n", "line 2: expected finite times"),
    ("t.json", "[" * 100000, "not JSON"),
    ("t.jsonl", "[" * 100000, "line 1: not JSON"),
    ("t.json", f'[{{"frame": {"9" * 400}, "id": 1, "box": [1, 2, 3, 4]}}]', "record 0: expected"),
    ("t.json", f'[{{"frame": {"9" * 5000}, "id": 1, "box": [1, 2, 3, 4]}}]', "not JSON"),
    ("t.json", '[{"frame": true, "id": 1, "box": [1, 2, 3, 4]}]', "record 0: expected"),
    ("t.json", '[{"frame": 0, "id": 1, "box": [1, 2, 3, 4], "score": 1e999}]', "record 0: expected finite"),
    ("t.txt", "inf,1,1,2,3,4,1\n", "line 1: expected frame,id"),
    ("t.txt", "1,nan,1,2,3,4,1\n", "line 1: expected frame,id"),
    ("t.txt", "1.5,1,1,2,3,4,1\n", "line 1: expected frame,id"),
    ("t.jsonl", '{"frame": 0, "id": 1, "box": [1, 2, 3, 4]}\n{"frame": 1,', "line 2: not JSON"),
    ("t.jsonl", '{"frame": 0, "id": 1, "box": [1, 2, 3]}', "line 1: expected"),
    ("t.jsonl", "[]", "line 1: expected"),
    ("t.json", "{}", "expected a list of boxes, found dict"),
    ("t.json", "[", "not JSON"),
    ("t.txt", "1,1,2,3\n", "line 1: expected frame,id,x,y,w,h,score"),
    ("t.csv", "\udcff\udcfe", "not text in UTF-8"),
    ("t.coco.json", "{}", "tracks are read from"),
    ("t.xml", "<a/>", "tracks are read from"),
]


@pytest.mark.parametrize(("name", "text", "says"), BROKEN)
def test_broken_files_are_told_of_in_one_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=says) as told:
        read_result(tmp_path / name, MEDIA)
    assert str(tmp_path / name) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_table_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,id,x,y,w,h\n3,cup,1,2,3,4\n", encoding="utf-8-sig")
    assert read_result(tmp_path / "t.csv", MEDIA).targets["cup"].frames.tolist() == [3]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        read_result(tmp_path / "none.csv", MEDIA)


def test_formats_by_name_and_by_ending() -> None:
    assert [format_of(f"a{found.ending}").name for found in FORMATS.values()] == list(FORMATS)
    assert format_of("A.COCO.JSON").name == "coco"
    assert format_of("whatever", "mot").name == "mot"
    with pytest.raises(OutputError, match="format 'voc': expected one of csv"):
        format_of("t.csv", "voc")


@pytest.mark.parametrize("name", ["t.coco.json", "t.xml", "t.yolo"])
def test_formats_of_whole_clips_while_tracking_runs(tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / name, result(Media("clip.mp4", 25, (160, 120)))
    records = open_records(path, Media("clip.mp4", 25, (160, 120)))
    for index, time_s, labels in whole.rows():
        records.write(Frame(index, time_s, np.zeros((120, 160, 3), np.uint8)), labels)
        assert not path.exists()
    # What a killed run leaves: all boxes, from which the file can be made.
    left = read_result(tmp_path / f"{name}.part.jsonl", whole.media)
    assert [len(track) for track in left.targets.values()] == [8, 6]
    records.close()
    records.close()
    assert path.exists()
    assert not (tmp_path / f"{name}.part.jsonl").exists()
    if name == "t.coco.json":
        images = json.loads(path.read_text())["images"]
        assert [image["frame_id"] for image in images] == [index for index, _, _ in whole.rows()]
    with pytest.raises(OutputError, match="say media="):
        open_records(path)


def test_a_place_that_cannot_be_written_keeps_the_boxes(tmp_path: Path) -> None:
    records = open_records(tmp_path / "t.yolo", MEDIA)
    records.write(Frame(0, 0.0, np.zeros((1, 1, 3), np.uint8)), {1: Label(1, (1, 2, 3, 4), 0.5, "tracking", 0)})
    (tmp_path / "t.yolo").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match=r"cannot be made \(.*\); the boxes are kept in .*t\.yolo\.part\.jsonl"):
        records.close()
    assert (tmp_path / "t.yolo.part.jsonl").read_text().count("\n") == 1
    with pytest.raises(OutputError, match=r"none/t\.xml: cannot be written \(No such file"):
        result().save(tmp_path / "none" / "t.xml")


def test_a_result_tells_of_itself() -> None:
    found = result()
    assert found.frame_count == 12
    assert "labelled 14 boxes of 2 targets from 1 drawn ones; 1 uncertain, 1 lost" in found.text()
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["media"]["size"] == [160, 120]
    assert len(plain["rows"]) == 14
    assert plain["rows"][0]["keyframe"]


def test_suggestions_name_the_worst_stretch_and_then_single_frames() -> None:
    builder = ResultBuilder()
    for frame in range(100):
        agreement = 0.1 if 40 <= frame < 52 else 0.4 if frame in (80, 81) else 0.7 if frame == 20 else 0.95
        builder.add(0, Label("a", (1, 2, 3, 4), 0.9, "tracking", frame, frame in (0, 99), agreement))
    for frame in range(30):
        state = "lost" if frame >= 25 else "tracking"
        builder.add(0, Label("b", (1, 2, 3, 4), 0.9, state, frame))  # type: ignore[arg-type]  # one of them
    found = builder.build(Media("x", 25, (9, 9), 100)).suggest(4)
    assert [(item.id, item.first, item.last) for item in found] == [
        ("a", 40, 51), ("b", 25, 29), ("a", 80, 81), ("a", 20, 20),
    ]  # fmt: skip
    assert 44 <= found[0].frame <= 47
    assert "overlap by 0.10" in found[0].reason
    assert "lost" in found[1].reason
    assert found[0].to_dict()["frame"] == found[0].frame
    assert ResultBuilder().build(MEDIA).suggest() == []
    with pytest.raises(ValueError, match="count must be 1"):
        result().suggest(0)


def test_yolo_says_nothing_of_frames_that_nobody_looked_at(tmp_path: Path) -> None:
    records = open_records(tmp_path / "t.yolo", MEDIA)
    for index in (4, 5, 6):
        records.write(
            Frame(index, 0.0, np.zeros((1, 1, 3), np.uint8)), {1: Label(1, (1, 2, 3, 4), 0.5, "tracking", index)}
        )
    records.close()
    written = [f"{index:06d}.txt" for index in (4, 5, 6)]
    assert sorted(path.name for path in (tmp_path / "t.yolo" / "labels").iterdir()) == written
    (tmp_path / "t.csv").write_text("frame,id,x,y,w,h\n4,a,1,2,3,4\n6,a,1,2,3,4\n")
    read_result(tmp_path / "t.csv", MEDIA).save(tmp_path / "read.yolo")
    found = sorted(path.name for path in (tmp_path / "read.yolo" / "labels").iterdir())
    assert found == ["000004.txt", "000006.txt"]
    builder = ResultBuilder()
    for _, time_s, labels in result().rows():
        for label in labels.values():
            builder.add(time_s, label)
    builder.build(MEDIA, interrupted=True).save(tmp_path / "half.yolo")
    found = sorted(path.name for path in (tmp_path / "half.yolo" / "labels").iterdir())
    assert found == [f"{index:06d}.txt" for index in range(12) if index not in (4, 5, 7)]


def test_a_target_is_not_said_to_be_gone_where_a_run_was_interrupted(tmp_path: Path) -> None:
    builder = ResultBuilder()
    for frame in (0, 1, 2, 6, 7):
        builder.add(frame / 25, Label(1, (1, 2, 3, 4), 0.5, "tracking", frame))
    for interrupted, gone in ((True, ["8"]), (False, ["3", "8"])):
        builder.build(MEDIA, interrupted=interrupted).save(tmp_path / "t.xml")
        boxes = ET.parse(tmp_path / "t.xml").getroot().iter("box")  # noqa: S314 (ours)
        assert [box.get("frame") for box in boxes if box.get("outside") == "1"] == gone


def test_coco_has_no_image_of_a_frame_with_nothing_but_a_lost_target(tmp_path: Path) -> None:
    builder = ResultBuilder()
    for frame in range(6):
        state = "lost" if frame in (2, 3) else "tracking"
        builder.add(frame / 25, Label("a", (1, 2, 3, 4), 0.5, state, frame))  # type: ignore[arg-type]  # one of the three
    builder.add(3 / 25, Label("b", (5, 6, 7, 8), 0.5, "tracking", 3))
    builder.build(Media("clip.mp4", 25, (160, 120), 6)).save(tmp_path / "t.coco.json")
    written = json.loads((tmp_path / "t.coco.json").read_text())
    assert [image["frame_id"] for image in written["images"]] == [0, 1, 3, 4, 5]
    assert {entry["image_id"] for entry in written["annotations"]} == {1, 2, 4, 5, 6}


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_what_is_known_of_gaps_and_classes_survives_a_table(tmp_path: Path, ending: str) -> None:
    builder, media = ResultBuilder({"a": "car"}), replace(MEDIA, frames=60)
    for frame in (2, 3, 40, 41):
        builder.add(frame / 25, Label("a", (1, 2, 3, 4), 0.5, "tracking", frame))
    whole = builder.build(media)
    whole.save(tmp_path / f"t.{ending}")
    again = read_result(tmp_path / f"t.{ending}", media)
    for number, found in enumerate((whole, again)):
        found.save(tmp_path / f"{number}.xml")
        boxes = ET.parse(tmp_path / f"{number}.xml").getroot().iter("box")  # noqa: S314  (our own file)
        assert [box.get("frame") for box in boxes if box.get("outside") == "1"] == ["4", "42"]
    again.save(tmp_path / "t.yolo")
    # A table does not tell whether its gaps were looked at, and an empty file would.
    assert len(list((tmp_path / "t.yolo" / "labels").iterdir())) == 4
    assert again.targets["a"].label == ("a" if ending == "csv" else "car")


def test_a_folder_without_a_name_gives_its_images_one(tmp_path: Path) -> None:
    for name in (".", "..", "clips/.."):
        result(Media(name, 25, (160, 120), 12)).save(tmp_path / "t.coco.json")
        first = json.loads((tmp_path / "t.coco.json").read_text())["images"][0]
        assert first["file_name"] == "images/000000.jpg"


def test_a_label_may_be_left_empty(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"frame": 0, "id": "a", "box": [1, 2, 3, 4], "label": null}]')
    assert read_result(tmp_path / "t.json", MEDIA).targets["a"].label == "a"
    (tmp_path / "t.json").write_text('[{"frame": 0, "id": "a", "box": [1, 2, 3, 4], "label": 7}]')
    with pytest.raises(DataError, match="record 0: expected"):
        read_result(tmp_path / "t.json", MEDIA)


def test_finding_what_was_looked_at_between_two_frames_does_not_walk_the_whole_clip() -> None:
    class Counted(tuple[tuple[int, int], ...]):
        asked = 0

        def __getitem__(self, place: Any) -> Any:
            Counted.asked += 1
            return super().__getitem__(place)

    looked = Counted((2 * number, 2 * number + 1) for number in range(10_000))
    clip = replace(result(Media("clip.mp4", 25, (160, 120), 20_000)), looked=looked)
    assert list(clip.looked_at(15_001, 15_006)) == [15_002, 15_004]
    assert list(clip.looked_at(15_001, 15_002)) == []
    assert list(clip.looked_at(19_990)) == list(range(19_990, 20_000, 2))
    assert Counted.asked < 80


def test_frames_that_a_stream_dropped_are_not_said_to_be_empty(tmp_path: Path) -> None:
    for name in ("live.yolo", "live.xml", "live.coco.json"):
        records = open_records(tmp_path / name, MEDIA)
        for index in (0, 3, 4, 5):
            found = {} if index == 4 else {1: Label(1, (1, 2, 3, 4), 0.5, "tracking", index)}
            records.write(Frame(index, 0.0, np.zeros((1, 1, 3), np.uint8)), found)
        records.close()
    texts = {path.name: path.read_text() for path in (tmp_path / "live.yolo" / "labels").iterdir()}
    assert sorted(texts) == ["000000.txt", "000003.txt", "000004.txt", "000005.txt"]
    assert texts["000004.txt"] == ""
    images = json.loads((tmp_path / "live.coco.json").read_text())["images"]
    assert [(image["id"], image["frame_id"]) for image in images] == [(1, 0), (4, 3), (5, 4), (6, 5)]
    boxes = ET.parse(tmp_path / "live.xml").findall(".//box")  # noqa: S314  (our own file)
    places = [(int(box.attrib["frame"]), box.attrib["outside"]) for box in boxes]
    assert places[:4] == [(0, "0"), (3, "0"), (4, "1"), (5, "0")]


def test_names_of_digits_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("frame,id,x,y,w,h\n0,7,1,2,3,4\n0,07,5,6,7,8\n0,\u0667,5,6,7,8\n", encoding="utf-8")
    assert list(read_result(tmp_path / "t.csv", MEDIA).targets) == [7, "07", "\u0667"]
