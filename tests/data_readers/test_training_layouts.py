"""Training sets and people's own data: folders, archives, databases, videos, JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from dataset_trees import Files, got10k_sequence, images, jpeg, rows, stored_as, write

from ostrack.data.benchmarks import load
from ostrack.data.benchmarks.coco import decode_mask
from ostrack.data.benchmarks.got10k import train_names
from ostrack.errors import DataError

FORMS = pytest.mark.parametrize("form", ["folder", "zip", "lmdb"])


def _open(form: str, root: Path, split: str = "") -> Any:
    stored_as(form, root)
    return load(root if form == "folder" else root.with_name(f"{root.name}.{form}"), split=split)


@FORMS
def test_got10k_training_splits(form: str, tmp_path: Path) -> None:
    # Position 1 (sequence 2) is in the validation list; position 4 (sequence 5) is left out for VOT.
    files: Files = {"train/list.txt": "\n".join(train_names("train"))}
    for number in range(1, 7):
        files.update(got10k_sequence(f"train/GOT-10k_Train_{number:06d}", 3))
    root = write(tmp_path / "GOT-10k", files)
    expected = {
        "train": [1, 2, 3, 4, 5, 6],
        "train_7934": [1, 3, 4, 5, 6],
        "val_1401": [2],
        "vot_train": [1, 3, 4, 6],
        "vot_val": [2],
        "vot_clean": [1, 2, 3, 5, 6],
    }
    for split, numbers in expected.items():
        opened = _open(form, root, split) if split == "train" else load(_path(form, root), split=split)
        assert opened.names == tuple(f"GOT-10k_Train_{number:06d}" for number in numbers), split
        assert len(opened.names) + len(opened.missing) == len(train_names(split))


def _path(form: str, root: Path) -> Path:
    return root if form == "folder" else root.with_name(f"{root.name}.{form}")


def test_trackingnet_chunks(tmp_path: Path) -> None:
    files: Files = {}
    for chunk, name in ((0, "a_0"), (3, "b_1")):
        files.update({f"TRAIN_{chunk}/frames/{name}/{i}.jpg": jpeg(i) for i in range(3)})
        files[f"TRAIN_{chunk}/anno/{name}.txt"] = "0,1,2,3\n4,5,0,0\n6,7,8,9\n"
    root = write(tmp_path, files)
    train = load(root)
    assert (train.split, train.names, len(train.missing)) == ("train", ("a_0", "b_1"), 10)
    np.testing.assert_array_equal(train["b_1"].visible, [1, 0, 1])
    np.testing.assert_array_equal(train["b_1"].boxes[0], [0, 1, 2, 3])
    assert load(root, split="train_3").names == ("b_1",)
    with pytest.raises(DataError, match="TrackingNet without a single sequence of the split 'train_4'"):
        load(root, split="train_4")


def test_trackingnet_as_downloaded_with_frames_in_archives(tmp_path: Path) -> None:
    frames = write(tmp_path / "frames", {f"{i}.jpg": jpeg(i * 20) for i in range(11)})
    stored_as("zip", frames)
    root = write(tmp_path / "TN", {"TRAIN_1/anno/v_0.txt": rows(11)})
    (root / "TRAIN_1" / "zips").mkdir()
    (tmp_path / "frames.zip").rename(root / "TRAIN_1" / "zips" / "v_0.zip")
    sequence = load(root)["v_0"]
    assert len(sequence) == 11
    assert abs(float(sequence.frames[10][..., 0].mean()) - 200) < 5
    assert sequence.frames.name(10).endswith("v_0.zip!/10.jpg")


def test_trackingnet_as_the_official_databases(tmp_path: Path) -> None:
    tree = write(tmp_path / "TRAIN_2", {**{f"frames/v/{i}.jpg": jpeg(i) for i in range(3)}, "anno/v.txt": rows(3)})
    stored_as("lmdb", tree)
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "TRAIN_2.lmdb").rename(root / "TRAIN_2_lmdb")
    write(root, {"seq_list.json": json.dumps([[2, "v"]])})
    train = load(root)
    assert (train.kind, train.names) == ("trackingnet", ("v",))
    assert train["v"].frames[2].shape == (12, 16, 3)


def _coco(masks: bool) -> dict[str, Any]:
    objects = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 4, 5], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 16, 12], "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 4, "bbox": [3, 3, 0, 4], "iscrowd": 0},
        {"id": 4, "image_id": 7, "category_id": 4, "bbox": [6, 6, 2, 2], "iscrowd": 0},
        {"id": 5, "image_id": 8, "category_id": 4, "bbox": [0, 0, 0, 0], "iscrowd": 0},
    ]
    if masks:
        objects[0]["segmentation"] = [[1, 2, 5, 2, 5, 7, 1, 7]]
        # Column order: six columns of 12 and six pixels of background, then two columns of the target.
        objects[3]["segmentation"] = {"size": [12, 16], "counts": [78, 2, 10, 2, 100]}
    return {
        "images": [
            {"id": 7, "file_name": "7.jpg", "width": 16, "height": 12},
            {"id": 8, "file_name": "8.jpg", "width": 16, "height": 12},
        ],
        "annotations": objects,
        "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
    }


@FORMS
@pytest.mark.parametrize("place", ["train2017/", "images/train2017/"])
def test_coco_2017(form: str, place: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "coco",
        {"annotations/instances_train2017.json": json.dumps(_coco(masks=True)), f"{place}7.jpg": jpeg(50)},
    )
    coco = _open(form, root)
    assert (coco.kind, coco.split, coco.names) == ("coco", "train2017", ("7.jpg",))
    image = coco[0]
    # The crowd region and the box without area are gone.
    np.testing.assert_array_equal(image.boxes, [[1, 2, 4, 5], [6, 6, 2, 2]])
    assert image.categories == ("cat", "dog")
    assert image.frames[0].shape == (12, 16, 3)
    for index, (x, y, w, h) in enumerate(image.boxes.astype(int)):
        mask = image.mask(index)
        assert mask is not None
        expected = np.zeros((12, 16), bool)
        expected[y : y + h, x : x + w] = True
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("place", ["", "images/"])
def test_own_json_without_masks(place: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"export.json": json.dumps(_coco(masks=False)), f"{place}7.jpg": jpeg(50)})
    own = load(root)
    assert (own.kind, own.split, len(own)) == ("coco", "export", 1)
    assert own[0].mask(0) is None


def test_coco_errors(tmp_path: Path) -> None:
    root = write(tmp_path, {"annotations/instances_val2017.json": json.dumps(_coco(masks=False))})
    with pytest.raises(
        DataError, match=r"instances_val2017\.json: none of its images, as 7\.jpg, is in '\.', 'images/'"
    ):
        load(root)
    with pytest.raises(DataError, match="no split 'train2017'; found val2017"):
        load(root, split="train2017")
    write(root, {"annotations/instances_val2017.json": '{"images": [}'})
    with pytest.raises(DataError, match=r"instances_val2017\.json:1: not JSON"):
        load(root)
    write(
        root, {"annotations/instances_val2017.json": '{"images": [], "annotations": [{"id": 1, "bbox": [1, 2, 3, 4]}]}'}
    )
    with pytest.raises(DataError, match=r"instances_val2017\.json: not of COCO's form: KeyError\('image_id'\)"):
        load(root)


def test_coco_boxes_without_area_are_counted(tmp_path: Path) -> None:
    content = _coco(masks=False)
    content["annotations"].append({"id": 6, "image_id": 7, "category_id": 4, "bbox": [float("nan"), 2, 3, 4]})
    content["annotations"].append({"id": 7, "image_id": 7, "category_id": 4, "bbox": [1, 2, 0, 0], "iscrowd": 1})
    found = load(write(tmp_path, {"export.json": json.dumps(content), "7.jpg": jpeg()}))
    assert found.left_out == 3, "two of no width and one of no number; a crowd is none of them"
    np.testing.assert_array_equal(found[0].boxes, [[1, 2, 4, 5], [6, 6, 2, 2]])


def _pack_runs(runs: list[int]) -> str:
    """COCO's string of run lengths: 5 bits a character, differences from two runs before."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(bits + (32 if more else 0) + 48)
    return text


def test_polygons_cover_pixel_centres() -> None:
    # A diamond about pixel 10, 6 (its centre at 10.5, 6.5) with half a diagonal of 2.6: rows of 1, 3, 5, 3, 1 pixels.
    mask = decode_mask([[10.5, 3.9, 13.1, 6.5, 10.5, 9.1, 7.9, 6.5]], 12, 16)
    assert mask.sum(1).tolist() == [0, 0, 0, 0, 1, 3, 5, 3, 1, 0, 0, 0]
    assert mask.sum(0).tolist() == [0] * 8 + [1, 3, 5, 3, 1] + [0] * 3
    # Two parts, one of them over the edge.
    both = decode_mask([[-5, -5, 2, -5, 2, 3, -5, 3], [14, 10, 99, 10, 99, 99, 14, 99]], 12, 16)
    expected = np.zeros((12, 16), bool)
    expected[:3, :2] = expected[10:, 14:] = True
    np.testing.assert_array_equal(both, expected)


def test_packed_masks() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((37, 53), bool)
    mask[5:30, 7:50] = rng.random((25, 43)) < 0.7
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    np.testing.assert_array_equal(decode_mask({"counts": runs, "size": [37, 53]}, 37, 53), mask)
    np.testing.assert_array_equal(decode_mask({"counts": _pack_runs(runs), "size": [37, 53]}, 37, 53), mask)
    with pytest.raises(ValueError, match="runs of 5 pixels for an image of 53 x 37"):
        decode_mask({"counts": [2, 3]}, 37, 53)


def _xml(*objects: tuple[int, int, int]) -> str:
    body = "".join(
        f"<object><trackid>{track}</trackid><name>n1</name><bndbox><xmax>{x + 4}</xmax><xmin>{x}</xmin><ymax>7</ymax>"
        f"<ymin>2</ymin></bndbox><occluded>{occluded}</occluded><generated>0</generated></object>"
        for track, x, occluded in objects
    )
    return f"<annotation><size><width>16</width><height>12</height></size>{body}</annotation>"


@FORMS
def test_imagenet_vid(form: str, tmp_path: Path) -> None:
    clip = "ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000001"
    labels = [_xml((0, 1, 0)), _xml((0, 2, 1), (1, 9, 0)), _xml((1, 10, 0)), _xml((0, 4, 0), (1, 11, 0)), _xml()]
    root = write(
        tmp_path / "vid",
        {
            **{f"Annotations/VID/train/{clip}/{i:06d}.xml": text for i, text in enumerate(labels)},
            **images(f"Data/VID/train/{clip}", range(5), 6, end="JPEG"),
        },
    )
    vid = _open(form, root)
    assert vid.names == (f"{clip}#0", f"{clip}#1")
    first, second = vid
    # From the first to the last label, with a gap; occluded frames keep their box.
    np.testing.assert_array_equal(first.boxes[:, 0], [1, 2, np.nan, 4])
    np.testing.assert_array_equal(first.visible, [1, 0, 0, 1])
    np.testing.assert_array_equal(first.boxes[0], [1, 2, 4, 5])
    np.testing.assert_array_equal(second.boxes[:, 0], [9, 10, 11])
    assert second.frames.name(0).endswith("000001.JPEG")
    assert second.frames[0].shape == (12, 16, 3)


def test_imagenet_vid_from_the_official_cache(tmp_path: Path) -> None:
    entry = {
        "set_id": 2, "vid_id": 33, "class_name": "n1", "start_frame": 4, "anno": [[1, 2, 3, 4], [1, 2, 0, 0]],
        "target_visible": [1, 1], "image_shape": [16, 12],
    }  # fmt: skip
    clip = "Data/VID/train/ILSVRC2015_VID_train_0002/ILSVRC2015_train_00000033"
    root = write(tmp_path, {"cache.json": json.dumps([entry]), **images(clip, range(4, 6), 6, end="JPEG")})
    sequence = load(root)[0]
    np.testing.assert_array_equal(sequence.visible, [1, 0])
    assert sequence.frames[1].shape == (12, 16, 3)
    other = write(tmp_path / "other", {"cache.json": '[{"set_id": 1}]'})
    with pytest.raises(DataError, match=r"cache\.json: expected a list of objects with anno, set_id"):
        load(other)


@FORMS
def test_own_clips(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "own",
        {
            **images("home/cat/img", range(9, 12), 1),
            "home/cat/groundtruth.txt": "1,2,3,4\nnan,nan,nan,nan\n5,6,7,8\n",
            **images("dog", range(3), 1, "frame"),
            "dog/groundtruth.csv": "x,y,w,h,frame,comment\n1,2,3,4,0,start\n,,,,1,\n".replace(
                ",,,,1,", "9,9,0,0,1,gone"
            ),
            "index.json": "[]",
        },
    )
    own = _open(form, root)
    assert (own.kind, own.names) == ("folder", ("dog", "home/cat"))
    cat = own["home/cat"]
    assert [cat.frames.name(i).rpartition("/")[2] for i in range(3)] == ["9.jpg", "10.jpg", "11.jpg"]
    np.testing.assert_array_equal(cat.visible, [1, 0, 1])
    np.testing.assert_array_equal(cat.boxes[0], [1, 2, 3, 4])
    np.testing.assert_array_equal(own["dog"].visible, [1, 0, 0])


def test_numbers_with_exponents_are_no_header(tmp_path: Path) -> None:
    root = write(tmp_path, images("a/img", range(3)))
    boxes = np.array([[1.5, 2, 3, 4], [np.nan] * 4, [10, 20, 30, 40]])
    np.savetxt(root / "a" / "groundtruth.txt", boxes, delimiter=",")
    np.testing.assert_allclose(load(root)["a"].boxes, boxes)


def test_what_the_package_writes_of_one_target_is_a_label_file(tmp_path: Path) -> None:
    # Where a target is lost, a tracker goes on writing the box it had last.
    table = (
        "frame,time,id,x,y,w,h,score,state,confidence\n"
        "0,0.0000,car,1.000,2.000,3.000,4.000,1.0000,tracking,1.0000\n"
        "1,0.0400,car,1.000,2.000,3.000,4.000,0.1000,lost,0.0100\n"
        "2,0.0800,car,5.000,6.000,7.000,8.000,0.6000,uncertain,0.5000\n"
    )
    own = load(write(tmp_path, {**images("a/img", range(3)), "a/groundtruth.csv": table}))["a"]
    np.testing.assert_array_equal(own.visible, [1, 0, 1])
    np.testing.assert_array_equal(own.boxes[2], [5, 6, 7, 8])


def _video(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return path


def test_own_videos(tmp_path: Path) -> None:
    _video(tmp_path / "a" / "film.mp4", 6)
    _video(tmp_path / "flat" / "clip 1.mp4", 4)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["frame", "x", "y", "w", "h"], [0, 1, 2, 3, 4], [3, 5.5, 6, 7, 8]])
    write(tmp_path, {"a/groundtruth.txt": rows(6), "flat/clip 1.csv": table.getvalue(), "flat/notes.txt": "nothing"})
    own = load(tmp_path)
    assert own.names == ("a", "flat/clip 1")
    assert len(own["a"]) == 6
    clip = own["flat/clip 1"]
    np.testing.assert_array_equal(clip.visible, [1, 0, 0, 1])
    np.testing.assert_array_equal(clip.boxes[3], [5.5, 6, 7, 8])
    assert clip.frames[3].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("groundtruth.txt", rows(3)), r"a: 2 frames in .*a/img but 3 boxes in .*a/groundtruth\.txt"),
        (
            ("groundtruth.csv", "frame,left,y,w,h\n0,1,2,3,4"),
            r"csv:1: expected the columns frame,x,y,w,h, found 'frame,left",
        ),
        (("groundtruth.csv", "frame,x,y,w,h\n0,1,2,3,4\n2,1,2,3,4"), r"csv:3: frame 2, but the clip has frames 0 to 1"),
        (("groundtruth.csv", "frame,x,y,w,h\n0,1,b,3,4"), r"csv:2: expected numbers, found '0,1,b,3,4'"),
        (
            ("groundtruth.csv", "frame,id,x,y,w,h\n0,a,1,2,3,4\n0,b,5,6,7,8"),
            r"csv:3: frame 0 a second time; expected one target's boxes",
        ),
        (("groundtruth.txt", ""), r"groundtruth\.txt: empty"),
    ],
)
def test_own_clips_that_are_wrong(labels: tuple[str, str], message: str, tmp_path: Path) -> None:
    root = write(tmp_path, {**images("a/img", range(2)), f"a/{labels[0]}": labels[1]})
    with pytest.raises(DataError, match=message):
        load(root)["a"]


def test_own_clip_without_frames(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a: no images there"):
        load(write(tmp_path, {"a/groundtruth.txt": rows(2)}))["a"]


def test_sequences_laid_beside_the_repository(shared: Path) -> None:
    folder = shared / "sequences"
    own = load(folder)
    index = {f"{e['source']}/{e['name']}": e for e in json.loads((folder / "index.json").read_text())}
    assert set(own.names) == set(index)
    for sequence in own:
        entry = index[sequence.name]
        assert len(sequence) == entry["frames"]
        assert int((~sequence.visible).sum()) == entry["absent_frames"]
        assert sequence.frames[0].shape == (entry["height"], entry["width"], 3)
