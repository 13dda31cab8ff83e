"""The elimination laboratory: one network, many ways of eliminating, accuracy against cost; no training.

Every setting follows the same targets through the same frames with the plain tracker of :mod:`ostrack.explain.walk`.
A setting's result is one file that appears whole or not at all, so a sweep that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostrack.config import OSTrackConfig
from ostrack.data.sequence import Sequence as Clip
from ostrack.errors import EvaluationError
from ostrack.evaluate import score
from ostrack.explain.points import Extent, Point, Sweep
from ostrack.explain.settings import Axes, Setting, settings_of
from ostrack.explain.walk import Walk, decided
from ostrack.model import OSTrack
from ostrack.model.two_stream import TwoStream
from ostrack.profile import profile
from ostrack.whole import write_whole

__all__ = ["sweep"]

Floats = NDArray[np.float64]
Progress = Callable[[int, int | None], None]

_FORMAT = 1
# The first passes allocate and tune, and say nothing about those after them.
_WARM_UP = 3
# Boxes at the left edge count, since pixels are 0-based here; absent frames are left out.
_PROTOCOL = "ostrack"


def sweep(
    net: OSTrack,
    clips: Sequence[Clip],
    cache: Path,
    *,
    name: str = "",
    machine: str = "",
    axes: Axes | None = None,
    extent: Extent | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Try every setting on every clip.

    Args:
        net: One-stream network in evaluation mode.
        clips: Labelled sequences.
        cache: Folder for the settings' results; what is there already is not run again.
        name: What to call the network.
        machine: What it runs on, for the report.
        axes: Values to try; the default ones where None.
        extent: Frames of each clip.
        progress: Called with frames done and their number.

    Raises:
        EvaluationError: A two-stream network, no clips, or a setting that does not fit.
        OutputError: A result cannot be written.
    """
    if isinstance(net, TwoStream):
        raise EvaluationError("a two-stream network eliminates nothing: there is nothing to sweep")
    extent = extent or Extent()
    settings = settings_of(net.config, axes)
    chosen = {clip.name: extent.indices(clip) for clip in clips}
    if not chosen:
        raise EvaluationError("no sequences to sweep over")
    what = _fingerprint(net, clips, chosen)
    # On several axes the network's own setting turns up; it is run once.
    distinct = {setting.key: setting for setting in settings}
    runs: dict[str, dict[str, Any]] = {}
    each = sum(len(rows) for rows in chosen.values())
    for number, (key, setting) in enumerate(distinct.items()):
        file = cache / f"{what}-{key}.json"
        runs[key] = _stored(file)
        if not runs[key]:
            tick = _Tick(progress, number * each, len(distinct) * each)
            runs[key] = _run(net, setting, clips, chosen, tick)
            write_whole(file, json.dumps(runs[key]) + "\n")
    truth = {clip.name: clip.boxes[chosen[clip.name]] for clip in clips}
    points = tuple(_point(setting, runs[setting.key], truth) for setting in settings)
    return Sweep(name, points, tuple(truth), extent, torch.get_num_threads(), machine)


@dataclass
class _Tick:
    """Tells progress from a setting's own count of frames."""

    progress: Progress | None
    before: int
    total: int

    def __call__(self, done: int) -> None:
        if self.progress is not None:
            self.progress(self.before + done, self.total)


def _fingerprint(net: OSTrack, clips: Sequence[Clip], chosen: dict[str, list[int]]) -> str:
    """Changes with the weights, the crops, what is tracked from where in which frames, or the number of threads."""
    digest = hashlib.sha256()
    for key, tensor in net.state_dict().items():
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    fields = net.config.model_dump(
        mode="json", exclude={"elimination_layers", "keep_ratios", "keep_mass", "elimination_query"}
    )
    device = str(net.backbone.pos_embed_x.device)
    digest.update(json.dumps([_FORMAT, fields, chosen, torch.get_num_threads(), device], sort_keys=True).encode())
    for clip in clips:
        first = chosen[clip.name][0]
        digest.update(np.ascontiguousarray(clip.boxes[first]).tobytes())
        digest.update(np.ascontiguousarray(clip.frames[first]).tobytes())
    return digest.hexdigest()[:12]


def _stored(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvaluationError(f"{file}: not a result of a sweep ({error}); remove it") from error
    return found


def _eliminating(net: OSTrack, config: OSTrackConfig) -> OSTrack:
    """The same weights under another elimination; the tensors are shared."""
    with torch.device("meta"):
        other = OSTrack(config)
    other.load_state_dict(net.state_dict(), assign=True)
    return other.eval()


def _run(
    net: OSTrack, setting: Setting, clips: Sequence[Clip], chosen: dict[str, list[int]], tick: _Tick
) -> dict[str, Any]:
    """Boxes, times and tokens left of one setting, by sequence."""
    other = _eliminating(net, setting.config)
    out: dict[str, Any] = {}
    seen = 0
    for clip in clips:
        first, *rest = chosen[clip.name]
        walk = Walk(other, clip.frames[first], clip.boxes[first])
        boxes, times, left = [list(walk.box)], [], []
        for index in rest:
            frame = clip.frames[index]
            look = walk.look(frame)
            start = time.perf_counter()
            with torch.inference_mode():
                answer = other(walk.template, look.search, walk.template_box)
                found, _ = decided(answer)
            times.append(round(1e3 * (time.perf_counter() - start), 3))
            boxes.append([round(value, 3) for value in walk.step(frame, look.crop, found)])
            left.append([gone.shape[1] for gone in answer.eliminated])
            tick(seen + len(boxes))
        seen += len(boxes)
        out[clip.name] = {"boxes": boxes, "ms": times, "dropped": left}
    return out


def _point(setting: Setting, run: dict[str, Any], truth: dict[str, Floats]) -> Point:
    report = score({name: run[name]["boxes"] for name in truth}, truth, _PROTOCOL, leave_out_absent=True)
    dropped = [tuple(row) for name in truth for row in run[name]["dropped"]]
    costs = [_cost(setting.config, row) for row in dropped]
    times = [value for name in truth for value in run[name]["ms"][_WARM_UP:] or run[name]["ms"]]
    total = setting.config.search_grid**2
    return Point(
        setting,
        report,
        statistics.fmean(cost[0] for cost in costs),
        statistics.fmean(cost[1] for cost in costs),
        statistics.fmean(total - sum(row) for row in dropped),
        statistics.median(times),
        len(dropped),
    )


@lru_cache(maxsize=4096)
def _cost(config: OSTrackConfig, dropped: tuple[int, ...]) -> tuple[int, int]:
    """Multiply-accumulates of a pass in which the layers dropped so many tokens, by both counts."""
    now, ratios = config.search_grid**2, []
    for count in dropped:
        # Half a token less than are left: its ceiling is their number, however the product rounds.
        ratios.append((now - count - 0.5) / now)
        now -= count
    found = profile(config.model_copy(update={"keep_mass": None, "keep_ratios": tuple(ratios)}))
    return found.macs, found.full_macs
