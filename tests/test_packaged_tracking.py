"""The packaged networks follow drawn things as well as they did when they were packaged."""

from __future__ import annotations

import numpy as np
import pytest

from ostrack import Tracker, zoo
from ostrack.data.sequence import Sequence
from ostrack.evaluate import score
from rendered_clips import clips

# Success AUC when packaged; the margin leaves room for another runtime's rounding, not for a broken tracker.
PACKAGED = {
    "small": {"grows": 0.912, "crosses": 0.874, "behind-a-bar": 0.786},
    "small-int8": {"grows": 0.913, "crosses": 0.861, "behind-a-bar": 0.786},
    "tiny": {"grows": 0.852, "crosses": 0.837, "behind-a-bar": 0.670},
}
MARGIN = 0.06


@pytest.fixture(scope="module")
def drawn() -> list[Sequence]:
    return clips()


@pytest.mark.parametrize("name", zoo.names())
def test_drawn_things_are_followed_as_when_packaged(name: str, drawn: list[Sequence]) -> None:
    followed = {}
    for clip in drawn:
        tracker = Tracker(name)
        tracker.init(clip.frames[0], clip.boxes[0])
        tracks = [tracker.update(clip.frames[index]) for index in range(1, len(clip))]
        followed[clip.name] = np.array([clip.boxes[0], *(track.box for track in tracks)])
    report = score(followed, {clip.name: clip.boxes for clip in drawn}, protocol="ostrack")
    for clip, expected in PACKAGED[name].items():
        assert report.per_sequence[clip].success > expected - MARGIN, clip
