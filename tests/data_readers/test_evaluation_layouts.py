"""Each benchmark in the layout it is downloaded in, from a folder, a zip archive and an LMDB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_trees import Files, got10k_sequence, images, jpeg, lasot_sequence, rows, stored_as, write

from ostrack.data.benchmarks import KINDS, SequenceSet, load, recognise
from ostrack.errors import DataError

FORMS = pytest.mark.parametrize("form", ["folder", "zip", "lmdb"])


def _load(form: str, root: Path, kind: str, split: str = "") -> SequenceSet:
    storage = stored_as(form, root)
    found = recognise(storage)
    assert found is not None
    assert found[0] == kind
    return load(root if form == "folder" else root.with_name(f"{root.name}.{form}"), split=split)


@FORMS
def test_otb_in_every_form(form: str, tmp_path: Path) -> None:
    root = write(tmp_path / "OTB", {**images("Deer/img", range(1, 72)), "Deer/groundtruth_rect.txt": rows(71)})
    deer = _load(form, root, "otb100")["Deer"]
    assert deer.frames[70].shape == (12, 16, 3)
    np.testing.assert_array_equal(deer.boxes[1], [1, 0, 4, 5])


def test_otb_ranges(tmp_path: Path) -> None:
    root = write(
        tmp_path / "OTB100",
        {
            **images("David/img", range(1, 771)),
            "David/groundtruth_rect.txt": rows(471),
            **images("BlurCar3/img", range(3, 360)),
            "BlurCar3/groundtruth_rect.txt": rows(357, delimiter="\t"),
            **images("Football1/img", range(1, 82)),
            "Football1/groundtruth_rect.txt": rows(74),
            **images("Board/img", range(1, 699), digits=5),
            "Board/groundtruth_rect.txt": rows(697) + "0,0,0,0\n",
            **images("Tiger1/img", range(1, 355)),
            "Tiger1/groundtruth_rect.txt": rows(354),
            **images("Jogging/img", range(1, 308)),
            "Jogging/groundtruth_rect.1.txt": rows(307),
            "Jogging/groundtruth_rect.2.txt": rows(307, first=7),
            **images("Human4/img", range(1, 668)),
            "Human4/groundtruth_rect.1.txt": "",
            "Human4/groundtruth_rect.2.txt": rows(667),
            "notes.md": "not a sequence",
        },
    )
    otb = load(root)
    assert otb.kind == "otb100"
    assert otb.names == ("BlurCar3", "Board", "David", "Football1", "Human4-2", "Jogging-1", "Jogging-2", "Tiger1")
    assert len(otb.names) + len(otb.missing) == 100
    david = otb["David"]
    assert len(david) == 471
    assert david.frames.name(0).endswith("David/img/0300.jpg")
    assert david.frames.name(470).endswith("David/img/0770.jpg")
    assert david.attributes == ("IV", "SV", "OCC", "DEF", "MB", "IPR", "OPR")
    # MATLAB's first pixel is 1.
    np.testing.assert_array_equal(david.boxes[0], [0, 0, 4, 5])
    assert david.first_pixel == 1
    assert otb["BlurCar3"].frames.name(0).endswith("0003.jpg")
    assert len(otb["Football1"]) == 74
    board = otb["Board"]
    assert board.frames.name(0).endswith("Board/img/00001.jpg")
    assert not board.visible[-1]
    assert np.isnan(board.boxes[-1]).all()
    tiger = otb["Tiger1"]
    assert len(tiger) == 349
    assert tiger.frames.name(0).endswith("0006.jpg")
    np.testing.assert_array_equal(tiger.boxes[0], [5, 0, 4, 5])
    np.testing.assert_array_equal(otb["Jogging-2"].boxes[0], [6, 6, 4, 5])
    assert otb["Jogging-2"].frames.name(0) == otb["Jogging-1"].frames.name(0)


UAV: Files = {
    **images("data_seq/UAV123/bird1", range(1, 2438), digits=6),
    "anno/UAV123/bird1_1.txt": rows(253),
    "anno/UAV123/bird1_2.txt": rows(700) + "NaN,NaN,NaN,NaN\n" * 3,
    "anno/UAV123/att/bird1_2.txt": "1,1,0,1,0,0,0,0,1,1,1,1",
    "anno/UAV20L/bird1.txt": rows(2437),
}


def test_uav123_and_uav20l_share_folders(tmp_path: Path) -> None:
    root = write(tmp_path / "UAV", UAV)
    uav = load(root)
    assert uav.kind == "uav123"
    assert uav.names == ("bird1_1", "bird1_2")
    second = uav["bird1_2"]
    assert second.frames.name(0).endswith("bird1/000775.jpg")
    assert second.frames.name(702).endswith("bird1/001477.jpg")
    assert second.visible.sum() == 700
    assert np.isnan(second.boxes[-3:]).all()
    assert second.attributes == ("SV", "ARC", "FM", "IV", "VC", "CM", "SOB")
    whole = load(root, "uav20l")["bird1"]
    assert len(whole) == 2437
    assert whole.dataset == "uav20l"


def test_uav123_at_ten_frames_a_second_in_its_own_archive_folder(tmp_path: Path) -> None:
    root = write(
        tmp_path / "x",
        {
            **images("UAV123_10fps/data_seq/UAV123_10fps/uav2", range(1, 46), digits=6),
            "UAV123_10fps/anno/UAV123_10fps/uav2.txt": rows(45),
        },
    )
    assert load(root).kind == "uav123_10fps"
    assert len(load(root)["uav2"]) == 45


def test_uavdt(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **images("UAV-benchmark-S/S0101", range(1, 4), 6, "img"),
            "anno/S0101_gt.txt": rows(3),
            "anno/S0102_gt.txt": rows(3),
        },
    )
    uavdt = load(root)
    assert (uavdt.kind, uavdt.names, uavdt.missing) == ("uavdt", ("S0101",), ("S0102",))
    assert uavdt["S0101"].frames.name(2).endswith("S0101/img000003.jpg")


def test_dtb70(tmp_path: Path) -> None:
    root = write(tmp_path, {**images("BMX2/img", range(1, 4), 5), "BMX2/groundtruth_rect.txt": "5.5,4,3,2\n" * 3})
    dtb = load(root)
    assert (dtb.kind, dtb.names, len(dtb.missing)) == ("dtb70", ("BMX2",), 69)
    np.testing.assert_array_equal(dtb["BMX2"].boxes[0], [4.5, 3, 3, 2])


@FORMS
def test_lasot(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "LaSOT",
        {
            **lasot_sequence("airplane/airplane-1", 6, hidden=(2,), outside=(3,)),
            **lasot_sequence("airplane/airplane-2", 5),
            "airplane/airplane-2/img/00000006.jpg": jpeg(),
        },
    )
    test = _load(form, root, "lasot")
    assert (test.split, test.names, len(test.missing)) == ("test", ("airplane-1",), 279)
    first = test["airplane-1"]
    np.testing.assert_array_equal(first.visible, [1, 1, 0, 0, 1, 1])
    # Occluded targets keep their box.
    assert np.isfinite(first.boxes).all()
    np.testing.assert_array_equal(first.boxes[0], [0, 0, 4, 5])
    np.testing.assert_array_equal(first.frame_labels["full_occlusion"], [0, 0, 1, 0, 0, 0])
    train = load(root, "lasot", "train")
    assert (train.names, len(train.names) + len(train.missing)) == (("airplane-2",), 1120)
    # More images than labels, as in monkey-17: the labels decide.
    assert len(train["airplane-2"]) == 5
    assert load(root, "lasot", "all").names == ("airplane-1", "airplane-2")


def test_lasot_extension_counts_pixels_as_they_are(tmp_path: Path) -> None:
    extension = load(write(tmp_path, lasot_sequence("atv/atv-3", 4)))
    assert (extension.kind, extension.names, len(extension.missing)) == ("lasot_ext", ("atv-3",), 149)
    np.testing.assert_array_equal(extension["atv-3"].boxes[0], [1, 1, 4, 5])


@FORMS
def test_got10k_val_and_test(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "GOT-10k",
        {
            **got10k_sequence("val/GOT-10k_Val_000001", 5, absent=(1,), hidden=(2,)),
            "val/list.txt": "GOT-10k_Val_000001\nGOT-10k_Val_000002\n",
            **{f"test/GOT-10k_Test_000001/{i:08d}.jpg": jpeg(i) for i in range(1, 5)},
            "test/GOT-10k_Test_000001/groundtruth.txt": "1.0000,2.0000,3.0000,4.0000\n",
            "test/list.txt": "GOT-10k_Test_000001\n",
        },
    )
    val = _load(form, root, "got10k")
    assert (val.split, val.names, val.missing) == ("val", ("GOT-10k_Val_000001",), ("GOT-10k_Val_000002",))
    first = val[0]
    np.testing.assert_array_equal(first.visible, [1, 0, 0, 1, 1])
    np.testing.assert_array_equal(first.cover, [1, 1, 0, 1, 1])
    np.testing.assert_array_equal(first.frame_labels["cut"], [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(first.boxes[0], [0, 2, 4, 5])
    test = load(root, "got10k", "test")[0]
    assert len(test) == 4
    np.testing.assert_array_equal(test.visible, [1, 0, 0, 0])
    np.testing.assert_array_equal(test.boxes[0], [1, 2, 3, 4])
    assert np.isnan(test.boxes[1:]).all()


def test_got10k_split_folder_as_root(tmp_path: Path) -> None:
    root = write(tmp_path, got10k_sequence("GOT-10k_Val_000007", 3))
    assert load(root, split="val").names == ("GOT-10k_Val_000007",)
    with pytest.raises(DataError, match="no GOT-10k sequences; the split test needs them"):
        load(root, split="test")
    with pytest.raises(DataError, match="got10k has no split 'vott'; choose from val, test, train"):
        load(root, split="vott")


@FORMS
def test_trackingnet_test(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "TN",
        {**{f"TEST/frames/abc_0/{i}.jpg": jpeg(i) for i in range(12)}, "TEST/anno/abc_0.txt": "1,2,3,4\n"},
    )
    sequence = _load(form, root, "trackingnet")["abc_0"]
    # 10.jpg follows 9.jpg.
    assert [sequence.frames.name(i).rpartition("/")[2] for i in (1, 2, 10, 11)] == [
        "1.jpg",
        "2.jpg",
        "10.jpg",
        "11.jpg",
    ]
    np.testing.assert_array_equal(sequence.visible, [True] + [False] * 11)


@FORMS
def test_tnl2k(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "TNL2K",
        {
            **images("Bird_27-Done/imgs", range(1, 4), 5, end="png"),
            "Bird_27-Done/groundtruth.txt": rows(2) + "0,0,0,0\n",
            "Bird_27-Done/language.txt": "the bird",
        },
    )
    sequence = _load(form, root, "tnl2k")["Bird_27-Done"]
    np.testing.assert_array_equal(sequence.visible, [1, 1, 0])
    np.testing.assert_array_equal(sequence.boxes[0], [1, 1, 4, 5])


def _nfs_label(frame: int, lost: int = 0) -> str:
    return f'0 {10 + frame} 20 {30 + frame} 50 {frame + 1} {lost} 0 1 "car wheel"'


@FORMS
def test_nfs(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "NfS",
        {
            **images("bee/240/bee", range(1, 34), 5),
            "bee/240/bee.txt": "\n".join(_nfs_label(i, lost=int(i == 4)) for i in range(32)),
            **images("bee/30/bee", range(1, 6), 5),
            "bee/30/bee.txt": "\n".join(_nfs_label(i) for i in range(33)),
        },
    )
    slow = _load(form, root, "nfs")
    assert slow.split == "30"
    sequence = slow["bee"]
    assert len(sequence) == 5
    # Corners become widths, and every eighth label is taken.
    np.testing.assert_array_equal(sequence.boxes[:, 0], [10, 18, 26, 34, 42])
    np.testing.assert_array_equal(sequence.boxes[0], [10, 20, 20, 30])
    # One label less than images, as in ten sequences of the set.
    fast = load(root, "nfs", "240")["bee"]
    assert len(fast) == 32
    assert not fast.visible[4]
    assert fast.visible.sum() == 31


@FORMS
def test_vot(form: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "vot",
        {
            "list.txt": "ants1\nbag\nmask\nold\ngone\n",
            **images("ants1/color", range(1, 4), 8),
            "ants1/groundtruth.txt": "10,0,20,10,10,20,0,10\n1,1,5,1,5,4,1,4\n1,1,5,1,5,4,1,4\n",
            "ants1/occlusion.tag": "0\n1\n",
            "ants1/camera_motion.tag": "0\n0\n0\n",
            **images("bag/rgb", range(1, 3), 8),
            "bag/sequence": "channels.color=rgb/%08d.jpg\nfps=30\n",
            "bag/groundtruth.txt": "1,2,3,4\nnan,nan,nan,nan\n",
            **images("mask/color", range(1, 3), 8),
            # A 4 x 3 window at 10, 20: five background pixels, two of the target, the rest background.
            "mask/groundtruth.txt": "m10,20,4,3,5,2,5\n0\n",
            **images("old", range(1, 3), 8),
            "old/groundtruth.txt": "1\t2\t3\t4\n5\t6\t7\t8\n",
        },
    )
    vot = _load(form, root, "vot")
    assert (vot.names, vot.missing) == (("ants1", "bag", "mask", "old"), ("gone",))
    ants = vot["ants1"]
    np.testing.assert_array_equal(ants.boxes, [[0, 0, 20, 20], [1, 1, 4, 3], [1, 1, 4, 3]])
    assert ants.region is not None
    np.testing.assert_array_equal(ants.region[0], [10, 0, 20, 10, 10, 20, 0, 10])
    np.testing.assert_array_equal(ants.frame_labels["occlusion"], [0, 1, 0])
    assert ants.attributes == ("occlusion",)
    bag = vot["bag"]
    np.testing.assert_array_equal(bag.visible, [1, 0])
    assert bag.frames.name(0).endswith("bag/rgb/00000001.jpg")
    mask = vot["mask"]
    np.testing.assert_array_equal(mask.boxes[0], [11, 21, 2, 1])
    np.testing.assert_array_equal(mask.visible, [1, 0])
    assert mask.region is None
    np.testing.assert_array_equal(vot["old"].boxes[1], [5, 6, 7, 8])


def test_every_kind_can_be_named() -> None:
    assert len(KINDS) == 16
    assert all(kind.title and kind.layout for kind in KINDS.values())


@pytest.mark.parametrize(
    ("files", "kind", "name", "message"),
    [
        (
            {**images("Deer/img", range(1, 72)), "Deer/groundtruth_rect.txt": rows(70)}, "otb100", "Deer",
            r"Deer: 71 frames in .*Deer/img but 70 boxes in .*Deer/groundtruth_rect\.txt",
        ),
        (
            {**images("Deer/img", range(1, 71)), "Deer/groundtruth_rect.txt": rows(71)}, "otb100", "Deer",
            r"Deer/img: no frame 71 \(of 1 to 71\) among 70 images",
        ),
        (
            {**images("BMX2/img", range(1, 4)), "BMX2/groundtruth_rect.txt": "1|2|3|4\n" * 3}, "dtb70", "BMX2",
            r"BMX2/groundtruth_rect\.txt:1: expected 4 numbers, found '1\|2\|3\|4'",
        ),
        (
            {k: v for k, v in got10k_sequence("val/GOT-10k_Val_000001", 3).items() if "absence" not in k}, "got10k",
            "GOT-10k_Val_000001", r"GOT-10k_Val_000001/absence\.label: no such file",
        ),
        (
            {**got10k_sequence("val/GOT-10k_Val_000001", 3), "val/GOT-10k_Val_000001/cover.label": "8\n8"}, "got10k",
            "GOT-10k_Val_000001", r"cover\.label: 2 labels for 3 frames",
        ),
        (
            {k: v for k, v in lasot_sequence("fox/fox-2", 4).items() if "00000003" not in k}, "lasot", "fox-2",
            r"fox-2: 3 frames in .*fox-2/img but 4 boxes",
        ),
        (
            {k: v for k, v in lasot_sequence("fox/fox-2", 3).items() if "full_occ" not in k}, "lasot", "fox-2",
            r"fox-2/full_occlusion\.txt: no such file",
        ),
        (
            {"list.txt": "a", **images("a/color", range(1, 3)), "a/groundtruth.txt": "1,2,3,4\n1,2,3\n"}, "vot", "a",
            r"a/groundtruth\.txt:2: expected a rectangle, polygon or mask: '1,2,3'",
        ),
        (
            {"list.txt": "a", **images("a/color", range(1, 2)), "a/groundtruth.txt": "m0,0,2,2,9,9\n"}, "vot", "a",
            r"a/groundtruth\.txt:1: .*runs of 18 pixels do not fit in a window of 2 x 2",
        ),
        (
            {**images("bee/30/bee", range(1, 3), 5), "bee/30/bee.txt": "1 2 3 4\n"}, "nfs", "bee",
            r"bee\.txt:1: expected 9 numbers \(track, left, top",
        ),
        (
            {"a/language.txt": "x", **images("a/imgs", range(1, 3)), "a/groundtruth.txt": rows(3)}, "tnl2k", "a",
            r"a: 2 frames in .*a/imgs but 3 boxes in .*a/groundtruth\.txt",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(files: Files, kind: str, name: str, message: str, tmp_path: Path) -> None:
    opened = load(write(tmp_path / "set", files))
    assert opened.kind == kind
    with pytest.raises(DataError, match=message):
        opened[name]
    with pytest.raises(DataError, match=r"no sequence 'other' among 1"):
        opened["other"]
