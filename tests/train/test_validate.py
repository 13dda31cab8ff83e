"""Success of tracking, against the definition and the evaluation's own figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ostrack.boxes import iou_xywh
from ostrack.data.sequence import ArrayFrames, Sequence
from ostrack.errors import DataError
from ostrack.evaluate import score
from ostrack.model import OSTrack, OSTrackConfig
from ostrack.train.distributed import Ranks
from ostrack.train.validate import success_auc, track_clip, validate_clips


def test_the_area_is_the_protocols() -> None:
    rng = np.random.default_rng(0)
    truth = np.column_stack([rng.uniform(20, 200, (50, 2)), rng.uniform(20, 60, (50, 2))])
    boxes = truth + rng.normal(0, 6, truth.shape)
    boxes[0] = truth[0]
    report = score({"clip": boxes}, {"clip": truth}, protocol="otb")
    assert success_auc(np.asarray(iou_xywh(boxes, truth))) == pytest.approx(report.success, abs=1e-9)
    assert success_auc(np.ones(4)) == pytest.approx(20 / 21), "an overlap of 1 is not above 1"
    assert success_auc(np.array([])) == 0


def test_clips_are_tracked_from_the_first_visible_frame() -> None:
    config = OSTrackConfig(
        template_size=32, search_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=3, head_channels=16,
        elimination_layers=(1,), keep_ratios=(0.7,),
    )  # fmt: skip
    net = OSTrack(config).eval()
    frames = ArrayFrames([np.full((60, 80, 3), 40, np.uint8)] * 6)
    boxes = np.tile([20.0, 20.0, 16.0, 16.0], (6, 1))
    visible = np.array([False, True, True, False, True, True])
    boxes[~visible] = np.nan
    clip = Sequence("clip", frames, boxes, visible)
    device = torch.device("cpu")
    assert len(track_clip(net, clip, 100, device)) == 3
    assert len(track_clip(net, clip, 3, device)) == 1
    alone = validate_clips(net, [clip, clip], 100, Ranks(0, 1, device), share=True)
    assert 0 <= alone["held_success"] <= 1
    assert validate_clips(net, [], 100, Ranks(0, 1, device), share=True) == {}
    # Its target is not seen again within three frames: nothing to compare with, which is no failure.
    visible = np.array([False, True, False, False, True, True])
    hidden = Sequence("hidden", frames, np.where(visible[:, None], boxes[1], np.nan), visible)
    assert validate_clips(net, [clip, hidden], 3, Ranks(0, 1, device), share=True) == validate_clips(
        net, [clip], 3, Ranks(0, 1, device), share=True
    )
    assert validate_clips(net, [hidden], 3, Ranks(0, 1, device), share=True) == {}


class _Torn(ArrayFrames):
    """Frames of which the third is broken."""

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if index == 2:
            raise DataError("torn.jpg: not an image that can be decoded")
        return super().__getitem__(index)


def test_a_held_clip_that_cannot_be_read_is_told_and_counted() -> None:
    config = OSTrackConfig(
        template_size=32, search_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=3, head_channels=16,
        elimination_layers=(1,), keep_ratios=(0.7,),
    )  # fmt: skip
    net, device = OSTrack(config).eval(), torch.device("cpu")
    images = [np.full((60, 80, 3), 40, np.uint8)] * 5
    boxes, shown = np.tile([20.0, 20.0, 16.0, 16.0], (5, 1)), np.ones(5, dtype=bool)
    whole = Sequence("whole", ArrayFrames(images), boxes, shown)
    torn = Sequence("torn", _Torn(images), boxes, shown)
    beyond = Sequence("beyond", ArrayFrames(images), boxes + np.array([500.0, 0, 0, 0]), shown)
    said: list[str] = []
    ranks = Ranks(0, 1, device)
    found = validate_clips(net, [whole, torn, beyond], 5, ranks, True, said.append)
    assert found == validate_clips(net, [whole], 5, ranks, True) | {"held_broken": 2.0}
    assert said[0] == "held clip torn left out: torn.jpg: not an image that can be decoded"
    assert said[1].startswith("held clip beyond left out: ")
