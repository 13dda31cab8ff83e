"""Small networks for the tests of several folders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ostrack.model import OSTrack, OSTrackConfig

# The networks of the parity fixtures.
NARROW = OSTrackConfig(embed_dim=48, num_heads=3, head_channels=16)


def tiny(**fields: Any) -> OSTrackConfig:
    """Four blocks on 4x4 and 8x8 tokens."""
    defaults: dict[str, Any] = {
        "template_size": 32, "search_size": 64, "patch_size": 8, "embed_dim": 24, "depth": 4, "num_heads": 3,
        "head_channels": 16, "elimination_layers": (1, 2), "keep_ratios": (0.7, 0.7),
    }  # fmt: skip
    return OSTrackConfig(**(defaults | fields))


def lively(net: OSTrack, seed: int = 0) -> OSTrack:
    """The network with weights large enough that its attention is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(values * 2.0 / parameter[0].numel() ** 0.5)
            elif name.endswith("bias"):
                parameter.copy_(values * 0.1)
    return net.eval()


def images(config: OSTrackConfig, batch: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random template, search region and template box (cxcywh inside the crop)."""
    generator = torch.Generator().manual_seed(seed)
    template = torch.randn(batch, 3, config.template_size, config.template_size, generator=generator)
    search = torch.randn(batch, 3, config.search_size, config.search_size, generator=generator)
    size = 0.2 + 0.6 * torch.rand(batch, 2, generator=generator)
    centre = size / 2 + (1 - size) * torch.rand(batch, 2, generator=generator)
    return template, search, torch.cat([centre, size], 1)
