"""One block of the vision transformer; its attention hands out queries and keys, by which candidates are ranked.

Parameter names equal timm's ViT (and so the official checkpoints'), so that their weights load by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "Block", "DropPath", "LayerScale", "Mlp"]


class LayerScale(nn.Module):
    """Learned per-channel scale of a residual branch (CaiT, DINOv2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to the same shape."""
        return x * self.gamma


class DropPath(nn.Module):
    """Drop a residual branch for whole samples during training (stochastic depth)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to the same shape; kept samples are scaled by ``1 / (1 - rate)``."""
        if self.rate == 0.0 or not self.training:
            return x
        keep = 1.0 - self.rate
        return x * (x.new_empty(x.shape[0], 1, 1).bernoulli_(keep) / keep)


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to the same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Attention(nn.Module):
    """Multi-head self-attention by the fused kernel, which never materialises the attention matrix.

    The one exception is training in bf16 on a CPU, see :meth:`forward`.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(B, N, C)`` to query, key and value of shape ``(B, heads, N, C / heads)``."""
        batch, length, dim = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return query, key, value

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attend.

        Args:
            x: ``(B, N, C)``.

        Returns:
            The attended tokens ``(B, N, C)``, and the query and key heads for candidate elimination.
        """
        query, key, value = self.heads(x)
        if torch.is_grad_enabled() and query.dtype == torch.bfloat16 and query.device.type == "cpu":
            # Training in bf16 on a CPU: the fused kernel's backward takes twice as long as that of plain products.
            attended = ((query * self.scale) @ key.transpose(-2, -1)).softmax(-1) @ value
        else:
            attended = F.scaled_dot_product_attention(query, key, value)
        return self.proj(attended.transpose(1, 2).reshape(x.shape)), query, key


class Block(nn.Module):
    """Pre-norm transformer block; its attention sees every token, its MLP only those that survive."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, layer_scale: bool = False, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.ls1 = LayerScale(dim) if layer_scale else nn.Identity()
        self.ls2 = LayerScale(dim) if layer_scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def attend(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """First half: ``(B, N, C)`` to the same shape, with the query and key heads."""
        attended, query, key = self.attn(self.norm1(x))
        return x + self.drop_path(self.ls1(attended)), query, key

    def transform(self, x: Tensor) -> Tensor:
        """Second half: ``(B, N, C)`` to the same shape."""
        out: Tensor = x + self.drop_path(self.ls2(self.mlp(self.norm2(x))))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to the same shape, nothing eliminated."""
        return self.transform(self.attend(x)[0])
