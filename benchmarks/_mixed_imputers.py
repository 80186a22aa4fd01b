"""Imputers of tables with numbers and levels beside ours: a frame with gaps in, a whole one out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from _mixed_tables import Array, Table
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - makes the next line work
from sklearn.impute import IterativeImputer

from lowerbound import VAEImputer
from lowerbound.data import load

TREES, MOST_ROUNDS = 50, 5
Imputer = Callable[[Table, int], Any]


def marginal(table: Table, seed: int) -> Any:
    """Median of numbers, mode of levels."""
    filled = table.frame.copy()
    for name in filled.columns:
        column = filled[name]
        filled[name] = column.fillna(column.median() if name in table.numeric else column.mode()[0])
    return filled


def chained_codes(table: Table, seed: int) -> Any:
    """scikit-learn's IterativeImputer by default, levels as codes 0, 1, ..., answers rounded."""
    codes, levels = _codes(table)
    return _uncoded(table, _chained(codes, seed), levels)


def chained_indicators(table: Table, seed: int) -> Any:
    """The same with an indicator of each level, the largest of which decides."""
    return _chained_indicators(table, seed, all_levels=True)


def chained_contrasts(table: Table, seed: int) -> Any:
    """The same without the indicator of each first level, which the others imply."""
    return _chained_indicators(table, seed, all_levels=False)


def miss_forest(table: Table, seed: int) -> Any:
    """missForest (Stekhoven & Buehlmann 2012) on scikit-learn's random forests.

    From medians and modes on, columns in the order of how many cells they lack, each by a forest
    of 50 trees on all others; until the change of both kinds rises, 5 rounds at most. Splits see
    the root of the number of columns, as there; levels are codes.
    """
    given, levels = _codes(table)
    gone = np.isnan(given)
    numeric = table.columns_of_numbers
    now = _codes(Table(marginal(table, seed), table.numeric, table.levels), levels)[0]
    last = np.array([np.inf, np.inf])
    for _ in range(MOST_ROUNDS):
        before = now.copy()
        for column in np.argsort(gone.sum(0), kind="stable"):
            if gone[:, column].any():
                _grow(now, gone[:, column], int(column), bool(numeric[column]), seed)
        change = _change(before, now, gone, numeric)
        if (change >= last).all():
            return _uncoded(table, before, levels)
        last = change
    return _uncoded(table, now, levels)


def ours(table: Table, seed: int) -> Any:
    """``VAEImputer`` by default, told that columns of few whole numbers are numbers too."""
    found = load(table.frame, missing="model").schema.columns
    kinds = {c.name: "real" for c in found if c.levels and c.name in table.numeric}
    imputer = VAEImputer(data_options={"kinds": kinds}, random_state=seed)
    return imputer.fit_transform(table.frame)


MARGINAL, FOREST, OURS = "median and mode", "missForest", "VAE"
CHAINED: dict[str, Imputer] = {
    "chained, codes": chained_codes,
    "chained, indicators": chained_indicators,
    "chained, contrasts": chained_contrasts,
}
IMPUTERS: dict[str, Imputer] = {
    MARGINAL: marginal,
    **CHAINED,
    FOREST: miss_forest,
    OURS: ours,
}


def _chained(codes: Array, seed: int) -> Array:
    """Standardized, so that its ridge and its tolerance mean the same to each column."""
    center, scale = np.nanmean(codes, 0), np.nanstd(codes, 0)
    scale = np.where(scale > 0, scale, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        filled = IterativeImputer(random_state=seed).fit_transform((codes - center) / scale)
    return np.asarray(filled * scale + center)


def _chained_indicators(table: Table, seed: int, all_levels: bool) -> Any:
    hot, owners, levels = _one_hot(table)
    first = np.array([i in levels and j == np.argmax(owners == i) for j, i in enumerate(owners)])
    kept = np.ones(len(owners), dtype=bool) if all_levels else ~first
    filled = np.zeros(hot.shape)
    filled[:, kept] = _chained(hot[:, kept], seed)
    if not all_levels:
        for place in np.flatnonzero(first):
            others = (owners == owners[place]) & ~first
            filled[:, place] = 1 - filled[:, others].sum(1)
    codes = np.stack(
        [
            filled[:, owners == i].argmax(1) if i in levels else filled[:, owners == i][:, 0]
            for i in range(table.frame.shape[1])
        ],
        1,
    )
    return _uncoded(table, codes.astype(np.float64), levels)


def _grow(now: Array, gone: Array, column: int, numeric: bool, seed: int) -> None:
    """Fill the hidden cells of one column by a forest grown on its others."""
    kind = RandomForestRegressor if numeric else RandomForestClassifier
    forest = kind(n_estimators=TREES, max_features="sqrt", random_state=seed)
    others = np.delete(now, column, 1)
    forest.fit(others[~gone], now[~gone, column])
    now[gone, column] = forest.predict(others[gone])


def _change(before: Array, now: Array, gone: Array, numeric: Array) -> Array:
    """Of numbers the squared change over the squares, of levels the share that changed."""
    size = np.square(now[:, numeric]).sum()
    moved = np.square(now[:, numeric] - before[:, numeric]).sum() / size
    levels = gone & ~numeric
    return np.array([moved, (now != before)[levels].mean() if levels.any() else np.inf])


def _codes(table: Table, levels: dict[int, Array] | None = None) -> tuple[Array, dict[int, Array]]:
    """Numbers as they are and levels as codes, NaN where missing; and the levels by column."""
    known = levels or {
        i: np.array(sorted(table.frame[name].dropna().unique()), dtype=object)
        for i, name in enumerate(table.frame.columns)
        if name in table.levels
    }
    codes = np.empty(table.frame.shape)
    for i, name in enumerate(table.frame.columns):
        column = table.frame[name]
        if i in known:
            found = pd.Categorical(column, categories=known[i]).codes
            codes[:, i] = np.where(found < 0, np.nan, found)
        else:
            codes[:, i] = column
    return codes, known


def _uncoded(table: Table, codes: Array, levels: dict[int, Array]) -> Any:
    """Codes, rounded where they are levels, as a frame; what was given stays."""
    whole = {}
    for i, name in enumerate(table.frame.columns):
        if i in levels:
            whole[name] = levels[i][np.rint(codes[:, i]).astype(int).clip(0, len(levels[i]) - 1)]
        else:
            whole[name] = codes[:, i]
    return table.frame.where(table.frame.notna(), pd.DataFrame(whole))


def _one_hot(table: Table) -> tuple[Array, Array, dict[int, Array]]:
    """(rows, features), the column of each feature, and the levels by column."""
    codes, levels = _codes(table)
    pieces, owners = [], []
    for i in range(codes.shape[1]):
        own = codes[:, [i]]
        if i in levels:
            hot = (own == np.arange(len(levels[i]))).astype(np.float64)
            own = np.where(np.isnan(own), np.nan, hot)
        pieces.append(own)
        owners += [i] * own.shape[1]
    return np.concatenate(pieces, 1), np.array(owners), levels
