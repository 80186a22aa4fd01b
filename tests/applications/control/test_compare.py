"""Returns of agents: interquartile means, areas and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lowerbound.applications.control.compare import (
    Curve,
    area_over_seeds,
    interquartile_mean,
    over_seeds,
)
from lowerbound.applications.control.player import AgentRecord
from lowerbound.errors import DataError


@pytest.mark.parametrize("count", [4, 8, 40])
def test_the_interquartile_mean_is_the_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).standard_normal(count)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_edges_count_in_part() -> None:
    assert interquartile_mean(np.array([0.0, 1.0, 5.0])) == pytest.approx(
        (0.25 * 0 + 1 + 0.25 * 5) / 1.5
    )


def test_an_area_is_the_mean_height_of_the_curve() -> None:
    curve = Curve((10, 30), ((2.0, 4.0), (5.0,)))
    assert curve.area(1.0) == pytest.approx((10 * 2 + 20 * 4) / 30)


def test_intervals_hold_the_value_and_widen_with_seeds_that_differ() -> None:
    alike = [[1.0, 2.0, 3.0, 4.0]] * 3
    apart = [[1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0], [5.0, 6.0, 7.0, 8.0]]
    narrow, wide = over_seeds(alike), over_seeds(apart)
    for found in (narrow, wide):
        assert found.low <= found.value <= found.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    curves = [Curve((10,), (tuple(values),)) for values in apart]
    area = area_over_seeds(curves, 0.0)
    assert area.value == pytest.approx(np.mean(apart) / 2)
    assert area.low < area.value < area.high


def test_a_curve_ends_on_the_line_between_its_neighbors() -> None:
    curve = Curve((10, 20), ((0.0, 2.0), (9.0, 3.0, 7.0, 5.0)))
    cut = curve.until(15)
    assert cut.steps == (10, 15)
    assert cut.means == pytest.approx([1.0, 3.5])
    assert interquartile_mean(np.array(cut.scores[1])) == pytest.approx(3.5)
    assert curve.until(20) == curve
    assert curve.until(10) == Curve((10,), ((0.0, 2.0),))


def test_agents_without_evaluation_are_refused() -> None:
    with pytest.raises(DataError, match="never evaluated"):
        Curve.of([AgentRecord(10, 1, 0, 0.0, None)])
    with pytest.raises(DataError, match="without evaluated"):
        over_seeds([[1.0], []])


def test_the_interval_of_seeds_is_the_bootstrap_over_seeds_and_their_episodes() -> None:
    draw, again = np.random.default_rng(1), []
    scores = draw.normal(draw.normal(0, 3, (12, 1)), 1.0, (12, 8))
    found = over_seeds(scores.tolist())
    for _ in range(2_000):
        chosen = draw.integers(12, size=(12, 1))
        again.append(interquartile_mean(scores[chosen, draw.integers(8, size=(12, 8))]))
    low, high = np.percentile(again, [2.5, 97.5])
    assert found.high - found.low == pytest.approx(high - low, rel=0.09)
    assert found.low == pytest.approx(low, abs=0.08 * (high - low))
