"""A tracker on the other end of VOT's TraX protocol, for its toolkit or any other client.

The client starts the program and talks to it over pipes or a socket (``TRAX_SOCKET``). Regions may come as rectangles,
polygons or masks; answers are rectangles with the property ``confidence``. Several objects are followed at once; a
network of this package does so in one batched call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ostrack import __version__
from ostrack.data.sequence import polygon_to_xywh
from ostrack.errors import EvaluationError
from ostrack.evaluate.peers import Estimate, Follower, TrackerSpec, open_network, open_ours, open_tracker
from ostrack.pictures import decode_rgb
from ostrack.tracker import Tracker

__all__ = ["serve_trax"]

Frame = NDArray[np.uint8]
Floats = NDArray[np.float64]


class _Objects(Protocol):
    def init(self, frame: Frame, boxes: list[Floats]) -> list[Estimate]: ...

    def update(self, frame: Frame) -> list[Estimate]: ...

    def add(self, frame: Frame, boxes: list[Floats]) -> list[Estimate]: ...


class _Batched:
    """All objects in one call of the network."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker

    def init(self, frame: Frame, boxes: list[Floats]) -> list[Estimate]:
        tracks = self._tracker.init(frame, dict(enumerate(boxes)))
        return [Estimate(np.array(track.box), track.confidence) for track in tracks.values()]

    def update(self, frame: Frame) -> list[Estimate]:
        tracks = self._tracker.update(frame)
        if not isinstance(tracks, dict):
            tracks = {0: tracks}
        return [Estimate(np.array(track.box), track.confidence) for track in tracks.values()]

    def add(self, frame: Frame, boxes: list[Floats]) -> list[Estimate]:
        tracks = [self._tracker.add(frame, box) for box in boxes]
        return [Estimate(np.array(track.box), track.confidence) for track in tracks]


class _Separate:
    """One tracker for each object."""

    def __init__(self, make: Callable[[], Follower]) -> None:
        self._make = make
        self._followers: list[Follower] = []

    def init(self, frame: Frame, boxes: list[Floats]) -> list[Estimate]:
        self._followers = []
        return self.add(frame, boxes)

    def update(self, frame: Frame) -> list[Estimate]:
        return [follower.update(frame) for follower in self._followers]

    def add(self, frame: Frame, boxes: list[Floats]) -> list[Estimate]:
        for box in boxes:
            self._followers.append(self._make())
            self._followers[-1].init(frame, box)
        return [Estimate(box, 1.0) for box in boxes]


def serve_trax(spec: TrackerSpec) -> int:
    """Answer a client until it quits.

    Args:
        spec: What to run.

    Returns:
        Frames answered, those of the start included.

    Raises:
        EvaluationError: ``vot-trax`` is not installed, or the client sends what cannot be read.
        OSTrackError: The tracker cannot be loaded.
    """
    try:
        import trax
    except ModuleNotFoundError as error:
        raise EvaluationError('vot-trax is not installed; run: pip install "ostrack[vot]"') from error
    network = open_network(spec)
    objects: _Objects = _Batched(open_ours(spec, network)) if network is not None else _Separate(open_tracker(spec))
    formats = [trax.Region.RECTANGLE, trax.Region.POLYGON, trax.Region.MASK]
    images = [trax.Image.PATH, trax.Image.MEMORY, trax.Image.BUFFER]
    frames = 0
    with trax.Server(
        formats, images, tracker_name=spec.label, tracker_description=f"ostrack {__version__}", multiobject=True
    ) as server:
        while True:
            try:
                request = server.wait()
            except trax.TraxException as error:
                gone = str(error)
                break
            if request.type == trax.TraxStatus.QUIT:
                return frames
            frame = _frame(request.image.get("color"))
            boxes = [_box(region) for region, _ in request.objects or []]
            if request.type == trax.TraxStatus.INITIALIZE:
                found = objects.init(frame, boxes)
            else:
                found = objects.update(frame)
                if boxes:
                    found += objects.add(frame, boxes)
            frames += 1
            server.status([_answer(trax, estimate) for estimate in found])
    # Said outside, since the server prints the way of whatever is raised in its block.
    raise EvaluationError(
        f"the TraX client went away ({gone}); VOT's toolkit starts this command, see `ostrack vot --ini`"
    )


def _answer(trax: Any, estimate: Estimate) -> tuple[Any, dict[str, str]]:
    properties = {} if np.isnan(estimate.score) else {"confidence": f"{estimate.score:.6f}"}
    return trax.Rectangle.create(*(float(value) for value in estimate.box)), properties


def _frame(image: Any) -> Frame:
    if image is None:
        raise EvaluationError("the TraX client sent no colour image")
    kind = image.type()
    if kind == "path":
        path = Path(image.path())
        try:
            return _decoded(path.read_bytes(), str(path))
        except OSError as error:
            raise EvaluationError(f"{path}: cannot be read ({error.strerror})") from None
    if kind == "memory":
        array = image.array()
        if array.dtype != np.uint8:
            raise EvaluationError(f"the TraX client sent an image of {array.dtype}, expected uint8")
        return np.asarray(np.repeat(array, 3, 2) if array.shape[2] == 1 else array, np.uint8)
    return _decoded(bytes(image.buffer()), "image from the TraX client")


def _decoded(blob: bytes, name: str) -> Frame:
    pixels = decode_rgb(blob)
    if pixels is None:
        raise EvaluationError(f"{name}: not an image that can be read")
    return pixels


def _box(region: Any) -> Floats:
    """``(4,)`` xywh round a rectangle, polygon or mask."""
    if region.type == "rectangle":
        return np.array(region.bounds(), dtype=np.float64)
    if region.type == "polygon":
        return polygon_to_xywh(np.array([region.get(i) for i in range(region.size())]).reshape(-1))
    if region.type == "mask":
        rows, columns = np.nonzero(region.array(normalize=True))
        if not len(rows):
            raise EvaluationError("the TraX client sent an empty mask")
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
        return np.concatenate([low, high - low]).astype(np.float64)
    raise EvaluationError(f"the TraX client sent a region of type {region.type!r}")
