"""One stream against two, seen: both networks look at the same crops, and their score maps stand side by side.

A one-stream network knows the target while it reads the scene; a two-stream one reads the scene first and compares
afterwards. Where look-alikes are about, the difference shows in what else lights up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ostrack.checks import Box, Frame
from ostrack.errors import EvaluationError, SourceError
from ostrack.explain.clip import walked
from ostrack.explain.film import beside, framed
from ostrack.explain.measures import target_coverage
from ostrack.explain.panels import (
    FOUND,
    TRUTH,
    Image,
    Tile,
    colour_bar,
    draw_box,
    fit,
    grid_of,
    heat,
    picture,
    save_png,
)
from ostrack.explain.stretch import check_reach, make_folder, numbered
from ostrack.explain.walk import Walk, decided
from ostrack.model import OSTrack
from ostrack.video.sink import VideoSink
from ostrack.video.source import open_source
from ostrack.whole import write_whole

__all__ = ["Pair", "Scores", "StreamReport", "compare_frames", "compare_streams", "target_scores"]

Floats = NDArray[np.float32]
Truth = NDArray[np.float64]
_SIDE = 320


@dataclass(frozen=True)
class Scores:
    """One network's answer about one crop.

    Attributes:
        on_target: Best score of a cell that the target touches, before the window; nan where the target lies outside.
        elsewhere: Best score of all other cells.
        mass: Share of the whole map's score that lies on the target.
    """

    on_target: float
    elsewhere: float
    mass: float

    @property
    def fooled(self) -> bool:
        """Whether something else scores higher than the target."""
        return self.elsewhere > self.on_target


@dataclass(frozen=True, eq=False)
class Pair:
    """Both networks on the same crop.

    Attributes:
        frame: Number in the source.
        image: ``(H, W, 3)`` uint8 RGB.
        search: ``(3, Hx, Wx)`` float32 normalised crop.
        target: xywh in the frame: the ground truth, or what the first network found.
        target_in_crop: ``(4,)`` cxcywh relative to the crop.
        maps: ``(S, S)`` score before the window, of each network.
        boxes: ``(4,)`` cxcywh relative to the crop that each network would take.
        scores: Numbers of each network.
    """

    frame: int
    image: Frame
    search: Floats
    target: Box
    target_in_crop: Truth
    maps: tuple[Floats, Floats]
    boxes: tuple[Truth, Truth]
    scores: tuple[Scores, Scores]


@dataclass(frozen=True)
class StreamReport:
    """Numbers of all frames and the files that were written.

    Attributes:
        names: Of the networks.
        by_truth: Whether the target is the ground truth; else what the first network found.
        frames: Number of each frame, and both networks' scores.
        outputs: Files.
    """

    names: tuple[str, str]
    by_truth: bool
    frames: tuple[tuple[int, tuple[Scores, Scores]], ...]
    outputs: tuple[Path, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = [
            {"frame": number, "scores": {name: _plain(one) for name, one in zip(self.names, both, strict=True)}}
            for number, both in self.frames
        ]
        return {"target": "ground truth" if self.by_truth else f"found by {self.names[0]}", "frames": rows}

    def table(self) -> str:
        """Means over the frames whose search region holds the target."""
        # Which frames those are is the same for both networks: they see one crop.
        inside = [both for _, both in self.frames if not np.isnan(both[0].on_target)]
        outside = f" (outside the search region in {len(self.frames) - len(inside)}, which are left out)"
        width = max(20, *map(len, self.names))
        target = "the ground truth" if self.by_truth else f"what {self.names[0]} found"
        lines = [
            f"{len(self.frames)} frames; the target is {target}"
            f"{outside if len(inside) < len(self.frames) else ''}; scores before the window",
            f"{'network':<{width}} {'peak on target':>15} {'best elsewhere':>15} {'margin':>8} {'mass on target':>15} "
            f"{'fooled':>8}",
        ]
        for index, name in enumerate(self.names):
            rows = [both[index] for both in inside]
            if not rows:
                continue
            on, off, mass = (
                float(np.mean([getattr(r, key) for r in rows])) for key in ("on_target", "elsewhere", "mass")
            )
            fooled = sum(row.fooled for row in rows) / len(rows)
            lines.append(f"{name:<{width}} {on:>15.3f} {off:>15.3f} {on - off:>8.3f} {mass:>15.1%} {fooled:>8.1%}")
        return "\n".join(lines)


def _plain(scores: Scores) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else value for key, value in asdict(scores).items()}


def compare_frames(
    nets: tuple[OSTrack, OSTrack],
    frames: Iterable[tuple[int, Frame]],
    box: ArrayLike | None,
    truth: Truth | None = None,
) -> Iterator[Pair]:
    """Show both networks the same crops.

    The crop lies round the target's last place: by the ground truth where there is one, so that neither network's
    mistakes move it; else where the first network found it. Frames without a target are passed over.

    Args:
        nets: In evaluation mode, on one device, made for crops of the same sizes.
        frames: Numbers and ``(H, W, 3)`` uint8 RGB pictures.
        box: ``(4,)`` xywh in the first of them; from the ground truth where None.
        truth: ``(N, 4)`` xywh by frame number, nan where absent.

    Raises:
        BoxError: No box for the first frame.
        EvaluationError: The networks take other crops than each other, give no score map, or the ground truth is short.
    """
    keys = ("template_size", "search_size", "template_factor", "search_factor")
    for key in keys:
        one, other = (getattr(net.config, key) for net in nets)
        if one != other:
            raise EvaluationError(f"the networks have {key}={one} and {other}: they cannot look at the same crops")
    last = None
    for walk, number, image, known in walked(nets[0], frames, box, truth):
        last = walk.box if last is None else last
        if known is not None and not np.isfinite(known).all():
            continue
        look = walk.look(image, last)
        answers = [_answer(net, walk, look.search) for net in nets]
        found = walk.step(image, look.crop, answers[0][1])
        x, y, w, h = found if known is None else (float(value) for value in known)
        last = (x, y, w, h)
        inside = look.crop.from_frame(last)
        (map_a, box_a), (map_b, box_b) = answers
        scores = target_scores(map_a, inside), target_scores(map_b, inside)
        search = look.search[0].cpu().numpy()
        yield Pair(number, image, search, last, inside, (map_a, map_b), (box_a, box_b), scores)


def _answer(net: OSTrack, walk: Walk, search: torch.Tensor) -> tuple[Floats, Truth]:
    with torch.inference_mode():
        out = net(walk.template, search, walk.template_box)
    if out.score_map is None:
        raise EvaluationError(f"the head {net.config.head!r} gives no score map to compare")
    return out.score_map[0, 0].float().cpu().numpy(), decided(out)[0]


def target_scores(values: Floats, target_cxcywh: Truth) -> Scores:
    """Numbers of one ``(S, S)`` score map about a target, cxcywh relative to the crop."""
    on = (target_coverage(target_cxcywh, values.shape[0]) > 0).reshape(values.shape)
    if not on.any():
        return Scores(float("nan"), float(values.max()), float("nan"))
    return Scores(
        float(values[on].max()),
        float(values[~on].max(initial=0)),
        float(values[on].sum(dtype=np.float64) / max(float(values.sum(dtype=np.float64)), 1e-12)),
    )


def _tiles(pair: Pair, names: tuple[str, str], side: int) -> list[Tile]:
    crop = fit(picture(pair.search), side)
    tiles = []
    for name, values, box, scores in zip(names, pair.maps, pair.boxes, pair.scores, strict=True):
        image = draw_box(draw_box(heat(crop, values, 0, 1), box, FOUND, thick=1), pair.target_in_crop, TRUTH, True, 1)
        told = f"target {scores.on_target:.2f}, elsewhere {scores.elsewhere:.2f}" + (" FOOLED" if scores.fooled else "")
        tiles.append(Tile(image, (name, told), colour_bar(side, 0, 1, "score")))
    return tiles


def film_pair(pair: Pair, names: tuple[str, str], by_truth: bool) -> Image:
    """Frame with the target on the left, both score maps on the right."""
    height, width = pair.image.shape[:2]
    x, y, w, h = pair.target
    target = np.array([x + w / 2, y + h / 2, w, h]) / (width, height, width, height)
    caption = f"frame {pair.frame}; target: {'ground truth' if by_truth else 'found by ' + names[0]}"
    return beside(
        framed(pair.image, target, caption, by_truth), [Tile(t.image, t.caption) for t in _tiles(pair, names, _SIDE)]
    )


def compare_streams(
    nets: tuple[OSTrack, OSTrack],
    names: tuple[str, str],
    source: str | Path | int,
    box: ArrayLike | None,
    out: Path,
    *,
    truth: Truth | None = None,
    start: int = 0,
    max_frames: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> StreamReport:
    """Compare two networks over a clip and write what they saw to a folder.

    Written are ``streams.mp4``, ``streams.json``, ``streams.txt`` and ``streams.png``, up to four frames where the
    two differ most in how far the target stands out.

    Args:
        nets: See :func:`compare_frames`.
        names: What to call them.
        source: As for :func:`ostrack.video.open_source`.
        box: ``(4,)`` xywh in the frame ``start``; from the ground truth where None.
        out: Folder, made if it does not exist.
        truth: ``(N, 4)`` xywh by frame of the source.
        start: First frame.
        max_frames: Stop after so many, the first one counted.
        progress: Called with frames done and their number, or None where unknown.

    Raises:
        BoxError: No box, or one that cannot be tracked.
        EvaluationError: The networks cannot be compared.
        OutputError: Something cannot be written.
        SourceError: The source cannot be read or shows no target after its first frame.
        ValueError: ``start`` or ``max_frames`` that no clip can have.
    """
    texts_at = {name: out / f"streams.{name}" for name in ("json", "txt", "mp4", "png")}
    rows: list[tuple[int, tuple[Scores, Scores]]] = []
    kept: list[tuple[float, Pair]] = []
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source))
        frames, total = numbered(opened, start, max_frames)
        check_reach(opened, source, start, max_frames, (), truth)
        make_folder(out)
        sink: VideoSink | None = None
        for pair in compare_frames(nets, frames, box, truth):
            rows.append((pair.frame, pair.scores))
            sink = sink or stack.enter_context(VideoSink(texts_at["mp4"], opened.fps))
            sink.write(film_pair(pair, names, truth is not None), (pair.frame - start) / opened.fps)
            one, other = (score.on_target - score.elsewhere for score in pair.scores)
            kept = _apart([*kept, (float(np.nan_to_num(abs(one - other))), pair)])
            if progress is not None:
                progress(pair.frame - start + 1, total)
    if not rows:
        raise SourceError(f"{source}: nothing to compare: no frame with a target after frame {start}")
    report = StreamReport(names, truth is not None, tuple(rows))
    save_png(texts_at["png"], _sheet([pair for _, pair in kept], names))
    write_whole(texts_at["json"], json.dumps(report.to_dict(), indent=1) + "\n")
    write_whole(texts_at["txt"], report.table() + "\n")
    return replace(report, outputs=tuple(texts_at.values()))


def _apart(pairs: list[tuple[float, Pair]], count: int = 4, distance: int = 10) -> list[tuple[float, Pair]]:
    """The pairs of the greatest differences, none close in time to a greater one."""
    chosen: list[tuple[float, Pair]] = []
    for difference, pair in sorted(pairs, key=lambda item: -item[0]):
        if all(abs(pair.frame - other.frame) >= distance for _, other in chosen):
            chosen.append((difference, pair))
    return chosen[:count]


def _sheet(pairs: list[Pair], names: tuple[str, str]) -> Image:
    rows = []
    for pair in sorted(pairs, key=lambda pair: pair.frame):
        crop = draw_box(fit(picture(pair.search), 240), pair.target_in_crop, TRUTH, dashed=True)
        rows.append((f"frame {pair.frame}", [Tile(crop, ("search region", "")), *_tiles(pair, names, 240)]))
    note = ("score maps before the window", "orange: box taken; dashed white: target")
    return grid_of(rows, note)
