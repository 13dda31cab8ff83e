"""Pretrained backbones by timm's, DINOv2's and MAE's names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from ostrack.errors import CheckpointError
from ostrack.model import OSTrack, initialise_backbone
from ostrack.model.backbone import resize_grid, resize_patches
from small_networks import tiny

DIM = 24


def vit(depth: int = 4, patch: int = 8, grid: int = 6, scale: bool = True, dim: int = DIM) -> dict[str, Tensor]:
    """A state dict as timm writes it, random."""
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    state = {
        "cls_token": rand(1, 1, dim),
        "pos_embed": rand(1, 1 + grid * grid, dim),
        "patch_embed.proj.weight": rand(dim, 3, patch, patch),
        "patch_embed.proj.bias": rand(dim),
        "norm.weight": rand(dim),
        "norm.bias": rand(dim),
    }
    for i in range(depth):
        block = {
            "attn.qkv.weight": (3 * dim, dim), "attn.qkv.bias": (3 * dim,), "attn.proj.weight": (dim, dim),
            "mlp.fc1.weight": (4 * dim, dim), "mlp.fc1.bias": (4 * dim,), "mlp.fc2.weight": (dim, 4 * dim),
        }  # fmt: skip
        vectors = ("norm1.weight", "norm1.bias", "attn.proj.bias", "norm2.weight", "norm2.bias", "mlp.fc2.bias")
        block |= dict.fromkeys(vectors, (dim,))
        if scale:
            block |= {"ls1.gamma": (dim,), "ls2.gamma": (dim,)}
        state |= {f"blocks.{i}.{key}": rand(*shape) for key, shape in block.items()}
    return state


def chunked(key: str) -> str:
    """blocks.3.x as DINOv2 writes it in chunks of two: blocks.1.3.x."""
    parts = key.split(".")
    return ".".join(["blocks", str(int(parts[1]) // 2), *parts[1:]]) if parts[0] == "blocks" else key


def write(state: dict[str, Tensor], folder: Path, kind: str) -> Path:
    if kind == "timm":
        save_file(state, folder / "vit.safetensors")
        return folder / "vit.safetensors"
    path = folder / "vit.pth"
    if kind == "dinov2":
        extra = {"mask_token": torch.zeros(1, DIM), "register_tokens": torch.zeros(1, 4, DIM)}
        torch.save({chunked(key): value for key, value in (state | extra).items()}, path)
    elif kind == "dinov2 teacher":
        extra = {
            "teacher": {f"backbone.{k}": v for k, v in state.items()} | {"dino_head.mlp.0.weight": torch.zeros(2, 2)}
        }
        torch.save(extra, path)
    elif kind == "mae":
        torch.save({"model": state | {"decoder_embed.weight": torch.zeros(8, DIM)}, "epoch": 800}, path)
    elif kind == "ddp":
        torch.save({"state_dict": {f"module.encoder.{k}": v for k, v in state.items()}}, path)
    return path


@pytest.mark.parametrize("kind", ["timm", "dinov2", "dinov2 teacher", "mae", "ddp"])
def test_every_naming_loads_the_same_values(tmp_path: Path, kind: str) -> None:
    state = vit(scale=kind != "mae")
    net = OSTrack(tiny(layer_scale=True, token_type=True))
    report = initialise_backbone(net, write(state, tmp_path, kind))
    loaded = net.backbone.state_dict()
    for key, tensor in state.items():
        if key not in ("cls_token", "pos_embed"):
            assert torch.equal(loaded[key], tensor), key
    assert report.resized == {"pos_embed_z": "6x6 -> 4x4", "pos_embed_x": "6x6 -> 8x8"}
    missing = ["token_type"]
    if kind == "mae":
        missing += [f"blocks.{i}.ls{j}.gamma" for i in range(4) for j in (1, 2)]
    assert sorted(report.missing) == sorted(missing)
    assert set(report.loaded) | set(report.missing) == set(loaded)
    unused = {"dinov2": {"mask_token", "register_tokens"}, "mae": {"decoder_embed.weight"},
              "dinov2 teacher": {"dino_head.mlp.0.weight"}}  # fmt: skip
    assert set(report.unused) == {"cls_token"} | unused.get(kind, set())
    for word in ("6x6 -> 8x8", "token_type", "cls_token"):
        assert word in report.text()


def test_a_shallower_network_takes_the_first_blocks(tmp_path: Path) -> None:
    state = vit(depth=6)
    net = OSTrack(tiny(layer_scale=True))
    report = initialise_backbone(net, write(state, tmp_path, "timm"))
    assert {key.split(".")[1] for key in report.unused if key.startswith("blocks")} == {"4", "5"}
    assert torch.equal(net.backbone.norm.weight, state["norm.weight"])
    assert "block 5" in report.text()
    assert "block 3" in report.text()


def test_a_deeper_network_names_the_missing_blocks(tmp_path: Path) -> None:
    report = initialise_backbone(OSTrack(tiny(layer_scale=True)), write(vit(depth=3), tmp_path, "timm"))
    assert {key.split(".")[1] for key in report.missing} == {"3"}
    assert "missing  blocks.3 (14 tensors)" in report.text()


def test_positions_are_resized_from_the_whole_grid_without_antialias() -> None:
    positions = torch.randn(1, 37 * 37, 5)
    down, how = resize_grid(torch.cat([torch.full((1, 1, 5), 9.0), positions], 1), 8)
    assert how == "37x37 -> 8x8"
    plane = positions[0].reshape(37, 37, 5)
    # Cubic convolution with a = -0.75 at the centre of the third cell, by hand: no neighbour beyond two positions.
    at = (2 + 0.5) * 37 / 8 - 0.5
    base, t = int(at), at - int(at)

    def kernel(d: float) -> float:
        d, a = abs(d), -0.75
        return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a

    w = torch.tensor([kernel(t + 1), kernel(t), kernel(1 - t), kernel(2 - t)])
    patch = plane[base - 1 : base + 3, base - 1 : base + 3]
    expected = torch.einsum("i,j,ijc->c", w, w, patch)
    torch.testing.assert_close(down[0, 2 * 8 + 2], expected, rtol=1e-4, atol=1e-4)
    same, how = resize_grid(positions, 37)
    assert torch.equal(same, positions)
    assert how == ""


def test_patches_are_resized() -> None:
    weight, how = resize_patches(torch.ones(2, 3, 16, 16), 14)
    assert weight.shape == (2, 3, 14, 14)
    assert how == "16x16 -> 14x14"
    torch.testing.assert_close(weight, torch.ones_like(weight))


@pytest.mark.parametrize(
    ("state", "config", "words"),
    [
        ({"conv1.weight": torch.zeros(3)}, {}, "no ViT backbone"),
        (
            vit(dim=48),
            {"layer_scale": True},
            "pos_embed has shape (1, 37, 48), this network needs (1, 16, 24)",
        ),
        (vit(), {}, "needs layer_scale=True"),
        (vit() | {"pos_embed": torch.zeros(1, 40, DIM)}, {"layer_scale": True}, "40 positions"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, state: dict[str, Tensor], config: dict[str, bool], words: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        initialise_backbone(OSTrack(tiny(**config)), write(state, tmp_path, "timm"))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
