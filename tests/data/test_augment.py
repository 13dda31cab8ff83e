"""Jitter within the paper's range, colours that stay colours, and the same change for the same generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.data.augment import Photometric, jitter_box, stretch, to_grey

boxes = st.tuples(*[st.floats(-500, 500)] * 2, *[st.floats(1, 400)] * 2)


@pytest.mark.parametrize(("centre", "scale", "factor"), [(3.0, 0.25, 4.0), (4.5, 0.5, 5.0)])
@given(box=boxes, seed=st.integers(0, 2**32 - 1))
def test_the_target_stays_inside_the_search_crop(
    box: tuple[float, float, float, float], seed: int, centre: float, scale: float, factor: float
) -> None:
    x, y, w, h = jitter_box(box, centre, scale, np.random.default_rng(seed))
    assert w > 0
    assert h > 0
    side = np.sqrt(w * h)
    shift = np.array([x + w / 2 - box[0] - box[2] / 2, y + h / 2 - box[1] - box[3] / 2])
    assert (np.abs(shift) <= centre / 2 * side + 1e-6 * (side + 500)).all()
    # The crop is a square of this many sides round the new box: the old centre keeps an eighth, or a twentieth, of it
    # between itself and the border.
    place = 0.5 - shift / (factor * side)
    least = {4.0: 0.125, 5.0: 0.05}[factor]
    assert (place >= least - 1e-3).all()
    assert (place <= 1 - least + 1e-3).all()


def test_jitter_has_the_spread_it_is_given() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([jitter_box((100, 50, 40, 20), 3.0, 0.25, rng) for _ in range(4000)])
    for column, size in ((2, 40), (3, 20)):
        logs = np.log(drawn[:, column] / size)
        assert abs(logs.mean()) < 0.02
        assert logs.std() == pytest.approx(0.25, rel=0.05)
    sides = np.sqrt(drawn[:, 2] * drawn[:, 3])
    share = (drawn[:, 0] + drawn[:, 2] / 2 - 120) / sides
    assert np.abs(share).max() == pytest.approx(1.5, abs=0.02)
    assert share.std() == pytest.approx(3 / np.sqrt(12), rel=0.05)


def test_no_jitter_leaves_the_box() -> None:
    assert jitter_box((3, 4, 5, 6), 0, 0, np.random.default_rng(1)) == (3, 4, 5, 6)


def test_brightness_is_a_factor_of_the_pixels() -> None:
    image = np.full((4, 5, 3), 100, np.uint8)
    means = [Photometric()(image, np.random.default_rng(seed)).mean() for seed in range(300)]
    assert 79 <= min(means) < 84
    assert 116 < max(means) <= 120
    light = np.full((2, 2, 3), 250, np.uint8)
    bright = [Photometric()(light, np.random.default_rng(seed)) for seed in range(50)]
    assert max(change.max() for change in bright) == 255
    assert min(change.min() for change in bright) >= 200, "what is too bright stays white and does not wrap to black"


@given(st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_a_flat_grey_has_no_colour_and_no_contrast_to_change(level: int, seed: int) -> None:
    flat = np.full((5, 7, 3), level, np.uint8)
    change = Photometric(brightness=0.0, contrast=0.3, saturation=0.3)
    np.testing.assert_array_equal(change(flat, np.random.default_rng(seed)), flat)


def test_rounding_makes_pictures_neither_darker_nor_lighter() -> None:
    image = np.random.default_rng(0).integers(40, 200, (64, 64, 3), dtype=np.uint8)
    rng = np.random.default_rng(1)
    factors, means = [], []
    for _ in range(20):
        changed = Photometric()(image, rng).astype(np.float64)
        factors.append((changed * image).sum() / (image.astype(np.float64) ** 2).sum())
        means.append((changed - factors[-1] * image).mean())
    assert np.abs(means).max() < 0.05


@given(st.integers(0, 2**32 - 1))
def test_every_change_keeps_shape_and_type_and_repeats(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    change = Photometric(0.3, 0.3, 0.3, 0.9, 0.9, 0.9)
    first, second = (change(image, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


def test_grey_has_three_equal_channels() -> None:
    grey = to_grey(np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8))
    assert (grey == grey[..., :1]).all()


@given(seed=st.integers(0, 2**32 - 1), deviation=st.floats(0.01, 0.4))
def test_a_stretched_frame_takes_its_box_along(seed: int, deviation: float) -> None:
    frame = np.zeros((90, 120, 3), np.uint8)
    frame[30:60, 40:80] = 255
    stretched, (x, y, w, h) = stretch(frame, (40, 30, 40, 30), deviation, np.random.default_rng(seed))
    rows, columns = (np.flatnonzero((stretched[..., 0] > 127).any(axis)) for axis in (1, 0))
    # Edges fall between pixels of the stretched frame: half a pixel each.
    assert columns[[0, -1]] + [0, 1] == pytest.approx([x, x + w], abs=0.75)
    assert rows[[0, -1]] + [0, 1] == pytest.approx([y, y + h], abs=0.75)
    assert stretched.shape[0] * stretched.shape[1] == pytest.approx(90 * 120, rel=0.03)


def test_no_stretch_draws_nothing_and_its_spread_is_as_given() -> None:
    frame, rng = np.zeros((200, 200, 3), np.uint8), np.random.default_rng(0)
    same, box = stretch(frame, (1, 2, 3, 4), 0.0, rng)
    assert same is frame
    assert box == (1, 2, 3, 4)
    assert rng.random() == np.random.default_rng(0).random(), "runs without it see the pairs they always saw"
    shapes = [stretch(frame, (1, 2, 3, 4), 0.2, rng)[0].shape for _ in range(500)]
    assert np.log([width / height for height, width, _ in shapes]).std() == pytest.approx(0.2, rel=0.15)
