"""Any tracker behind one small contract: ours, an OpenCV one, or somebody's class.

A tracker is named by a string:

* empty, the name of a packaged network, or the path of an exported network or weight file: ours;
* ``opencv:mil``, ``opencv:csrt``, ``opencv:kcf``, ``opencv:nano``, ``opencv:vit``, ``opencv:dasiamrpn``: what the
  installed OpenCV holds; the last three need the options that name their model files;
* ``module:Class``: a class of yours with GOT-10k's contract, ``init(image, box)`` and ``update(image) -> box``. The
  image is ``(H, W, 3)`` uint8 RGB, the box x, y, w, h in 0-based pixels.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from ostrack import zoo
from ostrack.errors import EvaluationError
from ostrack.network import Network
from ostrack.tracker import Tracker

__all__ = ["Estimate", "Follower", "TrackerSpec", "open_network", "open_ours", "open_tracker"]

Frame = NDArray[np.uint8]
Floats = NDArray[np.float64]
# Options of ours that the network takes; the tracker takes the others.
_NETWORK = ("runtime", "device", "threads", "precision", "compile", "strict")
_CLASS = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_OPENCV = {"mil": "MIL", "csrt": "CSRT", "kcf": "KCF", "nano": "Nano", "vit": "Vit", "dasiamrpn": "DaSiamRPN"}


@dataclass(frozen=True)
class Estimate:
    """Where a tracker sees the target.

    Attributes:
        box: ``(4,)`` xywh, 0-based pixels.
        score: Its confidence, of ours the probability that the box is right where the network is calibrated; nan where
            it gives none.
    """

    box: Floats
    score: float = float("nan")


class Follower(Protocol):
    """A tracker of one target; ``init`` may come again for the next sequence."""

    def init(self, frame: Frame, box: Floats) -> None:
        """Start on a frame, ``(H, W, 3)`` uint8 RGB, with the target's box, ``(4,)`` xywh."""

    def update(self, frame: Frame) -> Estimate:
        """Find the target in the next frame."""


@dataclass(frozen=True)
class TrackerSpec:
    """What to run; small and picklable, so that workers can open it themselves.

    Attributes:
        source: See the module's text.
        options: Names and values, e.g. ``runtime`` and ``threads`` for ours, a class's keyword arguments.
        search_path: Folders to look for modules in, before the usual ones.
    """

    source: str = ""
    options: tuple[tuple[str, str], ...] = ()
    search_path: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``"ostrack"``, ``"opencv"`` or ``"class"``."""
        if self.source.startswith("opencv:"):
            return "opencv"
        return "class" if _CLASS.fullmatch(self.source) else "ostrack"

    @property
    def label(self) -> str:
        """Short name for folders and tables."""
        if self.kind == "ostrack":
            return Path(self.source).stem if self.source else "ostrack"
        return self.source.rpartition(":")[2]

    @property
    def values(self) -> dict[str, Any]:
        """Options with numbers and booleans read as such."""
        return {name: yaml.safe_load(value) for name, value in self.options}

    def fingerprint(self) -> dict[str, str]:
        """What decides the results: source, options, and the digest of the network's file."""
        found = {"source": self.source, **{f"option {name}": value for name, value in sorted(self.options)}}
        found.pop("option threads", None)
        path = Path(self.source)
        if self.kind == "ostrack" and (not self.source or self.source in zoo.names()):
            path = zoo.path(self.source or zoo.default())
        if self.kind == "ostrack" and path.is_file():
            found["source"] = path.name
            found["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


@dataclass
class _Ours:
    tracker: Tracker

    def init(self, frame: Frame, box: Floats) -> None:
        self.tracker.init(frame, box)

    def update(self, frame: Frame) -> Estimate:
        track = self.tracker.update(frame)
        if isinstance(track, dict):
            raise EvaluationError(f"expected one target, the tracker follows {len(track)}")
        # Not the raw score, which tells nothing of a box that is held because nothing in the frame was believed.
        return Estimate(np.array(track.box, dtype=np.float64), track.confidence)


@dataclass
class _OpenCV:
    make: Callable[[], Any]
    tracker: Any = None
    last: Floats | None = None

    def init(self, frame: Frame, box: Floats) -> None:
        # A started OpenCV tracker cannot be started again.
        self.tracker = self.make()
        self.last = box
        self.tracker.init(frame[..., ::-1].copy(), tuple(round(float(value)) for value in box))

    def update(self, frame: Frame) -> Estimate:
        found, box = self.tracker.update(frame[..., ::-1].copy())
        score = self.tracker.getTrackingScore() if hasattr(self.tracker, "getTrackingScore") else float(found)
        if found or self.last is None:
            self.last = np.array(box, dtype=np.float64)
        return Estimate(self.last, float(score))


@dataclass
class _Contract:
    tracker: Any
    name: str

    def init(self, frame: Frame, box: Floats) -> None:
        self.tracker.init(frame, box.copy())

    def update(self, frame: Frame) -> Estimate:
        answer = self.tracker.update(frame)
        try:
            box = np.asarray(answer, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            box = np.empty(0)
        if box.shape != (4,):
            raise EvaluationError(f"{self.name}.update must return x, y, w, h; got {answer!r:.80}")
        return Estimate(box)


def open_network(spec: TrackerSpec) -> Network | None:
    """The network of one of ours; None for other trackers."""
    if spec.kind != "ostrack":
        return None
    known = {name: value for name, value in spec.values.items() if name in _NETWORK}
    return Network.load(spec.source or None, **known)


def open_tracker(spec: TrackerSpec, network: Network | None = None) -> Callable[[], Follower]:
    """Load a tracker once; each call of what is returned gives an independent one.

    Args:
        spec: What to run.
        network: A loaded network to use instead of loading it.

    Raises:
        EvaluationError: No such class, or OpenCV tracker, or option.
        OSTrackError: The network cannot be loaded.
    """
    if spec.kind == "opencv":
        return _open_opencv(spec)
    if spec.kind == "class":
        return _open_class(spec)
    shared = network if network is not None else open_network(spec)
    open_ours(spec, shared)
    return lambda: _Ours(open_ours(spec, shared))


def open_ours(spec: TrackerSpec, network: Network | None) -> Tracker:
    """One of ours on a loaded network, with the options that the network itself does not take.

    Raises:
        EvaluationError: No such option.
    """
    own = {name: value for name, value in spec.values.items() if name not in _NETWORK}
    try:
        return Tracker(network, **own)
    except TypeError as error:
        raise EvaluationError(f"tracker {spec.label}: {str(error).replace('Tracker.__init__() ', '')}") from error


def _open_opencv(spec: TrackerSpec) -> Callable[[], Follower]:
    name = spec.source.partition(":")[2].lower()
    here = [short for short, full in _OPENCV.items() if hasattr(cv2, f"Tracker{full}_create")]
    if name not in here:
        known = "needs opencv-contrib-python-headless" if name in _OPENCV else "is unknown"
        raise EvaluationError(f"OpenCV tracker {name!r} {known}; this OpenCV {cv2.__version__} has {', '.join(here)}")
    create: Callable[..., Any] = getattr(cv2, f"Tracker{_OPENCV[name]}_create")
    if not hasattr(cv2, f"Tracker{_OPENCV[name]}_Params"):
        return lambda: _OpenCV(create)
    parameters = getattr(cv2, f"Tracker{_OPENCV[name]}_Params")()
    for option, value in spec.values.items():
        if not hasattr(parameters, option):
            known = ", ".join(key for key in dir(parameters) if not key.startswith("_"))
            raise EvaluationError(f"OpenCV tracker {name!r} has no option {option!r}, only {known}")
        if isinstance(getattr(parameters, option), str) and not Path(str(value)).is_file():
            raise FileNotFoundError(f"{value}: no such model file (option {option} of opencv:{name})")
        setattr(parameters, option, value)
    for option in ("backbone", "neckhead", "net", "model", "kernel_cls1", "kernel_r1"):
        if isinstance(getattr(parameters, option, None), str) and option not in spec.values:
            raise EvaluationError(f"OpenCV tracker {name!r} needs the option {option}=FILE")
    return lambda: _OpenCV(lambda: create(parameters))


def _open_class(spec: TrackerSpec) -> Callable[[], Follower]:
    module_name, _, class_name = spec.source.partition(":")
    for folder in reversed(spec.search_path):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise EvaluationError(f"tracker {spec.source}: cannot import {error.name}") from error
    maker = getattr(module, class_name, None)
    if maker is None:
        raise EvaluationError(f"tracker {spec.source}: {module_name} ({module.__file__}) has no {class_name}")
    for method in ("init", "update"):
        if not callable(getattr(maker, method, None)):
            raise EvaluationError(f"tracker {spec.source}: {class_name} has no method {method}(...)")
    options = spec.values
    return lambda: _Contract(maker(**options), spec.source)
