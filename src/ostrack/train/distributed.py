"""One process among many: who it is, sums over all of them, batch statistics over all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from ostrack.errors import RecipeError

__all__ = ["Ranks", "SharedBatchNorm2d", "join", "leave", "share_batch_norm"]


@dataclass(frozen=True)
class Ranks:
    """Place of this process among those of a run.

    Attributes:
        rank: Number of this process over all machines; 0 writes files.
        world: How many there are.
        device: What this one computes on.
    """

    rank: int
    world: int
    device: torch.device

    def mean(self, tensor: Tensor) -> Tensor:
        """Mean over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def total(self, tensor: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, in order of rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def settle(self) -> None:
        """Wait for the others once nothing is left to do.

        Threads of gloo let go of a collective's tensors a moment after it is done; one that does so while Python ends
        aborts the process, and a whole run would count as failed.
        """
        if self.world > 1:
            dist.barrier()


def join(device: str) -> Ranks:
    """Find out who we are; under torchrun, meet the others.

    Args:
        device: ``"auto"``, or any device of torch.

    Raises:
        RecipeError: The device is not to be had.
    """
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        where = torch.device(device)
        if where.type == "cuda" and where.index is None:
            where = torch.device("cuda", local)
        torch.empty(1, device=where)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise RecipeError(f"run.device={device}: {str(error).splitlines()[0]}") from None
    if where.type == "cuda":
        torch.cuda.set_device(where)
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    return Ranks(dist.get_rank() if world > 1 else 0, world, where)


def leave() -> None:
    """Part from the others; does nothing where there are none."""
    if dist.is_initialized():
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """Sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all processes' batches together; torch's own needs a GPU."""

    def forward(self, input: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        values = input.float()
        count = values.new_full((1,), values.numel() / values.shape[1])
        sums = torch.cat([values.sum((0, 2, 3)), (values * values).sum((0, 2, 3)), count])
        total: Tensor = _Sum.apply(sums)  # type: ignore[no-untyped-call]  # torch's autograd.Function is untyped
        width = values.shape[1]
        number = total[-1]
        mean = total[:width] / number
        variance = (total[width:-1] / number - mean * mean).clamp(min=0)
        if self.running_mean is not None and self.running_var is not None:
            momentum = self.momentum if self.momentum is not None else 0.1
            with torch.no_grad():
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * number / (number - 1), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalised: Tensor = values * scale[:, None, None] + shift[:, None, None]
        return normalised.to(input.dtype)


def share_batch_norm(net: nn.Module) -> None:
    """Let every batch norm of a network take its statistics over all processes; parameters and names stay."""
    for name, module in list(net.named_modules()):
        if type(module) is not nn.BatchNorm2d:
            continue
        shared = SharedBatchNorm2d(module.num_features, module.eps, module.momentum)
        shared.load_state_dict(module.state_dict())
        shared.to(module.weight.device).train(module.training)
        parent, _, child = name.rpartition(".")
        setattr(net.get_submodule(parent), child, shared)
