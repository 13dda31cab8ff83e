"""Every rule of every protocol on cases small enough to check by hand, and the official code's own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ostrack.errors import EvaluationError
from ostrack.evaluate import PROTOCOLS, protocol_for, score, threshold_for_f
from ostrack.evaluate.frames import frame_errors
from ostrack.evaluate.pooled import into_image
from ostrack.evaluate.presence import call_absent
from ostrack.evaluate.protocols import PER_SEQUENCE

GOLDEN = json.loads((Path(__file__).parents[1] / "data/golden_metrics.json").read_text())["metrics"]
NAN = [np.nan] * 4


@pytest.mark.parametrize(
    ("official", "protocol"),
    [("lasot", "lasot"), ("lasot_extension_subset", "lasot_ext"), ("otb", "ostrack"), ("uav", "uav")],
)
def test_official_numbers(official: str, protocol: str) -> None:
    case, expected = GOLDEN["input"], GOLDEN[official]
    pred, truth = np.array(case["pred"]), np.array(case["gt"])
    visible = np.array(case["visible"], dtype=bool)
    errors = frame_errors(pred, truth, PER_SEQUENCE[protocol], visible)
    np.testing.assert_allclose(errors.overlap, expected["iou"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(errors.distance, [float(v) for v in expected["centre"]], rtol=1e-7)
    np.testing.assert_allclose(errors.norm_distance, [float(v) for v in expected["norm"]], rtol=1e-7)
    assert errors.valid.tolist() == expected["valid"]
    report = score({"a": pred}, {"a": truth}, protocol, visible={"a": visible})
    assert report.success == pytest.approx(expected["auc"], abs=1e-12)
    assert report.precision == pytest.approx(expected["prec20"], abs=1e-7)
    assert report.norm_precision == pytest.approx(expected["norm20"], abs=1e-7)


def test_corrected_extension_drops_the_gift_for_absent_frames() -> None:
    case = GOLDEN["input"]
    published = score({"a": case["pred"]}, {"a": case["gt"]}, "lasot_ext")
    corrected = score({"a": case["pred"]}, {"a": case["gt"]}, "lasot_ext_corrected")
    assert (published.norm_precision, corrected.norm_precision) == (pytest.approx(0.6), pytest.approx(0.4))
    assert published.success == corrected.success


# Four frames: found, absent, found, found; the prediction is perfect wherever there is a target.
ABSENT = {
    # protocol: success of the absent frame, precision, normalised precision
    "otb": (0.75, 1.0, 1.0),
    "uav": (0.75, 1.0, 1.0),
    "lasot": (0.75, 0.75, 0.75),
    "lasot_ext": (0.75, 0.75, 1.0),
    "lasot_ext_corrected": (0.75, 0.75, 0.75),
    "pytracking": (0.75, 0.75, 1.0),
    "ostrack": (0.75, 0.75, 1.0),
    "tnl2k": (0.75, 0.75, 0.75),
    "trackingnet": (0.75, 0.75, 0.75),
}


@pytest.mark.parametrize("protocol", PER_SEQUENCE)
def test_absent_frame(protocol: str) -> None:
    truth = np.array([[10, 10, 20, 20], NAN, [12, 10, 20, 20], [14, 10, 20, 20]])
    result = np.where(np.isnan(truth), 5.0, truth)
    report = score({"a": result}, {"a": truth}, protocol)
    best = 0.975 if protocol == "trackingnet" else 20 / 21
    success, precision, norm = ABSENT[protocol]
    assert report.success == pytest.approx(success * best)
    assert report.precision == pytest.approx(precision)
    assert report.norm_precision == pytest.approx(norm)


@pytest.mark.parametrize(
    ("protocol", "success", "precision"),
    [
        ("otb", 0.5, 1.0),
        ("pytracking", 0.5, 0.5),
        ("tnl2k", 0.5, 1.0),
        ("lasot", 1, 1),
        ("uav", 1, 1),
        ("ostrack", 1, 1),
    ],
)
def test_box_at_the_left_edge(protocol: str, success: float, precision: float) -> None:
    truth = np.array([[10.0, 10, 20, 20], [0.0, 10, 20, 20]])
    report = score({"a": truth}, {"a": truth}, protocol)
    assert report.op50 == success
    assert report.precision == precision


@pytest.mark.parametrize(
    ("protocol", "copied"), [("otb", False), ("uav", True), ("lasot", True), ("trackingnet", False)]
)
def test_result_without_area(protocol: str, copied: bool) -> None:
    truth = np.tile([10.0, 10, 20, 20], (3, 1))
    result = np.array([[10.0, 10, 20, 20], [10, 10, 0, 20], [10, 10, 20, 0]])
    assert score({"a": result}, {"a": truth}, protocol).op50 == pytest.approx(1.0 if copied else 1 / 3)


@pytest.mark.parametrize("protocol", PER_SEQUENCE)
def test_first_result_is_replaced(protocol: str) -> None:
    truth = np.tile([10.0, 10, 20, 20], (2, 1))
    result = np.array([[500.0, 500, 3, 3], [10, 10, 20, 20]])
    assert score({"a": result}, {"a": truth}, protocol).op75 == 1


def test_thresholds_are_strict_for_overlap_and_not_for_distance() -> None:
    truth = np.tile([100.0, 100, 20, 20], (2, 1))
    half = np.array([[100.0, 100, 20, 20], [100, 100, 20, 10]])
    assert score({"a": half}, {"a": truth}).op50 == 0.5
    away = np.array([[100.0, 100, 20, 20], [120, 100, 20, 20]])
    assert score({"a": away}, {"a": truth}).precision == 1
    close = np.array([[100.0, 100, 20, 20], [104, 100, 20, 20]])
    assert score({"a": close}, {"a": truth}).norm_precision == 1
    assert score({"a": close + np.array([[0, 0, 0, 0], [0.01, 0, 0, 0]])}, {"a": truth}).norm_precision == 0.5


def test_mean_over_sequences_not_frames() -> None:
    good, bad = np.tile([10.0, 10, 5, 5], (2, 1)), np.tile([10.0, 10, 5, 5], (8, 1))
    miss = bad.copy()
    miss[1:] += 500
    report = score({"a": good, "b": miss}, {"a": good, "b": bad})
    assert report.op50 == pytest.approx((1 + 1 / 8) / 2)
    assert report.per_sequence["b"].op50 == pytest.approx(1 / 8)
    assert report.per_sequence["b"]["op50"] == pytest.approx(1 / 8)


def test_got10k_pools_frames_and_leaves_the_first_out() -> None:
    short, long = np.tile([10.0, 10, 10, 10], (2, 1)), np.tile([10.0, 10, 10, 10], (4, 1))
    half = long.copy()
    half[1:, 2] = 6
    report = score({"a": short, "b": half}, {"a": short, "b": long}, "got10k")
    assert report.ao == pytest.approx((1 + 3 * 0.6) / 4)
    assert report.sr50 == 1
    assert report.sr75 == pytest.approx(0.25)
    assert report.curves["success"].values[60] == pytest.approx(0.25)


def test_got10k_counts_covered_frames_only() -> None:
    truth = np.tile([10.0, 10, 10, 10], (4, 1))
    result = truth.copy()
    result[2] += 100
    cover = {"a": [8, 8, 0, 8]}
    assert score({"a": result}, {"a": truth}, "got10k").ao == pytest.approx(2 / 3)
    assert score({"a": result}, {"a": truth}, "got10k", cover=cover).ao == 1


def test_got10k_brings_boxes_into_the_image_without_shortening_at_the_left() -> None:
    boxes = np.array([[-10.0, 5, 50, 20], [80, 70, 50, 50]])
    assert into_image(boxes, 100, 100).tolist() == [[0, 5, 50, 20], [80, 70, 20, 30]]
    truth = np.array([[80.0, 70, 20, 30], [80, 70, 20, 30]])
    result = np.array([[80.0, 70, 20, 30], [80, 70, 90, 90]])
    assert score({"a": result}, {"a": truth}, "got10k", sizes={"a": (100, 100)}).ao == 1


def test_trackingnet_rounds_and_integrates_by_trapezoids() -> None:
    truth = np.tile([10.0, 10, 20, 20], (2, 1))
    report = score({"a": truth + 0.4}, {"a": truth}, "trackingnet")
    assert report.success == pytest.approx(0.975)
    away = truth + np.array([[0, 0, 0, 0], [25, 0, 0, 0]])
    # 25 px is the middle of the 21 thresholds: half of them see it, and the trapezoid adds half a step.
    assert score({"a": away}, {"a": truth}, "trackingnet").precision == pytest.approx(0.5 + 0.5 * (10.5 / 20))
    assert score({"a": away}, {"a": truth}, "trackingnet").precision_20px == 0.5


def test_tnl2k_tells_nan_from_an_empty_box() -> None:
    truth = np.array([[10.0, 10, 20, 20], [0, 0, 0, 0], NAN])
    report = score({"a": np.tile([10.0, 10, 20, 20], (3, 1))}, {"a": truth}, "tnl2k")
    assert report.precision == pytest.approx(2 / 3)


def test_longer_results_only_where_the_official_code_cuts() -> None:
    truth = np.tile([10.0, 10, 20, 20], (3, 1))
    longer = np.tile([10.0, 10, 20, 20], (5, 1))
    assert score({"a": longer}, {"a": truth}, "lasot").op50 == 1
    with pytest.raises(EvaluationError, match="a: 5 results for 3 frames"):
        score({"a": longer}, {"a": truth}, "otb")


def test_presence() -> None:
    truth = np.array([[1.0, 1, 4, 4], NAN, NAN, [1, 1, 4, 4], [1, 1, 4, 4]])
    said = np.array([[1.0, 1, 4, 4], NAN, [1, 1, 4, 4], NAN, [1, 1, 4, 4]])
    report = score({"a": said}, {"a": truth}, "presence")
    assert (report.precision, report.recall, report.f, report.overlap) == (0.5, 0.5, 0.5, 0.5)
    assert score({"a": truth}, {"a": truth}, "presence").f == 1


def test_best_threshold_for_absence() -> None:
    boxes = {"a": np.tile([1.0, 1, 4, 4], (5, 1))}
    confidence = {"a": [1.0, 0.9, 0.2, 0.3, 0.8]}
    threshold, f = threshold_for_f(confidence, {"a": [False, False, True, True, False]})
    assert 0.3 < threshold < 0.8
    assert f == 1
    called = call_absent(boxes, confidence, threshold)["a"]
    assert np.isnan(called).any(-1).tolist() == [False, False, True, True, False]
    with pytest.raises(EvaluationError, match="not defined"):
        threshold_for_f(confidence, {"a": [False] * 5})


@pytest.mark.parametrize(
    ("dataset", "protocol"),
    [("otb100", "otb"), ("uav123_10fps", "otb"), ("lasot", "lasot"), ("lasot_ext", "lasot_ext"),
     ("GOT-10k_val", "got10k"), ("trackingnet", "trackingnet"), ("vot2018", "vot")],
)  # fmt: skip
def test_protocol_of_a_set(dataset: str, protocol: str) -> None:
    assert protocol_for(dataset) == protocol
    assert protocol in PROTOCOLS


def test_unknown_names_say_what_there_is() -> None:
    boxes = {"a": np.ones((2, 4))}
    with pytest.raises(EvaluationError, match="choose one of otb, uav"):
        score(boxes, boxes, "otb2015")
    with pytest.raises(AttributeError, match="defines success, precision"):
        _ = score(boxes, boxes).ao
    with pytest.raises(EvaluationError, match="no protocol known"):
        protocol_for("imagenet")


def test_absent_frames_can_be_left_out() -> None:
    truth = np.array([[10.0, 10, 20, 20], NAN, [10, 10, 20, 20], [10, 10, 20, 20]])
    result = np.array([[10.0, 10, 20, 20], [10, 10, 20, 20], [10, 10, 20, 20], [90, 90, 20, 20]])
    for protocol in PER_SEQUENCE:
        report = score({"a": result}, {"a": truth}, protocol, leave_out_absent=True)
        assert report.op50 == pytest.approx(2 / 3)
    with pytest.raises(EvaluationError, match="no frame with a target"):
        score({"a": [NAN, NAN]}, {"a": [NAN, NAN]}, "otb", leave_out_absent=True)
    with pytest.raises(EvaluationError, match="about absent frames"):
        score({"a": result}, {"a": truth}, "presence", leave_out_absent=True)
