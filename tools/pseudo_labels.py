"""Boxes for clips that have none: from a few boxes by hand, kept where trackers find their way there and back.

    python tools/pseudo_labels.py CLIPS SEEDS OUT --tracker small --tracker my_module:MyTracker [--need 2]

CLIPS holds ``images/`` and ``annotations.json`` whose entries name ``video`` and ``frame``. SEEDS is JSON::

    {"seeds": {"CLIP": [[FRAME, x, y, w, h, "TRACK"], ...]}, "veto": ["CLIP/TRACK", "CLIP/TRACK@FRAME"]}

with boxes in pixels, any number for a track, FRAME as in CLIPS; without "TRACK" a seed is a target of its own, named
by its place in the list. Every frame belongs to the nearest seed of its track. From there each tracker goes to the end
of its stretch and, started anew on its last box, back again; where it does not come home to the seed, two thirds of the
stretch are tried. A frame is kept where both ways agree and ``--need`` trackers (all of them by default), and more
than half of those that are sure of it, agree with each other; its box is the mean of what agrees. Nothing is
interpolated, and seeds are kept as they are.

A tracker is a packaged network, a network's file, or ``module:Class`` with ``init(image, box)`` and ``update(image)``
(RGB, xywh), and may have options: ``--tracker small,search_factor=5``. OUT gets ``images/`` and ``annotations.json``,
one entry for each frame of each track, and can be given to ``ostrack train data=`` beside other sources.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostrack.boxes import clip_xywh, iou_xywh
from ostrack.data.annotations import AnnotatedImage, read_folder
from ostrack.data.images import read_rgb
from ostrack.errors import DataError, OSTrackError
from ostrack.evaluate.peers import Follower, TrackerSpec, open_tracker

Floats = NDArray[np.float64]
Frame = NDArray[np.uint8]
Maker = Callable[[], Follower]


@dataclass(frozen=True)
class Seeds:
    """Boxes by hand.

    Attributes:
        targets: ``{clip: {track: {frame mark: (4,) xywh}}}``.
        veto: ``clip/track`` or ``clip/track@frame`` that were looked at and found wrong.
    """

    targets: dict[str, dict[str, dict[int, Floats]]]
    veto: frozenset[str]

    @classmethod
    def read(cls, file: Path) -> Seeds:
        """Read a file of seeds.

        Raises:
            DataError: Not JSON, or a seed is not as described above; the message names file, clip and seed.
        """
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except (RecursionError, ValueError) as error:
            raise DataError(f"{file}: not JSON ({error})") from None
        if not isinstance(document, dict) or not isinstance(document.get("seeds"), dict):
            raise DataError(f'{file}: expected {{"seeds": {{clip: [[frame, x, y, w, h, track], ...]}}}}')
        veto = document.get("veto", [])
        if not isinstance(veto, list) or not all(isinstance(name, str) for name in veto):
            raise DataError(f"{file}: veto is {veto!r}, expected a list of CLIP/TRACK or CLIP/TRACK@FRAME")
        targets: dict[str, dict[str, dict[int, Floats]]] = {}
        for clip, seeds in document["seeds"].items():
            if not isinstance(seeds, list):
                raise DataError(f"{file}: {clip}: {seeds!r}, expected a list of seeds")
            for number, seed in enumerate(seeds):
                try:
                    frame, box, name = int(seed[0]), np.array(seed[1:5], dtype=np.float64), str([*seed, number][5])
                except (TypeError, ValueError, IndexError):
                    frame, box, name = 0, np.empty(0), ""
                if box.shape != (4,) or not np.isfinite(box).all() or box[2:].min() < 1 or len(seed) > 6:
                    raise DataError(f"{file}: {clip}: seed {number} is {seed}, expected [frame, x, y, w, h, track]")
                targets.setdefault(clip, {}).setdefault(name, {})[frame] = box
        return cls(targets, frozenset(veto))


@dataclass(frozen=True)
class Limits:
    """When boxes are believed.

    Attributes:
        agree: Least IoU of the way there and the way back, and of two trackers.
        returned: Least IoU of the seed and where the way back ends.
        need: Trackers that must agree.
    """

    agree: float
    returned: float
    need: int


@dataclass(frozen=True)
class Label:
    """One box that was kept.

    Attributes:
        box: ``(4,)`` xywh in pixels.
        agreement: Mean IoU of the boxes it was made from with itself; nan for a seed.
    """

    box: Floats
    agreement: float = math.nan


def _usable(box: Floats) -> bool:
    return bool(np.isfinite(box).all() and box[2:].min() >= 1)


def follow(tracker: Follower, frames: Sequence[Frame], box: Floats) -> list[Floats]:
    """Boxes in ``frames``, the given one first; ends early where the tracker gives no usable box.

    Args:
        tracker: Started anew here.
        frames: ``(H, W, 3)`` uint8 RGB each.
        box: ``(4,)`` xywh in the first.
    """
    height, width = frames[0].shape[:2]
    tracker.init(frames[0], box)
    boxes = [box]
    for frame in frames[1:]:
        found = clip_xywh(tracker.update(frame).box, width, height)
        if not _usable(found):
            break
        boxes.append(found)
    return boxes


def round_trip(tracker: Follower, frames: Sequence[Frame], box: Floats, limits: Limits) -> dict[int, Floats]:
    """Follow a target to the end and back.

    Args:
        tracker: Any.
        frames: The seed's frame and those to follow it through, in that order.
        box: ``(4,)`` xywh, the seed.
        limits: See there.

    Returns:
        ``(2, 4)`` boxes there and back by index into ``frames``, where they agree, of the longest stretch tried that
        the tracker came home from; empty if there is none.
    """
    there = follow(tracker, frames, box)
    end = len(there) - 1
    while end > 0:
        back = follow(tracker, frames[end::-1], there[end])
        if len(back) == end + 1 and iou_xywh(back[end], box) >= limits.returned:
            pairs = {i: np.stack([there[i], back[end - i]]) for i in range(1, end + 1)}
            return {i: pair for i, pair in pairs.items() if iou_xywh(pair[0], pair[1]) >= limits.agree}
        end = end * 2 // 3  # one less each time would find the last frame, at a cost that grows with the square
    return {}


def vote(pairs: Sequence[Floats], limits: Limits) -> Label | None:
    """The mean of the largest group of trackers that agree; None where it is too small, or no majority.

    Args:
        pairs: ``(2, 4)`` xywh of each tracker that is sure of this frame.
        limits: See there.
    """
    means = [pair.mean(0) for pair in pairs]
    groups = [
        [pair for pair, other in zip(pairs, means, strict=True) if iou_xywh(mean, other) >= limits.agree]
        for mean in means
    ]
    best = max(groups, key=len, default=[])
    if len(best) < limits.need or 2 * len(best) <= len(pairs):
        return None
    boxes = np.concatenate(best)
    box = boxes.mean(0)
    return Label(box, float(iou_xywh(boxes, np.broadcast_to(box, boxes.shape)).mean()))


def label_target(
    makers: Sequence[Maker], frames: Sequence[Frame], seeds: dict[int, Floats], limits: Limits
) -> dict[int, Label]:
    """Boxes of one target in one clip.

    Args:
        makers: Each gives a tracker.
        frames: ``(H, W, 3)`` uint8 RGB each.
        seeds: ``(4,)`` xywh by index into ``frames``.
        limits: See there.

    Returns:
        Labels by index, seeds included, in order.
    """
    labels = {index: Label(box) for index, box in seeds.items()}
    nearest = [min(seeds, key=lambda seed: (abs(seed - index), seed)) for index in range(len(frames))]
    for seed, box in seeds.items():
        after = [i for i in range(seed, len(frames)) if nearest[i] == seed]
        before = [i for i in range(seed, -1, -1) if nearest[i] == seed]
        for path in (after, before):
            if len(path) < 2:
                continue
            trips = [round_trip(make(), [frames[i] for i in path], box, limits) for make in makers]
            for step in range(1, len(path)):
                label = vote([trip[step] for trip in trips if step in trip], limits)
                if label is not None:
                    labels[path[step]] = label
    return dict(sorted(labels.items()))


def clip_frames(images: Sequence[AnnotatedImage], clip: str, seeds: dict[int, Floats], where: str) -> dict[int, int]:
    """Index of each seed's frame.

    Raises:
        DataError: A seed is on a frame that the clip does not have.
    """
    places = {image.frame: index for index, image in enumerate(images)}
    lacking = sorted(set(seeds) - set(places))
    if lacking:
        marks = ", ".join(str(image.frame) for image in images)
        raise DataError(f"{where}: a seed on frame {lacking[0]}; the clip {clip} has frames {marks or 'none'}")
    return {mark: places[mark] for mark in seeds}


def run(
    source: Path, seed_file: Path, out: Path, makers: Sequence[Maker], limits: Limits, least: int, link: bool
) -> None:
    """Label every target and write the folder; one line for each target goes to standard output.

    Args:
        source: Annotation folder with clips.
        seed_file: See the module's text.
        out: Folder to write.
        makers: Trackers.
        limits: When boxes are believed.
        least: Targets with fewer frames are left out.
        link: Link images instead of copying them.

    Raises:
        DataError: The folder or the seeds cannot be read or do not fit together.
    """
    seeds = Seeds.read(seed_file)
    videos: dict[str, dict[int | str, AnnotatedImage]] = {}
    for image in read_folder(source):
        if image.video is not None:
            videos.setdefault(image.video, {}).setdefault(image.frame, image)
    entries: list[dict[str, Any]] = []
    for clip, targets in seeds.targets.items():
        images = [image for _, image in sorted(videos.get(clip, {}).items(), key=lambda item: item[0])]
        frames = [read_rgb(image.path) for image in images]
        for track, boxes in targets.items():
            name = f"{clip}/{track}"
            places = clip_frames(images, clip, boxes, f"{seed_file}: {name}")
            if name in seeds.veto:
                print(f"{name}: left out by veto")
                continue
            labels = label_target(makers, frames, {places[mark]: box for mark, box in boxes.items()}, limits)
            kept = {i: label for i, label in labels.items() if f"{name}@{images[i].frame}" not in seeds.veto}
            print(_line(name, kept, len(frames), len(boxes), least), flush=True)
            if len(kept) >= least:
                entries += [_entry(source, out, images[i], track, label.box, link) for i, label in kept.items()]
    (out / "annotations.json").write_text(json.dumps(entries), encoding="utf-8")
    tracks = {(entry["video"], entry["track"]) for entry in entries}
    print(f"{out}: {len(tracks)} tracks, {len(entries)} boxes in {len({entry['image'] for entry in entries})} images")


def _line(name: str, kept: dict[int, Label], frames: int, seeds: int, least: int) -> str:
    agreed = [label.agreement for label in kept.values() if not math.isnan(label.agreement)]
    mean = f"mean agreement {np.mean(agreed):.3f}" if agreed else "none by agreement"
    fate = "" if len(kept) >= least else ", too few: left out"
    return f"{name}: {len(kept)} of {frames} frames from {seeds} seed{'s'[: seeds != 1]}, {mean}{fate}"


def _entry(source: Path, out: Path, image: AnnotatedImage, track: str, box: Floats, link: bool) -> dict[str, Any]:
    """One entry of annotations.json; its image is put in place."""
    relative = image.path.relative_to(source)
    target = out / relative
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.symlink_to(image.path.resolve())
        else:
            shutil.copyfile(image.path, target)
    xywh = [round(float(value), 1) for value in box]
    return {
        "image": relative.as_posix(), "size": list(image.size), "boxes": [xywh],
        "video": image.video, "frame": image.frame, "track": track, "auto": True,
    }  # fmt: skip


def open_makers(trackers: Sequence[str], search_path: Sequence[str]) -> list[Maker]:
    """Open ``SOURCE[,name=value...]``, each once.

    Raises:
        OSTrackError: A tracker or option that cannot be used.
    """
    makers = []
    for text in trackers:
        name, *options = text.split(",")
        pairs = [option.partition("=") for option in options]
        bad = [option for option, (_, equals, _) in zip(options, pairs, strict=True) if not equals]
        if bad:
            raise DataError(f"--tracker {text}: option {bad[0]!r}, expected name=value")
        values = tuple((key, value) for key, _, value in pairs)
        makers.append(open_tracker(TrackerSpec(name, values, tuple(search_path))))
    return makers


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="annotation folder with clips")
    parser.add_argument("seeds", type=Path, help="JSON of boxes by hand")
    parser.add_argument("out", type=Path, help="folder to write; must not hold annotations yet")
    parser.add_argument("--tracker", action="append", metavar="SOURCE[,NAME=VALUE...]", help="may be given again")
    parser.add_argument("--search-path", action="append", default=[], metavar="FOLDER", help="where modules lie")
    parser.add_argument("--need", type=int, help="trackers that must agree on a frame; default: all")
    parser.add_argument("--agree", type=float, default=0.5, metavar="IOU", help="of both ways, and of trackers")
    parser.add_argument("--returned", type=float, default=0.6, metavar="IOU", help="of the seed and the way's end")
    parser.add_argument("--least", type=int, default=2, metavar="FRAMES", help="shorter tracks are left out")
    parser.add_argument("--link", action="store_true", help="link images instead of copying them")
    options = parser.parse_args()
    trackers = options.tracker or [""]
    try:
        if (options.out / "annotations.json").exists():
            raise DataError(f"{options.out}: holds annotations.json already; name another folder or remove it")
        limits = Limits(options.agree, options.returned, len(trackers) if options.need is None else options.need)
        if not 1 <= limits.need <= len(trackers):
            raise DataError(f"--need {limits.need}: expected 1 to {len(trackers)}, the number of trackers")
        options.out.mkdir(parents=True, exist_ok=True)
        makers = open_makers(trackers, options.search_path)
        run(options.clips, options.seeds, options.out, makers, limits, options.least, options.link)
    except (OSTrackError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
