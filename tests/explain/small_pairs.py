"""Random crops, and rendered clips with look-alikes, for the tests here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostrack.model import OSTrackConfig


def pair(config: OSTrackConfig, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """One random template, search region and template box (cxcywh in the middle of the crop)."""
    generator = torch.Generator().manual_seed(seed)
    template = torch.randn(1, 3, config.template_size, config.template_size, generator=generator)
    search = torch.randn(1, 3, config.search_size, config.search_size, generator=generator)
    return template, search, torch.tensor([[0.5, 0.5, 0.4, 0.6]])


def write_frames(folder: Path, frames: int = 8, lookalikes: int = 1) -> NDArray[np.float64]:
    """A folder ``img/`` of 120 x 160 pictures of a red square that drifts, with others like it, and its boxes.

    Returns:
        ``(frames, 4)`` xywh, also written as ``groundtruth.txt``.
    """
    (folder / "img").mkdir(parents=True)
    boxes = np.stack([[40.0 + 2 * t, 50.0 + t, 20.0, 16.0] for t in range(frames)])
    ground = np.random.default_rng(0).integers(40, 90, (120, 160, 3)).astype(np.uint8)
    for t, (x, y, w, h) in enumerate(boxes.astype(int).tolist()):
        image = ground.copy()
        for k in range(1, lookalikes + 1):
            cv2.rectangle(image, (x + 28 * k, y - 12), (x + 28 * k + w - 1, y - 12 + h - 1), (30, 60, 210), -1)
        cv2.rectangle(image, (x, y), (x + w - 1, y + h - 1), (30, 30, 220), -1)
        cv2.imwrite(str(folder / "img" / f"{t + 1:05d}.png"), image)
    (folder / "groundtruth.txt").write_text("".join(",".join(f"{v:g}" for v in row) + "\n" for row in boxes))
    return boxes
