"""Low-rank adaptation of the backbone (LoRA, Hu et al. 2021): train few numbers, export an ordinary network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from ostrack.config import OSTrackConfig, TrackerKind
from ostrack.model import OSTrack
from ostrack.model.block import Block
from ostrack.model.kinds import new_network

__all__ = ["LowRankLinear", "add_lora", "merged_state", "ordinary"]


class LowRankLinear(nn.Linear):
    """A linear layer with a frozen weight and a trained update ``B A`` of low rank.

    Args:
        linear: The layer; its weight and bias are taken over under the same names.
        rank: Rank of the update. ``B`` starts at zero, so that nothing changes at first.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.weight, self.bias = linear.weight, linear.bias
        self.lora_a = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, input: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        return super().forward(input) + (input @ self.lora_a.t()) @ self.lora_b.t()


def add_lora(net: OSTrack, rank: int) -> None:
    """Freeze the backbone and let the attention of its blocks learn by low-rank updates.

    Token types, where the network has them, go on learning: they are no part of a pretrained backbone.

    Raises:
        ValueError: The rank is not below the width of the tokens.
    """
    if not 0 < rank < net.config.embed_dim:
        raise ValueError(f"lora_rank={rank}: expected 1 to {net.config.embed_dim - 1}")
    for name, parameter in net.backbone.named_parameters():
        parameter.requires_grad_(name == "token_type")
    for block in cast(Iterable[Block], net.backbone.blocks):
        block.attn.qkv = LowRankLinear(block.attn.qkv, rank)
        block.attn.proj = LowRankLinear(block.attn.proj, rank)


def ordinary(state: dict[str, Tensor], config: OSTrackConfig, kind: TrackerKind) -> OSTrack:
    """A network without low-rank layers that computes the same, to be saved and run like any other."""
    net = new_network(config, kind)
    net.load_state_dict(merged_state(state))
    return net


def merged_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of an ordinary network with the low-rank updates added to the weights.

    Args:
        state: State dict of a network, with or without such updates.
    """
    merged = {key: value for key, value in state.items() if not key.endswith(("lora_a", "lora_b"))}
    for key, update in state.items():
        if key.endswith("lora_b"):
            stem = key.removesuffix("lora_b")
            merged[f"{stem}weight"] = merged[f"{stem}weight"] + update @ state[f"{stem}lora_a"]
    return merged
