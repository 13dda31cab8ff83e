"""Focal, GIoU and L1 losses and the Gaussian target map (paper section 3.3; constants of the official code)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ostrack.model import Prediction

__all__ = [
    "BoxCells",
    "LossWeights",
    "Losses",
    "cxcywh_to_xyxy",
    "focal_loss",
    "gaussian_maps",
    "giou",
    "tracking_loss",
]

BoxCells = Literal["peak", "target"]


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """``(..., 4)`` cxcywh to ``(..., 4)`` xyxy."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Generalised IoU (Rezatofighi et al. 2019) and IoU of paired boxes.

    Args:
        a: ``(..., 4)`` xyxy.
        b: ``(..., 4)`` xyxy.

    Returns:
        ``(...)`` GIoU in [-1, 1] and ``(...)`` IoU in [0, 1].
    """
    area_a = (a[..., 2:] - a[..., :2]).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(-1)
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = area_a + area_b - inter
    tiny = torch.finfo(union.dtype).tiny
    iou = inter / union.clamp(min=tiny)
    return iou - (hull - union) / hull.clamp(min=tiny), iou


def _radius(height: Tensor, width: Tensor, overlap: float = 0.7) -> Tensor:
    """CornerNet's radius in cells, with its ``(b + sqrt) / 2`` for all three cases as every descendant has it."""
    total, area = height + width, height * width
    b1, c1 = total, area * (1 - overlap) / (1 + overlap)
    b2, c2 = 2 * total, (1 - overlap) * area
    a3, b3, c3 = 4 * overlap, -2 * overlap * total, (overlap - 1) * area
    roots = [
        (b1 + (b1**2 - 4 * c1).sqrt()) / 2,
        (b2 + (b2**2 - 16 * c2).sqrt()) / 2,
        (b3 + (b3**2 - 4 * a3 * c3).sqrt()) / 2,
    ]
    return torch.stack(roots).amin(0).clamp(min=0).floor()


def gaussian_maps(boxes: Tensor, side: int) -> Tensor:
    """Target score maps: a Gaussian of 1 at the target's cell, within CornerNet's radius; vectorised on the device.

    Args:
        boxes: ``(B, 4)`` cxcywh relative to the crop.
        side: Cells per side, S.

    Returns:
        ``(B, 1, S, S)`` float32; the centre cell is ``round(c * S)`` with halves to even, outside the map nothing
        is drawn beyond what the Gaussian reaches.
    """
    boxes = boxes.float()
    radius = _radius(boxes[:, 3] * side, boxes[:, 2] * side)[:, None]
    sigma = (2 * radius + 1) / 6
    cells = torch.arange(side, device=boxes.device, dtype=torch.float32)
    dx = cells - (boxes[:, :1] * side).round()
    dy = cells - (boxes[:, 1:2] * side).round()
    row = torch.exp(-(dx**2) / (2 * sigma**2)) * (dx.abs() <= radius)
    column = torch.exp(-(dy**2) / (2 * sigma**2)) * (dy.abs() <= radius)
    return (column[:, :, None] * row[:, None, :]).unsqueeze(1)


def focal_loss(score: Tensor, target: Tensor, count: Tensor | None = None) -> Tensor:
    """Penalty-reduced focal loss (CornerNet; alpha 2, beta 4) over the positives of the whole batch.

    Args:
        score: ``(B, 1, S, S)`` in (0, 1).
        target: ``(B, 1, S, S)`` from :func:`gaussian_maps`.
        count: What to divide by in place of the number of positives.

    Returns:
        Scalar; not normalised when there is no positive.
    """
    score = score.clamp(min=1e-12)
    positive = target.eq(1).to(score.dtype)
    hit = (score.log() * (1 - score) ** 2 * positive).sum()
    miss = (torch.log1p(-score) * score**2 * (1 - target) ** 4 * (1 - positive)).sum()
    return -(hit + miss) / (positive.sum().clamp(min=1) if count is None else count)


@dataclass(frozen=True)
class LossWeights:
    """Factors of the three losses (paper: 1, 2, 5)."""

    focal: float = 1.0
    giou: float = 2.0
    l1: float = 5.0


@dataclass(frozen=True)
class Losses:
    """Losses of a batch; all scalars, on the device.

    Attributes:
        total: Weighted sum.
        focal: Score map.
        giou: ``1 - GIoU`` of the boxes.
        l1: Mean absolute difference of xyxy.
        iou: Mean IoU of the boxes decoded at the peak.
        hit: Share of targets whose peak lies within one cell of the target's.
    """

    total: Tensor
    focal: Tensor
    giou: Tensor
    l1: Tensor
    iou: Tensor
    hit: Tensor

    def stacked(self) -> Tensor:
        """``(6,)``, detached: one tensor to add up on the device."""
        return torch.stack([self.total, self.focal, self.giou, self.l1, self.iou, self.hit]).detach()


def tracking_loss(
    prediction: Prediction,
    search_box: Tensor,
    present: Tensor,
    weights: LossWeights | None = None,
    box_cells: BoxCells = "peak",
    count: Tensor | None = None,
) -> Losses:
    """All losses of one batch.

    Args:
        prediction: Output of the network.
        search_box: ``(B, 4)`` cxcywh relative to the search crop.
        present: ``(B,)`` bool; absent targets train the score only, towards zero everywhere.
        weights: Factors.
        box_cells: Where boxes are read for their losses: at the predicted ``"peak"`` (official), or at the
            ``"target"``'s cell and its eight neighbours, which trains boxes before matching works and makes them
            right a cell away from the peak.
        count: Scalar to divide sums by, in place of the number of targets present in this batch: the mean number over
            all parts of a batch that is spread over processes or steps, so that the mean of the parts' losses is the
            loss of the whole.

    Returns:
        The losses.

    Raises:
        ValueError: A box loss at target cells from a head without maps.
    """
    weights = weights or LossWeights()
    truth = cxcywh_to_xyxy(search_box).clamp(0, 1)
    seen = present.to(truth.dtype)
    positives = count
    count = seen.sum().clamp(min=1) if count is None else count
    peak_boxes = cxcywh_to_xyxy(prediction.boxes.float())
    with torch.no_grad():
        iou = (giou(peak_boxes, truth)[1] * seen).sum() / count
    score = prediction.score_map
    if score is None:
        focal = torch.zeros((), device=truth.device)
        hit = torch.zeros((), device=truth.device)
    else:
        target = gaussian_maps(search_box, score.shape[-1]) * seen[:, None, None, None]
        focal = focal_loss(score.float(), target, positives)
        hit = (_near_peak(score, search_box) * seen).sum() / count
    if box_cells == "peak":
        overlap, _ = giou(peak_boxes, truth)
        giou_loss = ((1 - overlap) * seen).sum() / count
        l1 = ((peak_boxes - truth).abs().mean(-1) * seen).sum() / count
    else:
        giou_loss, l1 = _box_losses_at_target(prediction, search_box, truth, seen, count)
    total = weights.focal * focal + weights.giou * giou_loss + weights.l1 * l1
    return Losses(total, focal, giou_loss, l1, iou, hit)


def _target_cell(search_box: Tensor, side: int) -> Tensor:
    return (search_box[:, :2] * side).round().clamp(0, side - 1).long()


def _near_peak(score: Tensor, search_box: Tensor) -> Tensor:
    side = score.shape[-1]
    peak = score.detach().flatten(1).argmax(1)
    cell = torch.stack([peak % side, torch.div(peak, side, rounding_mode="floor")], 1)
    return ((cell - _target_cell(search_box, side)).abs().amax(1) <= 1).to(search_box.dtype)


def _box_losses_at_target(
    prediction: Prediction, search_box: Tensor, truth: Tensor, seen: Tensor, count: Tensor
) -> tuple[Tensor, Tensor]:
    size, offset = prediction.size_map, prediction.offset_map
    if size is None or offset is None:
        raise ValueError('box_cells="target" needs a head with size and offset maps')
    side = size.shape[-1]
    step = torch.tensor([-1, 0, 1], device=size.device)
    grid = torch.stack(torch.meshgrid(step, step, indexing="xy"), -1).reshape(1, 9, 2)
    cells = _target_cell(search_box, side)[:, None] + grid
    inside = ((cells >= 0) & (cells < side)).all(-1)
    cells = cells.clamp(0, side - 1)
    at = (cells[..., 1] * side + cells[..., 0])[:, None].expand(-1, 2, -1)
    sizes = size.float().flatten(2).gather(2, at).transpose(1, 2)
    offsets = offset.float().flatten(2).gather(2, at).transpose(1, 2)
    boxes = cxcywh_to_xyxy(torch.cat([(cells + offsets) / side, sizes], -1))
    # The cell itself counts as much as its neighbours together.
    share = torch.full((9,), 1 / 16, device=size.device)
    share[4] = 1 / 2
    share = share * inside
    share = share / share.sum(1, keepdim=True) * seen[:, None]
    overlap, _ = giou(boxes, truth[:, None])
    l1 = (boxes - truth[:, None]).abs().mean(-1)
    return ((1 - overlap) * share).sum() / count, (l1 * share).sum() / count
