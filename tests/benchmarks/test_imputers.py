"""Rivals of imputation: chained forests, limits, interpolation in time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import _forests
import _imputers
from _forests import chained, chosen_trees, published
from _icu import interpolated
from _imputers import best_of, chained_equations, limits, within

GAP = np.nan


class Scripted:
    """A forest that answers the same number for every row, one more number at each fit."""

    def __init__(self, answers: list[float]) -> None:
        self.answers = answers

    def __call__(self, numeric: bool, columns: int, seed: int) -> Scripted:
        return self

    def fit(self, x: Any, y: Any) -> None:
        """Nothing to learn."""

    def predict(self, x: Any) -> Any:
        return np.full(len(x), self.answers.pop(0))


def test_a_chain_answers_with_the_round_before_the_change_rises() -> None:
    given = np.array([[1.0, 0.0], [1.0, 2.0], [1.0, GAP]])
    # from the mean 1: changes of 3, 1 and 2 whose squares over the squares of all fall, then rise
    filled, rounds = chained(given, np.ones(2, bool), Scripted([4.0, 5.0, 7.0, 9.0]), 0, 10)
    assert (filled[2, 1], rounds) == (5.0, 3)


def test_a_chain_stops_after_the_most_rounds_with_the_last() -> None:
    given = np.array([[1.0, 0.0], [1.0, 2.0], [1.0, GAP]])
    filled, rounds = chained(given, np.ones(2, bool), Scripted([4.0, 5.0, 7.0, 9.0]), 0, 2)
    assert (filled[2, 1], rounds) == (5.0, 2)


def test_missforest_is_grown_as_published() -> None:
    numbers, levels = published(True, 17, 0), published(False, 17, 0)
    assert (numbers.n_estimators, numbers.max_features, numbers.min_samples_split) == (100, 4, 6)
    assert (levels.n_estimators, levels.max_features, levels.min_samples_split) == (100, 4, 2)


@pytest.mark.slow
def test_noise_is_given_large_leaves_and_a_function_small_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_forests, "TRIED", tuple(_forests.Trees(False, leaf) for leaf in (1, 20)))
    monkeypatch.setattr(_forests, "TRIED_TREES", 10)
    random = np.random.default_rng(0)
    noise = random.normal(size=(150, 3))
    assert chosen_trees(noise, np.ones(3, bool), 0)[0].leaf == 20
    x = random.uniform(size=150)
    assert chosen_trees(np.stack([x, x**2, 1 - x], 1), np.ones(3, bool), 0)[0].leaf == 1


def test_answers_outside_the_observed_range_are_brought_to_it_and_counted() -> None:
    given = np.array([[0.0, 10.0], [2.0, 30.0], [GAP, GAP], [GAP, 20.0]])
    filled = np.array([[0.0, 10.0], [2.0, 30.0], [5.0, 20.0], [1.0, 20.0]])
    kept, share = within(filled, given)
    assert kept[2, 0] == 2.0
    assert share == pytest.approx(1 / 3)
    assert limits(given, room=1.0)[1].tolist() == [4.0, 50.0]
    with pytest.raises(ValueError, match="diverged"):
        within(np.where(np.isnan(given), np.inf, given), given)


def test_chained_equations_stay_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_imputers, "FAR", 0.0)
    random = np.random.default_rng(0)
    x = random.normal(size=(100, 1)) + 0.1 * random.normal(size=(100, 3))
    given = np.where((x > 0.5) & (np.arange(3) == 0), np.nan, x)  # which the line leads beyond
    low, high = limits(given)
    filled = chained_equations(given, 0, 10)
    assert (filled >= low).all()
    assert (filled <= high).all()


def test_the_setting_with_the_least_error_on_hidden_cells_is_taken() -> None:
    x = np.full((50, 3), 7.0)
    tried = {"wrong": lambda X: np.zeros_like(X), "right": lambda X: np.full_like(X, 7.0)}
    filled, settings = best_of(tried, x, 0)
    assert settings == {"chosen": "right", "tried": 2}
    assert (filled == 7.0).all()


def test_interpolation_is_the_line_between_neighbors_and_the_nearest_value_beyond() -> None:
    series = np.array([GAP, 1.0, GAP, GAP, 4.0, GAP])[None, :, None]
    assert interpolated(series).ravel().tolist() == [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    assert np.isnan(interpolated(np.full((1, 3, 1), GAP))).all()
