"""The one-stream vision transformer: template and search tokens in one sequence, candidates eliminated on the way.

Parameter names equal timm's ViT (and so the official checkpoints'), so that their weights load by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ostrack.config import EliminationQuery
from ostrack.model import elimination as ce
from ostrack.model.block import Block

__all__ = ["JointViT", "PatchEmbed"]


class PatchEmbed(nn.Module):
    """Non-overlapping patches to tokens by one convolution shared by template and search region."""

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, patch_size)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to ``(B, N, C)`` in raster order."""
        patches: Tensor = self.proj(image)
        return patches.flatten(2).transpose(1, 2)


class JointViT(nn.Module):
    """Patch embedding, joint encoding of template and search region, candidate elimination, final norm.

    Args:
        template_grid: Template tokens per side.
        search_grid: Search tokens per side.
        patch_size: Side of a patch in pixels.
        embed_dim: Width of a token.
        depth: Number of blocks.
        num_heads: Heads per block.
        mlp_ratio: Hidden width of the MLPs over ``embed_dim``.
        layer_scale: Scale the residual branches.
        token_type: Learn embeddings for template foreground, template background and search tokens.
        elimination_layers: Blocks that eliminate candidates.
        keep_ratios: Share kept by each of them.
        keep_mass: Share of the score kept by each of them, in place of the ratios.
        elimination_query: Whose attention decides.
        drop_path: Stochastic depth of the last block; earlier ones grow linearly from 0.
    """

    def __init__(
        self,
        template_grid: int,
        search_grid: int,
        patch_size: int,
        embed_dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        layer_scale: bool = False,
        token_type: bool = False,
        elimination_layers: Sequence[int] = (),
        keep_ratios: Sequence[float] = (),
        keep_mass: Sequence[float] | None = None,
        elimination_query: EliminationQuery = "center",
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.template_grid, self.search_grid = template_grid, search_grid
        self.keep_ratios = tuple(keep_ratios)
        self.keep_mass = tuple(keep_mass or ())
        self.elimination_layers = tuple(elimination_layers)
        self.query_tokens = ce.query_tokens(elimination_query, template_grid)
        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        self.pos_embed_z = nn.Parameter(torch.zeros(1, template_grid**2, embed_dim))
        self.pos_embed_x = nn.Parameter(torch.zeros(1, search_grid**2, embed_dim))
        # Rows: template background, template foreground, search.
        self.token_type = nn.Parameter(torch.zeros(3, embed_dim)) if token_type else None
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, mlp_ratio, layer_scale, rate) for rate in rates)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self.apply(_initialise)
        for parameter in (self.pos_embed_z, self.pos_embed_x, self.token_type):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)

    def embed_template(self, template: Tensor, template_box: Tensor | None = None) -> Tensor:
        """What the first block needs of a template: it stays the same for as long as the target does.

        Args:
            template: ``(B, 3, Hz, Wz)`` normalised RGB.
            template_box: ``(B, 4)`` cxcywh of the target relative to the template crop; needed for token types and
                for the query ``"box"``.

        Returns:
            ``(B, Nz, C)`` patches plus position (and token type); with the query ``"box"`` one more column, each
            token's weight in the decision about candidates.
        """
        z: Tensor = self.patch_embed(template) + self.pos_embed_z
        if self.token_type is not None:
            if template_box is None:
                raise ValueError("this network has token types: its forward pass needs template_box")
            background, foreground, _ = self.token_type
            covered = ce.box_coverage(template_box, self.template_grid).unsqueeze(-1).to(z.dtype)
            z = z + background + covered * (foreground - background)
        if self.query_tokens is None and self.elimination_layers:
            if template_box is None:
                raise ValueError('elimination_query="box" needs template_box')
            weights = ce.box_query_weights(template_box, self.template_grid, self.patch_embed.proj.kernel_size[0])
            z = torch.cat([z, weights.unsqueeze(-1).to(z.dtype)], 2)
        return z

    def embed_search(self, search: Tensor) -> Tensor:
        """``(B, 3, Hx, Wx)`` normalised RGB to ``(B, Nx, C)`` patches plus position (and token type)."""
        x: Tensor = self.patch_embed(search) + self.pos_embed_x
        return x if self.token_type is None else x + self.token_type[2]

    def forward(
        self,
        template: Tensor,
        search: Tensor,
        template_box: Tensor | None = None,
        keep_ratios: float | Sequence[float] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Encode both images jointly: :meth:`embed_template`, then :meth:`encode`."""
        return self.encode(self.embed_template(template, template_box), search, keep_ratios)

    def encode(
        self, template_tokens: Tensor, search: Tensor, keep_ratios: float | Sequence[float] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Encode a search region jointly with a template that is embedded already.

        Args:
            template_tokens: From :meth:`embed_template`, one row for each search region.
            search: ``(B, 3, Hx, Wx)`` normalised RGB.
            keep_ratios: Replaces the configured ratios or shares of the score: one for all layers or one for each.

        Returns:
            Features ``(B, Nz + Nx, C)`` after the final norm, search tokens in raster order and zero where
            eliminated; and for each eliminating layer the ``(B, n)`` int64 raster places that it dropped.
        """
        by_mass = keep_ratios is None and bool(self.keep_mass)
        shares = ce.resolve_keep_ratios(self.keep_mass if by_mass else self.keep_ratios, keep_ratios)
        keep = dict(zip(self.elimination_layers, shares, strict=True))
        z, x, weights = template_tokens, self.embed_search(search), None
        if self.query_tokens is None and keep:
            z, weights = z[..., :-1], z[..., -1]
        count = z.shape[1]
        tokens = torch.cat([z, x], 1)
        index = torch.arange(x.shape[1], device=x.device).expand(x.shape[0], -1)
        eliminated: list[Tensor] = []
        for layer, block in enumerate(cast(Iterable[Block], self.blocks)):
            tokens, query, key = block.attend(tokens)
            if layer in keep:
                tokens, index, dropped = self._eliminate(
                    tokens, index, query, key, block.attn.scale, weights, count, keep[layer], by_mass
                )
                eliminated.append(dropped)
            tokens = block.transform(tokens)
        tokens = self.norm(tokens)
        if not eliminated:
            return tokens, eliminated
        x = ce.restore_order(tokens[:, count:], index, eliminated)
        return torch.cat([tokens[:, :count], x], 1), eliminated

    def _eliminate(
        self,
        tokens: Tensor,
        index: Tensor,
        query: Tensor,
        key: Tensor,
        scale: float,
        weights: Tensor | None,
        count: int,
        share: float,
        by_mass: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if share == 1:
            return tokens, index, index[:, :0]
        # Which candidates go is a decision, not a quantity to be learned through.
        with torch.no_grad():
            scores = ce.candidate_scores(query, key, scale, self.query_tokens, weights, count)
            keep, drop = (ce.split_by_mass if by_mass else ce.split_candidates)(scores, share)
        rows = keep.unsqueeze(-1).expand(-1, -1, tokens.shape[2])
        kept = torch.gather(tokens[:, count:], 1, rows)
        tokens = torch.cat([tokens[:, :count], kept], 1)
        return tokens, index.gather(1, keep), index.gather(1, drop)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
