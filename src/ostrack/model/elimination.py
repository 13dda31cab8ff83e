"""Early candidate elimination (paper section 3.2): which search tokens go, and putting the rest back in place.

The score of a search token is the attention that selected template tokens pay to it, averaged over those
tokens and over the heads. Only the attention rows of the selected tokens are ever computed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ostrack.config import EliminationQuery

__all__ = [
    "box_coverage",
    "box_query_weights",
    "candidate_scores",
    "query_tokens",
    "resolve_keep_ratios",
    "restore_order",
    "split_by_mass",
    "split_candidates",
]


def query_tokens(query: EliminationQuery, grid: int) -> list[int] | None:
    """Template tokens whose attention decides, as indices into the raster of ``grid x grid`` tokens.

    Official centre point and centre block for the sizes that the official code knows (7, 8, 12, 14), continued
    to any other; ``"paper_center"`` is the paper's ``floor(n / 2)``.

    Returns:
        The indices; None for ``"box"``, which depends on the target.
    """
    if query == "box":
        return None
    if query == "all":
        return list(range(grid * grid))
    if query == "center_block":
        # Two tokens on an even grid, one on an odd one.
        low, high = (grid - 1) // 2, grid // 2 + 1
    else:
        low = grid // 2 if query == "paper_center" else (grid - 1) // 2
        high = low + 1
    return [row * grid + column for row in range(low, high) for column in range(low, high)]


def box_coverage(box_cxcywh: Tensor, grid: int) -> Tensor:
    """Share of each token's area that a box covers.

    Args:
        box_cxcywh: ``(B, 4)`` cxcywh relative to the crop.
        grid: Tokens per side.

    Returns:
        ``(B, grid * grid)`` in [0, 1], raster order.
    """
    edges = torch.arange(grid, device=box_cxcywh.device, dtype=box_cxcywh.dtype) / grid
    low = (box_cxcywh[:, :2] - box_cxcywh[:, 2:] / 2).unsqueeze(-1)
    high = (box_cxcywh[:, :2] + box_cxcywh[:, 2:] / 2).unsqueeze(-1)
    # (B, 2, grid): covered share along x and along y.
    span = (torch.minimum(high, edges + 1 / grid) - torch.maximum(low, edges)).clamp(min=0) * grid
    return (span[:, 1, :, None] * span[:, 0, None, :]).flatten(1)


def box_query_weights(box_cxcywh: Tensor, grid: int, patch_size: int) -> Tensor:
    """Weights of a mean over the template tokens that a box holds, each image on its own.

    The official rule (``GT_BOX``): whole pixels from the box's truncated corner up to its right and bottom edge
    less one, shrunk bilinearly by the patch size, which reads the middle one or two pixels of a patch; a token
    counts when any of them lies in the box. The official code then selects with one boolean mask over the whole
    batch, which mixes images when their counts differ; a weighted mean cannot. A box that holds no patch's middle
    falls back to the mean over all tokens.

    Args:
        box_cxcywh: ``(B, 4)`` cxcywh relative to the crop.
        grid: Tokens per side.
        patch_size: Side of a patch in pixels.

    Returns:
        ``(B, grid * grid)``, rows sum to 1.
    """
    pixels = box_cxcywh * (grid * patch_size)
    corner = pixels[:, :2] - pixels[:, 2:] / 2
    first = corner.clamp(min=0).floor().unsqueeze(-1)
    end = (corner + pixels[:, 2:] - 1).clamp(min=0).floor().unsqueeze(-1)
    start = torch.arange(grid, device=pixels.device, dtype=pixels.dtype) * patch_size
    low, high = start + (patch_size - 1) // 2, start + patch_size // 2
    # (B, 2, grid): along x and along y.
    inside = ((low >= first) & (low < end)) | ((high >= first) & (high < end))
    held = (inside[:, 1, :, None] & inside[:, 0, None, :]).flatten(1).to(pixels.dtype)
    held = torch.where(held.sum(1, keepdim=True) > 0, held, torch.ones_like(held))
    return held / held.sum(1, keepdim=True)


def candidate_scores(
    query: Tensor, key: Tensor, scale: float, tokens: list[int] | None, weights: Tensor | None, num_template: int
) -> Tensor:
    """Attention from the deciding template tokens to every search token.

    Args:
        query: ``(B, heads, Nz + Nx, d)``.
        key: ``(B, heads, Nz + Nx, d)``.
        scale: Factor on the dot products.
        tokens: Deciding template tokens, or None to take all of them weighted.
        weights: ``(B, Nz)`` weights when ``tokens`` is None.
        num_template: ``Nz``.

    Returns:
        ``(B, Nx)`` float32; the softmax runs over template and search tokens alike.
    """
    if tokens is None:
        rows = query[:, :, :num_template]
    elif tokens == list(range(tokens[0], tokens[-1] + 1)):
        rows = query[:, :, tokens[0] : tokens[-1] + 1]
    else:
        rows = query[:, :, tokens]
    attention = (rows.float() @ key.float().transpose(-2, -1) * scale).softmax(-1)[..., num_template:]
    if tokens is None and weights is not None:
        attention = attention * weights[:, None, :, None].float()
        return attention.sum(2).mean(1)
    return attention.mean(2).mean(1)


def split_candidates(scores: Tensor, keep_ratio: float) -> tuple[Tensor, Tensor]:
    """Positions of the kept and the eliminated candidates.

    Args:
        scores: ``(B, n)``.
        keep_ratio: Share to keep; ``ceil(keep_ratio * n)`` remain.

    Returns:
        ``(B, k)`` and ``(B, n - k)`` int64 positions into the current search tokens, by falling score.
    """
    keep = math.ceil(keep_ratio * scores.shape[1])
    # Stable, so that ties fall alike on every device and in exported graphs: the earlier token first.
    order = torch.argsort(scores, dim=1, descending=True, stable=True)
    return order[:, :keep], order[:, keep:]


def split_by_mass(scores: Tensor, keep_mass: float) -> tuple[Tensor, Tensor]:
    """As :func:`split_candidates`, with as many kept as it takes to hold a share of the score.

    A batch has one length: the image that needs most tokens says how many all of them keep. Reading that number makes
    a GPU wait, and no graph of fixed shapes can hold it.

    Args:
        scores: ``(B, n)``, not negative.
        keep_mass: Share of each row's sum to keep.

    Returns:
        ``(B, k)`` and ``(B, n - k)`` int64 positions into the current search tokens, by falling score.
    """
    ranked, order = torch.sort(scores, dim=1, descending=True, stable=True)
    held = ranked.cumsum(1) / ranked.sum(1, keepdim=True)
    # Rounding may leave the whole sum short of the share.
    keep = min(int((held < keep_mass).sum(1).max()) + 1, scores.shape[1])
    return order[:, :keep], order[:, keep:]


def restore_order(kept: Tensor, index: Tensor, eliminated: Sequence[Tensor]) -> Tensor:
    """Search tokens back in raster order, zeros where candidates were eliminated.

    A gather by the inverse permutation: exported graphs then need no scatter, which some runtimes lack.

    Args:
        kept: ``(B, k, C)`` tokens that are left.
        index: ``(B, k)`` their places in the raster.
        eliminated: ``(B, n_i)`` places of those dropped by each layer; may be empty.

    Returns:
        ``(B, Nx, C)``.
    """
    dropped = sum(e.shape[1] for e in eliminated)
    if dropped == 0:
        place = torch.argsort(index, dim=1)
    else:
        place = torch.argsort(torch.cat([index, *eliminated], 1), dim=1)
        kept = F.pad(kept, (0, 0, 0, dropped))
    return torch.gather(kept, 1, place.unsqueeze(-1).expand(-1, -1, kept.shape[2]))


def resolve_keep_ratios(configured: Sequence[float], override: float | Sequence[float] | None) -> tuple[float, ...]:
    """Keep ratio of each eliminating layer after a run-time override.

    Args:
        configured: One ratio per eliminating layer.
        override: None, one ratio for all layers, or one for each.

    Raises:
        ValueError: A ratio outside (0, 1] or another number of ratios than layers.
    """
    if override is None:
        return tuple(configured)
    ratios = (float(override),) * len(configured) if isinstance(override, int | float) else tuple(override)
    if len(ratios) != len(configured):
        raise ValueError(f"{len(ratios)} keep ratios for {len(configured)} eliminating layers")
    if any(not 0 < r <= 1 for r in ratios):
        raise ValueError(f"keep ratios must lie in (0, 1], got {ratios}")
    return ratios
