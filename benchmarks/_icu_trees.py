"""Trees for each variable of the intensive-care rows, fitted to the hours in which it was measured.

Their inputs are all other columns of the row, missing ones as they are. The settings with the least
mean absolute error on a fifth of these rows are fitted again to all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

Array = np.ndarray[Any, Any]
Settings = Mapping[str, Any]
Make = Callable[[Settings, int], Any]
CHOOSING = 0.2  # share of the rows
FEWEST = 20  # measured values below which nothing is fitted

LEAVES = tuple({"min_samples_leaf": leaf} for leaf in (1, 3, 5, 10, 20))
BOOSTS = tuple(
    {"min_samples_leaf": leaf, "learning_rate": rate} for leaf in (5, 20) for rate in (0.05, 0.1)
)


def forest(fitted: Array, rows: Array, center: Array, seed: int) -> tuple[Array, dict[str, Any]]:
    """Random forests of 100 trees, their leaves chosen.

    Args:
        fitted: rows to fit on, (rows, columns); the first columns are those to fill.
        rows: to be filled, (rows, columns).
        center: the answer for each column to fill where too little of it was measured, (columns,).
        seed: of trees and of the choice.

    Returns:
        The rows, filled in their first columns, and how often each setting was chosen.
    """

    def make(settings: Settings, seed: int) -> Any:
        return RandomForestRegressor(100, max_features=1 / 3, random_state=seed, **settings)

    return _by_variable(make, LEAVES, fitted, rows, center, seed)


def boosted(fitted: Array, rows: Array, center: Array, seed: int) -> tuple[Array, dict[str, Any]]:
    """Gradient-boosted trees of the median, their leaves and rate chosen; as ``forest``."""

    def make(settings: Settings, seed: int) -> Any:
        return HistGradientBoostingRegressor(loss="absolute_error", random_state=seed, **settings)

    return _by_variable(make, BOOSTS, fitted, rows, center, seed)


def _by_variable(
    make: Make, tried: tuple[Settings, ...], fitted: Array, rows: Array, center: Array, seed: int
) -> tuple[Array, dict[str, Any]]:
    filled, chosen = rows.copy(), [0] * len(tried)
    for column in range(len(center)):
        waiting = np.isnan(rows[:, column])
        known = fitted[~np.isnan(fitted[:, column])]
        if not waiting.any():
            continue
        if len(known) < FEWEST:
            filled[waiting, column] = center[column]
            continue
        best = _best(make, tried, known, column, seed)
        chosen[best] += 1
        inputs, wanted = np.delete(known, column, 1), np.delete(rows[waiting], column, 1)
        model = make(tried[best], seed)
        filled[waiting, column] = _predicted(model, inputs, known[:, column], wanted)
    return filled, {
        "tried": len(tried),
        "chosen": [{**each, "variables": n} for each, n in zip(tried, chosen, strict=True)],
    }


def _best(make: Make, tried: tuple[Settings, ...], known: Array, column: int, seed: int) -> int:
    """The setting of the least error on rows that it is not fitted to."""
    held = np.zeros(len(known), dtype=bool)
    order = np.random.default_rng([seed, column]).permutation(len(known))
    held[order[: round(CHOOSING * len(known))]] = True
    inputs, target = np.delete(known, column, 1), known[:, column]
    errors = []
    for settings in tried:
        answers = _predicted(make(settings, seed), inputs[~held], target[~held], inputs[held])
        errors.append(np.abs(answers - target[held]).mean())
    return int(np.argmin(errors))


def _predicted(model: Any, inputs: Array, target: Array, rows: Array) -> Array:
    """Fit and answer by the columns that hold a value in the rows to fit on."""
    seen = ~np.isnan(inputs).all(0)
    return np.asarray(model.fit(inputs[:, seen], target).predict(rows[:, seen]))
