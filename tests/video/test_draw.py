"""What is drawn, where, and the sheet of pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostrack.errors import OutputError
from ostrack.tracker import State, Track
from ostrack.video import ContactSheet, draw_tracks
from ostrack.video.draw import colour


def one(box: tuple[float, float, float, float], state: State = "tracking") -> dict[int | str, Track]:
    return {0: Track(0, box, 0.9, state, 0)}


def test_the_outline_lies_on_the_outermost_pixels_of_the_box() -> None:
    drawn = draw_tracks(np.zeros((200, 300, 3), np.uint8), one((100, 60, 80, 90)))
    below_label = drawn[60:150]
    columns = np.flatnonzero((below_label == colour(0)).all(-1).all(0))
    assert (columns.min(), columns.max()) == (100, 179)
    assert (drawn[149, 100:180] == colour(0)).all()
    assert not drawn[150:].any()
    assert not drawn[62:148, 102:178].any()


def test_a_target_keeps_its_colour_while_others_come_and_go() -> None:
    tracks: dict[int | str, Track] = {"b": Track("b", (100.0, 60.0, 80.0, 90.0), 0.9, "tracking", 0)}
    drawn = draw_tracks(np.zeros((240, 300, 3), np.uint8), tracks, order=["a", "b"])
    assert tuple(drawn[100, 100]) == colour(1)
    assert tuple(draw_tracks(np.zeros((240, 300, 3), np.uint8), tracks)[100, 100]) == colour(0)


def test_labels_of_targets_on_one_place_do_not_cover_each_other() -> None:
    box = (100.0, 60.0, 80.0, 90.0)
    tracks: dict[int | str, Track] = {name: Track(name, box, 0.9, "tracking", 0) for name in ("car", "cup")}
    drawn = draw_tracks(np.zeros((240, 300, 3), np.uint8), tracks)
    above, below = drawn[:60], drawn[150:]
    assert (above == colour(0)).all(-1).any()
    assert (below == colour(1)).all(-1).any()


def test_a_score_that_is_none_is_not_written() -> None:
    blank = np.zeros((200, 300, 3), np.uint8)
    nameless = draw_tracks(blank, {0: Track(0, (100, 60, 80, 90), float("nan"), "tracking", 0)})
    assert not nameless[:60].any(), "no label over the box"
    named = draw_tracks(blank, {"cup": Track("cup", (100, 60, 80, 90), float("nan"), "tracking", 0)})
    scored = draw_tracks(blank, {"cup": Track("cup", (100, 60, 80, 90), 0.5, "tracking", 0)})
    assert 0 < named[:60].any((0, 2)).sum() < scored[:60].any((0, 2)).sum()


def test_the_image_handed_in_is_not_changed() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    draw_tracks(image, one((10, 10, 20, 20)))
    assert not image.any()


def test_lines_grow_with_the_frame() -> None:
    small = draw_tracks(np.zeros((240, 320, 3), np.uint8), one((50, 50, 100, 100)))
    large = draw_tracks(np.zeros((2160, 3840, 3), np.uint8), one((500, 500, 1000, 1000)))
    assert (small[100, :100] > 0).any(-1).sum() == 2
    assert (large[1000, :900] > 0).any(-1).sum() == 9


def test_a_lost_target_looks_different() -> None:
    drawn = [draw_tracks(np.zeros((200, 300, 3), np.uint8), one((100, 60, 80, 90), s)) for s in ("tracking", "lost")]
    solid, dashed = (int((image[149] == colour(0)).all(-1).sum()) for image in drawn)
    assert 0 < dashed < 0.8 * solid


def test_neighbouring_targets_have_colours_far_apart() -> None:
    paints = np.array([colour(index) for index in range(8)], float)
    distance = np.linalg.norm(paints[:, None] - paints[None], axis=-1) + 1e3 * np.eye(8)
    assert distance.min() > 60


@settings(max_examples=60)
@given(
    st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(0.1, 900)] * 2),
    st.tuples(st.integers(4, 120), st.integers(4, 120)),
    st.sampled_from(["tracking", "uncertain", "lost"]),
)
def test_any_box_in_any_frame_can_be_drawn(
    box: tuple[float, float, float, float], size: tuple[int, int], state: State
) -> None:
    assert draw_tracks(np.zeros((*size, 3), np.uint8), one(box, state)).shape == (*size, 3)


@pytest.mark.parametrize(("offered", "expected"), [(1, 1), (5, 5), (12, 12), (13, 12), (48, 12), (1000, 12)])
def test_a_sheet_spans_the_whole_run_evenly(offered: int, expected: int) -> None:
    sheet = ContactSheet(count=12, width=32)
    for index in range(offered):
        sheet.add(np.full((24, 32, 3), round(255 * index / max(1, offered - 1)), np.uint8), "")
    tiles = sheet.render(columns=4)
    rows = -(-expected // 4)
    assert tiles.shape == (24 * rows, 32 * min(4, expected), 3)
    levels = [int(tiles[24 * (n // 4), 32 * (n % 4), 0]) for n in range(expected)]
    if expected > 1:
        np.testing.assert_allclose(levels, np.linspace(0, 255, expected), atol=24)


def test_a_sheet_holds_few_pictures_whatever_the_length() -> None:
    sheet = ContactSheet(count=4, width=16)
    most = 0
    for _ in range(2000):
        sheet.add(np.zeros((16, 16, 3), np.uint8), "")
        most = max(most, len(sheet._kept))
    assert most <= 17


def test_a_sheet_is_saved_as_its_suffix_says(tmp_path: Path) -> None:
    sheet = ContactSheet(count=2, width=64)
    with pytest.raises(ValueError, match="no pictures"):
        sheet.render()
    sheet.add(np.full((48, 64, 3), (200, 100, 50), np.uint8), "")
    sheet.save(tmp_path / "sheet.png")
    read = cv2.imread(str(tmp_path / "sheet.png"))
    assert read is not None
    assert read[0, 0].tolist() == [50, 100, 200]
    with pytest.raises(OutputError, match="suffix"):
        sheet.save(tmp_path / "sheet.nothing")
    with pytest.raises(OutputError, match="cannot be written"):
        sheet.save(tmp_path / "none" / "sheet.png")
