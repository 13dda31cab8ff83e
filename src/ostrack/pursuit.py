"""Targets from one frame to the next: where to look for each, whom to believe, what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ostrack.boxes import iou_xywh
from ostrack.checks import Box, Frame, check_box
from ostrack.crop import crop_side, cut_crop
from ostrack.exclusion import close_by, overlaps, share_view
from ostrack.looking import Gaze, Look, kept_inside
from ostrack.network import Network
from ostrack.recovery import Belief, Recovery, Sighting, wide_tiles
from ostrack.runtimes import FloatArray
from ostrack.targets import Home, TargetId, TargetState, Track

__all__ = ["Pursuit"]

# Overlap with the first box from which a find, taken as template, points back to the target.
_POINTS_BACK = 0.5


class Pursuit:
    """Follows targets with one call of the network a frame.

    Attributes:
        network: The network.
        policy: What is done about targets out of sight.
        faithful: Whether the official tracker's conventions are kept to the letter.
        window: Strength of the Hann window on the score map.
        search_factor: Side of the search region over the square root of the target's area.
        exclusion: Whether two targets are kept from ending on one object.
    """

    def __init__(
        self,
        network: Network,
        policy: Recovery,
        *,
        faithful: bool = False,
        window: float = 1.0,
        search_factor: float = 4.0,
        exclusion: bool = False,
    ) -> None:
        """Follow through a network, by these settings."""
        self.network, self.policy = network, policy
        self.faithful, self.exclusion = faithful, exclusion
        self.window, self.search_factor = window, search_factor
        self._gaze = Gaze(network, faithful)

    def begin(self, frame: Frame, number: int, id: TargetId, box: ArrayLike) -> TargetState:
        """A new target, in the frame of this number.

        Raises:
            BoxError: The box cannot be tracked.
        """
        checked = check_box(frame, box)
        sought = self._gaze.embed(frame, checked)
        home = None
        if self.policy.patience and self.policy.verify:
            region = cut_crop(frame, checked, self.search_factor, self.network.config.search_size)
            home = Home(checked, region, frame.shape[:2])
        belief = Belief(checked[2:])
        return TargetState(id, checked, sought.template, sought.tokens[0], sought.box, belief, home, taken=number)

    def __call__(self, frame: Frame, number: int, states: Sequence[TargetState], tokens: FloatArray) -> list[Track]:
        """Move all targets to where the network sees them.

        Args:
            frame: ``(H, W, 3)`` uint8 RGB.
            number: Its index.
            states: The targets; at least one. What is remembered of them is brought up to date.
            tokens: ``(N, Nz, D)`` float32, their first templates.

        Returns:
            Their tracks.
        """
        looks = [self._looks(frame, state, states) for state in states]
        owners = [index for index, own in enumerate(looks) for _ in own]
        everywhere = [look for own in looks for look in own]
        if len(owners) != len(states):
            rows = zip(everywhere, owners, strict=True)
            tokens = np.stack([tokens[owner] if look.tokens is None else look.tokens for look, owner in rows])
        view = self._gaze(frame, everywhere, tokens)
        found, starts = view.sightings(), [owners.index(index) for index in range(len(states))]
        firsts: list[Sighting | None] = [found[start] for start in starts]
        taken: list[Box] = []
        if self.exclusion:
            followed = [index for index, state in enumerate(states) if state.belief.state != "lost"]
            expected = [states[index].belief.expect(states[index].box, view.frame_size) for index in followed]
            shares = share_view(view, [starts[index] for index in followed], expected)
            for index, share in zip(followed, shares, strict=True):
                firsts[index] = share
            taken = [share.box for share in shares if share is not None]
        tracks = []
        for state, own, start, first in zip(states, looks, starts, firsts, strict=True):
            if state.belief.state == "lost":
                # A find is looked at alone; while there is none, any place will do.
                first_of_finds = start if state.belief.find is None else start + 1
                finds = [find for find in found[first_of_finds : start + len(own)] if not overlaps(find.box, taken)]
                tracks.append(self._seek(frame, number, state, found[start], finds, taken))
                if self.exclusion and state.belief.state != "lost":
                    taken.append(state.box)
            else:
                if not self.exclusion:
                    first = self._choose(frame, number, state, found[start : start + len(own)])
                state.box = state.belief.judge(self.policy, state.box, first, view.frame_size)
                tracks.append(self._track(state, first or found[start], number, view.frame_size))
        return tracks

    def _choose(self, frame: Frame, number: int, state: TargetState, found: Sequence[Sighting]) -> Sighting:
        """What to go by of what the first template found, and the second where it was asked; renews the second."""
        belief, policy, first = state.belief, self.policy, found[0]
        if policy.refresh and first.confidence >= policy.sure and number - state.taken >= policy.refresh:
            state.recent_tokens, state.taken = self._gaze.embed(frame, first.box).tokens[0], number
        return belief.prefer(policy, first, found[1] if len(found) > 1 else None)

    def _looks(self, frame: Frame, state: TargetState, states: Sequence[TargetState]) -> list[Look]:
        """Where to look for a target: round its last box; for a lost one also at a find, or in parts of the frame."""
        belief, policy = state.belief, self.policy
        box, others = state.box, [other.box for other in states if other is not state]
        if self.exclusion and close_by(box, others):
            box = belief.expect(box, frame.shape[:2])
        near = Look(box, self.search_factor * belief.growth(policy), self.window)
        if belief.state != "lost" and belief.doubted and state.recent_tokens is not None and not self.exclusion:
            return [near, replace(near, tokens=state.recent_tokens)]
        if belief.find is not None:
            return [near, Look(belief.find.box, self.search_factor, self.window)]
        if belief.state != "lost" or not policy.wide:
            return [near]
        tiles = wide_tiles(frame.shape[:2], crop_side((0, 0, *belief.size), self.search_factor), policy.scales)
        turns = range(belief.turn, belief.turn + min(policy.tiles, len(tiles)))
        belief.turn = turns.stop
        parts = [tuple(tiles[turn % len(tiles)].tolist()) for turn in turns]
        return [near, *(Look((x, y, w, h), 1.0, 0.0) for x, y, w, h in parts)]

    def _seek(
        self, frame: Frame, number: int, state: TargetState, near: Sighting, finds: Sequence[Sighting],
        taken: Sequence[Box],
    ) -> Track:  # fmt: skip
        """Go on looking for a lost target outside others' boxes, or take a find that has proven itself."""
        belief, size = state.belief, frame.shape[:2]
        if belief.consider(self.policy, finds) and (find := belief.find) is not None:
            if self._points_back(frame, state, find.box):
                state.box = belief.regain(find)
                return self._track(state, find, number, size)
            belief.reject()
        state.box = belief.move(self.policy, state.box, None if overlaps(near.box, taken) else near, size)
        return self._track(state, near, number, size)

    def _points_back(self, frame: Frame, state: TargetState, box: Box) -> bool:
        """Whether a box, taken as template, leads surely to the target in its first frame, where that is asked.

        Where it leads alone says little: half of the strangers find the one thing in the middle of that frame too.
        """
        if (home := state.home) is None:
            return True
        tokens, look = self._gaze.embed(frame, box).tokens, Look(home.box, self.search_factor, self.window)
        (found,) = self._gaze.at([home.region], [look], tokens, home.frame_size).sightings()
        return found.confidence >= self.policy.doubt and float(iou_xywh(found.box, home.box)) > _POINTS_BACK

    def _track(self, state: TargetState, found: Sighting, number: int, frame_size: tuple[int, int]) -> Track:
        belief = state.belief
        box = state.box if belief.seen else kept_inside(state.box, frame_size, self.faithful)
        # What is not believed says nothing for a box that is held instead.
        sure = found.confidence if belief.seen else min(found.confidence, self.policy.gone)
        return Track(state.id, box, found.score, belief.state, number, found.windowed, sure, belief.seen)
