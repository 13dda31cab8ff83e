"""Two-stream baselines: the same ViT sees template and search region apart, and a second stage relates them.

The same network as the one-stream tracker with attention between template and search forbidden in the backbone:
blocks, positions, head and losses are shared, so that what differs is where the two images meet. The second stage is

* ``"correlation"``: the template's features slide over the search features, each channel with its own (depth-wise
  correlation, as in Siamese trackers), followed by a 1x1 convolution; or
* ``"relation"``: transformer blocks over both sets of tokens together (as in transformer trackers of two stages).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ostrack.config import OSTrackConfig
from ostrack.model.block import Block
from ostrack.model.ostrack import OSTrack, Prediction

__all__ = ["CorrelationStage", "RelationStage", "Stage", "TwoStream"]

Stage = Literal["correlation", "relation"]


class CorrelationStage(nn.Module):
    """Depth-wise correlation of the features of both images.

    Args:
        dim: Width of a token, C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.template = nn.Linear(dim, dim)
        self.search = nn.Linear(dim, dim)
        self.mix = nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1))

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """``(B, Nz, C)`` and ``(B, Nx, C)`` to related search tokens ``(B, Nx, C)``."""
        batch, count, dim = search.shape
        side, small = round(count**0.5), round(template.shape[1] ** 0.5)
        kernel = self.template(template).transpose(1, 2).reshape(batch, dim, small, small)
        scene = self.search(search).transpose(1, 2).reshape(batch, dim, side, side)
        # One more cell before than after keeps the size with an even kernel.
        before, after = small // 2, (small - 1) // 2
        scene = F.pad(scene, (before, after, before, after))
        if torch.onnx.is_in_onnx_export():
            related = _slide(scene, kernel, side)
        else:
            flat = kernel.to(scene.dtype).reshape(batch * dim, 1, small, small)
            related = F.conv2d(scene.reshape(1, batch * dim, *scene.shape[2:]), flat, groups=batch * dim)
        out: Tensor = self.mix(related.reshape(batch, dim, side, side) / small)
        return out.flatten(2).transpose(1, 2)


def _slide(scene: Tensor, kernel: Tensor, side: int) -> Tensor:
    """The same correlation as a sum of shifted products: graphs know no convolution of a free number of groups."""
    places = [(y, x) for y in range(kernel.shape[2]) for x in range(kernel.shape[3])]
    parts = [kernel[:, :, y : y + 1, x : x + 1] * scene[:, :, y : y + side, x : x + side] for y, x in places]
    return torch.stack(parts).sum(0)


class RelationStage(nn.Module):
    """Transformer blocks over the tokens of both images.

    Args:
        dim: Width of a token, C.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over ``dim``.
        depth: Number of blocks.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, depth: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, num_heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """``(B, Nz, C)`` and ``(B, Nx, C)`` to related search tokens ``(B, Nx, C)``."""
        tokens = torch.cat([template, search], 1)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens[:, template.shape[1] :])
        return out


class TwoStream(OSTrack):
    """A two-stream, two-stage tracker's network, called like the one-stream one.

    Args:
        config: Architecture; its elimination is left out, since nothing tells candidates apart before they meet.
        stage: Second stage.
        drop_path: Stochastic depth of the backbone's last block, for training.
    """

    def __init__(self, config: OSTrackConfig, stage: Stage, drop_path: float = 0.0) -> None:
        super().__init__(config.without_elimination(), drop_path)
        self.stage = stage
        self.relation: nn.Module = (
            CorrelationStage(config.embed_dim)
            if stage == "correlation"
            else RelationStage(config.embed_dim, config.num_heads, config.mlp_ratio)
        )

    def embed(self, template: Tensor, template_box: Tensor | None = None) -> Tensor:
        """The template through its own stream, which no search region has a part in.

        Args:
            template: ``(B, 3, Hz, Wz)`` float, ImageNet-normalised RGB crop of the target.
            template_box: ``(B, 4)`` cxcywh of the target relative to the template crop; required with token types.

        Returns:
            ``(B, Nz, C)`` after the final norm.
        """
        return self._stream(self.backbone.embed_template(template, template_box))

    def search(
        self, template_tokens: Tensor, search: Tensor, keep_ratios: float | Sequence[float] | None = None
    ) -> Prediction:
        """Find the template's target in the search region.

        Args:
            template_tokens: From :meth:`embed`.
            search: ``(B, 3, Hx, Wx)`` float, ImageNet-normalised RGB crop of the search region.
            keep_ratios: Not looked at: nothing is eliminated.

        Returns:
            Maps, box and features; ``features`` holds the template's own and the related search tokens.
        """
        z, x = template_tokens, self._stream(self.backbone.embed_search(search))
        scene = self.relation(z, x)
        side = self.backbone.search_grid
        head = self.box_head(scene.transpose(1, 2).reshape(scene.shape[0], scene.shape[2], side, side))
        return Prediction(
            head.boxes, head.score, head.score_map, head.size_map, head.offset_map, head.corner_maps,
            torch.cat([z, scene], 1), [],
        )  # fmt: skip

    def _stream(self, tokens: Tensor) -> Tensor:
        for block in cast(Iterable[Block], self.backbone.blocks):
            tokens = block(tokens)
        out: Tensor = self.backbone.norm(tokens)
        return out
