"""What is taken for what, and what is said when nothing fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_trees import got10k_sequence, images, lasot_sequence, rows, stored_as, write

from ostrack.data.benchmarks import load, load_sequences
from ostrack.errors import DataError


def test_another_benchmark_is_recognised_and_named(tmp_path: Path) -> None:
    root = write(tmp_path, lasot_sequence("fox/fox-2", 3))
    message = r"expected OTB-100 \(Basketball/img/.*\), but this is LaSOT; its kind is 'lasot'"
    with pytest.raises(DataError, match=message):
        load(root, "otb100")


def test_unknown_contents_are_listed(tmp_path: Path) -> None:
    root = write(tmp_path / "x", {f"file{i}.txt": "" for i in range(8)})
    with pytest.raises(DataError, match=r"no known layout; found file0\.txt, .*file4\.txt and 3 more"):
        load(root)
    with pytest.raises(DataError, match=r"expected VOT \(list\.txt, .*\); found file0\.txt"):
        load(root, "vot")


def test_an_empty_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no known layout; found nothing at all"):
        load(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such folder or file"):
        load(tmp_path / "nowhere")


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="unknown kind of data set 'imagenet'; choose auto or one of trackingnet, got10k"
    ):
        load(tmp_path, "imagenet")


@pytest.mark.parametrize("form", ["folder", "zip", "lmdb"])
def test_a_folder_round_the_set_is_entered(form: str, tmp_path: Path) -> None:
    root = write(tmp_path / "set", lasot_sequence("outer/LaSOTBenchmark/fox/fox-2", 3))
    stored_as(form, root)
    lasot = load(root if form == "folder" else root.with_name(f"set.{form}"))
    assert lasot.kind == "lasot"
    assert lasot["fox-2"].frames[1].shape == (12, 16, 3)


def test_a_set_without_sequences_of_the_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="LaSOT without a single sequence of the split 'train'"):
        load(write(tmp_path, lasot_sequence("fox/fox-2", 3)), split="train")


def test_still_images_are_no_sequences(tmp_path: Path) -> None:
    json = '{"images": [], "annotations": [], "categories": []}'
    root = write(tmp_path, {"annotations/instances_val2017.json": json})
    with pytest.raises(DataError, match="COCO form without a single sequence"):
        load_sequences(root)


def test_collections_are_sequences_of_sequences(tmp_path: Path) -> None:
    files = {k: v for i in (1, 2, 3) for k, v in got10k_sequence(f"val/GOT-10k_Val_00000{i}", 3).items()}
    opened = load(write(tmp_path, files))
    assert [sequence.name for sequence in opened] == list(opened.names)
    assert opened[-1].name == "GOT-10k_Val_000003"
    assert opened[1:].names == opened.names[1:]
    assert len(opened[:2]) == 2


def test_own_folders_are_not_taken_for_benchmarks(tmp_path: Path) -> None:
    root = write(
        tmp_path, {**images("cats/one/img", range(3)), "cats/one/groundtruth.txt": rows(3), "list.txt": "cats\n"}
    )
    assert load(root).kind == "folder"


def test_a_split_of_a_set_that_has_none(tmp_path: Path) -> None:
    root = write(tmp_path, {**images("a/img", range(2)), "a/groundtruth.txt": rows(2)})
    with pytest.raises(DataError, match=r"labelled clips: this set has no splits, asked for 'val'"):
        load(root, split="val")
