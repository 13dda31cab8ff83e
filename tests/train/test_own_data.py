"""Data as people have them: odd names, broken clips, several forms in one folder, networks of another kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_sources import write_clips, write_coco

from ostrack.data.annotations import read_folder
from ostrack.data.benchmarks import load as load_set
from ostrack.data.images import read_rgba
from ostrack.data.sampling import ClipPairs, Negatives
from ostrack.data.sequence import ArrayFrames, Sequence
from ostrack.data.stills import StillPairs
from ostrack.errors import DataError, RecipeError
from ostrack.model import OSTrack, OSTrackConfig, load, save
from ostrack.model.checkpoint import read_metadata
from ostrack.model.kinds import kind_of
from ostrack.model.two_stream import TwoStream
from ostrack.train.loop import train
from ostrack.train.monitor import Monitor
from ostrack.train.reading import load_recipe
from ostrack.train.recipe import DataRecipe, ModelRecipe, Recipe
from ostrack.train.sources import open_sources
from ostrack.train.start import build_network
from small_networks import tiny
from tiny_training import tiny_recipe, write_annotated, write_json


def _quiet(line: str) -> None:
    """Says nothing."""


def _data(**fields: Any) -> DataRecipe:
    return DataRecipe.model_validate(fields)


def _rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_held_clip_without_one_usable_pair_ends_no_run(tmp_path: Path) -> None:
    root = write_annotated(tmp_path / "data")
    for image in (root / "moving" / "images").glob("0_*.png"):
        image.write_bytes(b"torn")
    recipe = Recipe.model_validate(tiny_recipe(root, run={"validation_clips": 1}))
    said: list[str] = []
    train(recipe, tmp_path / "run", said.append)
    assert any(line.startswith("no validation on pairs: ") and "0_00" in line for line in said)
    held = [row for row in _rows(tmp_path / "run") if "held_useless" in row]
    assert held
    assert not any("held_loss" in row for row in held)
    assert read_metadata(tmp_path / "run" / "model.safetensors")["step"] == 8


def test_why_a_held_pair_was_skipped_is_told(tmp_path: Path) -> None:
    root = write_annotated(tmp_path / "data")
    sorted((root / "moving" / "images").glob("0_*.png"))[2].write_bytes(b"torn")
    said: list[str] = []
    recipe = Recipe.model_validate(tiny_recipe(root, run={"validation_pairs": 24}))
    train(recipe, tmp_path / "run", said.append)
    assert any(line.startswith("skipped a draw of held clips: ") and "0_002.png" in line for line in said)


def test_coco_may_be_called_annotations(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "mine")
    (root / "annotations" / "instances_train2017.json").rename(root / "annotations.json")
    (root / "annotations").rmdir()
    (root / "train2017").rename(root / "images")
    assert open_sources(_data(root=root), 4.0).report == ("mine: 2 images of annotations",)


def test_data_of_two_forms_in_one_folder_are_refused(tmp_path: Path) -> None:
    write_annotated(tmp_path / "data")
    write_clips(tmp_path / "data" / "clips", 2)
    with pytest.raises(RecipeError, match=r"holds labelled clips beside the annotated images of cutouts/"):
        open_sources(_data(root=tmp_path / "data"), 4.0)


def test_the_root_of_named_sets_is_no_set_itself(tmp_path: Path) -> None:
    write_annotated(tmp_path)
    write_clips(tmp_path / "mine", 2)
    sources = open_sources(_data(root=tmp_path, sets={"mine": {}}, held_out_share=0.1), 4.0)
    assert sources.report[0] == "mine: 2 sequences"
    assert sources.report[1].startswith("nothing is held out of named sets")
    with pytest.raises(RecipeError, match=r"data\.held_out: .*name data\.validation"):
        open_sources(_data(root=tmp_path, sets={"mine": {}}, held_out=["clip0"]), 4.0)


def test_clips_of_all_validation_sets_are_tracked(tmp_path: Path) -> None:
    for name in ("mine", "one", "two"):
        write_clips(tmp_path / name, 2)
    sources = open_sources(_data(root=tmp_path, sets={"mine": {}}, validation={"one": {}, "two": {}}), 4.0)
    assert len(sources.held_clips) == 4
    assert [sources.held_clips[index].name for index in range(4)] == ["clip0", "clip1"] * 2


def test_a_held_clip_with_a_broken_label_file_is_left_out(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "mine", 3)
    (root / "clip1" / "groundtruth.txt").write_text("1,2,3\n")
    report = open_sources(_data(root=root, held_out=["clip1", "clip2"]), 4.0).report
    assert any(line.startswith("held clip left out: ") and "groundtruth.txt" in line for line in report)
    assert "held clips: 1 clips, for validation only" in report


def test_folders_that_are_named_and_not_there_are_told(tmp_path: Path) -> None:
    report = open_sources(
        _data(root=write_annotated(tmp_path), backgrounds=["photos", "typo"], min_frames=2), 4.0
    ).report
    assert "data.backgrounds: no folder named typo" in report


def test_of_several_files_of_coco_the_one_for_training_is_taken(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    train_file = root / "annotations" / "instances_train2017.json"
    for name in ("test", "train", "val"):
        shutil.copy(train_file, root / "annotations" / f"{name}.json")
    train_file.unlink()
    (root / "train2017").rename(root / "images")
    assert load_set(root).split == "train"
    (root / "annotations" / "train.json").rename(root / "labels.json")
    shutil.rmtree(root / "annotations")
    write_json(root / "dataset_info.json", {"made by": "a program"})
    assert load_set(root).split == "labels"


def test_one_missing_image_of_coco_costs_one_image(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    (root / "train2017" / "000000000001.jpg").unlink()
    opened = load_set(root)
    assert len(opened) == 2
    assert opened[1].frames[0].shape == (70, 90, 3)


def test_targets_of_one_scene_are_never_crossed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    root = write_annotated(tmp_path / "data")
    photo = read_folder(root / "photos")[0]
    file = root / "photos" / "annotations.json"
    write_json(file, [{"image": str(photo.path), "size": [200, 160], "boxes": [[20, 30, 60, 50], [90, 30, 60, 50]]}])
    boxes, seen = np.tile([5.0, 5.0, 9.0, 9.0], (3, 1)), np.ones(3, bool)
    frames = ArrayFrames([np.zeros((40, 40, 3), np.uint8)] * 3)
    clips = [Sequence(f"street#{track}", frames, boxes, seen, scene="street") for track in range(2)]
    for source in (StillPairs(read_folder(root / "photos")), ClipPairs(clips)):
        for _ in range(20):
            with pytest.raises(DataError, match="drawn twice"):
                Negatives(source).draw(rng)


@pytest.mark.parametrize("given", [None, "one_stream"])
def test_a_network_to_start_from_keeps_its_kind_unless_another_is_asked_for(tmp_path: Path, given: str | None) -> None:
    path = save(tmp_path / "two.safetensors", TwoStream(tiny(), "relation"))
    net, report = build_network(ModelRecipe.model_validate({"network": path, "tracker": given}))
    assert kind_of(net) == (given or "two_stream_relation")
    assert ("tensors left out" in report) == (given is not None)


def test_a_run_from_a_two_stream_network_writes_one(tmp_path: Path) -> None:
    root = write_annotated(tmp_path / "data")
    config = OSTrackConfig.model_validate(
        {"template_size": 32, "search_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3,
         "head_channels": 16, "elimination_layers": [], "keep_ratios": []}
    )  # fmt: skip
    path = save(tmp_path / "two.safetensors", TwoStream(config, "correlation"))
    document = tiny_recipe(root)
    document["model"] = {"network": str(path), "drop_path": 0.0}
    train(Recipe.model_validate(document), tmp_path / "run", _quiet, until=2)
    assert kind_of(load(tmp_path / "run" / "model.safetensors")) == "two_stream_correlation"


@pytest.mark.parametrize("value", ["/data/Batch #3", "2024-06-01", "2024_06", "on", "a: b"])
def test_paths_are_taken_to_the_letter(value: str) -> None:
    assert load_recipe("finetune", [f"data={value}"]).data.root == Path(value)
    assert load_recipe("finetune", [f"model.network={value}"]).model.network == Path(value)
    assert load_recipe("finetune", [f'data="{value}"']).data.root == Path(value)


def test_nothing_is_no_path() -> None:
    assert load_recipe("finetune", ["data=somewhere", "model.network=null"]).model.network is None


def test_small_rates_are_recorded(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, _quiet, 0)
    monitor.write(1, {"lr": 1.25e-8, "iou": 0.123456789})
    monitor.close()
    assert _rows(tmp_path) == [{"step": 1, "lr": 1.25e-8, "iou": 0.123457}]


def test_what_low_rank_training_returns_is_an_ordinary_network(tmp_path: Path) -> None:
    document = tiny_recipe(
        write_annotated(tmp_path / "data"), model={"lora_rank": 2, "drop_path": 0.0}, optim={"ema": 0}
    )
    net = train(Recipe.model_validate(document), tmp_path / "run", _quiet, until=4)
    assert type(net) is OSTrack
    saved = load(save(tmp_path / "again.safetensors", net)).state_dict()
    for key, value in load(tmp_path / "run" / "model.safetensors").state_dict().items():
        torch.testing.assert_close(saved[key], value)


def test_losses_at_the_target_need_a_centre_head(tmp_path: Path) -> None:
    document = tiny_recipe(write_annotated(tmp_path / "data"), loss={"box_cells": "target"})
    document["model"]["config"]["head"] = "corner"
    with pytest.raises(RecipeError, match=r"loss\.box_cells=target: needs a centre head, found corner"):
        train(Recipe.model_validate(document), tmp_path / "run", _quiet)


@pytest.mark.parametrize(
    ("blob", "message"), [(b"\xff\xfe[", r"annotations\.json: not JSON: byte 0 is not UTF-8"), (b"[3", "not JSON")]
)
def test_annotations_that_are_no_text_are_named(blob: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_bytes(blob)
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    import cv2

    image = np.zeros((4, 4, 4), np.uint16)
    image[..., 0], image[..., 3] = 0x1280, 0xFF00
    assert cv2.imwrite(str(tmp_path / "deep.png"), image)
    found = read_rgba(tmp_path / "deep.png")
    assert (found[..., 2] == 0x12).all()
    assert (found[..., 3] == 0xFF).all()


def test_the_other_targets_of_a_held_vid_clip_are_not_trained_on(tmp_path: Path) -> None:
    """ImageNet VID names targets ``CLIP#TRACK``: those of one clip show the same pictures."""
    one = "<object><trackid>{0}</trackid><xmax>9</xmax><xmin>1</xmin><ymax>9</ymax><ymin>1</ymin></object>"
    for clip in ("a", "b", "c"):
        labels = tmp_path / "Annotations" / "VID" / "train" / "set" / clip
        labels.mkdir(parents=True)
        for number in range(30):
            (labels / f"{number:06d}.xml").write_text(f"<annotation>{one.format(0)}{one.format(1)}</annotation>")
    sources = open_sources(_data(root=tmp_path, held_out=["set/b#1"]), 4.0)
    assert sources.report[0].endswith(": 4 clips")
    assert [clip.name for clip in sources.held_clips] == ["set/b#1"]


def test_coco_objects_without_box_or_image_are_counted(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "mine")
    file = root / "annotations" / "instances_train2017.json"
    document = json.loads(file.read_text())
    first = document["annotations"][0]
    document["annotations"] += [{**first, "id": 900, "image_id": 12345}, {"id": 901, "image_id": first["image_id"]}]
    before = load_set(root).left_out
    write_json(file, document)
    shutil.copytree(root, tmp_path / "more")
    assert load_set(tmp_path / "more").left_out == before + 2
