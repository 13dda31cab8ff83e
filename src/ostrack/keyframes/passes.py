"""One pass of the tracker away from a key frame, in steps that are kept on disk."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostrack.checks import Box
from ostrack.errors import OutputError, SourceError
from ostrack.keyframes.plan import Drawn
from ostrack.pictures import IMAGE_SUFFIXES
from ostrack.recovery import STATES, Belief
from ostrack.runtimes import FloatArray
from ostrack.tracker import TargetState, Track, Tracker
from ostrack.video.clip import Clip
from ostrack.whole import draft_of

if TYPE_CHECKING:
    from ostrack.network import Network
    from ostrack.tracker import TargetId

__all__ = ["Left", "Pass", "Steps", "Store"]


@dataclass(frozen=True)
class Left:
    """What a step leaves to the next one beside box and state of its last frame.

    Attributes:
        mean: Running mean of the confidence by which a target is given up.
        doubted: Whether the first template was in doubt.
        age: Frames since the second template was taken, or since the pass began.
        view: ``(Nz, D)`` float32, the second template as the network embeds it; empty where there is none.
    """

    mean: float = 1.0
    doubted: bool = False
    age: int = 0
    view: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @classmethod
    def of(cls, target: TargetState, frame: int) -> Left:
        """What is remembered of a target in the tracker's frame."""
        left = cls(target.belief.mean, target.belief.doubted, frame - target.taken)
        return left if target.recent_tokens is None else cls(left.mean, left.doubted, left.age, target.recent_tokens)

    def give(self, target: TargetState) -> None:
        """Let a target that was begun anew remember it."""
        target.belief.mean, target.belief.doubted, target.taken = self.mean, self.doubted, -self.age
        target.recent_tokens = self.view if self.view.size else None


@dataclass(frozen=True)
class Steps:
    """What a pass says of some frames, in the order it saw them.

    Attributes:
        frames: ``(N,)`` int64.
        boxes: ``(N, 4)`` xywh.
        scores: ``(N,)`` raw.
        confidences: ``(N,)``, 0 to 1; the score where a network is not calibrated, 1 where it gives none.
        states: ``(N,)`` int64, places in :data:`ostrack.recovery.STATES`.
    """

    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    confidences: NDArray[np.float64]
    states: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)

    def within(self, first: int, last: int) -> Steps:
        """Only the frames from ``first`` to ``last``."""
        inside = (self.frames >= first) & (self.frames <= last)
        return Steps(*(getattr(self, name)[inside] for name in self.__dataclass_fields__))

    @staticmethod
    def join(parts: list[Steps]) -> Steps:
        """All of them in ascending order of frames; at least one."""
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Steps.__dataclass_fields__]
        order = np.argsort(columns[0])
        return Steps(*(column[order] for column in columns))


class Store:
    """Finished steps in a folder, by what they follow from; without a folder nothing is kept.

    A name is a digest of clip, tracker, key frame and direction. So a run that is started again finds what it had, and
    a new key frame costs only the passes that touch it.

    Args:
        folder: Made if it does not exist.
        clip: The clip.
        tracker: The tracker, whose network and options are part of the names.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, folder: Path | None, clip: Clip, tracker: Tracker) -> None:
        self._folder, self._origin = folder, ""
        if folder is not None:
            self._origin = json.dumps([_file_mark(clip.name), clip.frame_count, clip.size, _tracker_mark(tracker)])
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error

    def _path(self, key: Drawn, backward: bool, step: int, number: int) -> Path | None:
        if self._folder is None:
            return None
        text = json.dumps([self._origin, key.frame, key.box, backward, step, number])
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npz"

    def get(self, key: Drawn, backward: bool, step: int, number: int) -> tuple[Steps, Left] | None:
        """Steps kept earlier and what they left; None where there are none that can be read."""
        path = self._path(key, backward, step, number)
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as data:
                left = Left(data["mean"].item(), data["doubted"].item(), data["age"].item(), data["view"])
                return Steps(*(data[name] for name in Steps.__dataclass_fields__)), left
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # half a file is no loss: these frames are tracked again

    def put(self, key: Drawn, backward: bool, step: int, number: int, steps: Steps, left: Left) -> None:
        """Keep steps.

        Raises:
            OutputError: They cannot be written.
        """
        path = self._path(key, backward, step, number)
        if path is None:
            return
        with draft_of(path) as draft, draft.open("wb") as file:
            np.savez(file, **vars(steps), **vars(left))


@dataclass
class Pass:
    """The way from a key frame to some frame before or behind it.

    Every ``step`` frames the tracker begins anew: with the template of the key frame, at the box, in the state and with
    the running confidence and the second template that it had reached. So a step depends on nothing but its key frame
    and the step before it, and a run that was interrupted comes out the same as one that was not.

    Attributes:
        clip: Where the frames come from.
        tracker: Started anew.
        id: The target.
        key: Where the pass begins.
        last: The frame it goes to, included; before ``key.frame`` for a pass backward.
        step: Frames a step.
        store: Where finished steps are kept.
        tick: Called with the number of frames done since the last call.
    """

    clip: Clip
    tracker: Tracker
    id: TargetId
    key: Drawn
    last: int
    step: int
    store: Store
    tick: Callable[[int], None]

    def __iter__(self) -> Iterator[Steps]:
        """The steps on the way, the key frame itself not among them.

        Raises:
            SourceError: The key frame cannot be read.
        """
        backward = self.last < self.key.frame
        box, state, left = self.key.box, STATES[0], Left()
        image: NDArray[np.uint8] | None = None
        for number, offset in enumerate(range(1, abs(self.last - self.key.frame) + 1, self.step)):
            far = min(offset + self.step - 1, abs(self.last - self.key.frame))
            first, last = self.key.frame + offset, self.key.frame + far
            if backward:
                first, last = self.key.frame - far, self.key.frame - offset
            kept = self.store.get(self.key, backward, self.step, number)
            if kept is not None and self._reaches(kept[0], first, last, backward):
                steps, left = kept[0].within(first, last), kept[1]
                self.tick(last - first + 1)
            else:
                image = self._key_image() if image is None else image
                target = self._begin(image, box, Belief(box[2:], state, state != "lost"), left)
                steps = self._track(first, last, backward)
                left = Left.of(target, self.tracker.frame)
                self.store.put(self.key, backward, self.step, number, steps, left)
            if len(steps):
                x, y, w, h = steps.boxes[-1].tolist()
                box, state = (x, y, w, h), STATES[int(steps.states[-1])]
            yield steps

    @staticmethod
    def _reaches(steps: Steps, first: int, last: int, backward: bool) -> bool:
        """Whether steps kept earlier go as far as these; those of a shorter stretch end before it."""
        if not len(steps):
            return False
        return bool(steps.frames[-1] <= first if backward else steps.frames[-1] >= last)

    def _key_image(self) -> NDArray[np.uint8]:
        for frame in self.clip.forward(self.key.frame, self.key.frame):
            return frame.image
        raise SourceError(f"{self.clip.name}: frame {self.key.frame}, a key of target {self.id!r}, cannot be read")

    def _begin(self, image: NDArray[np.uint8], box: Box, belief: Belief, left: Left) -> TargetState:
        """Start the tracker anew where the last step ended."""
        self.tracker.init(image, {self.id: self.key.box})
        target = self.tracker.targets[self.id]
        target.box, target.belief = box, belief
        left.give(target)
        return target

    def _track(self, first: int, last: int, backward: bool) -> Steps:
        frames: list[int] = []
        tracks: list[Track] = []
        for frame in self.clip.backward(first, last) if backward else self.clip.forward(first, last):
            found = self.tracker.update(frame.image)
            frames.append(frame.index)
            tracks.append(found if isinstance(found, Track) else found[self.id])
            self.tick(1)
        return Steps(
            np.array(frames, np.int64),
            np.array([track.box for track in tracks], np.float64).reshape(-1, 4),
            np.array([track.score for track in tracks], np.float64),
            np.array([_confidence(track) for track in tracks], np.float64),
            np.array([STATES.index(track.state) for track in tracks], np.int64),
        )


def _confidence(track: Track) -> float:
    known = [value for value in (track.confidence, track.score) if not math.isnan(value)]
    return known[0] if known else 1.0


def _file_mark(name: str) -> list[Any]:
    """A file or folder of images and what tells that it changed; an address as it is."""
    path = Path(name)
    try:
        # The folder's own time would change with results put beside the images, and not with an image written anew.
        files = [f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES] if path.is_dir() else [path]
        found = sorted((file.name, (told := file.stat()).st_size, told.st_mtime_ns) for file in files)
    except OSError:
        return [name]
    return [str(path.resolve()), hashlib.sha256(json.dumps(found).encode()).hexdigest()]


def _network_mark(network: Network) -> list[Any]:
    """A network's file; of one that has none, what it answers to noise."""
    if Path(network.name).is_file():
        return _file_mark(network.name)
    config, noise = network.config, np.random.default_rng(0)
    template = noise.standard_normal((1, 3, config.template_size, config.template_size), np.float32)
    search = noise.standard_normal((1, 3, config.search_size, config.search_size), np.float32)
    answer = network(template, search, np.full((1, 4), 0.5, np.float32))
    said = [answer.boxes, *(values for values in (answer.score, answer.confidence) if values is not None)]
    return [network.name, hashlib.sha256(b"".join(values.tobytes() for values in said)).hexdigest()]


def _tracker_mark(tracker: Tracker) -> list[Any]:
    names = ("faithful", "window", "search_factor", "recovery", "exclusion")
    options = (*(getattr(tracker, name) for name in names), tracker.network.calibration)
    # What runs it too: in bf16 the same network finds slightly other boxes.
    return [*_network_mark(tracker.network), tracker.network.runtime, *map(repr, options)]
