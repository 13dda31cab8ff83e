"""From frame pairs to training batches: joint changes, jitter, crops, tensors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ostrack.crop import IMAGENET_MEAN, IMAGENET_STD, Crop, box_in_crop, cut_crop
from ostrack.data.augment import Photometric, jitter_box, stretch, to_grey
from ostrack.data.sampling import ATTEMPTS, FramePair, PairSource, first_usable
from ostrack.errors import DataError

__all__ = ["Crops", "PairBatch", "PairDataset", "collate"]


@dataclass(frozen=True)
class Crops:
    """How a pair becomes crops.

    Attributes:
        template_size: Side of the template crop in pixels.
        search_size: Side of the search crop in pixels.
        template_factor: Template crop over the square root of the target's area.
        search_factor: The same for the search region.
        centre_jitter: Shift of the search crop (see :func:`~ostrack.data.augment.jitter_box`).
        scale_jitter: Scale change of the search crop.
        template_jitter: Shift of the template crop, as by a box drawn carelessly, and twice its scale change; 0 in the
            paper.
        stretch: Deviation of the log change of the search frame's aspect, so that a target's width and height do not
            always keep the template's ratio; 0 in the paper.
        grey: Chance that both crops lose their colour.
        joint_flip: Chance that both frames are mirrored.
        flip: Chance that one crop is mirrored independently of the other.
        photometric: Change of each crop on its own.
        faithful: Official crops and labels, see :func:`~ostrack.crop.box_in_crop`; mirrored as if they were exact.
    """

    template_size: int = 128
    search_size: int = 256
    template_factor: float = 2.0
    search_factor: float = 4.0
    centre_jitter: float = 3.0
    scale_jitter: float = 0.25
    template_jitter: float = 0.0
    stretch: float = 0.0
    grey: float = 0.05
    joint_flip: float = 0.5
    flip: float = 0.5
    photometric: Photometric = field(default_factory=Photometric)
    faithful: bool = False

    def undisturbed(self) -> Crops:
        """The same jitter of the search region and nothing else, to compare networks on: the task, not the drill."""
        plain = Photometric(brightness=0.0)
        return replace(self, template_jitter=0.0, stretch=0.0, grey=0.0, joint_flip=0.0, flip=0.0, photometric=plain)

    def make(self, pair: FramePair, rng: np.random.Generator) -> PairSample:
        """Cut, jitter and change one pair.

        Raises:
            DataError: A crop holds nothing but padding.
        """
        near = jitter_box(pair.template_box, self.template_jitter, self.template_jitter / 2, rng)
        template = cut_crop(pair.template, near, self.template_factor, self.template_size, self.faithful)
        frame, target = stretch(pair.search, pair.search_box, self.stretch, rng)
        around = jitter_box(target, self.centre_jitter, self.scale_jitter, rng)
        search = cut_crop(frame, around, self.search_factor, self.search_size, self.faithful)
        for what, crop, image in (("template", template, pair.template), ("search", search, frame)):
            if not _overlaps(crop, image):
                name = f"{pair.target}: " if pair.target else ""
                raise DataError(f"{name}the {what} crop lies outside its frame")
        images = [template.image, search.image]
        if self.faithful:
            boxes = [
                _centred(box_in_crop(near, near, self.template_factor, self.template_size)),
                _centred(box_in_crop(target, around, self.search_factor, self.search_size)),
            ]
        else:
            boxes = [template.from_frame(near), search.from_frame(target)]
        grey, joint = rng.random() < self.grey, rng.random() < self.joint_flip
        for i in range(2):
            if grey:
                images[i] = to_grey(images[i])
            if joint != (rng.random() < self.flip):
                images[i] = images[i][:, ::-1]
                boxes[i][0] = 1 - boxes[i][0]
            images[i] = np.ascontiguousarray(self.photometric(images[i], rng))
        return PairSample(images[0], images[1], boxes[0], boxes[1], pair.present, pair.skipped, pair.reason)


def _centred(box_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([box_xywh[:2] + box_xywh[2:] / 2, box_xywh[2:]])


def _overlaps(crop: Crop, frame: NDArray[np.uint8]) -> bool:
    height, width = frame.shape[:2]
    left, top = crop.origin
    return left < width and top < height and left + crop.side > 0 and top + crop.side > 0


@dataclass(frozen=True)
class PairSample:
    """One pair of crops; boxes are cxcywh relative to their crop."""

    template: NDArray[np.uint8]
    search: NDArray[np.uint8]
    template_box: NDArray[np.float64]
    search_box: NDArray[np.float64]
    present: bool
    skipped: int = 0
    reason: str = ""


@dataclass(frozen=True)
class PairBatch:
    """A batch of training pairs.

    Attributes:
        template: ``(B, 3, Hz, Wz)`` uint8 RGB, or float32 once normalised.
        search: ``(B, 3, Hx, Wx)`` uint8 RGB, or float32 once normalised.
        template_box: ``(B, 4)`` float32 cxcywh relative to the template crop.
        search_box: ``(B, 4)`` float32 cxcywh relative to the search crop; meaningless where not present.
        present: ``(B,)`` bool, whether the target is in the search crop.
        skipped: Draws that had to be thrown away to fill this batch.
        reason: Why one of them was.
    """

    template: Tensor
    search: Tensor
    template_box: Tensor
    search_box: Tensor
    present: Tensor
    skipped: int = 0
    reason: str = ""

    def __len__(self) -> int:
        return len(self.present)

    def pin_memory(self) -> PairBatch:
        """The same in page-locked memory, from where copies to a GPU do not hold up the CPU."""
        return replace(
            self, template=self.template.pin_memory(), search=self.search.pin_memory(),
            template_box=self.template_box.pin_memory(), search_box=self.search_box.pin_memory(),
            present=self.present.pin_memory(),
        )  # fmt: skip

    def to(self, device: torch.device) -> PairBatch:
        """Move to a device and normalise there: bytes travel faster than floats."""
        mean, std = _constants(device)
        template, search = (
            (image.to(device, non_blocking=True).float() - mean) / std for image in (self.template, self.search)
        )
        return replace(
            self, template=template, search=search, template_box=self.template_box.to(device, non_blocking=True),
            search_box=self.search_box.to(device, non_blocking=True),
            present=self.present.to(device, non_blocking=True),
        )  # fmt: skip


@lru_cache(maxsize=8)
def _constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of byte images, once on each device."""
    mean, std = torch.from_numpy(IMAGENET_MEAN * 255), torch.from_numpy(IMAGENET_STD * 255)
    return mean.to(device)[:, None, None], std.to(device)[:, None, None]


class PairDataset(Dataset["PairSample"]):
    """Endless pairs by number: item ``i`` depends on the seed and ``i`` only.

    Args:
        source: Where frame pairs come from.
        crops: How they are cut.
        length: Number of items that a sampler may ask for.
        seed: Seed of the whole data set.
    """

    def __init__(self, source: PairSource, crops: Crops, length: int, seed: int = 0) -> None:
        self.source, self.crops, self.length, self.seed = source, crops, length, seed

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> PairSample:
        """One pair.

        Raises:
            NothingUsableError: Nothing usable in 200 draws; the last reason is in the message.
        """
        rng = np.random.default_rng([self.seed, index])
        nothing = f"no usable pair in {ATTEMPTS} draws; the last one failed by"
        sample, skipped, reason = first_usable(lambda: self.crops.make(self.source.draw(rng), rng), nothing)
        return replace(sample, skipped=sample.skipped + skipped, reason=reason or sample.reason)


def collate(samples: list[PairSample]) -> PairBatch:
    """Stack samples into one batch of uint8 crops."""

    def images(arrays: list[NDArray[np.uint8]]) -> Tensor:
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()

    return PairBatch(
        images([s.template for s in samples]),
        images([s.search for s in samples]),
        torch.from_numpy(np.stack([s.template_box for s in samples])).float(),
        torch.from_numpy(np.stack([s.search_box for s in samples])).float(),
        torch.tensor([s.present for s in samples]),
        sum(s.skipped for s in samples),
        next((s.reason for s in samples if s.reason), ""),
    )
