"""The official code's YAML files as recipes of ours.

Keys that the official code declares but never reads are accepted and dropped; keys that it does not know are refused,
as it does. What a file does not say has the official default. The files name the batch of one GPU and were run on
four ("32x4"), so ``BATCH_SIZE`` is multiplied by four here. ``DECAY_RATE`` is ignored there; its value in every file
is the 0.1 that is used instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ostrack.errors import RecipeError
from ostrack.train.wording import nearest

__all__ = ["is_official", "translate"]

_GPUS = 4

_DEFAULTS: dict[str, Any] = {
    "MODEL.PRETRAIN_FILE": "mae_pretrain_vit_base.pth",
    "MODEL.BACKBONE.TYPE": "vit_base_patch16_224",
    "MODEL.BACKBONE.STRIDE": 16,
    "MODEL.BACKBONE.CAT_MODE": "direct",
    "MODEL.BACKBONE.CE_LOC": [],
    "MODEL.BACKBONE.CE_KEEP_RATIO": [],
    "MODEL.BACKBONE.CE_TEMPLATE_RANGE": "ALL",
    "MODEL.BACKBONE.SEP_SEG": False,
    "MODEL.BACKBONE.ADD_CLS_TOKEN": False,
    "MODEL.HEAD.TYPE": "CENTER",
    "MODEL.HEAD.NUM_CHANNELS": 256,
    "TRAIN.LR": 1e-4,
    "TRAIN.WEIGHT_DECAY": 1e-4,
    "TRAIN.EPOCH": 500,
    "TRAIN.LR_DROP_EPOCH": 400,
    "TRAIN.BATCH_SIZE": 16,
    "TRAIN.NUM_WORKER": 8,
    "TRAIN.OPTIMIZER": "ADAMW",
    "TRAIN.BACKBONE_MULTIPLIER": 0.1,
    "TRAIN.GIOU_WEIGHT": 2.0,
    "TRAIN.L1_WEIGHT": 5.0,
    "TRAIN.PRINT_INTERVAL": 50,
    "TRAIN.VAL_EPOCH_INTERVAL": 20,
    "TRAIN.GRAD_CLIP_NORM": 0.1,
    "TRAIN.AMP": False,
    "TRAIN.CE_START_EPOCH": 20,
    "TRAIN.CE_WARM_EPOCH": 80,
    "TRAIN.DROP_PATH_RATE": 0.1,
    "TRAIN.SCHEDULER.TYPE": "step",
    "DATA.SAMPLER_MODE": "causal",
    "DATA.MAX_SAMPLE_INTERVAL": 200,
    "DATA.TRAIN.DATASETS_NAME": ["LASOT", "GOT10K_vottrain"],
    "DATA.TRAIN.DATASETS_RATIO": [1, 1],
    "DATA.TRAIN.SAMPLE_PER_EPOCH": 60000,
    "DATA.VAL.DATASETS_NAME": ["GOT10K_votval"],
    "DATA.VAL.DATASETS_RATIO": [1],
    "DATA.VAL.SAMPLE_PER_EPOCH": 10000,
    "DATA.SEARCH.SIZE": 320,
    "DATA.SEARCH.FACTOR": 5.0,
    "DATA.SEARCH.CENTER_JITTER": 4.5,
    "DATA.SEARCH.SCALE_JITTER": 0.5,
    "DATA.SEARCH.NUMBER": 1,
    "DATA.TEMPLATE.NUMBER": 1,
    "DATA.TEMPLATE.SIZE": 128,
    "DATA.TEMPLATE.FACTOR": 2.0,
    "DATA.TEMPLATE.CENTER_JITTER": 0,
    "DATA.TEMPLATE.SCALE_JITTER": 0,
}
_UNREAD = frozenset({
    "MODEL.EXTRA_MERGER", "MODEL.RETURN_INTER", "MODEL.RETURN_STAGES", "MODEL.BACKBONE.MID_PE",
    "MODEL.BACKBONE.MERGE_LAYER", "MODEL.BACKBONE.CLS_TOKEN_USE_MODE", "TRAIN.FREEZE_LAYERS",
    "TRAIN.SCHEDULER.DECAY_RATE", "DATA.MEAN", "DATA.STD", "TEST.EPOCH", "TEST.SEARCH_FACTOR", "TEST.SEARCH_SIZE",
    "TEST.TEMPLATE_FACTOR", "TEST.TEMPLATE_SIZE",
})  # fmt: skip
# What only one value makes sense of here.
_REQUIRED: dict[str, Any] = {
    "MODEL.BACKBONE.CAT_MODE": "direct", "MODEL.BACKBONE.SEP_SEG": False, "MODEL.BACKBONE.ADD_CLS_TOKEN": False,
    "TRAIN.OPTIMIZER": "ADAMW", "TRAIN.SCHEDULER.TYPE": "step", "DATA.SAMPLER_MODE": "causal",
    "DATA.SEARCH.NUMBER": 1, "DATA.TEMPLATE.NUMBER": 1, "DATA.TEMPLATE.SCALE_JITTER": 0,
    "DATA.TEMPLATE.CENTER_JITTER": 0,
}  # fmt: skip
_BACKBONES = {"vit_base_patch16_224": "vitb_256", "vit_large_patch16_224": "vitl_256"}
_QUERIES = {"ALL": "all", "CTR_POINT": "center", "CTR_REC": "center_block", "GT_BOX": "box"}
_HEADS = {"CENTER": "center", "CORNER": "corner", "MLP": "mlp"}
_SETS = {
    "LASOT": ("lasot", "train"), "GOT10K_vottrain": ("got10k", "vot_train"), "GOT10K_votval": ("got10k", "vot_val"),
    "GOT10K_train_full": ("got10k", "train"), "GOT10K_official_val": ("got10k", "val"),
    "COCO17": ("coco", "train2017"), "VID": ("vid", ""), "TRACKINGNET": ("trackingnet", "train"),
}  # fmt: skip


def is_official(document: Mapping[str, Any]) -> bool:
    """Whether a document has the official sections (upper case; ours are lower case)."""
    return bool(document) and all(str(key) in {"DATA", "MODEL", "TRAIN", "TEST"} for key in document)


def _leaves(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def translate(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A recipe document out of an official one.

    Args:
        document: The official file as parsed.
        name: Its name, for messages.

    Returns:
        Sections and keys as in our recipes; not validated yet.

    Raises:
        RecipeError: A key that the official code does not know, or a value that this package has no counterpart of.
    """
    values = dict(_DEFAULTS)
    for key, value in _leaves(document):
        if key in values:
            values[key] = value
        elif key not in _UNREAD:
            raise RecipeError(f"{name}: {key}: unknown key{nearest(key, [*_DEFAULTS, *_UNREAD])}")
    for key, only in _REQUIRED.items():
        if values[key] != only:
            raise RecipeError(f"{name}: {key}: only {only} can be trained here, found {values[key]!r}")
    try:
        return _document(values, name)
    except RecipeError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise RecipeError(f"{name}: a value of the wrong type: {error}") from None


def _document(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    backbone = str(values["MODEL.BACKBONE.TYPE"])
    eliminates = backbone.endswith("_ce")
    architecture = _choice(_BACKBONES, backbone.removesuffix("_ce"), f"{name}: MODEL.BACKBONE.TYPE")
    config = {
        "template_size": values["DATA.TEMPLATE.SIZE"],
        "search_size": values["DATA.SEARCH.SIZE"],
        "template_factor": values["DATA.TEMPLATE.FACTOR"],
        "search_factor": values["DATA.SEARCH.FACTOR"],
        "patch_size": values["MODEL.BACKBONE.STRIDE"],
        "head": _choice(_HEADS, values["MODEL.HEAD.TYPE"], f"{name}: MODEL.HEAD.TYPE"),
        "head_channels": values["MODEL.HEAD.NUM_CHANNELS"],
        "elimination_layers": [],
        "keep_ratios": [],
    }
    if eliminates:
        query = values["MODEL.BACKBONE.CE_TEMPLATE_RANGE"]
        config["elimination_layers"] = values["MODEL.BACKBONE.CE_LOC"]
        config["keep_ratios"] = values["MODEL.BACKBONE.CE_KEEP_RATIO"]
        config["elimination_query"] = _choice(_QUERIES, query, f"{name}: MODEL.BACKBONE.CE_TEMPLATE_RANGE")
    pretrained = values["MODEL.PRETRAIN_FILE"]
    return {
        "name": name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0],
        "model": {
            # Files named after the tracker are whole networks to go on from, others a backbone.
            "preset": "vitl_256_ce" if architecture == "vitl_256" else architecture,
            "config": config,
            "network" if "OSTrack" in str(pretrained) else "backbone": pretrained or None,
            "drop_path": values["TRAIN.DROP_PATH_RATE"],
        },
        "data": {
            "sets": _sets(values, "TRAIN", name),
            "validation": _sets(values, "VAL", name),
            "order": "causal",
            "max_gap": values["DATA.MAX_SAMPLE_INTERVAL"],
        },
        "augment": {
            "centre_jitter": values["DATA.SEARCH.CENTER_JITTER"],
            "scale_jitter": values["DATA.SEARCH.SCALE_JITTER"],
        },
        "optim": {
            "lr_head": values["TRAIN.LR"],
            "lr_backbone": values["TRAIN.LR"] * values["TRAIN.BACKBONE_MULTIPLIER"],
            "weight_decay": values["TRAIN.WEIGHT_DECAY"],
            "decay_at": values["TRAIN.LR_DROP_EPOCH"],
            "decay": 0.1,
            "clip_norm": values["TRAIN.GRAD_CLIP_NORM"],
        },
        "elimination": {"start": values["TRAIN.CE_START_EPOCH"], "warm": values["TRAIN.CE_WARM_EPOCH"]},
        "loss": {"giou": values["TRAIN.GIOU_WEIGHT"], "l1": values["TRAIN.L1_WEIGHT"]},
        "run": {
            "epochs": values["TRAIN.EPOCH"],
            "pairs_per_epoch": values["DATA.TRAIN.SAMPLE_PER_EPOCH"],
            "batch": values["TRAIN.BATCH_SIZE"] * _GPUS,
            "workers": values["TRAIN.NUM_WORKER"],
            "precision": "fp16" if values["TRAIN.AMP"] else "float32",
            "log_every": values["TRAIN.PRINT_INTERVAL"],
            "validate_every": values["TRAIN.VAL_EPOCH_INTERVAL"],
            "validation_pairs": values["DATA.VAL.SAMPLE_PER_EPOCH"],
        },
    }


def _sets(values: Mapping[str, Any], part: str, name: str) -> dict[str, dict[str, Any]]:
    names, ratios = values[f"DATA.{part}.DATASETS_NAME"], values[f"DATA.{part}.DATASETS_RATIO"]
    if len(names) != len(ratios):
        raise RecipeError(f"{name}: DATA.{part}: {len(names)} data sets but {len(ratios)} ratios")
    found = {}
    for official, ratio in zip(names, ratios, strict=True):
        plain = official.removesuffix("_lmdb")
        kind, split = _choice(_SETS, plain, f"{name}: DATA.{part}.DATASETS_NAME")
        if kind in found:
            raise RecipeError(f"{name}: DATA.{part}.DATASETS_NAME: {official} is a second part of {kind}, expected one")
        found[kind] = {"kind": kind, "split": split, "share": ratio}
    return found


def _choice(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise RecipeError(f"{where}: {key!r} is unknown{nearest(str(key), table)}")
    return table[key]
