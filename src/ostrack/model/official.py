"""Checkpoints of the official code: what network they hold, read from their tensors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ostrack.config import OSTrackConfig
from ostrack.errors import CheckpointError

__all__ = ["UNUSED_KEYS", "checked_config", "infer_config"]

UNUSED_KEYS = frozenset({"backbone.cls_token", "backbone.pos_embed"})
"""Parameters that the official network keeps and never reads."""

_ELIMINATION = {12: (3, 6, 9), 24: (6, 12, 18)}
_OFFICIAL_NAME = re.compile(r"vit[a-z]*_\d{3}_\w*")
_HEADS = {"conv1_ctr.0.weight": "center", "conv1_tl.0.weight": "corner", "layers.0.weight": "mlp"}


def infer_config(state: Mapping[str, Tensor], path: Path, known: Mapping[str, Any] | None = None) -> OSTrackConfig:
    """The architecture of a state dict in the official key names.

    Read from the tensors: sizes, depth, widths, head, layer scale, token types. The rest is not in them and
    follows the official configurations: heads of 64 channels; candidate elimination after blocks 3, 6 and 9 of 12
    (6, 12, 18 of 24; none for other depths) with keep ratio 0.7, or none when the file or its folder is named
    like an official run without elimination (``vitb_256_mae_32x4_ep300``, no ``ce``); search factor 5 at 384
    pixels, else 4.

    Args:
        state: Keys to tensors.
        path: Where it came from.
        known: Fields of the configuration to take instead.

    Raises:
        CheckpointError: A key that decides is missing, the number of heads is neither given nor a multiple of 64
            channels, or the sizes make no network.
    """
    known = dict(known or {})

    def shape(key: str) -> tuple[int, ...]:
        if key not in state:
            raise CheckpointError(f"{path}: {key} is missing, so this is no OSTrack checkpoint")
        return tuple(state[key].shape)

    dim, _, _, patch = shape("backbone.patch_embed.proj.weight")
    sides = {key: math.isqrt(shape(f"backbone.{key}")[1]) for key in ("pos_embed_z", "pos_embed_x")}
    depth = 1 + max((int(k.split(".")[2]) for k in state if k.startswith("backbone.blocks.")), default=-1)
    hidden = shape("backbone.blocks.0.mlp.fc1.weight")[0]
    head_key = next((key for key in _HEADS if f"box_head.{key}" in state), None)
    if head_key is None:
        raise CheckpointError(f"{path}: no known head (expected one of box_head.{', box_head.'.join(_HEADS)})")
    if "num_heads" not in known and dim % 64:
        raise CheckpointError(
            f"{path}: {dim} channels are no multiple of 64, and the number of attention heads is not in the file; "
            "pass config=OSTrackConfig(...) or num_heads"
        )
    named = _OFFICIAL_NAME.search(f"{path.parent.name}/{path.name}")
    layers = () if named and "ce" not in named[0].split("_") else _ELIMINATION.get(depth, ())
    search = sides["pos_embed_x"] * patch
    fields = {
        "template_size": sides["pos_embed_z"] * patch,
        "search_size": search,
        "patch_size": patch,
        "embed_dim": dim,
        "depth": depth,
        "num_heads": dim // 64,
        "mlp_ratio": hidden / dim,
        "layer_scale": "backbone.blocks.0.ls1.gamma" in state,
        "token_type": "backbone.token_type" in state,
        "elimination_layers": layers,
        "keep_ratios": (0.7,) * len(layers),
        "head": _HEADS[head_key],
        "head_channels": shape(f"box_head.{head_key}")[0],
        "search_factor": 5.0 if search == 384 else 4.0,
    }
    if "elimination_layers" in known and "keep_ratios" not in known:
        known["keep_ratios"] = (0.7,) * len(known["elimination_layers"])
    return checked_config(fields | known, path)


def checked_config(fields: Mapping[str, Any], path: Path) -> OSTrackConfig:
    """A configuration from its fields.

    Raises:
        CheckpointError: They make no network; the first field at fault is named.
    """
    try:
        return OSTrackConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise CheckpointError(f"{path}: configuration: {where}{message}") from error
