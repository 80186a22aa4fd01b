"""Chained forests: missForest as published, and with leaves and trees chosen on hidden cells.

Every column that lacks cells is filled by a forest grown on all others, in turn, in the order of
how many cells it lacks; over and over, until the change of both kinds of columns rises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

Array = np.ndarray[Any, Any]
Settings = dict[str, Any]
TREES, MOST_ROUNDS = 100, 10  # as published
TRIED_TREES, TRIED_ROUNDS = 30, 3  # while settings are chosen
LEAVES = (1, 3, 5, 10, 20)
HELD = 0.1  # share of the seen cells that are hidden to choose on
Grow = Callable[[bool, int, int], Any]  # (number?, columns, seed) -> a forest


def published(numeric: bool, columns: int, seed: int) -> Any:
    """A forest as missForest grows it (Stekhoven & Buehlmann 2012), with the defaults of R.

    The nodesize of R (5 for numbers, 1 for levels) is the size of a node that is not split.
    """
    kind = RandomForestRegressor if numeric else RandomForestClassifier
    return kind(
        TREES,
        max_features=max(1, int(np.sqrt(columns))),
        min_samples_split=6 if numeric else 2,
        random_state=seed,
    )


@dataclass(frozen=True)
class Trees:
    """How the trees of one kind of columns are grown.

    Attributes:
        extremely_random: splits at random thresholds, on all rows (Geurts et al. 2006).
        leaf: fewest rows in a leaf.
    """

    extremely_random: bool
    leaf: int

    def grow(self, numeric: bool, seed: int, trees: int) -> Any:
        kinds = (
            (ExtraTreesClassifier, ExtraTreesRegressor)
            if self.extremely_random
            else (RandomForestClassifier, RandomForestRegressor)
        )
        shared = 1.0 if numeric and self.extremely_random else "sqrt"
        return kinds[numeric](
            trees, max_features=shared, min_samples_leaf=self.leaf, random_state=seed
        )


TRIED = tuple(Trees(*each) for each in product((False, True), LEAVES))


def miss_forest(given: Array, numeric: Array, seed: int) -> tuple[Array, Settings]:
    """missForest: the matrix without gaps, and how many rounds it took.

    Args:
        given: numbers, and codes of levels, NaN where missing, (rows, columns).
        numeric: whether each column is one of numbers, (columns,).
        seed: of the forests.
    """
    filled, rounds = chained(given, numeric, published, seed, MOST_ROUNDS)
    return filled, {"trees": TREES, "nodesize": [5, 1], "rounds": rounds}


def tuned_forest(given: Array, numeric: Array, seed: int) -> tuple[Array, Settings]:
    """The same with trees for numbers and trees for levels that are best on hidden seen cells."""
    of_numbers, of_levels = chosen_trees(given, numeric, seed)

    def grow(number: bool, columns: int, seed: int) -> Any:
        return (of_numbers if number else of_levels).grow(number, seed, TREES)

    filled, rounds = chained(given, numeric, grow, seed, MOST_ROUNDS)
    names = {"numbers": vars(of_numbers), "levels": vars(of_levels)}
    return filled, {"trees": TREES, "rounds": rounds, "tried": len(TRIED), **names}


def chosen_trees(given: Array, numeric: Array, seed: int) -> tuple[Trees, Trees]:
    """The trees with the least error on a tenth of the seen cells, of numbers and of levels."""
    # a stream of its own: the masks may have been drawn by the very seed
    held = ~np.isnan(given) & (np.random.default_rng([seed, 2]).random(given.shape) < HELD)
    left = np.where(held, np.nan, given)
    held[:, np.isnan(left).all(0)] = False
    left = np.where(held, np.nan, given)
    scale = np.nanstd(given, 0)
    scale = np.where(scale > 0, scale, 1.0)
    of_numbers, of_levels = [], []
    for trees in TRIED:

        def grow(number: bool, columns: int, seed: int, trees: Trees = trees) -> Any:
            return trees.grow(number, seed, TRIED_TREES)

        filled, _ = chained(left, numeric, grow, seed, TRIED_ROUNDS)
        of_numbers.append(np.square((filled - given) / scale)[held & numeric].sum())
        of_levels.append((filled != given)[held & ~numeric].sum())
    return TRIED[int(np.argmin(of_numbers))], TRIED[int(np.argmin(of_levels))]


def chained(given: Array, numeric: Array, grow: Grow, seed: int, most: int) -> tuple[Array, int]:
    """Fill by forests from means and modes on; also the number of rounds.

    It stops when, for the first time, no kind of column changes less than in the round before, and
    answers with the round before that; or after ``most`` rounds, with the last.
    """
    gone = np.isnan(given)
    now, last = marginal(given, numeric), np.array([np.inf, np.inf])
    for turn in range(1, most + 1):
        before = now.copy()
        for column in np.argsort(gone.sum(0), kind="stable"):
            lacking = gone[:, column]
            if lacking.any():
                others = np.delete(now, column, 1)
                forest = grow(bool(numeric[column]), given.shape[1], seed)
                forest.fit(others[~lacking], now[~lacking, column])
                now[lacking, column] = forest.predict(others[lacking])
        change = _change(before, now, gone, numeric)
        if (change >= last).all():
            return before, turn
        last = change
    return now, most


def marginal(given: Array, numeric: Array) -> Array:
    """Mean of numbers, mode of levels."""
    filled = given.copy()
    for column, number in enumerate(numeric):
        values = given[~np.isnan(given[:, column]), column]
        found, counts = np.unique(values, return_counts=True)
        own = values.mean() if number else found[counts.argmax()]
        filled[np.isnan(given[:, column]), column] = own
    return filled


def _change(before: Array, now: Array, gone: Array, numeric: Array) -> Array:
    """Of numbers the squared change over the squares, of levels the share of gaps that changed.

    A kind that no column is of counts as not falling.
    """
    squares, levels = np.square(now[:, numeric]).sum(), gone & ~numeric
    moved = np.square(now[:, numeric] - before[:, numeric]).sum()
    return np.array(
        [
            moved / squares if numeric.any() else np.inf,
            (now != before)[levels].mean() if levels.any() else np.inf,
        ]
    )
