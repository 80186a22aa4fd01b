"""p-values and thresholds against the distributions that the papers derive."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lowerbound.applications.anomaly.conformal import ConformalCalibration, rows_needed
from lowerbound.data.arrays import Array
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import DataError, OptionError


def test_p_values_by_hand() -> None:
    calibration = ConformalCalibration.of([3.0, 1.0, 2.0, 4.0])
    np.testing.assert_allclose(calibration.p_values([5.0, 4.0, 2.5, 0.0]), [0.2, 0.4, 0.6, 1.0])


def test_infinite_scores_are_equal() -> None:
    """A row that the model holds impossible is no rarer than calibration rows that it does too."""
    calibration = ConformalCalibration.of([1.0, 2.0, np.inf, np.inf])
    np.testing.assert_allclose(calibration.p_values([np.inf, 3.0, -np.inf]), [0.6, 0.6, 1.0])
    assert calibration.threshold(0.2) == np.inf
    assert ConformalCalibration.of([-np.inf] * 4).threshold(0.5) == -np.inf
    with pytest.raises(DataError, match="a score is not a number"):
        calibration.p_values([1.0, np.nan])


def test_p_values_of_exchangeable_rows_are_uniform() -> None:
    rng = np.random.default_rng(0)
    # one new row for each calibration set: with one set for all, its own luck would show
    found = [
        ConformalCalibration.of(rng.standard_t(2, 199)).p_values(rng.standard_t(2, 1))[0]
        for _ in range(3_000)
    ]
    assert stats.kstest(found - rng.uniform(0, 1 / 200, len(found)), "uniform").pvalue > 0.01


@pytest.mark.parametrize(("rate", "rows"), [(0.01, 99), (0.05, 19), (0.05, 240), (0.1, 1_000)])
def test_an_alarm_is_a_small_p_value(rate: float, rows: int) -> None:
    rng = np.random.default_rng(rows)
    calibration = ConformalCalibration.of(rng.normal(size=rows))
    scores = np.concatenate([rng.normal(size=500), calibration.scores])
    alarms = scores > calibration.threshold(rate)
    np.testing.assert_array_equal(alarms, calibration.p_values(scores) <= rate + 1e-12)


def test_the_rate_is_beta_and_the_count_beta_binomial() -> None:
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(2_000):
        threshold = ConformalCalibration.of(rng.exponential(size=99)).threshold(0.05)
        rates.append(np.exp(-threshold))
    assert stats.kstest(rates, stats.beta(5, 95).cdf).pvalue > 0.01
    assert np.mean(rates) == pytest.approx(0.05, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("new", [None, 200])
def test_the_band_holds_as_often_as_it_says(new: int | None) -> None:
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(1_000):
        calibration = ConformalCalibration.of(rng.uniform(size=199))
        low, high = calibration.band(0.05, new)
        threshold = calibration.threshold(0.05)
        rate = 1 - threshold if new is None else float((rng.uniform(size=new) > threshold).mean())
        inside.append(low <= rate <= high)
    assert 0.93 < np.mean(inside) < 0.985  # whole numbers of rows make it a little wider


@pytest.mark.slow
@pytest.mark.parametrize(("length", "stride"), [(12, 1), (24, 4)])
def test_the_band_of_points_holds_though_windows_overlap(length: int, stride: int) -> None:
    rng, windows = np.random.default_rng(3), Windows(length, stride, varied=True)

    def points(count: int) -> Array:
        own = rng.gamma(0.5, 2.0, count)
        return windows.points(own[windows.places(count)].sum(1), count)

    everything = np.sort(np.concatenate([points(20_000) for _ in range(5)]))
    inside = []
    for _ in range(300):
        calibration = ConformalCalibration.of(points(1_000), dependent=length)
        low, high = calibration.band(0.05)
        above = len(everything) - np.searchsorted(everything, calibration.threshold(0.05))
        inside.append(low <= above / len(everything) <= high)
    assert calibration.independent == -(-1_000 // length)
    assert 0.91 < np.mean(inside) < 0.985


def test_too_few_rows_say_how_many_it_takes() -> None:
    assert [rows_needed(rate) for rate in (0.01, 0.05, 0.1, 0.3)] == [99, 19, 9, 3]
    calibration = ConformalCalibration.of(np.arange(18.0))
    with pytest.raises(DataError, match=r"takes at least 19 calibration rows, and there are 18"):
        calibration.threshold(0.05)
    with pytest.raises(DataError, match=r"at least 19"):
        calibration.band(0.05)
    assert calibration.threshold(0.053) == pytest.approx(17.0, rel=2e-5)


def test_rounding_does_not_part_a_row_from_itself() -> None:
    scores = np.random.default_rng(0).normal(50.0, 10.0, 99)
    calibration = ConformalCalibration.of(scores)
    for other in (scores, scores * (1 + 2e-6), scores * (1 - 2e-6)):
        np.testing.assert_array_equal(calibration.p_values(other), calibration.p_values(scores))
        for rate in (0.05, 0.1):
            assert (other > calibration.threshold(rate)).sum() == np.floor(rate * 100) - 1


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_lies_between_zero_and_one(rate: float) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        ConformalCalibration.of([1.0, 2.0]).threshold(rate)


@pytest.mark.parametrize("scores", [[], [1.0, float("nan")]])
def test_scores_are_numbers(scores: list[float]) -> None:
    with pytest.raises(DataError, match="calibration needs rows"):
        ConformalCalibration.of(scores)


@pytest.mark.parametrize(("rows", "dependent", "independent"), [(9, 4, 3), (8, 4, 2), (3, 4, 1)])
def test_dependent_scores_are_as_many_independent_ones_rounded_up(
    rows: int, dependent: int, independent: int
) -> None:
    assert ConformalCalibration.of(range(rows), dependent).independent == independent
