"""The plain tracker of the paper on a torch module, step by step, so that every step can be looked into.

Crop round the last box, one forward pass, Hann window, box at the peak: no lost state, no wide search, one target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ostrack.boxes import clip_xywh
from ostrack.checks import Box, Frame, check_box, check_frame
from ostrack.crop import Crop, cut_crop, normalise
from ostrack.decode import decode
from ostrack.model import OSTrack, Prediction
from ostrack.runtimes import Maps

__all__ = ["Look", "Walk", "decided"]

_LEAST_SIDE = 2.0


@dataclass(frozen=True)
class Look:
    """Where the network is about to look.

    Attributes:
        crop: The search crop; maps boxes to the frame and back.
        search: ``(1, 3, Hx, Wx)`` float32 on the network's device.
    """

    crop: Crop
    search: Tensor


class Walk:
    """One target, followed as in the paper.

    Attributes:
        net: The network.
        template: ``(1, 3, Hz, Wz)`` float32 on its device.
        template_box: ``(1, 4)`` cxcywh of the target relative to the template crop.
        template_crop: The crop of the template.
        box: Last box, xywh in frame pixels.
    """

    def __init__(self, net: OSTrack, frame: Frame, box: ArrayLike) -> None:
        """Start.

        Args:
            net: In evaluation mode.
            frame: ``(H, W, 3)`` uint8 RGB.
            box: ``(4,)`` xywh in its pixels.

        Raises:
            BoxError: The box cannot be tracked.
            ValueError: The frame is no RGB image.
        """
        check_frame(frame)
        self.net, self.box = net, check_box(frame, box)
        config = net.config
        self.template_crop = cut_crop(frame, self.box, config.template_factor, config.template_size)
        self.template = self._tensor(self.template_crop)
        relative = self.template_crop.from_frame(self.box).astype(np.float32)
        self.template_box = torch.from_numpy(relative)[None].to(self.template.device)

    def look(self, frame: Frame, box: Box | None = None) -> Look:
        """Crop round the last box, or round another one."""
        check_frame(frame)
        config = self.net.config
        crop = cut_crop(frame, self.box if box is None else box, config.search_factor, config.search_size)
        return Look(crop, self._tensor(crop))

    def step(self, frame: Frame, crop: Crop, box_cxcywh: NDArray[np.float64]) -> Box:
        """Go on with what the network said; the box stays inside the frame and keeps an area.

        Args:
            frame: The frame that was looked at.
            crop: Where in it.
            box_cxcywh: ``(4,)`` relative to the crop.

        Returns:
            The new box, xywh in frame pixels.
        """
        found = crop.to_frame(box_cxcywh) if np.isfinite(box_cxcywh).all() else self.box
        x, y, w, h = clip_xywh(found, frame.shape[1], frame.shape[0], _LEAST_SIDE).tolist()
        self.box = (x, y, w, h)
        return self.box

    def _tensor(self, crop: Crop) -> Tensor:
        return torch.from_numpy(normalise(crop.image)[None]).to(self.net.backbone.pos_embed_x.device)


def decided(out: Prediction) -> tuple[NDArray[np.float64], float]:
    """Box ``(4,)`` cxcywh at the peak of the windowed score, and the score there, of a batch of one."""
    score = None if out.score_map is None else out.score_map[:, 0].float().cpu().numpy()
    size, offset = (None if t is None else t.float().cpu().numpy() for t in (out.size_map, out.offset_map))
    peaks = decode(Maps(out.boxes.float().cpu().numpy(), score, size, offset, out.score.float().cpu().numpy()))
    return peaks.boxes[0], float(peaks.scores[0])
