"""The quantile-normal map: increasing, inverted exactly, and its slope is its derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, interpolate, stats

from lowerbound.data.columns.quantile_normal import GENTLEST, STEEPEST, QuantileNormal

Array = np.ndarray[Any, Any]


def standardized(name: str, rows: int = 2000) -> Array:
    random = np.random.default_rng(0)
    values = {
        "normal": lambda: random.normal(size=rows),
        "skewed": lambda: random.exponential(size=rows),
        "heavy": lambda: random.standard_t(2, size=rows),
        "two humps": lambda: np.r_[random.normal(size=rows // 2), random.normal(9, 1, rows // 2)],
        "rounded": lambda: random.integers(0, 30, rows).astype(float),
    }[name]()
    return (values - values.mean()) / values.std()


NAMES = ["normal", "skewed", "heavy", "two humps", "rounded"]


def fitted(values: Array) -> QuantileNormal:
    found = QuantileNormal.fit(values)
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_standard_normal(name: str) -> None:
    values = standardized(name)
    scores = fitted(values)(values)
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    # between two knots the map is smooth, so levels hold to the width of a piece
    np.testing.assert_allclose(np.quantile(scores, levels), stats.norm.ppf(levels), atol=0.12)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_at_the_knots_are_those_of_scipy(name: str) -> None:
    """PCHIP takes the same weighted harmonic means (Fritsch & Butland)."""
    spline = fitted(standardized(name))
    knots = np.array(spline.values)
    theirs = interpolate.PchipInterpolator(knots, spline.scores).derivative()(knots[1:-1])
    found = np.exp(spline.log_slope(knots[1:-1]))
    np.testing.assert_allclose(found, theirs.clip(GENTLEST, STEEPEST), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_inverse_undoes_the_map_beyond_the_data_too(name: str) -> None:
    values = standardized(name)
    spline = fitted(values)
    grid = np.linspace(values.min() - 5, values.max() + 5, 4001)
    np.testing.assert_allclose(spline.inverse(spline(grid)), grid, rtol=0, atol=1e-11)
    assert (np.diff(spline(grid)) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_is_the_derivative(name: str) -> None:
    values = standardized(name)
    spline = fitted(values)
    at = np.random.default_rng(1).uniform(values.min() - 1, values.max() + 1, 500)
    step = 1e-6
    numeric = (spline(at + step) - spline(at - step)) / (2 * step)
    np.testing.assert_allclose(np.exp(spline.log_slope(at)), numeric, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_density_through_the_map_integrates_to_one(name: str) -> None:
    values = standardized(name)
    spline = fitted(values)
    grid = np.linspace(values.min() - 60, values.max() + 60, 400_001)
    density = stats.norm.pdf(spline(grid)) * np.exp(spline.log_slope(grid))
    assert integrate.trapezoid(density, grid) == pytest.approx(1, abs=2e-3)


def test_slopes_stay_within_bounds_where_values_repeat() -> None:
    values = np.r_[np.zeros(500), np.random.default_rng(0).normal(size=500)]
    spline = fitted(values)
    slopes = np.exp(spline.log_slope(np.array(spline.values)))
    assert slopes.min() >= GENTLEST * 0.99
    assert slopes.max() <= STEEPEST * 1.01


def test_a_column_of_few_rows_or_values_is_not_bent() -> None:
    assert QuantileNormal.fit(np.random.default_rng(0).normal(size=60)) is None
    assert QuantileNormal.fit(np.repeat([-1.0, 0.0, 1.0], 200)) is None
