"""Looking into a forward pass, which is the network's own and stays as it is.

Forward hooks keep the query and key heads of every block. Attention matrices are made from them when asked for, since
those of all layers of a large network together would fill a machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ostrack.errors import OSTrackError
from ostrack.explain.inspection import Elimination, Floats, Inspection, as_array
from ostrack.model import OSTrack, Prediction
from ostrack.model import elimination as ce
from ostrack.model.block import Block

__all__ = ["inspect"]


def inspect(net: OSTrack, template: Tensor, search: Tensor, template_box: Tensor | None = None) -> Inspection:
    """Run a network on one pair and keep what happened inside.

    Args:
        net: One-stream or two-stream network, in evaluation mode; left as it was.
        template: ``(1, 3, Hz, Wz)`` normalised RGB on the network's device.
        search: ``(1, 3, Hx, Wx)`` likewise.
        template_box: ``(1, 4)`` cxcywh of the target relative to the template crop, where the network needs it.

    Returns:
        The inspection; it holds the queries and keys of all layers, on the network's device.

    Raises:
        ValueError: More than one pair, the network is in training mode, or ``template_box`` is missing.
        OSTrackError: The network's structure is another than is known here.
    """
    if len(template) != 1 or len(search) != 1:
        raise ValueError(f"inspect takes one pair at a time, got {len(template)} templates and {len(search)} searches")
    if net.training:
        raise ValueError("the network is in training mode, where passes differ from each other: call net.eval() first")
    with torch.inference_mode(), _watched(net) as heads:
        prediction = net(template, search, template_box)
    config = net.config
    seen = {len(calls) for calls in heads}
    if not seen <= {1, 2}:
        raise OSTrackError(f"{type(net).__name__}: blocks ran {sorted(seen)} times in one pass, expected once or twice")
    weights = _query_weights(net, template_box)
    return Inspection(
        config,
        as_array(template[0]),
        as_array(search[0]),
        None if template_box is None else template_box[0].double().cpu().numpy(),
        prediction,
        tuple(_replay(net, heads, prediction, template_box)),
        weights,
        tuple(tuple((q[0], k[0]) for q, k in calls) for calls in heads),
    )


@contextmanager
def _watched(net: OSTrack) -> Iterator[list[list[tuple[Tensor, Tensor]]]]:
    """Collect query and key heads ``(1, heads, N, d)`` of each call of each block's attention."""
    blocks = list(cast(Iterable[Block], net.backbone.blocks))
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in blocks]

    def keep(layer: int, output: tuple[Tensor, Tensor, Tensor]) -> None:
        found[layer].append((output[1], output[2]))

    def hook(layer: int) -> torch.utils.hooks.RemovableHandle:
        def after(module: nn.Module, inputs: object, output: tuple[Tensor, Tensor, Tensor]) -> None:
            keep(layer, output)

        return blocks[layer].attn.register_forward_hook(after)

    handles = [hook(layer) for layer in range(len(blocks))]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _query_weights(net: OSTrack, template_box: Tensor | None) -> Floats:
    count = net.config.template_grid**2
    tokens = net.backbone.query_tokens
    if tokens is None and template_box is not None:
        return as_array(ce.box_query_weights(template_box, net.config.template_grid, net.config.patch_size)[0])
    out: Floats = np.zeros(count, np.float32)
    out[list(range(count)) if tokens is None else tokens] = 1
    out /= out.sum()
    return out


def _replay(
    net: OSTrack, heads: list[list[tuple[Tensor, Tensor]]], prediction: Prediction, template_box: Tensor | None
) -> Iterator[Elimination]:
    """The decisions once more, from the same queries and keys; the pass itself tells only what went."""
    vit, config = net.backbone, net.config
    weights = None
    if vit.query_tokens is None and template_box is not None:
        weights = ce.box_query_weights(template_box, config.template_grid, config.patch_size)
    places = torch.arange(config.search_grid**2, device=prediction.boxes.device)
    shares = vit.keep_mass or vit.keep_ratios
    for layer, share, dropped in zip(vit.elimination_layers, shares, prediction.eliminated, strict=True):
        query, key = heads[layer][0]
        scale = cast(Block, vit.blocks[layer]).attn.scale
        scores = ce.candidate_scores(query, key, scale, vit.query_tokens, weights, config.template_grid**2)[0]
        # A layer that keeps all leaves them in their order; the others sort by score.
        order = torch.arange(len(scores)) if share == 1 else scores.argsort(descending=True, stable=True)
        keep = len(places) - dropped.shape[1]
        kept, gone = places[order[:keep]], places[order[keep:]]
        if not torch.equal(gone, dropped[0]):
            raise OSTrackError(f"layer {layer}: the pass eliminated other tokens than its attention says")
        yield Elimination(layer, places.cpu().numpy(), as_array(scores), kept.cpu().numpy(), gone.cpu().numpy())
        places = kept
