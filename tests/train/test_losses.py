"""Losses against the official code's numbers, and what must hold of them in general."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.model import Prediction
from ostrack.train.losses import LossWeights, cxcywh_to_xyxy, focal_loss, gaussian_maps, giou, tracking_loss

Arrays = dict[str, NDArray[np.generic]]


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def _centred(xywh: torch.Tensor) -> torch.Tensor:
    return torch.cat([xywh[:, :2] + xywh[:, 2:] / 2, xywh[:, 2:]], 1)


def _prediction(boxes: torch.Tensor, score: torch.Tensor, size: torch.Tensor | None = None) -> Prediction:
    batch, _, side, _ = score.shape
    size = size if size is not None else torch.full((batch, 2, side, side), 0.25)
    return Prediction(
        boxes, score.flatten(1).amax(1), score, size, torch.zeros_like(size), None, torch.zeros(batch, 1, 1), []
    )


@pytest.mark.parametrize("side", [16, 24])
def test_target_maps_equal_the_official_ones(primitives: Arrays, side: int) -> None:
    boxes = _centred(_tensor(primitives["heatmap.boxes_xywh"]))
    maps = gaussian_maps(boxes, side)[:, 0].numpy()
    # The last box lies outside the crop; crops never produce that, and the official loop draws it nowhere either.
    np.testing.assert_allclose(maps, primitives[f"heatmap.s{side * 16}"], atol=1e-6)


def test_focal_loss_equals_the_official_one(primitives: Arrays) -> None:
    target = gaussian_maps(_centred(_tensor(primitives["heatmap.boxes_xywh"])), 16)
    loss = focal_loss(_tensor(primitives["loss.score_pred"]), target)
    assert float(loss) == pytest.approx(float(primitives["loss.focal"][0]), rel=1e-4)


def test_box_losses_equal_the_official_ones(primitives: Arrays) -> None:
    predicted = _tensor(primitives["loss.pred_cxcywh"])[:14]
    truth = _centred(_tensor(primitives["heatmap.boxes_xywh"]))[:14]
    losses = tracking_loss(
        _prediction(predicted, _tensor(primitives["loss.score_pred"])[:14]), truth, torch.ones(14, dtype=torch.bool)
    )
    assert float(losses.giou) == pytest.approx(float(primitives["loss.giou_first14"][0]), abs=1e-4)
    assert float(losses.l1) == pytest.approx(float(primitives["loss.l1_first14"][0]), abs=1e-4)
    # The official total takes its focal loss over all sixteen maps.
    focal = focal_loss(
        _tensor(primitives["loss.score_pred"]),
        gaussian_maps(_centred(_tensor(primitives["heatmap.boxes_xywh"])), 16),
    )
    total = focal + 2 * losses.giou + 5 * losses.l1
    assert float(total) == pytest.approx(float(primitives["loss.total_first14"][0]), rel=1e-4)
    clamped = cxcywh_to_xyxy(truth).clamp(0, 1)
    np.testing.assert_allclose(giou(cxcywh_to_xyxy(predicted), clamped)[1], primitives["loss.iou_first14"], atol=1e-5)


@given(hnp.arrays(np.float64, (2, 6, 4), elements=st.floats(0.0625, 1, allow_nan=False, width=16)))
def test_giou_lies_between_its_bounds_and_iou_is_the_ordinary_one(pair: NDArray[np.float64]) -> None:
    a, b = pair
    value, overlap = giou(cxcywh_to_xyxy(torch.from_numpy(a)), cxcywh_to_xyxy(torch.from_numpy(b)))
    corner_a, corner_b = (np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, 2:]], 1) for box in (a, b))
    np.testing.assert_allclose(overlap.numpy(), iou_xywh(corner_a, corner_b), atol=1e-12)
    assert bool((value <= overlap + 1e-12).all())
    assert bool((value >= -1).all())


def test_a_perfect_prediction_costs_nothing_but_the_clamped_score() -> None:
    truth = torch.tensor([[0.5, 0.5, 0.25, 0.25]])
    target = gaussian_maps(truth, 8)
    score = target.clamp(1e-4, 1 - 1e-4)
    losses = tracking_loss(_prediction(truth, score), truth, torch.tensor([True]))
    assert float(losses.giou) == pytest.approx(0, abs=1e-6)
    assert float(losses.l1) == 0
    assert float(losses.iou) == pytest.approx(1)
    assert float(losses.hit) == 1


def test_absent_targets_train_the_score_towards_zero_and_nothing_else() -> None:
    truth = torch.tensor([[0.5, 0.5, 0.25, 0.25]] * 2)
    present = torch.tensor([True, False])
    score = torch.full((2, 1, 8, 8), 0.3, requires_grad=True)
    boxes = torch.tensor([[0.5, 0.5, 0.3, 0.3]] * 2, requires_grad=True)
    losses = tracking_loss(_prediction(boxes, score), truth, present)
    losses.total.backward()
    assert boxes.grad is not None
    assert score.grad is not None
    assert bool((boxes.grad[1] == 0).all())
    assert bool((boxes.grad[0] != 0).any())
    assert bool((score.grad[1] > 0).all()), "every cell of an absent target's map must be pushed down"
    nothing = tracking_loss(_prediction(boxes, score), truth, torch.tensor([False, False]))
    assert nothing.giou.item() == 0
    assert nothing.focal.item() > 0


def test_the_count_that_sums_are_divided_by_can_be_given() -> None:
    """Two halves of a batch, each divided by half of the whole batch's count, add up to the whole."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(4, 4, generator=generator) * 0.4 + 0.3
    boxes = torch.rand(4, 4, generator=generator) * 0.4 + 0.3
    score = torch.rand(4, 1, 8, 8, generator=generator) * 0.8 + 0.1
    size = torch.rand(4, 2, 8, 8, generator=generator)
    present = torch.tensor([True, False, True, True])
    for cells in ("peak", "target"):
        whole = tracking_loss(_prediction(boxes, score, size), truth, present, box_cells=cells).stacked()
        halves = [
            tracking_loss(
                _prediction(boxes[part], score[part], size[part]), truth[part], present[part], box_cells=cells,
                count=torch.tensor(1.5),
            ).stacked()
            for part in (slice(2), slice(2, 4))
        ]  # fmt: skip
        torch.testing.assert_close((halves[0] + halves[1]) / 2, whole)


def test_boxes_at_target_cells_need_maps() -> None:
    corner = Prediction(torch.rand(1, 4), torch.rand(1), None, None, None, None, torch.zeros(1, 1, 1), [])
    with pytest.raises(ValueError, match="size and offset maps"):
        tracking_loss(corner, torch.rand(1, 4), torch.tensor([True]), box_cells="target")


def test_weights_scale_their_losses() -> None:
    truth, boxes = torch.tensor([[0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.4, 0.5, 0.3, 0.2]])
    prediction = _prediction(boxes, torch.full((1, 1, 8, 8), 0.2))
    losses = tracking_loss(prediction, truth, torch.tensor([True]), LossWeights(focal=0, giou=3, l1=7))
    assert float(losses.total) == pytest.approx(3 * float(losses.giou) + 7 * float(losses.l1))
