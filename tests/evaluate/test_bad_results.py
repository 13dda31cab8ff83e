"""Results that cannot be scored are refused in one line that names the sequence and the frame."""

from __future__ import annotations

import numpy as np
import pytest

from ostrack.errors import EvaluationError
from ostrack.evaluate import score

TRUTH = {"car": np.tile([10.0, 10, 20, 20], (6, 1)), "cup": np.tile([10.0, 10, 20, 20], (3, 1))}


def spoiled(name: str, frame: int, box: list[float]) -> dict[str, np.ndarray]:
    results = {key: value.copy() for key, value in TRUTH.items()}
    results[name][frame] = box
    return results


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"car": TRUTH["car"]}, "results lack 1 of 2 sequences: cup"),
        ({**TRUTH, "car": TRUTH["car"][:5]}, "car: 5 results for 6 frames"),
        ({**TRUTH, "car": np.ones((6, 3))}, r"car: results must be \(frames, 4\) boxes x, y, w, h, got shape \(6, 3\)"),
        ({**TRUTH, "car": np.ones((0, 4))}, "car: results must be"),
        (spoiled("car", 4, [1, 2, -3, 4]), r"car: result of frame 4 \(1, 2, -3, 4\) has a negative size"),
        (spoiled("cup", 2, [1, np.nan, 3, 4]), "cup: result of frame 2 .* is nan in part"),
        (spoiled("cup", 1, [np.nan] * 4), "cup: result of frame 1 .* is nan while the target is there"),
        (spoiled("cup", 1, [1, np.inf, 3, 4]), "cup: result of frame 1 .* is infinite"),
    ],
)
@pytest.mark.parametrize("protocol", ["otb", "lasot", "got10k"])
def test_refused(results: dict[str, np.ndarray], message: str, protocol: str) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        score(results, TRUTH, protocol)
    assert "\n" not in str(caught.value)


def test_absent_results_can_be_taken_as_misses() -> None:
    report = score(spoiled("cup", 1, [np.nan] * 4), TRUTH, "otb", absent="miss")
    assert report.per_sequence["cup"].op50 == pytest.approx(2 / 3)
    assert report.per_sequence["cup"].precision == pytest.approx(2 / 3)


def test_truth_scored_against_itself_is_no_error_where_the_target_is_absent() -> None:
    truth = {"a": np.array([[10.0, 10, 5, 5], [np.nan] * 4])}
    assert score(truth, truth, "otb").op50 == 0.5


def test_empty_truth_and_wrong_columns() -> None:
    with pytest.raises(EvaluationError, match="holds no sequence"):
        score({}, {})
    with pytest.raises(EvaluationError, match=r"car: cover has shape \(2,\) for 6 frames"):
        score(TRUTH, TRUTH, "got10k", cover={"car": [1, 1]})
    with pytest.raises(EvaluationError, match="car: a supervised run begins with code 1"):
        score(TRUTH, TRUTH, "vot")
