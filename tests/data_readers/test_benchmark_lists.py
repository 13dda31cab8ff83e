"""The packaged lists against published totals and against ground truth released with other trackers' results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ostrack.data.benchmarks.got10k import train_names
from ostrack.data.benchmarks.lasot import EXTENSION_CLASSES
from ostrack.data.labels import sequence_list


@pytest.mark.parametrize(
    ("name", "sequences", "folders", "frames"),
    [("uav123", 123, 91, 112_578), ("uav20l", 20, 20, 58_670), ("uav123_10fps", 123, 91, 37_607)],
)
def test_uav_lists_add_up_to_the_published_frames(name: str, sequences: int, folders: int, frames: int) -> None:
    entries = sequence_list(name)
    assert len(entries) == sequences
    assert len({entry["folder"] for entry in entries.values()}) == folders
    assert sum(entry["last"] - entry["first"] + 1 for entry in entries.values()) == frames


def test_ten_frames_a_second_are_every_third() -> None:
    slow = sequence_list("uav123_10fps")
    for name, entry in sequence_list("uav123").items():
        assert slow[name]["folder"] == entry["folder"]
        assert [slow[name][end] for end in ("first", "last")] == [
            (entry[end] - 1) // 3 + 1 for end in ("first", "last")
        ]


def test_uav20l_joins_the_same_folders() -> None:
    folders = {entry["folder"] for entry in sequence_list("uav123").values()}
    assert {entry["folder"] for entry in sequence_list("uav20l").values()} <= folders


@pytest.mark.parametrize(
    ("name", "file"), [("otb100", "otb100.npz"), ("dtb70", "dtb70.npz"), ("uav123_10fps", "uav123_10fps.npz")]
)
def test_lengths_equal_the_released_ground_truth(shared: Path, name: str, file: str) -> None:
    with np.load(shared / "oracle" / file) as arrays:
        truth = {key.removeprefix("gt__"): len(arrays[key]) for key in arrays.files if key.startswith("gt__")}
    listed = {
        key: entry if isinstance(entry, int) else entry["last"] - entry["first"] + 1 - entry.get("skip", 0)
        for key, entry in sequence_list(name).items()
    }
    assert listed == truth


def test_lasot_has_four_test_sequences_in_each_of_70_classes() -> None:
    entries = sequence_list("lasot_test")
    assert len(entries) == 70
    assert all(len(set(numbers)) == 4 and set(numbers) <= set(range(1, 21)) for numbers in entries.values())
    assert entries["airplane"] == [1, 9, 13, 15]
    assert not set(EXTENSION_CLASSES) & set(entries)
    assert len(EXTENSION_CLASSES) == 15


def test_got10k_splits_have_the_official_sizes() -> None:
    sizes = {"train": 9335, "train_7934": 7934, "val_1401": 1401, "vot_train": 7086, "vot_val": 1249, "vot_clean": 8335}
    names = {split: train_names(split) for split in sizes}
    assert {split: len(set(found)) for split, found in names.items()} == sizes
    assert names["train"][0] == "GOT-10k_Train_000001"
    assert names["train"][-1] == "GOT-10k_Train_009335"
    assert sorted(names["train_7934"] + names["val_1401"]) == names["train"]
    assert set(names["vot_val"]) < set(names["val_1401"])
    assert not set(names["vot_train"]) & set(names["vot_val"])


def test_the_official_vot_splits_miss_the_forbidden_sequences_by_one() -> None:
    # Sequence 4 is forbidden; position 4 is sequence 5.
    official = set(train_names("vot_train")) | set(train_names("vot_val"))
    assert "GOT-10k_Train_000004" in official
    assert "GOT-10k_Train_000005" not in official
    clean = set(train_names("vot_clean"))
    assert "GOT-10k_Train_000004" not in clean
    assert "GOT-10k_Train_000005" in clean


def test_nfs_has_100_sequences() -> None:
    # 48,399 frames are published, of which dog_2's images of another clip (436 more) and ten unlabelled ends.
    assert len(sequence_list("nfs_30")) == 100
    assert sum(sequence_list("nfs_30").values()) == 48_399 - 436 - 10
