"""The supervised protocol: fragments by hand, polygons against another way to compute them, published figures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.errors import EvaluationError
from ostrack.evaluate import SupervisedRun, score, score_vot
from ostrack.evaluate.polygons import area, corners, region_iou


@pytest.mark.parametrize(("tracker", "eao", "exact"), [("NanoTrackV3", 0.449, 0.4474), ("LightTrack", 0.418, 0.4175)])
def test_published_expected_overlap(shared: Path, tracker: str, eao: float, exact: float) -> None:
    path = shared / "oracle/vot2018.json.gz"
    if not path.is_file():
        pytest.skip(f"raw results not found at {path}")
    with gzip.open(path) as stream:
        data = json.load(stream)
    truth = {name: item["polygons"] for name, item in data["groundtruth"].items()}
    sizes = {name: (item["width"], item["height"]) for name, item in data["groundtruth"].items()}
    report = score(data["results"][tracker], truth, "vot", sizes=sizes)
    assert report.eao == pytest.approx(eao, abs=0.003)
    assert report.eao == pytest.approx(exact, abs=1e-4)
    assert report.failures == sum(row == [2.0] for rows in data["results"][tracker].values() for row in rows)
    interval = report.intervals(samples=200)["eao"]
    assert interval.low < report.eao < interval.high


BOX = [10.0, 10, 20, 20]


def test_a_run_without_failure() -> None:
    half = [10.0, 10, 20, 10]
    rows = [[1], BOX, half, half, BOX]
    report = score_vot({"a": rows}, {"a": np.tile(BOX, (5, 1))}, interval=(3, 5), burn_in=1)
    # Means of frames 2 to n for n = 3, 4, 5: .75, 2/3, .75.
    assert report.eao == pytest.approx((0.75 + 2 / 3 + 0.75) / 3)
    assert report.accuracy == pytest.approx(0.75)
    assert (report.robustness, report.failures) == (0, 0)


def test_failed_fragments_are_filled_with_zeros_and_cut_ones_are_not() -> None:
    rows = [[1], BOX, [2], [0], [0], [0], [0], [1], BOX, BOX]
    run = SupervisedRun.from_rows(rows)
    assert run.fragments == [(0, 2, True), (7, 10, False)]
    report = score_vot({"a": rows}, {"a": np.tile(BOX, (10, 1))}, interval=(2, 4), burn_in=1)
    # n = 2: both fragments are perfect; 3: (1/2 + 1) / 2; 4: only the failed one counts, 1/3.
    assert report.curves["expected_overlap"].values[1:4] == pytest.approx([1, 0.75, 1 / 3])
    assert report.eao == pytest.approx((1 + 0.75 + 1 / 3) / 3)
    assert report.failures == 1
    assert report.robustness == pytest.approx(10)
    assert report.accuracy == 1


def test_burn_in_leaves_frames_after_each_start_out_of_accuracy() -> None:
    low = [10.0, 10, 20, 5]
    rows = [[1], *[low] * 9, *[BOX] * 5]
    truth = {"a": np.tile(BOX, (15, 1))}
    assert score_vot({"a": rows}, truth).accuracy == 1
    assert score_vot({"a": rows}, truth, burn_in=1).accuracy == pytest.approx((9 * 0.25 + 5) / 14)


def test_several_runs_of_one_tracker_share_its_weight() -> None:
    truth = {"a": np.tile(BOX, (4, 1))}
    good, bad = SupervisedRun.from_rows([[1], BOX, BOX, BOX]), SupervisedRun.from_rows([[1], BOX, [2], [0]])
    report = score_vot({"a": [good, bad]}, truth, interval=(3, 4), burn_in=1)
    assert report.failures == 0.5
    assert report.eao == pytest.approx(((1 + 1 / 2) / 2 + (1 + 1 / 3) / 2) / 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([BOX, BOX], "begins with code 1"),
        ([[1], [7]], "frame 1 has code 7"),
        ([[1], [1, 2, 3]], r"got \[3\] numbers"),
        ([[1], BOX, BOX], "3 results for 2 frames"),
    ],
)
def test_bad_runs(rows: list[list[float]], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        score_vot({"a": rows}, {"a": np.tile(BOX, (2, 1))})
    with pytest.raises(EvaluationError, match="lack 1 of 1 sequences: b"):
        score_vot({"a": rows}, {"b": np.tile(BOX, (2, 1))})


numbers = st.floats(-50, 50, allow_nan=False, width=32)


def rotated(rng: np.random.Generator) -> np.ndarray:
    centre, size, angle = rng.uniform(20, 60, 2), rng.uniform(5, 40, 2), rng.uniform(0, 90)
    return cv2.boxPoints((tuple(centre), tuple(size), angle)).astype(np.float64)


def test_convex_polygons_against_opencv() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rotated(rng), rotated(rng)) for _ in range(200)]
    ours = region_iou([a.ravel() for a, _ in pairs], [b.ravel()[::-1].reshape(4, 2)[:, ::-1].ravel() for _, b in pairs])
    for (a, b), iou in zip(pairs, ours, strict=True):
        inter, _ = cv2.intersectConvexConvex(a.astype(np.float32), b.astype(np.float32))
        union = cv2.contourArea(a.astype(np.float32)) + cv2.contourArea(b.astype(np.float32)) - inter
        assert iou == pytest.approx(inter / union, abs=2e-4)


def test_polygons_against_pixels_where_one_is_not_convex_and_the_image_cuts() -> None:
    arrow = np.array([[20.0, 20], [90, 50], [20, 110], [45, 55]])
    other = np.array([[-20.0, 40], [70, 10], [80, 90], [10, 80]])
    scale = 16

    def draw(shape: np.ndarray) -> np.ndarray:
        canvas = np.zeros((100 * scale, 100 * scale), np.uint8)
        cv2.fillPoly(canvas, [np.round(shape * scale).astype(np.int32)], 1)
        return canvas.astype(bool)

    a, b = draw(arrow), draw(other)
    exact = region_iou([arrow.ravel()], [other.ravel()], (100, 100))[0]
    assert exact == pytest.approx((a & b).sum() / (a | b).sum(), abs=3e-3)
    boxed = region_iou([arrow.ravel()], [[10, 30, 200, 30]], (100, 100))[0]
    c = draw(corners([[10, 30, 200, 30]])[0])
    assert boxed == pytest.approx((a & c).sum() / (a | c).sum(), abs=3e-3)


@given(st.lists(numbers, min_size=2, max_size=2), st.lists(st.floats(0.5, 40, width=32), min_size=2, max_size=2))
def test_boxes_and_their_polygons_agree(corner: list[float], size: list[float]) -> None:
    box = np.array([[*corner, *size]])
    polygon = corners(box).reshape(1, 8)
    fixed = np.array([[0.0, 0, 20, 20]])
    expected = region_iou(box, fixed)
    for first in (box, polygon):
        for second in (fixed, corners(fixed).reshape(1, 8)):
            np.testing.assert_allclose(region_iou(first, second), expected, atol=1e-9)
            np.testing.assert_allclose(region_iou(second, first), expected, atol=1e-9)
    assert region_iou(polygon, polygon)[0] == pytest.approx(1)
    assert area(corners(box))[0] == pytest.approx(size[0] * size[1])


def test_unknown_and_empty_regions() -> None:
    assert np.isnan(region_iou([[np.nan] * 4], [BOX])[0])
    assert region_iou([[0.0, 0, 0, 0]], [[0.0] * 8])[0] == 0
    with pytest.raises(ValueError, match="regions are rows"):
        region_iou(np.ones((2, 5)), np.ones((2, 4)))
