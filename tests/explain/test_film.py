"""Pictures of the video: a frame of any shape in the middle of its field, nothing at the edge."""

from __future__ import annotations

import numpy as np
import pytest

from ostrack.explain.film import beside, framed
from ostrack.explain.panels import Tile


@pytest.mark.parametrize(("height", "width"), [(272, 640), (640, 272), (240, 320)])
def test_a_frame_stands_half_way_up_with_a_margin(height: int, width: int) -> None:
    frame = np.full((height, width, 3), 90, np.uint8)
    tiles = [Tile(np.full((320, 320, 3), 90, np.uint8), ("above", "below"))] * 2
    film = beside(framed(frame, np.array([0.5, 0.5, 0.2, 0.2]), ""), tiles)
    assert film.shape == (752, 1224, 3)
    inked = (film != 255).any(2)
    for edge in (inked[:12], inked[-12:], inked[:, :12], inked[:, -12:]):
        assert not edge.any()
    rows = np.flatnonzero((film[:, 12 : 12 + 860] == 90).all(2).any(1))
    above, below = rows[0] - 12 - 24, len(film) - 12 - 1 - rows[-1]
    assert abs(above - below) <= 1
