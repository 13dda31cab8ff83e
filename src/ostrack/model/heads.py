"""Box heads: search features to a box, by centre maps, by corner distributions, or by an MLP per token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["CenterHead", "CornerHead", "HeadOutput", "MlpHead", "decode_center"]

_SCORE_MARGIN = 1e-4


@dataclass(frozen=True)
class HeadOutput:
    """What a head predicts.

    Attributes:
        boxes: ``(B, 4)`` cxcywh relative to the search crop.
        score: ``(B,)`` confidence in [0, 1].
        score_map: ``(B, 1, S, S)``, or None for the corner head.
        size_map: ``(B, 2, S, S)`` width and height relative to the crop, or None.
        offset_map: ``(B, 2, S, S)`` centre minus cell index, in cells, or None.
        corner_maps: ``(B, 2, S, S)`` distributions of the top-left and the bottom-right corner, or None.
    """

    boxes: Tensor
    score: Tensor
    score_map: Tensor | None = None
    size_map: Tensor | None = None
    offset_map: Tensor | None = None
    corner_maps: Tensor | None = None


def decode_center(score_map: Tensor, size_map: Tensor, offset_map: Tensor) -> tuple[Tensor, Tensor]:
    """Read the box at the peak of the score map.

    Args:
        score_map: ``(B, 1, S, S)``.
        size_map: ``(B, 2, S, S)``.
        offset_map: ``(B, 2, S, S)``.

    Returns:
        ``(B, 4)`` cxcywh relative to the crop and ``(B,)`` peak scores.
    """
    side = score_map.shape[-1]
    score, peak = score_map.flatten(1).max(1)
    at = peak[:, None, None].expand(-1, 2, 1)
    size = size_map.flatten(2).gather(2, at).squeeze(2)
    offset = offset_map.flatten(2).gather(2, at).squeeze(2)
    cell = torch.stack([peak % side, torch.div(peak, side, rounding_mode="floor")], 1)
    return torch.cat([(cell + offset) / side, size], 1), score


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class _Towers(nn.Module):
    """Parallel towers of four convolutions, each halving the channels, and a 1x1 convolution; official names."""

    def __init__(self, dim: int, channels: int, outputs: dict[str, int]) -> None:
        super().__init__()
        widths = [dim, channels, channels // 2, channels // 4, channels // 8]
        for name, out in outputs.items():
            for stage in range(4):
                self.add_module(f"conv{stage + 1}_{name}", _stage(widths[stage], widths[stage + 1]))
            self.add_module(f"conv5_{name}", nn.Conv2d(widths[4], out, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def tower(self, name: str, features: Tensor) -> Tensor:
        """``(B, C, S, S)`` to the named tower's ``(B, out, S, S)``."""
        for stage in range(1, 6):
            features = self.get_submodule(f"conv{stage}_{name}")(features)
        return features


class CenterHead(_Towers):
    """Score, offset and size maps (the paper's head)."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__(dim, channels, {"ctr": 1, "offset": 2, "size": 2})

    def forward(self, features: Tensor) -> HeadOutput:
        """``(B, C, S, S)`` search features to maps and the box at the peak."""
        features = features.contiguous()
        score = self.tower("ctr", features).float().sigmoid().clamp(_SCORE_MARGIN, 1 - _SCORE_MARGIN)
        size = self.tower("size", features).float().sigmoid().clamp(_SCORE_MARGIN, 1 - _SCORE_MARGIN)
        offset = self.tower("offset", features).float()
        boxes, peak = decode_center(score, size, offset)
        return HeadOutput(boxes, peak, score, size, offset)


class MlpHead(nn.Module):
    """The same maps from a three-layer perceptron on each token, without looking at its neighbours."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.ReLU(inplace=True),
            nn.Linear(channels, 5),
        )  # fmt: skip

    def forward(self, features: Tensor) -> HeadOutput:
        """``(B, C, S, S)`` search features to maps and the box at the peak."""
        maps = self.layers(features.flatten(2).transpose(1, 2)).float().transpose(1, 2)
        maps = maps.reshape(maps.shape[0], 5, *features.shape[2:])
        bounded = maps[:, :3].sigmoid().clamp(_SCORE_MARGIN, 1 - _SCORE_MARGIN)
        score, size, offset = bounded[:, :1], bounded[:, 1:], maps[:, 3:]
        boxes, peak = decode_center(score, size, offset)
        return HeadOutput(boxes, peak, score, size, offset)


class CornerHead(_Towers):
    """Expected top-left and bottom-right corners under two spatial distributions (soft-argmax)."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__(dim, channels, {"tl": 1, "br": 1})

    def forward(self, features: Tensor) -> HeadOutput:
        """``(B, C, S, S)`` search features to a box; the score is the geometric mean of both peaks."""
        features = features.contiguous()
        batch, _, side, _ = features.shape
        maps = torch.cat([self.tower("tl", features), self.tower("br", features)], 1).float()
        probability = maps.flatten(2).softmax(2)
        # Expected cell over the side, as the official head: no half cell is added.
        step = torch.arange(side, device=maps.device, dtype=maps.dtype) / side
        grid = probability.reshape(batch, 2, side, side)
        corner = torch.stack([(grid.sum(2) * step).sum(-1), (grid.sum(3) * step).sum(-1)], -1)
        first, second = corner[:, 0], corner[:, 1]
        boxes = torch.cat([(first + second) / 2, second - first], 1)
        score = probability.amax(2).prod(1).sqrt()
        return HeadOutput(boxes, score, corner_maps=grid)
