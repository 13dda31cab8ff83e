"""Pretrained ViT weights into a network's backbone: timm's, DINOv2's, MAE's names, or another tracker's backbone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ostrack.errors import CheckpointError
from ostrack.model.ostrack import OSTrack
from ostrack.model.weight_files import read_weights

__all__ = ["LoadReport", "initialise_backbone", "resize_grid", "resize_patches"]

_PREFIXES = ("module.", "_orig_mod.", "teacher.", "backbone.", "encoder.")
# Sharded DINOv2 training writes blocks.CHUNK.BLOCK with BLOCK counted over the whole network.
_CHUNKED = re.compile(r"^blocks\.\d+\.(\d+)\.")
_BLOCK = re.compile(r"^blocks\.(\d+)\.")


@dataclass(frozen=True)
class LoadReport:
    """What became of every key of the file and of the backbone.

    Attributes:
        source: The weight file.
        loaded: Backbone parameters that now hold the file's values.
        missing: Backbone parameters that the file lacks; they keep their initial values.
        unused: Keys of the file that the backbone has no place for.
        resized: Parameter to what was done to its values, such as ``"37x37 -> 16x16"``.
        notes: Anything else worth knowing before training.
    """

    source: Path
    loaded: list[str]
    missing: list[str]
    unused: list[str]
    resized: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A few lines for people."""
        lines = [
            f"{self.source.name}: {len(self.loaded)} of {len(self.loaded) + len(self.missing)} backbone tensors loaded"
        ]
        lines += [f"  resized  {key}: {how}" for key, how in self.resized.items()]
        lines += [f"  missing  {name}" for name in _by_block(self.missing)]
        lines += [f"  unused   {name}" for name in _by_block(self.unused)]
        lines += [f"  note     {note}" for note in self.notes]
        return "\n".join(lines)


def initialise_backbone(net: OSTrack, path: str | Path) -> LoadReport:
    """Load pretrained ViT weights by name.

    As many blocks as the network has are taken, from the first one on. Position embeddings lose their class
    position and are resized to the template's and the search region's grid, both from the whole of the one grid
    (bicubic, not antialiased, as the official code does; an antialiased resize gives other numbers); a patch
    embedding of another patch size is resized likewise. Class and register tokens are not used.

    Args:
        net: The network; its backbone is changed in place, its head is not.
        path: ``.safetensors``, ``.pth``, ``.pt``, ``.pth.tar`` or ``.bin``; nested under ``model``, ``state_dict``,
            ``net`` or ``teacher`` or not; keys with or without ``backbone.``, ``module.`` or ``encoder.`` before.

    Returns:
        What was loaded, resized, missing and unused.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file cannot be read, holds no ViT, or a tensor does not fit; the key is named.
    """
    path = Path(path)
    source = {_plain(key): tensor for key, tensor in read_weights(path).items()}
    if "patch_embed.proj.weight" not in source or "blocks.0.attn.qkv.weight" not in source:
        raise CheckpointError(
            f"{path}: no ViT backbone (expected timm's names: patch_embed.proj.weight, blocks.0.attn.qkv.weight)"
        )
    backbone = net.backbone
    target = backbone.state_dict()
    if not net.config.layer_scale and "blocks.0.ls1.gamma" in source:
        raise CheckpointError(
            f"{path}: it scales residual branches (blocks.0.ls1.gamma): the network needs layer_scale=True"
        )
    grids = {"pos_embed_z": backbone.template_grid, "pos_embed_x": backbone.search_grid}
    ready: dict[str, Tensor] = {}
    resized: dict[str, str] = {}
    used: set[str] = set()
    for name, place in target.items():
        key = "pos_embed" if name in grids and name not in source else name
        if key not in source:
            continue
        tensor = source[key].to(torch.float32)
        if name in grids:
            if tensor.ndim != 3 or tensor.shape[-1] != place.shape[-1]:
                raise _misfit(path, key, place, tensor)
            tensor, how = resize_grid(tensor, grids[name], f"{path}: {key}")
        elif name == "patch_embed.proj.weight" and tensor.ndim == 4:
            tensor, how = resize_patches(tensor, place.shape[-1])
        else:
            how = ""
        if tensor.shape != place.shape:
            raise _misfit(path, key, place, source[key])
        if how:
            resized[name] = how
        ready[name] = tensor
        used.add(key)
    backbone.load_state_dict(ready, strict=False)
    blocks = {int(found[1]) for key in source if (found := _BLOCK.match(key))}
    depth = len(backbone.blocks)
    notes = []
    if len(blocks) > depth and "norm.weight" in ready:
        notes.append(
            f"the final norm was trained after block {max(blocks)} and now follows block {depth - 1}: a start, no more"
        )
    return LoadReport(
        path, list(ready), [n for n in target if n not in ready], [k for k in source if k not in used], resized, notes
    )


def resize_grid(positions: Tensor, grid: int, what: str = "position embedding") -> tuple[Tensor, str]:
    """Position embeddings for another grid.

    Args:
        positions: ``(1, n, C)`` with ``n`` a square, or a square plus one for a class token in front.
        grid: Wanted tokens per side.
        what: Name for the error.

    Returns:
        ``(1, grid * grid, C)`` and what was done, empty if nothing.

    Raises:
        CheckpointError: ``n`` is neither.
    """
    count = positions.shape[1]
    side = math.isqrt(count)
    if side * side != count:
        side = math.isqrt(count - 1)
        if side * side != count - 1:
            raise CheckpointError(f"{what}: {count} positions are no square grid, with or without a class token")
        positions = positions[:, 1:]
    if side == grid:
        return positions, ""
    planes = positions.transpose(1, 2).reshape(1, -1, side, side)
    planes = F.interpolate(planes, (grid, grid), mode="bicubic", align_corners=False)
    return planes.flatten(2).transpose(1, 2), f"{side}x{side} -> {grid}x{grid}"


def resize_patches(weight: Tensor, patch_size: int) -> tuple[Tensor, str]:
    """Patch embedding for another patch size, bicubic.

    Args:
        weight: ``(C, 3, p, p)``.
        patch_size: Wanted ``p``.

    Returns:
        ``(C, 3, patch_size, patch_size)`` and what was done, empty if nothing.
    """
    side = weight.shape[-1]
    if side == patch_size:
        return weight, ""
    weight = F.interpolate(weight, (patch_size, patch_size), mode="bicubic", align_corners=False)
    return weight, f"{side}x{side} -> {patch_size}x{patch_size}"


def _plain(key: str) -> str:
    while prefix := next((p for p in _PREFIXES if key.startswith(p)), None):
        key = key.removeprefix(prefix)
    return _CHUNKED.sub(r"blocks.\1.", key)


def _misfit(path: Path, key: str, expected: Tensor, found: Tensor) -> CheckpointError:
    return CheckpointError(f"{path}: {key} has shape {tuple(found.shape)}, this network needs {tuple(expected.shape)}")


def _by_block(names: list[str]) -> list[str]:
    """Names with those of a block gathered in one line."""
    blocks: dict[str, int] = {}
    for name in names:
        found = _BLOCK.match(name)
        group = f"blocks.{found[1]}" if found else name
        blocks[group] = blocks.get(group, 0) + 1
    return [name if count == 1 else f"{name} ({count} tensors)" for name, count in blocks.items()]
