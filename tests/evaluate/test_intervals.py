"""Bootstrap and comparison: against closed forms, and properties that hold for any results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostrack.errors import EvaluationError
from ostrack.evaluate import score
from ostrack.evaluate.intervals import WeightedMean, bootstrap, compare_paired, draw
from ostrack.evaluate.protocols import PER_SEQUENCE


def test_interval_of_a_mean_has_the_width_that_theory_says() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.2, 400)
    found = bootstrap(WeightedMean({"x": values}, np.ones(400)), 400, samples=4000)["x"]
    assert found.value == pytest.approx(values.mean())
    width = 2 * 1.96 * values.std() / np.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.06)


def test_draws_are_whole_sets_and_repeatable() -> None:
    rows = draw(7, 100, seed=3)
    assert (rows.sum(1) == 7).all()
    assert (rows == draw(7, 100, seed=3)).all()
    assert (rows != draw(7, 100, seed=4)).any()


def test_paired_comparison_sees_what_unpaired_intervals_hide() -> None:
    rng = np.random.default_rng(2)
    hard = rng.uniform(0, 1, 60)
    better = hard + rng.normal(0.02, 0.01, 60)
    estimators = [WeightedMean({"x": v}, np.ones(60)) for v in (better, hard)]
    both = [bootstrap(estimator, 60)["x"] for estimator in estimators]
    assert both[0].low < both[1].high
    found = compare_paired("x", (estimators[0], better), (estimators[1], hard))
    assert found.difference.low > 0
    assert found.p_value < 0.01
    assert found.chance_better == 1
    assert found.wins + found.losses + found.ties == 60


def test_equal_trackers_are_not_told_apart() -> None:
    values = np.random.default_rng(3).uniform(0, 1, 20)
    one = WeightedMean({"x": values}, np.ones(20))
    found = compare_paired("x", (one, values), (one, values))
    assert (found.difference.value, found.p_value, found.chance_better, found.ties) == (0, 1, 0.5, 20)


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.concatenate([rng.uniform(1, 200, (count, 2)), rng.uniform(2, 80, (count, 2))], 1)


def a_set(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    truth = {f"s{i}": boxes(rng, int(rng.integers(2, 30))) for i in range(5)}
    for rows in truth.values():
        rows[1:][rng.random(len(rows) - 1) < 0.2] = np.nan
    results = {
        name: np.abs(np.nan_to_num(rows, nan=50.0) + rng.normal(0, 12, rows.shape)) + 0.1
        for name, rows in truth.items()
    }
    return results, truth


PROTOCOLS = [*PER_SEQUENCE, "got10k"]


@given(st.integers(0, 10_000), st.sampled_from(PROTOCOLS))
@settings(max_examples=40)
def test_figures_are_shares_and_curves_fall_or_rise(seed: int, protocol: str) -> None:
    report = score(*a_set(seed), protocol)
    assert all(0 <= value <= 1 for value in report.scores.values())
    for name, curve in report.curves.items():
        steps = np.diff(curve.values)
        assert (steps <= 1e-12).all() if name == "success" else (steps >= -1e-12).all()
        np.testing.assert_allclose(curve.values, curve.mean(np.ones(len(report.sequences), dtype=bool)))


@given(st.integers(0, 10_000), st.sampled_from(PROTOCOLS))
@settings(max_examples=40)
def test_frame_order_does_not_matter_after_the_first(seed: int, protocol: str) -> None:
    results, truth = a_set(seed)
    rng = np.random.default_rng(seed)
    order = {name: np.append(0, 1 + rng.permutation(len(rows) - 1)) for name, rows in truth.items()}
    mixed = score({n: results[n][order[n]] for n in truth}, {n: truth[n][order[n]] for n in truth}, protocol)
    assert mixed.scores == pytest.approx(dict(score(results, truth, protocol).scores))


@given(st.integers(0, 10_000), st.sampled_from(PROTOCOLS), st.sampled_from([0.25, 2.0, 16.0]))
@settings(max_examples=40)
def test_overlap_and_normalised_precision_do_not_know_the_scale(seed: int, protocol: str, scale: float) -> None:
    results, truth = a_set(seed)
    if protocol == "trackingnet":
        return  # it rounds to whole pixels
    plain = score(results, truth, protocol)
    scaled = score({n: r * scale for n, r in results.items()}, {n: r * scale for n, r in truth.items()}, protocol)
    for name in set(plain.scores) - {"precision"}:
        assert scaled.scores[name] == pytest.approx(plain.scores[name])


@given(st.integers(0, 10_000), st.sampled_from(PROTOCOLS))
@settings(max_examples=40)
def test_sequences_may_come_in_any_order_and_truth_is_hard_to_beat(seed: int, protocol: str) -> None:
    results, truth = a_set(seed)
    plain = score(results, truth, protocol)
    backwards = score(dict(reversed(results.items())), dict(reversed(truth.items())), protocol)
    assert backwards.scores == pytest.approx(dict(plain.scores))
    best = score(truth, truth, protocol)
    assert all(best.scores[name] >= value for name, value in plain.scores.items())


def test_attributes_pick_sequences() -> None:
    results, truth = a_set(5)
    names = list(truth)
    report = score(results, truth, attributes={names[0]: ("blur",), names[1]: ("blur", "night")})
    found = report.by_attribute()
    assert list(found) == ["blur", "night"]
    assert found["night"].success == pytest.approx(report.per_sequence[names[1]].success)
    both = [report.per_sequence[name].success for name in names[:2]]
    assert found["blur"].success == pytest.approx(np.mean(both))


def test_reports_compare_only_like_with_like() -> None:
    results, truth = a_set(6)
    report = score(results, truth)
    assert report.against(report).difference.value == 0
    with pytest.raises(EvaluationError, match="protocol 'otb' with 'lasot'"):
        report.against(score(results, truth, "lasot"))
    fewer = {name: truth[name] for name in list(truth)[1:]}
    with pytest.raises(EvaluationError, match="not in both: s0"):
        report.against(score(results, fewer))


def test_report_as_plain_values() -> None:
    report = score(*a_set(7))
    plain = report.to_dict()
    assert plain["scores"]["success"] == report.success
    assert set(plain["per_sequence"]) == set(report.sequences)
    assert "| success |" in report.table()
