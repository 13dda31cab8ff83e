"""Parameter groups, the optimiser, and the running average of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ostrack.errors import RecipeError
from ostrack.model import OSTrack

__all__ = ["WeightAverage", "build_optimiser", "freeze_first_blocks"]


def freeze_first_blocks(net: OSTrack, count: int) -> None:
    """Stop the patch embedding and the first blocks from learning; token types and positions go on.

    Raises:
        RecipeError: There are fewer blocks.
    """
    if count == 0:
        return
    if count > len(net.backbone.blocks):
        raise RecipeError(f"model.freeze_blocks={count}: the network has {len(net.backbone.blocks)} blocks")
    for module in (net.backbone.patch_embed, *net.backbone.blocks[:count]):
        for parameter in module.parameters():
            parameter.requires_grad_(False)


def build_optimiser(net: OSTrack, lr_head: float, lr_backbone: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with one rate for what was pretrained and another for what starts from nothing.

    Token types, low-rank updates and a second stage are new, so they learn with the head. Weight decay applies to
    every parameter, as officially.

    Raises:
        ValueError: Nothing is left to learn.
    """
    backbone: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            slow = name.startswith("backbone.") and not name.endswith(("token_type", "lora_a", "lora_b"))
            (backbone if slow else head).append(parameter)
    groups = [{"params": head, "lr": lr_head}, {"params": backbone, "lr": lr_backbone}]
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=weight_decay, fused=True)


class WeightAverage:
    """Exponential moving average of a network's parameters and buffers.

    Args:
        net: The network; its current state is the start.
        decay: Weight of the old average; smaller in the first steps, so that they are forgotten.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.state = {key: value.detach().clone() for key, value in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take in the network's present state."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        old: list[Tensor] = []
        new: list[Tensor] = []
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                old.append(_local(self.state[key]))
                new.append(_local(value))
            else:
                self.state[key].copy_(value)
        torch._foreach_lerp_(old, new, weight)

    @contextmanager
    def applied(self, net: nn.Module) -> Iterator[None]:
        """The network with the averaged weights for a while."""
        current = {key: value.clone() for key, value in net.state_dict().items()}
        net.load_state_dict(self.state)
        try:
            yield
        finally:
            net.load_state_dict(current)


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor that is spread over several; the tensor itself otherwise."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part
