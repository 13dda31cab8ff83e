"""All three heads learn, and a centre head's box is where its maps say."""

from __future__ import annotations

import pytest
import torch

from ostrack.config import Head
from ostrack.model import OSTrack
from ostrack.model.heads import decode_center
from small_networks import images, tiny


def test_the_box_is_read_at_the_peak() -> None:
    score = torch.zeros(2, 1, 4, 4)
    score[0, 0, 1, 2], score[1, 0, 3, 0] = 0.8, 0.3
    size = torch.arange(64.0).reshape(2, 2, 4, 4) / 64
    offset = torch.full((2, 2, 4, 4), 0.25)
    boxes, peak = decode_center(score, size, offset)
    assert peak.tolist() == pytest.approx([0.8, 0.3])
    assert boxes[0].tolist() == pytest.approx([2.25 / 4, 1.25 / 4, 6 / 64, 22 / 64])
    assert boxes[1].tolist() == pytest.approx([0.25 / 4, 3.25 / 4, 44 / 64, 60 / 64])


@pytest.mark.parametrize("head", ["center", "corner", "mlp"])
def test_every_head_learns_to_point(head: Head) -> None:
    torch.manual_seed(0)
    config = tiny(head=head, elimination_layers=(2,), keep_ratios=(0.7,))
    net = OSTrack(config).train()
    template, search, target = images(config, 4, 3)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    cell = (target[:, :2] * 8).long()
    losses = []
    for _ in range(25):
        out = net(template, search)
        if out.score_map is None or out.size_map is None:
            loss = (out.boxes - target).abs().sum(1).mean()
        else:
            flat = out.score_map.flatten(1)
            loss = torch.nn.functional.nll_loss(flat.log(), cell[:, 1] * 8 + cell[:, 0])
            loss = loss + (out.size_map.mean((2, 3)) - target[:, 2:]).abs().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for name, p in net.named_parameters() if "backbone" in name)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0], losses


@pytest.mark.parametrize("head", ["center", "corner", "mlp"])
def test_shapes(head: Head) -> None:
    config = tiny(head=head)
    template, search, _ = images(config, 3, 0)
    with torch.inference_mode():
        out = OSTrack(config).eval()(template, search)
    assert out.boxes.shape == (3, 4)
    assert out.score.shape == (3,)
    assert out.features.shape == (3, 16 + 64, 24)
    assert ((out.score >= 0) & (out.score <= 1)).all()
    maps = [
        None if m is None else tuple(m.shape) for m in (out.score_map, out.size_map, out.offset_map, out.corner_maps)
    ]
    assert maps == (
        [None] * 3 + [(3, 2, 8, 8)] if head == "corner" else [(3, 1, 8, 8), (3, 2, 8, 8), (3, 2, 8, 8), None]
    )
