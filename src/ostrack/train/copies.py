"""One network on many processes: whole copies (DDP), or one copy spread over all of them (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ostrack.model import OSTrack
from ostrack.model.block import Block
from ostrack.train.distributed import Ranks

__all__ = ["Copies", "Shards", "Whole", "distribute"]


class Copies(Protocol):
    """How a network lies in memory.

    Attributes:
        net: The network itself, whose parameters learn.
        model: What to call in training.
    """

    net: OSTrack
    model: nn.Module

    def last_part(self, last: bool) -> AbstractContextManager[None]:
        """Around the backward pass of one part of a batch; gradients meet in the last one."""

    def network_state(self) -> dict[str, Tensor]:
        """The whole state dict on the CPU; on rank 0 at least."""

    def optimiser_state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole state dict of an optimiser; on rank 0 at least."""

    def load(self, network: dict[str, Tensor], optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Take over what the two functions above gave."""

    def gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors like the network's (a running average), whole."""

    def spread(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Whole tensors, as the network's own lie in memory."""


class Whole:
    """A whole network in each process; alone, or with gradients averaged by DDP.

    Args:
        net: The network, on its device.
        ranks: The processes.
    """

    def __init__(self, net: OSTrack, ranks: Ranks) -> None:
        self.net = net
        self.ddp = None
        if ranks.world > 1:
            self.ddp = DistributedDataParallel(net, [ranks.device] if ranks.device.type == "cuda" else None)
        self.model: nn.Module = self.ddp or net

    def last_part(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged in the last part only."""
        return nullcontext() if last or self.ddp is None else self.ddp.no_sync()

    def network_state(self) -> dict[str, Tensor]:
        """The state dict."""
        return self.net.state_dict()

    def optimiser_state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """The state dict."""
        return optimiser.state_dict()

    def load(self, network: dict[str, Tensor], optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Load both."""
        self.net.load_state_dict(network)
        optimiser.load_state_dict(state)

    def gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """They are whole."""
        return tensors

    def spread(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """To where the network's tensors lie."""
        return {key: tensors[key].to(own.device) for key, own in self.net.state_dict().items()}


class Shards:
    """A network whose attention, MLPs and rest are each spread over all processes (FSDP2).

    The parts are those that are called as modules; a block itself is run in two halves.

    Args:
        net: The network, on its device; changed in place.
        ranks: The processes.
    """

    def __init__(self, net: OSTrack, ranks: Ranks) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(ranks.device.type, (ranks.world,))
        for block in cast(Iterable[Block], net.backbone.blocks):
            fully_shard(block.attn, mesh=mesh)
            fully_shard(block.mlp, mesh=mesh)
        fully_shard(net, mesh=mesh)
        self.net = net
        self.model: nn.Module = net

    def last_part(self, last: bool) -> AbstractContextManager[None]:
        """Gradients are reduced in every part: kept whole between parts they would take the memory saved."""
        return nullcontext()

    def network_state(self) -> dict[str, Tensor]:
        """The whole state dict on the CPU."""
        return {key: value.cpu() for key, value in self.gather(self.net.state_dict()).items()}

    def optimiser_state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole state dict, by parameter names."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return cast(dict[str, Any], get_optimizer_state_dict(self.net, optimiser, options=options))

    def load(self, network: dict[str, Tensor], optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """Load both from whole ones."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

        self.net.load_state_dict(self.spread(network))
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(self.net, optimiser, state, options=options)

    def gather(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Collect the parts of each tensor."""
        from torch.distributed.tensor import DTensor

        return {key: value.full_tensor() if isinstance(value, DTensor) else value for key, value in tensors.items()}

    def spread(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cut whole tensors as the network's own are."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        spread: dict[str, Tensor] = {}
        for key, own in self.net.state_dict().items():
            whole = tensors[key].to(own.device)
            is_cut = isinstance(own, DTensor)
            spread[key] = distribute_tensor(whole, own.device_mesh, own.placements) if is_cut else whole
        return spread


def distribute(net: OSTrack, ranks: Ranks, sharding: str) -> Copies:
    """Lay a network out over the processes of a run.

    Args:
        net: The network, on its device.
        ranks: The processes.
        sharding: ``"ddp"`` or ``"fsdp"``; alone, both are an ordinary network.
    """
    return Shards(net, ranks) if sharding == "fsdp" and ranks.world > 1 else Whole(net, ranks)
