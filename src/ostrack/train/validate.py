"""Validation on held clips: losses and IoU of fixed pairs, and success of tracking the clips themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.distributed.fsdp import FSDPModule

from ostrack.boxes import iou_xywh
from ostrack.data.benchmarks.collection import Collection
from ostrack.data.pairs import PairBatch
from ostrack.data.sequence import Sequence as Clip
from ostrack.errors import BoxError, DataError
from ostrack.model import OSTrack
from ostrack.network import Network
from ostrack.tracker import Track, Tracker
from ostrack.train.distributed import Ranks
from ostrack.train.losses import Losses

__all__ = ["success_auc", "track_clip", "trackable", "validate_clips", "validate_pairs"]


@torch.no_grad()
def validate_pairs(
    batches: Iterable[PairBatch], loss: Callable[[PairBatch], Losses], ranks: Ranks, names: Sequence[str],
    say: Callable[[str], None] = print,
) -> dict[str, float]:  # fmt: skip
    """Mean losses of the same pairs every time; each process takes its own batches.

    Args:
        batches: This process's part of the pairs.
        loss: Losses of a batch that is on the device, summed over its targets.
        ranks: The processes.
        names: Names of what :meth:`~ostrack.train.losses.Losses.stacked` gives.
        say: Receives a line about what cannot be used.

    Returns:
        Means over all targets of all processes, as ``held_NAME``; however the pairs were put into batches.
        ``held_skipped``: draws that had to be thrown away, where there are some. ``held_useless`` alone where the held
        clips yield nothing at all, which ends no run: they only measure.
    """
    total, told, taken = torch.zeros(len(names) + 2, device=ranks.device), False, iter(batches)
    while True:
        batch, problem = None, ""
        try:
            batch = next(taken, None)
        except DataError as error:
            problem = str(error)
        # All go on or none: a network that is spread over processes is run by all of them.
        if problems := [line for line in ranks.gather(problem) if line]:
            say(f"no validation on pairs: {problems[0]}")
            return {"held_useless": 1.0}
        if batch is None:
            break
        if batch.skipped and not told:
            say(f"skipped a draw of held clips: {batch.reason}")
            told = True
        total[:-2] += loss(batch.to(ranks.device)).stacked()
        total[-2] += int(batch.present.sum())
        total[-1] += batch.skipped
    *sums, count, skipped = ranks.total(total).tolist()
    found = {f"held_{name}": value / max(count, 1) for name, value in zip(names, sums, strict=True)}
    return found | ({"held_skipped": skipped} if skipped else {})


def trackable(
    clips: Sequence[Clip] | Collection[Clip], chosen: Iterable[int], say: Callable[[str], None] = print
) -> list[Clip]:
    """Those of the chosen clips whose labels can be read and show the target twice."""
    found = []
    for index in chosen:
        try:
            clip = clips[index]
        except DataError as error:
            say(f"held clip left out: {error}")
            continue
        if clip.visible.sum() > 1:
            found.append(clip)
    return found


def validate_clips(
    net: OSTrack, clips: Sequence[Clip], frames: int, ranks: Ranks, share: bool, say: Callable[[str], None] = print
) -> dict[str, float]:
    """Track held clips from their first visible frame on.

    Args:
        net: The network, in evaluation mode.
        clips: Clips with at least two frames that show the target.
        frames: First frames of each clip.
        ranks: The processes.
        share: Each process tracks a part of the clips; a network that is spread over processes must not.
        say: Receives a line about a clip that cannot be tracked.

    Returns:
        ``held_success``: area under the success curve, mean over the clips that show their target again within their
        first frames; nothing where none does. ``held_broken``: clips that could not be read, where there are some.
    """
    part = clips[ranks.rank :: ranks.world] if share else clips
    total, broken = torch.zeros(2, dtype=torch.float64), list[str]()
    for clip in part:
        try:
            overlaps = track_clip(net, clip, frames, ranks.device)
        except (DataError, BoxError) as error:
            # A run of days must not end over one broken frame that only measures.
            broken.append(f"held clip {clip.name} left out: {error}")
            continue
        if overlaps.size:
            total += torch.tensor([success_auc(overlaps), 1.0], dtype=torch.float64)
    if share:
        total = ranks.total(total.to(ranks.device, torch.float32))
        broken = [line for lines in ranks.gather(broken) for line in lines]
    for line in broken:
        say(line)
    success, count = total.tolist()
    found = {"held_success": success / count} if count else {}
    return found | ({"held_broken": float(len(broken))} if broken else {})


@contextmanager
def _whole(net: OSTrack) -> Iterator[None]:
    """The network's own tensors gathered: FSDP2 does so when a module is called, but a tracker calls its methods."""
    module: nn.Module = net
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def track_clip(net: OSTrack, clip: Clip, frames: int, device: torch.device) -> NDArray[np.float64]:
    """IoU with the labels in the frames after the first visible one.

    Returns:
        ``(n,)``; frames without a visible target are left out.
    """
    start = int(clip.visible.argmax())
    tracker = Tracker(Network.from_module(net, str(device)))
    overlaps = []
    with _whole(net):  # after the runtime has placed the network, which spreads it again
        tracker.init(clip.frames[start], clip.boxes[start])
        for index in range(start + 1, min(start + frames, len(clip))):
            track = tracker.update(clip.frames[index])
            if clip.visible[index] and isinstance(track, Track):
                overlaps.append(float(iou_xywh(track.box, clip.boxes[index])))
    return np.array(overlaps)


def success_auc(overlaps: NDArray[np.float64]) -> float:
    """Area under the success curve: mean share of frames with an IoU above 0, 0.05, ... 1 (OTB)."""
    if not overlaps.size:
        return 0.0
    return float((overlaps[:, None] > np.linspace(0, 1, 21)).mean())
