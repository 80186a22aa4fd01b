"""Every membership attack finds a copying synthesizer and is blind to a fresh sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer

from lowerbound.applications.release.membership import (
    TINY,
    Membership,
    likelihood_ratios,
    membership,
    shadow_membership,
)
from lowerbound.evaluation.samples.column_judge import area, area_interval
from tests.applications.release.people import coordinates, fresh, noisy, parts


def cancer() -> list[pd.DataFrame]:
    frame = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    return [frame.iloc[i * 189 : (i + 1) * 189].reset_index(drop=True) for i in range(3)]


def test_a_copying_synthesizer_is_flagged_by_every_attack() -> None:
    real, holdout, _ = cancer()
    x, y, s = coordinates(real, real, holdout, real)
    for found in membership(x, y, s):
        assert found.area.value > 0.98, found
        assert found.area.low > 0.9, found


def test_a_fresh_sample_is_not() -> None:
    areas = []
    for seed in range(6):
        real, holdout, other = parts(400, seed)
        x, y, s = coordinates(real, real, holdout, other)
        areas.append([found.area.value for found in membership(x, y, s, seed)])
    assert np.abs(np.mean(areas, axis=0) - 0.5).max() < 0.03


def test_intervals_of_a_fresh_sample_hold_the_half() -> None:
    inside = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y, s = (rng.normal(size=(150, 3)) for _ in range(3))
        inside += [found.area.low <= 0.5 <= found.area.high for found in membership(x, y, s, seed)]
    assert np.mean(inside) > 0.88


def test_a_few_copies_are_found_at_few_false_alarms() -> None:
    real, holdout, other = parts(1000)
    leak = pd.concat([real.iloc[:100], other.iloc[:900]], ignore_index=True)
    x, y, s = coordinates(real, real, holdout, leak)
    found = next(f for f in membership(x, y, s) if f.attack == "distance")
    assert found.area.value == pytest.approx(0.55, abs=0.03)
    assert found.tails[0].true_positives.value == pytest.approx(0.1, abs=0.02)


def test_the_tails_need_a_large_control_group() -> None:
    real, holdout, other = parts(60)
    x, y, s = coordinates(real, real, holdout, other)
    assert all(found.tails == () for found in membership(x, y, s))


def test_shadow_models_find_a_synthesizer_that_memorizes_only() -> None:
    real = parts(120)[0]
    assert shadow_membership(noisy, real, models=6).area.value > 0.95
    assert shadow_membership(fresh, real, models=6).area.value == pytest.approx(0.5, abs=0.06)


def test_likelihood_ratios_are_those_of_two_normal_distributions() -> None:
    rng = np.random.default_rng(0)
    inside = rng.permuted(np.arange(400)[:, None].repeat(30, 1) < 200, axis=0)
    scores = rng.normal(size=(400, 30)) + 2.0 * inside
    found = likelihood_ratios(scores, inside)
    assert np.abs(found - (2 * scores - 2)).mean() < 0.25  # log N(s; 2, 1) - log N(s; 0, 1)


@pytest.mark.parametrize(("models", "effect"), [(4, 0.0), (5, 0.0), (10, 0.0), (10, 1.0)])
def test_ratios_of_scores_that_know_nothing_rank_members_at_random(
    models: int, effect: float
) -> None:
    """Also with few models, and with intervals that hold 0.5 as often as they say."""
    areas = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        order = np.arange(models)[:, None].repeat(300, 1)
        inside = rng.permuted(order < models // 2, axis=0)
        scores = rng.normal(size=inside.shape) + 3 * rng.normal(size=300) + effect * inside
        found, row = likelihood_ratios(scores, inside, seed), order * 0 + np.arange(300)
        rows = (row[inside], row[~inside])
        areas.append(Membership.of("lira", found[inside], found[~inside], clusters=rows).area)
    if effect:
        assert min(area.low for area in areas) > 0.6
    else:
        assert np.mean([area.value for area in areas]) == pytest.approx(0.5, abs=0.01)
        assert np.mean([area.low <= 0.5 <= area.high for area in areas]) >= 0.88


def test_clusters_of_one_score_have_nearly_the_error_of_single_scores() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, 300), rng.normal(0, 1, 300)
    alone = area(positive, negative)
    each = area(positive, negative, (np.arange(300), 300 + np.arange(300)))
    assert each == pytest.approx(alone, rel=5e-3)
    twice = [np.repeat(group, 2) for group in (positive, negative)]
    rows = (np.repeat(np.arange(300), 2), np.repeat(300 + np.arange(300), 2))
    assert area(*twice, rows) == pytest.approx(each, rel=1e-12)


@pytest.mark.parametrize(("members", "controls"), [(3, 3), (5, 9), (40, 41)])
def test_equal_scores_have_an_area_of_a_half(members: int, controls: int) -> None:
    found = area_interval(np.zeros(members), np.zeros(controls))
    assert found.value == 0.5
    assert found.low < 0.5 < found.high


def test_shadow_models_attack_each_row_many_times_and_say_so_in_the_interval() -> None:
    """The interval is that of scores whose rows are shared, not of independent ones."""
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(rng.normal(size=(40, 2)), columns=["a", "b"])

    def unrelated(training: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
        draw = np.random.default_rng(seed)
        return pd.DataFrame(draw.normal(size=(count, 2)), columns=["a", "b"])

    found = shadow_membership(unrelated, rows, models=6, seed=1)
    random = np.random.default_rng(1)
    inside = random.permuted(np.arange(6)[:, None].repeat(40, 1) < 3, axis=0)
    released = [unrelated(rows, int(inside[each].sum()), 1 + each) for each in range(6)]
    targets, *others = coordinates(rows, rows, *released)
    scores = np.stack([-np.log(cdist(targets, each).min(1) + TINY) for each in others])
    ratios = likelihood_ratios(scores, inside, 1)
    row = np.broadcast_to(np.arange(40), scores.shape)
    value, error = area(ratios[inside], ratios[~inside], (row[inside], row[~inside]))
    assert (found.area.value, found.area.high) == pytest.approx(
        (value, value + norm.ppf(0.975) * error), abs=1e-6
    )
    assert error != pytest.approx(area(ratios[inside], ratios[~inside])[1], rel=0.01)
