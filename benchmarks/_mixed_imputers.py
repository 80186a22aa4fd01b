"""Imputers of tables with numbers and levels beside ours: a frame with gaps in, a whole one out.

The settings that an imputer ran with stand beside its answer; those that are chosen are chosen on
seen cells. Numbers of rivals are kept in the observed range of a column.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from _forests import Settings, miss_forest, tuned_forest
from _imputers import ROUNDS, chained_equations, within
from _mixed_tables import Array, Table

from lowerbound import VAEImputer
from lowerbound.data import load

Filled = tuple[Any, Settings]
Imputer = Callable[[Table, int], Filled]


def median_and_mode(table: Table, seed: int) -> Filled:
    """Median of numbers, mode of levels."""
    filled = table.frame.copy()
    for name in filled.columns:
        column = filled[name]
        filled[name] = column.fillna(column.median() if name in table.numeric else column.mode()[0])
    return filled, {}


def chained_codes(table: Table, seed: int) -> Filled:
    """scikit-learn's IterativeImputer by default, levels as codes 0, 1, ..., answers rounded."""
    codes, levels = _codes(table)
    return _uncoded(table, _chained(codes, seed), levels), {"rounds": ROUNDS}


def chained_indicators(table: Table, seed: int) -> Filled:
    """The same with an indicator of each level, the largest of which decides."""
    return _chained_indicators(table, seed, all_levels=True), {"rounds": ROUNDS}


def chained_contrasts(table: Table, seed: int) -> Filled:
    """The same without the indicator of each first level, which the others imply."""
    return _chained_indicators(table, seed, all_levels=False), {"rounds": ROUNDS}


def published_forest(table: Table, seed: int) -> Filled:
    """missForest; levels are codes."""
    return _forest(miss_forest, table, seed)


def chosen_forest(table: Table, seed: int) -> Filled:
    """Chained forests with trees chosen on seen cells; levels are codes."""
    return _forest(tuned_forest, table, seed)


def ours(table: Table, seed: int) -> Filled:
    """``VAEImputer`` by default, told that columns of few whole numbers are numbers too."""
    return _ours(table, seed, trees=True)


def ours_alone(table: Table, seed: int) -> Filled:
    """The same model without trees."""
    return _ours(table, seed, trees=False)


OURS, ALONE = "VAE", "VAE, without trees"
CHAINED: dict[str, Imputer] = {
    "chained, codes": chained_codes,
    "chained, indicators": chained_indicators,
    "chained, contrasts": chained_contrasts,
}
IMPUTERS: dict[str, Imputer] = {
    "median and mode": median_and_mode,
    **CHAINED,
    "missForest": published_forest,
    "chained forest, tuned": chosen_forest,
    OURS: ours,
    ALONE: ours_alone,
}


def _ours(table: Table, seed: int, trees: bool) -> Filled:
    found = load(table.frame, missing="model").schema.columns
    kinds = {c.name: "real" for c in found if c.levels and c.name in table.numeric}
    imputer = VAEImputer(data_options={"kinds": kinds}, trees=trees, random_state=seed)
    return imputer.fit_transform(table.frame), {}


def _forest(impute: Callable[..., tuple[Array, Settings]], table: Table, seed: int) -> Filled:
    codes, levels = _codes(table)
    filled, settings = impute(codes, table.columns_of_numbers, seed)
    return _uncoded(table, filled, levels), settings


def _chained(codes: Array, seed: int) -> Array:
    """Standardized, so that its ridge and its tolerance mean the same to each column."""
    center, scale = np.nanmean(codes, 0), np.nanstd(codes, 0)
    scale = np.where(scale > 0, scale, 1.0)
    filled = chained_equations((codes - center) / scale, seed, ROUNDS)
    kept, _ = within(filled * scale + center, codes)
    return kept


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


def _codes(table: Table) -> tuple[Array, dict[int, Array]]:
    """Numbers as they are and levels as codes, NaN where missing; and the levels by column."""
    known = {
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
