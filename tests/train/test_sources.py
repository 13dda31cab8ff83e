"""Recipes to sources: named sets, folders of any known layout, annotated folders, held clips."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostrack.config import OSTrackConfig
from ostrack.errors import DataError, RecipeError
from ostrack.train.recipe import AugmentRecipe, DataRecipe
from ostrack.train.sources import build_crops, open_sources
from tiny_training import texture, write_annotated, write_image, write_json


def write_clips(root: Path, count: int, frames: int = 24) -> Path:
    """Clips of one's own: ``NAME/img/*.png`` and ``NAME/groundtruth.txt``."""
    rng = np.random.default_rng(0)
    for clip in range(count):
        lines = []
        for frame in range(frames):
            image = texture(rng, 80, 60)
            image[20:40, 10 + frame : 30 + frame] = (clip * 20) % 256
            write_image(root / f"clip{clip}" / "img" / f"{frame:04d}.png", image)
            lines.append("nan,nan,nan,nan" if frame == 5 else f"{10 + frame},20,20,20")
        (root / f"clip{clip}" / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    return root


def write_coco(root: Path) -> Path:
    """COCO's layout with two images and three objects."""
    rng = np.random.default_rng(1)
    for name in ("000000000001.jpg", "000000000002.jpg"):
        write_image(root / "train2017" / name, texture(rng, 90, 70))
    boxes = [(1, [5, 6, 30, 20]), (1, [40, 10, 25, 30]), (2, [10, 10, 60, 50])]
    write_json(
        root / "annotations" / "instances_train2017.json",
        {
            "images": [{"id": i, "file_name": f"{i:012d}.jpg", "width": 90, "height": 70} for i in (1, 2)],
            "annotations": [
                {"id": n, "image_id": image, "bbox": box, "category_id": 1, "iscrowd": 0}
                for n, (image, box) in enumerate(boxes)
            ],
            "categories": [{"id": 1, "name": "thing"}],
        },
    )
    return root


def _recipe(**fields: Any) -> DataRecipe:
    return DataRecipe.model_validate(fields)


def test_named_sets_are_found_below_the_root_and_mixed(tmp_path: Path) -> None:
    write_clips(tmp_path / "mine", 2)
    write_coco(tmp_path / "coco")
    sets = {"mine": {"share": 3}, "coco": {"kind": "coco", "split": "train2017"}}
    sources = open_sources(_recipe(root=tmp_path, sets=sets, validation={"mine": {}}), 4.0)
    assert sources.report == (
        "mine: 2 sequences", "coco: 2 images of train2017", "mine: 2 sequences, for validation only",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    drawn = [sources.training.draw(rng) for _ in range(120)]
    stills = [pair for pair in drawn if pair.template is pair.search]
    assert len(stills) == pytest.approx(30, abs=12)
    for pair in drawn:
        if pair.template is not pair.search:
            assert pair.search_box[0] > pair.template_box[0], "causal by default"
    assert sources.validation is not None
    assert len(sources.held_clips) == 2


def test_a_folder_of_ones_own_clips_is_recognised_and_some_are_held(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "my_clips", 10)
    sources = open_sources(_recipe(root=root, held_out_share=0.2), 4.0)
    assert sources.report == ("my_clips: 8 clips", "held clips: 2 clips, for validation only")
    held = {clip.name for clip in sources.held_clips}
    rng = np.random.default_rng(0)
    shades = {
        int(pair.template[30, int(pair.template_box[0]) + 5, 0])
        for pair in (sources.training.draw(rng) for _ in range(80))
    }
    assert not shades & {int(name.removeprefix("clip")) * 20 for name in held}, "held clips are not trained on"
    assert held == {clip.name for clip in open_sources(_recipe(root=root, held_out_share=0.2), 4.0).held_clips}


def test_held_clips_that_are_too_short_do_not_end_the_run_at_its_first_validation(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "my_clips", 3)
    short = root / "clip1"
    for image in sorted((short / "img").iterdir())[1:]:
        image.unlink()
    (short / "groundtruth.txt").write_text("10,20,20,20\n")
    fields = {"root": root, "min_frames": 2, "min_visible": 2}
    alone = open_sources(_recipe(**fields, held_out=["clip1"]), 4.0)
    assert alone.report == ("my_clips: 2 clips", "held clips: 0 clips (1 more are too short); nothing is validated")
    assert alone.validation is None
    assert len(alone.held_clips) == 0
    two = open_sources(_recipe(**fields, held_out=["clip1", "clip2"]), 4.0)
    assert two.report[1] == "held clips: 1 clips (1 more are too short), for validation only"
    assert two.validation is not None
    two.validation.draw(np.random.default_rng(0))


def test_clips_left_out_for_want_of_labels_are_told(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "my_clips", 3)
    next((root / "clip1").glob("groundtruth.*")).unlink()
    sources = open_sources(_recipe(root=root), 4.0)
    assert sources.report[0] == "my_clips: 2 clips, 1 left out without labels"


def test_archives_and_databases_stand_for_folders(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    files = write_clips(tmp_path / "plain", 3)
    keys = [(path.relative_to(files).as_posix(), path) for path in sorted(files.rglob("*")) if path.is_file()]
    (tmp_path / "sets").mkdir()
    with zipfile.ZipFile(tmp_path / "sets" / "mine.zip", "w") as archive:
        for key, path in keys:
            archive.write(path, key)
    environment = lmdb.open(str(tmp_path / "sets" / "yours_lmdb"), map_size=2**28)
    with environment.begin(write=True) as transaction:
        for key, path in keys:
            transaction.put(key.encode(), path.read_bytes())
    environment.close()
    whole = open_sources(_recipe(root=tmp_path / "sets" / "mine.zip"), 4.0)
    assert whole.report == ("mine.zip: 3 clips",)
    named = open_sources(_recipe(root=tmp_path / "sets", sets={"mine": {}, "yours": {}}), 4.0)
    assert named.report == ("mine: 3 sequences", "yours: 3 sequences")
    rng = np.random.default_rng(0)
    for sources in (whole, named):
        assert sources.training.draw(rng).template.shape == (60, 80, 3)


def test_boxes_that_are_left_out_are_told(tmp_path: Path) -> None:
    root = write_annotated(tmp_path / "annotated")
    file = root / "photos" / "annotations.json"
    entries = json.loads(file.read_text())
    entries[0]["boxes"] += [[1, 2, 0, 5], [float("nan"), 1, 5, 5]]
    write_json(file, entries)
    recipe = _recipe(root=root, order="any", min_frames=2, min_visible=2)
    assert open_sources(recipe, 4.0).report[-1].startswith("2 boxes left out")
    coco = write_coco(tmp_path / "coco")
    file = coco / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["bbox"][2] = 0
    write_json(file, content)
    assert open_sources(_recipe(root=coco), 4.0).report == (
        "coco: 2 images of train2017, 1 boxes left out without area or image",
    )


def test_coco_alone_is_recognised(tmp_path: Path) -> None:
    sources = open_sources(_recipe(root=write_coco(tmp_path / "objects")), 4.0)
    assert sources.report == ("objects: 2 images of train2017",)
    assert sources.validation is None


def test_annotated_folders_give_clips_stills_and_composites_without_what_is_held(tmp_path: Path) -> None:
    root = write_annotated(tmp_path, clips=4)
    recipe = _recipe(root=root, order="any", min_frames=2, min_visible=2, held_out=["moving/clip1/0"], collage=0.5)
    sources = open_sources(recipe, 4.0)
    assert sources.report[0] == "clips: 3 clips"
    assert sources.report[1].startswith("stills: 4 boxes in 4 images")
    assert sources.report[2].startswith("composites: ")
    assert [clip.name for clip in sources.held_clips] == ["moving/clip1/0"]
    rng = np.random.default_rng(0)
    for _ in range(20):
        pair = sources.training.draw(rng)
        assert np.isfinite(pair.search_box).all()


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({}, RecipeError, "no data: give data=FOLDER"),
        ({"root": "nowhere"}, RecipeError, r"data\.root=nowhere: no such folder"),
        ({"sets": {"lasot": {}}}, RecipeError, r"data\.sets\.lasot: where it lies is not said; give data="),
        ({"sets": {"lasot": {"path": "nowhere"}}}, RecipeError, r"data\.sets\.lasot\.path=nowhere: no such folder"),
        ({"root": str(Path(__file__).parent), "sets": {"lasot": {}}}, DataError, "lasot"),
    ],
)  # fmt: skip
def test_data_that_are_not_there_are_named(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        open_sources(_recipe(**fields), 4.0)


def test_boxes_of_programs_can_be_left_out_as_targets_and_stay_as_scenery(tmp_path: Path) -> None:
    root = write_annotated(tmp_path, clips=4)
    for name, changed in (("moving", slice(6, 24)), ("photos", slice(0, 1))):
        file = root / name / "annotations.json"
        entries = json.loads(file.read_text())
        write_json(file, [entry | {"auto": entry in entries[changed]} for entry in entries])
    fields = {"root": root, "order": "any", "min_frames": 2, "min_visible": 2}
    keep, drop = (open_sources(_recipe(**fields, auto=auto), 4.0) for auto in ("keep", "drop"))
    assert keep.report[:2] == ("clips: 4 clips", "stills: 4 boxes in 4 images")
    assert drop.report[:2] == ("clips: 1 clips", "stills: 3 boxes in 3 images")
    objects = [re.fullmatch(r"composites: (\d+) objects on (\d+) photos", found.report[2]) for found in (keep, drop)]
    (kept, behind), (dropped, still_behind) = (found.groups() for found in objects if found)
    assert int(dropped) < int(kept)
    assert behind == still_behind
    with pytest.raises(RecipeError, match=r"data\.held_out: no clip named moving/clip1/0"):
        open_sources(_recipe(**fields, auto="drop", held_out=["moving/clip1/0"]), 4.0)


def test_clips_labelled_by_a_program_can_have_a_share_of_their_own(tmp_path: Path) -> None:
    root = write_annotated(tmp_path, clips=4)
    file = root / "moving" / "annotations.json"
    write_json(file, [entry | {"auto": entry["video"] == "clip3"} for entry in json.loads(file.read_text())])
    fields = {"root": root, "order": "any", "min_frames": 2, "min_visible": 2, "stills": 0, "composites": 0}
    sources = open_sources(_recipe(**fields, clips=0.2, pseudo=0.8), 4.0)
    assert sources.report == ("clips: 3 clips", "pseudo-labels: 1 clips")
    rng = np.random.default_rng(0)
    targets = [sources.training.draw(rng).target for _ in range(300)]
    assert targets.count("moving/clip3/0") == pytest.approx(240, abs=30)
    assert open_sources(_recipe(**fields), 4.0).report == ("clips: 4 clips",)


def test_no_target_of_a_held_clip_is_trained_on(tmp_path: Path) -> None:
    root = write_annotated(tmp_path, clips=3)
    file = root / "moving" / "annotations.json"
    entries = json.loads(file.read_text())
    write_json(file, entries + [entry | {"track": 1} for entry in entries if entry["video"] == "clip1"])
    fields = {"root": root, "order": "any", "min_frames": 2, "min_visible": 2, "stills": 0, "composites": 0}
    sources = open_sources(_recipe(**fields, held_out=["moving/clip1/0"]), 4.0)
    assert sources.report[0] == "clips: 2 clips"


def test_a_held_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    root = write_annotated(tmp_path)
    with pytest.raises(RecipeError, match=r"data\.held_out: no clip named moving/clip9/0"):
        open_sources(_recipe(root=root, held_out=["moving/clip9/0"]), 4.0)


def test_jitter_that_loses_the_target_is_refused() -> None:
    build_crops(OSTrackConfig(), AugmentRecipe(centre_jitter=3.0))
    build_crops(OSTrackConfig(search_size=384, template_size=192, search_factor=5), AugmentRecipe(centre_jitter=4.5))
    with pytest.raises(
        RecipeError, match=r"augment\.centre_jitter=4: moves targets out of a search region of factor 4"
    ):
        build_crops(OSTrackConfig(), AugmentRecipe(centre_jitter=4.0))
