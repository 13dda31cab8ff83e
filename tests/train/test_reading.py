"""Recipes: what is refused and how it is said, overrides, and the official files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ostrack.errors import RecipeError
from ostrack.train.reading import load_recipe, recipe_names
from ostrack.train.recipe import Recipe, epochs_of


def test_every_packaged_recipe_is_valid_and_survives_a_round_trip() -> None:
    names = recipe_names()
    assert {"ostrack_256", "ostrack_384_ce", "small_d6", "finetune", "compare/two_stream_relation"} <= set(names)
    for name in names:
        recipe = load_recipe(name)
        recipe.model.resolve()
        assert Recipe.model_validate(recipe.plain()) == recipe
        assert recipe.name == name.replace("/", "_")


def test_overrides_are_read_as_yaml() -> None:
    recipe = load_recipe("small_d6", ["data=clips", "run.epochs=3", "optim.lr_head=1e-3", "data.held_out=[a/b/0]"])
    assert recipe.data.root == Path("clips")
    assert recipe.run.epochs == 3
    assert recipe.optim.lr_head == 1e-3
    assert recipe.data.held_out == ("a/b/0",)
    recipe = load_recipe("ostrack_256", ["data.sets.lasot.path=elsewhere/LaSOT", "data.sets.coco.share=0.5"])
    assert recipe.data.sets["lasot"].path == Path("elsewhere/LaSOT")
    assert recipe.data.sets["lasot"].split == "train"
    assert recipe.data.sets["coco"].share == 0.5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr_haed=1", r"optim\.lr_haed: unknown key; did you mean lr_head\?"),
        ("optm.lr_head=1", r"optm: unknown key; did you mean optim\?"),
        ("data.sets.lasot.splt=train", r"data\.sets\.lasot\.splt: unknown key; did you mean split\?"),
        ("run.batch=many", r"run\.batch: .*valid integer.*, found 'many'"),
        ("run.batch=0", r"run\.batch: .*greater than or equal to 1, found 0"),
        ("run.precision=bf8", r"run\.precision: .*'float32', 'bf16' or 'fp16'.*found 'bf8'"),
        ("optim.decay_at=late", r'optim\.decay_at: expected a number of epochs, or a share of the run such as "80%"'),
        ("optim.decay_at=120%", r"optim\.decay_at: expected a number of epochs"),
        ("optim=3", r"optim: expected a section with keys, found 3"),
        ("data.sets.lasot=train", r"data\.sets\.lasot: expected a section with keys, found 'train'"),
        ("run.batch", r'"run\.batch": expected section\.key=value'),
        ("run.batch=[", "the value is not YAML"),
        ("run.batch.size=3", r"run\.batch\.size=3: batch is a value, not a section"),
        ("run.accumulate=3", r"run: batch=128 is not a multiple of accumulate=3"),
        ("run.pairs_per_epoch=100", r"run: pairs_per_epoch=100 fills no batch of 128"),
        ("augment.flip=1.5", r"augment\.flip: .*less than or equal to 1, found 1\.5"),
    ],
)
def test_wrong_overrides_are_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("ostrack_256", [override])
    assert "\n" not in str(caught.value)


def test_wrong_architectures_are_named() -> None:
    with pytest.raises(RecipeError, match=r"model\.preset=vitb_265: unknown; did you mean vitb_256\?"):
        load_recipe("ostrack_256", ["model.preset=vitb_265"]).model.resolve()
    with pytest.raises(RecipeError, match=r"model\.config\.dept: unknown; did you mean depth\?"):
        load_recipe("ostrack_256", ["model.config={dept: 3}"]).model.resolve()
    with pytest.raises(RecipeError, match=r"model\.config: .*patch_size"):
        load_recipe("ostrack_256", ["model.config={patch_size: 15}"]).model.resolve()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"run: {batch: [", "not YAML"),
        (b"- 1\n- 2\n", "expected sections with keys, found list"),
        (b"\xff\xfe\x00", "not a text file"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(RecipeError, match=f"mine.yaml: {message}"):
        load_recipe(str(file))


def test_a_recipe_that_is_not_there_suggests_one() -> None:
    with pytest.raises(RecipeError, match=r"ostrack_265: neither a recipe nor a file.*; did you mean ostrack_256\?"):
        load_recipe("ostrack_265")


def test_milestones() -> None:
    assert epochs_of(240, 300) == 240
    assert epochs_of("80%", 50) == 40


def _official(size: int, elimination: bool, got10k: bool) -> str:
    """An official file as its keys and values are documented, for one of the six configurations."""
    small = size == 256
    backbone: dict[str, object] = {"TYPE": "vit_base_patch16_224", "STRIDE": 16}
    train: dict[str, object] = {
        "BACKBONE_MULTIPLIER": 0.1, "DROP_PATH_RATE": 0.1, "BATCH_SIZE": 32, "EPOCH": 100 if got10k else 300,
        "GIOU_WEIGHT": 2.0, "L1_WEIGHT": 5.0, "GRAD_CLIP_NORM": 0.1, "LR": 0.0004,
        "LR_DROP_EPOCH": 80 if got10k else 240, "NUM_WORKER": 10, "OPTIMIZER": "ADAMW", "PRINT_INTERVAL": 50,
        "SCHEDULER": {"TYPE": "step", "DECAY_RATE": 0.1}, "VAL_EPOCH_INTERVAL": 20, "WEIGHT_DECAY": 0.0001,
        "AMP": False,
    }  # fmt: skip
    if elimination:
        backbone |= {"TYPE": "vit_base_patch16_224_ce", "CE_LOC": [3, 6, 9], "CE_KEEP_RATIO": [0.7, 0.7, 0.7]}
        backbone |= {"CE_TEMPLATE_RANGE": "CTR_POINT"}
        train |= {"CE_START_EPOCH": 20, "CE_WARM_EPOCH": 50 if got10k else 80}
    sets = ["GOT10K_train_full"] if got10k else ["LASOT", "GOT10K_vottrain", "COCO17", "TRACKINGNET"]
    held = ["GOT10K_official_val"] if got10k else ["GOT10K_votval"]
    document = {
        "DATA": {
            "MAX_SAMPLE_INTERVAL": 200, "MEAN": [0.485, 0.456, 0.406], "STD": [0.229, 0.224, 0.225],
            "SEARCH": {
                "CENTER_JITTER": 3 if small else 4.5, "FACTOR": 4.0 if small else 5.0,
                "SCALE_JITTER": 0.25 if small else 0.5, "SIZE": size, "NUMBER": 1,
            },
            "TEMPLATE": {"CENTER_JITTER": 0, "FACTOR": 2.0, "SCALE_JITTER": 0, "SIZE": size // 2},
            "TRAIN": {"DATASETS_NAME": sets, "DATASETS_RATIO": [1] * len(sets), "SAMPLE_PER_EPOCH": 60000},
            "VAL": {"DATASETS_NAME": held, "DATASETS_RATIO": [1], "SAMPLE_PER_EPOCH": 10000},
        },
        "MODEL": {
            "PRETRAIN_FILE": "mae_pretrain_vit_base.pth", "EXTRA_MERGER": False, "RETURN_INTER": False,
            "BACKBONE": backbone, "HEAD": {"TYPE": "CENTER", "NUM_CHANNELS": 256},
        },
        "TRAIN": train,
        "TEST": {"EPOCH": 300, "SEARCH_FACTOR": 4.0, "SEARCH_SIZE": size, "TEMPLATE_FACTOR": 2.0, "TEMPLATE_SIZE": 128},
    }  # fmt: skip
    return yaml.safe_dump(document)


@pytest.mark.parametrize(
    ("file", "ours"),
    [
        ((256, False, False), "ostrack_256"), ((256, True, False), "ostrack_256_ce"),
        ((384, False, False), "ostrack_384"), ((384, True, False), "ostrack_384_ce"),
        ((256, True, True), "ostrack_256_ce_got10k"), ((384, True, True), "ostrack_384_ce_got10k"),
    ],
)  # fmt: skip
def test_the_official_files_are_the_packaged_recipes(tmp_path: Path, file: tuple[int, bool, bool], ours: str) -> None:
    path = tmp_path / "vitb.yaml"
    path.write_text(_official(*file))
    read, packaged = load_recipe(str(path)), load_recipe(ours)
    assert read.name == "vitb"
    assert read.model.resolve() == packaged.model.resolve()
    assert read.model.backbone == packaged.model.backbone
    assert read.model.drop_path == packaged.model.drop_path
    for section in ("data", "augment", "optim", "loss"):
        assert getattr(read, section) == getattr(packaged, section), section
    if file[1]:
        assert read.elimination == packaged.elimination
    ignored = {"checkpoint_every", "snapshot_every"}
    assert read.run.model_dump(exclude=ignored) == packaged.run.model_dump(exclude=ignored)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TRAIN": {"LRR": 1}}, r"TRAIN\.LRR: unknown key; did you mean TRAIN\.LR\?"),
        ({"TRAIN": {"OPTIMIZER": "SGD"}}, r"TRAIN\.OPTIMIZER: only ADAMW can be trained here, found 'SGD'"),
        ({"DATA": {"SAMPLER_MODE": "trident"}}, r"DATA\.SAMPLER_MODE: only causal"),
        ({"MODEL": {"BACKBONE": {"CAT_MODE": "partition"}}}, r"CAT_MODE: only direct"),
        ({"MODEL": {"BACKBONE": {"TYPE": "swin"}}}, r"MODEL\.BACKBONE\.TYPE: 'swin' is unknown"),
        ({"DATA": {"TRAIN": {"DATASETS_NAME": ["LASOTT"], "DATASETS_RATIO": [1]}}}, "'LASOTT' is unknown; .* LASOT"),
        ({"DATA": {"TRAIN": {"DATASETS_RATIO": [1, 1, 1]}}}, r"DATA\.TRAIN: 2 data sets but 3 ratios"),
        ({"TRAIN": {"LR": "fast"}}, "a value of the wrong type"),
        (
            {"DATA": {"TRAIN": {"DATASETS_NAME": ["GOT10K_vottrain", "GOT10K_votval"], "DATASETS_RATIO": [1, 1]}}},
            r"DATA\.TRAIN\.DATASETS_NAME: GOT10K_votval is a second part of got10k, expected one",
        ),
    ],
)
def test_official_files_with_something_else_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(yaml.safe_dump(change))
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))


def test_lmdb_twins_and_whole_networks_to_start_from(tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    sets = {"TRAIN": {"DATASETS_NAME": ["LASOT_lmdb"], "DATASETS_RATIO": [2]}}
    path.write_text(yaml.safe_dump({"DATA": sets, "MODEL": {"PRETRAIN_FILE": "OSTrack_ep0300.pth.tar"}}))
    recipe = load_recipe(str(path), ["run.epochs=2"])
    assert recipe.data.sets["lasot"].share == 2
    assert recipe.model.network == Path("OSTrack_ep0300.pth.tar")
    assert recipe.model.backbone is None
    assert recipe.run.epochs == 2
