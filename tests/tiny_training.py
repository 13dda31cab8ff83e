"""A tiny data set of moving squares and a recipe for it, made in a folder of a test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

SIZE = (96, 80)


def texture(rng: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    """Smooth noise: ``(height, width, 3)`` uint8."""
    coarse = rng.integers(0, 256, (max(height // 12, 2), max(width // 12, 2), 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def write_annotated(root: Path, clips: int = 3, frames: int = 6, seed: int = 0, dim: bool = False) -> Path:
    """Annotated folders: ``moving`` (clips with masks), ``photos`` (backgrounds), ``cutouts`` (RGBA).

    ``dim`` makes the scenes of the clips grey, so that the squares stand out.
    """
    rng = np.random.default_rng(seed)
    entries: list[dict[str, Any]] = []
    for clip in range(clips):
        scene, side = texture(rng, *SIZE), int(rng.integers(18, 26))
        if dim:
            scene = (scene.mean(2, keepdims=True) * 0.4 + 40).repeat(3, 2).astype(np.uint8)
        patch = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
        patch[side // 4 : side // 2, side // 4 : side // 2] = rng.integers(0, 256, 3)
        x, y = (int(rng.integers(0, limit - side)) for limit in SIZE)
        for frame in range(frames):
            x = int(np.clip(x + rng.integers(-4, 5), 0, SIZE[0] - side))
            y = int(np.clip(y + rng.integers(-4, 5), 0, SIZE[1] - side))
            image, mask = scene.copy(), np.zeros(SIZE[::-1], np.uint8)
            image[y : y + side, x : x + side] = patch
            mask[y : y + side, x : x + side] = 1
            name = f"{clip}_{frame:03d}.png"
            write_image(root / "moving" / "images" / name, image)
            write_image(root / "moving" / "masks" / name, mask)
            entries.append({
                "image": f"images/{name}", "mask": f"masks/{name}", "size": list(SIZE), "boxes": [[x, y, side, side]],
                "video": f"clip{clip}", "frame": frame,
            })  # fmt: skip
    write_json(root / "moving" / "annotations.json", entries)
    photos = []
    for number in range(4):
        write_image(root / "photos" / "images" / f"{number}.png", texture(rng, 200, 160))
        photos.append({"image": f"images/{number}.png", "size": [200, 160], "boxes": [[20, 30, 60, 50]]})
    write_json(root / "photos" / "annotations.json", photos)
    rgba = np.zeros((40, 40, 4), np.uint8)
    cv2.circle(rgba, (20, 20), 18, (200, 80, 30, 255), -1)
    write_image(root / "cutouts" / "images" / "disc.png", rgba)
    write_json(
        root / "cutouts" / "annotations.json",
        [{"image": "images/disc.png", "size": [40, 40], "boxes": [[2, 2, 37, 37]], "cutout": True}],
    )
    return root


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """PNG of RGB(A) or grey pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    assert cv2.imwrite(str(path), cv2.cvtColor(image, order[image.shape[2]]) if image.ndim == 3 else image)


def write_json(path: Path, content: Any) -> None:
    """JSON with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def tiny_recipe(root: Path | None, /, **sections: dict[str, Any]) -> dict[str, Any]:
    """Two blocks on 4x4 and 8x8 tokens, batches of four, eight steps."""
    document: dict[str, dict[str, Any]] = {
        "model": {
            "preset": "vitt_256_ce", "drop_path": 0.3,
            "config": {
                "template_size": 32, "search_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3,
                "head_channels": 16, "elimination_layers": [1, 2], "keep_ratios": [0.7, 0.5],
            },
        },
        "data": {
            "root": str(root) if root else None, "order": "any", "min_frames": 2, "min_visible": 2,
            "held_out": ["moving/clip0/0"], "negatives": 0.1,
        },
        "augment": {"centre_jitter": 2.0},
        "optim": {"ema": 0.9, "decay_at": "50%", "schedule": "cosine", "warmup_steps": 2},
        "elimination": {"start": "25%", "warm": "25%", "every": "step"},
        "run": {
            "epochs": 2, "pairs_per_epoch": 16, "batch": 4, "workers": 0, "device": "cpu", "threads": 1, "log_every": 2,
            "checkpoint_every": 2, "validate_every": 1, "validation_pairs": 6,
        },
    }  # fmt: skip
    for section, fields in sections.items():
        document.setdefault(section, {}).update(fields)
    return {"name": "tiny", **document}


def write_recipe(path: Path, root: Path | None, /, **sections: dict[str, Any]) -> Path:
    """The tiny recipe as a file."""
    path.write_text(yaml.safe_dump(tiny_recipe(root, **sections)), encoding="utf-8")
    return path
