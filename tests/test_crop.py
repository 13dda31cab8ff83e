"""The square crop and its map back: official numbers, exactness, the frame's edges."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ostrack.crop import IMAGENET_MEAN, IMAGENET_STD, Crop, box_in_crop, cut_crop, normalise

Arrays = dict[str, NDArray[Any]]

boxes = st.tuples(st.floats(-400, 700), st.floats(-400, 700), st.floats(0.5, 900), st.floats(0.5, 900))


@pytest.mark.parametrize(
    ("factor", "size", "key"), [(2.0, 128, "f2_s128.patches"), (4.0, 256, "f4_s256.patches_first3")]
)
def test_faithful_crops_equal_the_official_ones(primitives: Arrays, factor: float, size: int, key: str) -> None:
    for box, patch in zip(primitives["crop.boxes_xywh"], primitives[f"crop.{key}"], strict=False):
        crop = cut_crop(primitives["crop.image"], box, factor, size, faithful=True)
        # One level, for other builds of OpenCV round bilinear sums differently.
        assert np.abs(crop.image.astype(int) - patch).max() <= 1


@pytest.mark.parametrize(
    ("factor", "size", "key"), [(2.0, 128, "f2_s128"), (4.0, 256, "f4_s256"), (5.0, 384, "f5_s384")]
)
def test_resize_factors_equal_the_official_ones(primitives: Arrays, factor: float, size: int, key: str) -> None:
    image, given_boxes = primitives["crop.image"], primitives["crop.boxes_xywh"]
    factors = [cut_crop(image, box, factor, size).resize_factor for box in given_boxes]
    assert factors == pytest.approx(primitives[f"crop.{key}.resize_factor"])


def test_labels_equal_the_official_ones(primitives: Arrays) -> None:
    size, scale = 256, float(primitives["tocrop.resize_factor"][0])
    middle = np.array([(size - 1) / 2, (size - 1) / 2, 0, 0])
    extract = primitives["tocrop.box_extract"]
    for box, label in zip(primitives["tocrop.box_in"], primitives["tocrop.out_normalised"], strict=True):
        ours = box_in_crop(box, extract, 4.0, size)
        # The official numbers were made with a scale that is no crop's; what they say in frame pixels is the same.
        in_frame = (label * size - middle) / scale
        assert (ours * size - middle) / (size / 196) == pytest.approx(in_frame, abs=1e-4)


@given(boxes, boxes, st.floats(1, 6))
def test_boxes_go_there_and_back(cropped: tuple[float, ...], box: tuple[float, ...], factor: float) -> None:
    crop = cut_crop(np.zeros((240, 320, 3), np.uint8), cropped, factor, 32)
    assert crop.to_frame(crop.from_frame(box)) == pytest.approx(box, abs=1e-8)


@given(boxes, st.floats(1, 6))
def test_the_official_map_is_off_by_the_rounding_alone(box: tuple[float, ...], factor: float) -> None:
    crop = cut_crop(np.zeros((240, 320, 3), np.uint8), box, factor, 32)
    middle = [0.5, 0.5, 0.1, 0.1]
    exact, official = crop.to_frame(middle), crop.to_frame(middle, faithful=True)
    assert np.abs(exact - official).max() <= 0.5 + 1e-9
    assert (official[:2] + official[2:] / 2) == pytest.approx([box[0] + box[2] / 2, box[1] + box[3] / 2])


@settings(max_examples=40)
@given(st.integers(20, 300), st.integers(20, 220), st.integers(8, 90), st.integers(8, 90))
def test_a_rectangle_is_found_where_the_map_says(x: int, y: int, w: int, h: int) -> None:
    frame = np.zeros((440, 620, 3), np.uint8)
    frame[y : y + h, x : x + w] = 255
    crop = cut_crop(frame, (x - 3.3, y + 2.7, w, h), 4.0, 256)
    light = crop.image[..., 0].astype(float)
    grid = (np.arange(256) + 0.5) / 256
    centre = (light.sum(0) @ grid / light.sum(), light.sum(1) @ grid / light.sum())
    assert crop.from_frame((x, y, w, h))[:2] == pytest.approx(centre, abs=0.25 / crop.side)


@given(boxes)
def test_nothing_of_the_frame_is_black(box: tuple[float, ...]) -> None:
    crop = cut_crop(np.full((240, 320, 3), 200, np.uint8), box, 2.0, 24)
    centres = np.array(crop.origin) + (np.arange(24)[:, None] + 0.5) / 24 * crop.side
    reach = max(crop.side / 24, 1)
    for axis, limit in ((0, 320), (1, 240)):
        strip = crop.image.max((2, axis))
        outside = (centres[:, axis] < -reach) | (centres[:, axis] > limit + reach)
        assert not strip[outside].any()


def test_the_last_row_and_column_are_lost_only_when_asked_for() -> None:
    frame = np.full((40, 40, 3), 200, np.uint8)
    assert cut_crop(frame, (10, 10, 20, 20), 2.0, 40).image.min() == 200
    official = cut_crop(frame, (10, 10, 20, 20), 2.0, 40, faithful=True).image
    assert official[-1].max() == official[:, -1].max() == 0
    assert official[:-1, :-1].min() == 200


@pytest.mark.parametrize("box", [(0, 0, 900, 700), (-300, 200, 800, 500), (850, 650, 400, 400), (100, 50, 300, 600)])
def test_large_crops_equal_padded_ones(box: tuple[int, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    frame = np.asarray(cv2.resize(noise, (900, 700), interpolation=cv2.INTER_CUBIC), np.uint8)
    crop = cut_crop(frame, box, 4.0, 64)
    assert crop.side > 4 * 64
    (left, top), side = crop.origin, crop.side
    padded = np.zeros((side, side, 3), np.uint8)
    rows, columns = slice(max(top, 0), min(top + side, 700)), slice(max(left, 0), min(left + side, 900))
    padded[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = frame[rows, columns]
    expected = cv2.resize(padded, (64, 64), interpolation=cv2.INTER_LINEAR)
    assert np.abs(crop.image.astype(int) - expected).max() <= 1


def test_a_crop_beside_the_frame_is_black() -> None:
    frame = np.full((50, 50, 3), 255, np.uint8)
    assert not cut_crop(frame, (500, 500, 10, 10), 2.0, 16).image.any()
    assert not cut_crop(frame, (-500, 10, 10, 10), 2.0, 16).image.any()


def test_views_crop_like_copies() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    views: list[NDArray[np.uint8]] = [frame[..., ::-1], frame[::-1], frame[:, ::2]]
    for view in views:
        for box in ((30, 20, 12, 12), (-5, -5, 30, 30), (0, 0, 70, 60)):
            expected = cut_crop(np.ascontiguousarray(view), box, 4.0, 16).image
            assert np.array_equal(cut_crop(view, box, 4.0, 16).image, expected)


@pytest.mark.parametrize("box", [(1, 1, 0, 5), (1, 1, 5, -1), (1, 1, np.nan, 5), (np.inf, 1, 5, 5)])
def test_boxes_without_area_are_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a box needs"):
        cut_crop(np.zeros((50, 50, 3), np.uint8), box, 2.0, 16)


def test_normalise_is_the_formula() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 7, 9, 3), dtype=np.uint8)
    expected = np.moveaxis((images / 255.0 - IMAGENET_MEAN) / IMAGENET_STD, -1, -3)
    result = normalise(images)
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert np.abs(result - expected).max() < 1e-5
    assert np.array_equal(normalise(images[1]), result[1])


def test_normalise_writes_into_a_batch() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    batch = np.zeros((3, 3, 8, 8), np.float32)
    assert normalise(image, out=batch[1]).base is batch
    assert np.array_equal(batch[1], normalise(image))
    assert not batch[0].any()
    assert not batch[2].any()


def test_normalise_writes_into_any_layout() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    channels_last = np.zeros((6, 8, 3), np.float32)
    wide = np.zeros((3, 6, 16), np.float32)
    for out in (np.moveaxis(channels_last, -1, 0), wide[:, :, ::2]):
        assert normalise(image, out=out) is out
        assert np.array_equal(out, normalise(image))
    assert not wide[:, :, 1::2].any()


def test_every_value_of_every_channel_is_its_two_operations_in_float32() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    scale, shift = 1.0 / (255.0 * IMAGENET_STD), -IMAGENET_MEAN / IMAGENET_STD
    for channel, plane in enumerate(normalise(values)):
        assert np.array_equal(plane, values[..., 0].astype(np.float32) * scale[channel] + shift[channel])


def test_normalise_refuses_floats() -> None:
    with pytest.raises(ValueError, match=r"expected \(..., S, S, 3\) uint8, got \(8, 8, 3\) float64"):
        normalise(np.zeros((8, 8, 3)))  # type: ignore[arg-type]  # what is refused


def test_a_crop_knows_its_scale() -> None:
    crop = Crop(np.zeros((64, 64, 3), np.uint8), (0, 0), 32, (16.0, 16.0))
    assert crop.size == 64
    assert crop.resize_factor == 2
