"""Composites: the label is the pasted object's extent, occluders leave most of it, and broken parts are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ostrack.data.annotations import AnnotatedImage, read_folder
from ostrack.data.composite import CompositePairs, paste, warp_cut_out
from ostrack.errors import DataError
from tiny_training import write_annotated, write_image

GREEN = (0, 255, 0)


def _disc(width: int, height: int, colour: tuple[int, int, int] = GREEN) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    inside = ((columns + 0.5) / width - 0.5) ** 2 + ((rows + 0.5) / height - 0.5) ** 2 < 0.25
    return np.dstack([np.full((height, width, 3), colour, np.uint8), np.where(inside, 255, 0).astype(np.uint8)])


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[AnnotatedImage], list[AnnotatedImage]]:
    """A pure green disc as the only object, and black photos."""
    root = tmp_path_factory.mktemp("objects")
    write_image(root / "disc.png", _disc(80, 60))
    write_image(root / "black.png", np.zeros((200, 300, 3), np.uint8))
    disc = AnnotatedImage(root / "disc.png", (80, 60), ((0, 0, 80, 60),), (1,), None, "discs", cutout=True)
    return [disc], [AnnotatedImage(root / "black.png", (300, 200), (), (), None, "photos")]


@given(
    width=st.integers(20, 120), height=st.integers(20, 120), side=st.floats(14, 110), aspect=st.floats(0.7, 1.4),
    degrees=st.floats(-60, 60), flip=st.booleans(),
)  # fmt: skip
@example(width=20, height=114, side=14.0, aspect=0.71875, degrees=25.0, flip=False)
def test_a_warped_object_fills_its_box_and_keeps_its_colour(
    width: int, height: int, side: float, aspect: float, degrees: float, flip: bool
) -> None:
    warped = warp_cut_out(_disc(width, height), side, aspect, degrees, flip)
    solid = warped[..., 3] > 127
    for edge in (solid[0], solid[-1], solid[:, 0], solid[:, -1]):
        assert edge.any(), "trimmed to the solid part on every side"
    # A turned ellipse's box is as wide as its axes reach together; drawn, the edge may lie half a pixel of the cut-out
    # (2/3 of the result's at least: what shrinks much is shrunk to that first) and half one of the result off per side.
    ratio = np.sqrt(aspect * width / height)
    axes, turn = (side * ratio, side / ratio), np.deg2rad(degrees)
    reach = [np.hypot(axes[0] * np.cos(turn), axes[1] * np.sin(turn))]
    reach.append(np.hypot(axes[0] * np.sin(turn), axes[1] * np.cos(turn)))
    pixel = max(axes[0] / width, axes[1] / height, 2 / 3)
    np.testing.assert_allclose(solid.shape[::-1], reach, rtol=0, atol=1 + pixel)
    colours = warped[solid][:, :3].astype(int)
    assert np.abs(colours - GREEN).max() <= 4, "the transparent surroundings must not bleed in"


def _extent(solid: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@given(seed=st.integers(0, 2**32 - 1))
def test_the_box_is_the_extent_of_what_was_pasted(
    objects: tuple[list[AnnotatedImage], list[AnnotatedImage]], seed: int
) -> None:
    pair = CompositePairs(*objects, distractors=0, occlusion=0).draw(np.random.default_rng(seed))
    for frame, (x, y, w, h) in ((pair.template, pair.template_box), (pair.search, pair.search_box)):
        # Opacity above one half of pure green on black; blending rounds by a grey level or two.
        inner, outer = _extent(frame[..., 1] > 130), _extent(frame[..., 1] > 124)
        assert outer[0] <= x <= inner[0]
        assert outer[1] <= y <= inner[1]
        assert inner[2] <= x + w <= outer[2]
        assert inner[3] <= y + h <= outer[3]


@given(seed=st.integers(0, 2**32 - 1))
def test_an_occluder_leaves_at_least_half_of_the_target(
    objects: tuple[list[AnnotatedImage], list[AnnotatedImage]], seed: int
) -> None:
    source, rng = CompositePairs(*objects), np.random.default_rng(seed)
    canvas = np.zeros((300, 400, 3), np.uint8)
    w, h = int(rng.integers(20, 110)), int(rng.integers(20, 110))
    source._occlude(rng, canvas, (150.0, 100.0, float(w), float(h)))
    covered = (canvas[100 : 100 + h, 150 : 150 + w].any(-1)).mean()
    assert covered <= 0.5


def test_distractors_and_twins_do_not_change_the_label(
    objects: tuple[list[AnnotatedImage], list[AnnotatedImage]],
) -> None:
    for seed in range(20):
        pair = CompositePairs(*objects, distractors=6, occlusion=0).draw(np.random.default_rng(seed))
        x, y, w, h = (int(v) for v in pair.search_box)
        centre = pair.search[y + h // 2, x + w // 2]
        assert (centre == GREEN).all() or w < 8 or h < 8, "the target lies on top"


def test_pasting_outside_is_cut_off() -> None:
    canvas = np.zeros((10, 10, 3), np.uint8)
    paste(canvas, np.full((4, 4, 4), 255, np.uint8), -2, 8)
    assert canvas.any(-1).sum() == 4
    paste(canvas, np.full((4, 4, 4), 255, np.uint8), 50, 50)
    assert canvas.any(-1).sum() == 4


def test_objects_come_from_masks_too(tmp_path: Path) -> None:
    root = write_annotated(tmp_path, clips=6)
    moving, photos = read_folder(root / "moving"), read_folder(root / "photos")
    source = CompositePairs(moving, photos)
    large = [image for image in moving if image.boxes[0][2] >= 24]
    assert 0 < len(large) < len(moving), "small objects are left out"
    assert [image for image, _ in source.kinds["moving"]] == large
    assert source.draw(np.random.default_rng(0)).present


def test_without_objects_or_backgrounds_there_are_no_composites(
    objects: tuple[list[AnnotatedImage], list[AnnotatedImage]],
) -> None:
    with pytest.raises(DataError, match="composites need objects to paste"):
        CompositePairs([], objects[1])
    with pytest.raises(DataError, match="composites need background photos"):
        CompositePairs(objects[0], [])
