"""Follow one target or many: one batched call of the network for each frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from ostrack.checks import Box, Frame, check_frame, check_id
from ostrack.errors import OSTrackError
from ostrack.network import Network
from ostrack.pursuit import Pursuit
from ostrack.recovery import PLAIN, Recovery, State
from ostrack.targets import TargetId, TargetState, Track

__all__ = ["Box", "Frame", "Recovery", "State", "TargetId", "TargetState", "Track", "Tracker"]

# A mapping is invariant in its keys, so one of plain str or int needs its own line.
BoxesById: TypeAlias = Mapping[TargetId, ArrayLike] | Mapping[str, ArrayLike] | Mapping[int, ArrayLike]


class Tracker:
    """Follows boxed objects from frame to frame.

    ::

        tracker = Tracker()
        tracker.init(first_frame, (x, y, w, h))
        for frame in frames:
            track = tracker.update(frame)

    Several targets share the frames and one call of the network: ``init(frame, {"cup": box, "dog": box})``, or
    :meth:`add` and :meth:`remove` at any time; :meth:`update` then returns a dict by id.

    Attributes:
        network: The network in use.
        faithful: Whether the official tracker's conventions are kept to the letter.
        window: Strength of the Hann window on the score map.
        search_factor: Side of the search region over the square root of the target's area.
        recovery: What is done about targets out of sight; None for nothing.
        exclusion: Whether two targets are kept from ending on one object.
        frame: Index of the last frame seen; -1 before the first.
    """

    def __init__(
        self,
        network: str | Path | Network | None = None,
        runtime: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
        *,
        precision: str = "float32",
        strict: bool = False,
        faithful: bool = False,
        window: float = 1.0,
        search_factor: float | None = None,
        recovery: Recovery | bool | None = None,
        exclusion: bool = False,
    ) -> None:
        """Load the network; targets come with :meth:`init`.

        Args:
            network: Packaged name, path, or a loaded network; the packaged default where None.
            runtime: ``"onnx"``, ``"openvino"``, ``"torch"`` or ``"auto"``, see :meth:`ostrack.network.Network.load`;
                this and the next four mean nothing for a loaded network.
            device: ``"cpu"``, ``"cuda"`` and what else the runtime knows.
            threads: CPU threads.
            precision: ``"float32"``; ``"bf16"`` and ``"fp16"`` where runtime and device have them.
            strict: Raise when a device fails, instead of going on with the processor and a warning.
            faithful: Reproduce the official tracker: boxes never under 10 px, search crops mapped back without
                their rounding, its off-by-one at the frame's edge.
            window: 1 is the official Hann window, 0 none.
            search_factor: In place of the one the network was trained with; larger finds faster motion, less sharply.
            recovery: What to do about targets out of sight: False follows whatever there is, True means ``Recovery()``.
                None means True for calibrated networks; False for others, and for the official tracker.
            exclusion: Keep two targets from ending on one object; the better claim, by score and motion, has it.

        Raises:
            FileNotFoundError: Neither a file nor a packaged network.
            NetworkError: The network, runtime or device cannot be used.
            ValueError: ``window`` is outside [0, 1], ``search_factor`` not positive, or ``faithful`` is to go with what
                the official tracker does not do.
        """
        if not 0 <= window <= 1:
            raise ValueError(f"window={window}: expected 0 to 1")
        if search_factor is not None and not 0 < search_factor < math.inf:
            raise ValueError(f"search_factor={search_factor}: expected a positive number")
        if faithful and (recovery or exclusion):
            raise ValueError("faithful=True is the official tracker, which has no recovery and no exclusion")
        if not isinstance(network, Network):
            network = Network.load(network, runtime, device, threads, precision=precision, strict=strict)
        self.network = network
        self.faithful = faithful
        self.window = window
        self.search_factor = self.network.config.search_factor if search_factor is None else search_factor
        if recovery is None:
            recovery = self.network.calibration is not None and not faithful
        self.recovery = recovery if isinstance(recovery, Recovery) else Recovery() if recovery else None
        self.exclusion = exclusion
        self.frame = -1
        self._pursuit = Pursuit(
            self.network,
            self.recovery or PLAIN,
            faithful=faithful,
            window=window,
            search_factor=self.search_factor,
            exclusion=exclusion,
        )
        self._targets: dict[TargetId, TargetState] = {}
        self._single = False
        self._next_id = 0
        self._gather()

    @property
    def targets(self) -> Mapping[TargetId, TargetState]:
        """The targets being followed, in the order they came."""
        return dict(self._targets)

    @overload
    def init(self, frame: Frame, box: BoxesById) -> dict[TargetId, Track]: ...

    @overload
    def init(self, frame: Frame, box: ArrayLike) -> Track: ...

    def init(self, frame: Frame, box: ArrayLike | Mapping[Any, ArrayLike]) -> Track | dict[TargetId, Track]:
        """Start anew on a frame.

        Args:
            frame: ``(H, W, 3)`` uint8 RGB.
            box: ``(4,)`` xywh in pixels, or a mapping of ids to such boxes.

        Returns:
            The track of the one target, or all of them by id.

        Raises:
            BoxError: A box cannot be tracked, or an id is neither a name nor a whole number.
            ValueError: The frame is no RGB image.
        """
        check_frame(frame)
        single = not isinstance(box, Mapping)
        boxes = {check_id(key): value for key, value in box.items()} if isinstance(box, Mapping) else {0: box}
        targets = {key: self._pursuit.begin(frame, 0, key, value) for key, value in boxes.items()}
        self._targets, self._single, self.frame = targets, single, 0
        self._next_id = _number_after(0, *targets)
        self._gather()
        tracks = {key: _given(state, 0) for key, state in targets.items()}
        return tracks[0] if single else tracks

    def add(self, frame: Frame, box: ArrayLike, id: TargetId | None = None) -> Track:
        """Follow one more target from here on; :meth:`update` returns a dict afterwards.

        Args:
            frame: ``(H, W, 3)`` uint8 RGB: the frame last given to :meth:`init` or :meth:`update`, or the first.
            box: ``(4,)`` xywh in pixels.
            id: Its name or number; the next free number where None.

        Returns:
            Its track in this frame.

        Raises:
            BoxError: The box cannot be tracked, or the id is neither a name nor a whole number.
            ValueError: The id is taken, or the frame is no RGB image.
        """
        check_frame(frame)
        id = self._next_id if id is None else check_id(id)
        if id in self._targets:
            raise ValueError(f"target {id!r} is being followed already; remove it first")
        number = max(self.frame, 0)
        self._targets[id] = state = self._pursuit.begin(frame, number, id, box)
        self._next_id = _number_after(self._next_id, id)
        self._single, self.frame = False, number
        self._gather()
        return _given(state, self.frame)

    def remove(self, id: TargetId) -> None:
        """Stop following a target; :meth:`update` returns a dict afterwards.

        Raises:
            ValueError: There is no such target.
        """
        if id not in self._targets:
            raise ValueError(f"no target {id!r}, there is {', '.join(map(repr, self._targets)) or 'none'}")
        del self._targets[id]
        self._single = False
        self._gather()

    def update(self, frame: Frame) -> Track | dict[TargetId, Track]:
        """Find every target in the next frame, which may differ in size from the last.

        Args:
            frame: ``(H, W, 3)`` uint8 RGB.

        Returns:
            The track of the one target that :meth:`init` was given, or all of them by id.

        Raises:
            OSTrackError: No target was ever given.
            ValueError: The frame is no RGB image.
        """
        if self.frame < 0:
            raise OSTrackError("the tracker has no target yet: call init(frame, box) before update(frame)")
        check_frame(frame)
        self.frame += 1
        states = list(self._targets.values())
        tracks = self._pursuit(frame, self.frame, states, self._tokens) if states else []
        return tracks[0] if self._single else {track.id: track for track in tracks}

    def _gather(self) -> None:
        """Lay the templates of all targets side by side, once for each change of targets."""
        states, config = list(self._targets.values()), self.network.config
        shape = (-1, config.template_grid**2, self.network.token_width)
        self._tokens = np.array([s.template_tokens for s in states], np.float32).reshape(shape)


def _given(state: TargetState, frame: int) -> Track:
    """The track of a target in the frame that its box was given for."""
    return Track(state.id, state.box, 1.0, "tracking", frame, 1.0, 1.0)


def _number_after(number: int, *ids: TargetId) -> int:
    """The first number from ``number`` on that follows every id, so that none is ever given twice."""
    return max([number, *(id + 1 for id in ids if isinstance(id, int))])
