"""What is measured of synthetic rows: usefulness, errors of distributions, and validity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lowerbound.applications.release.margins import margin_error, trend_error
from lowerbound.applications.release.usefulness import LEARNERS, Learner, usefulness
from lowerbound.data.arrays import Array
from lowerbound.evaluation.samples.column_judge import CodedColumns, distinguished

SIZES = {"column": 1, "pair": 2, "triple": 3}
MOST_DECIMALS = 10
SEED = 0  # of judges


def judged(
    training: Any,
    made: Any,
    judging: Any,
    label: str,
    learners: Sequence[Learner] = LEARNERS,
) -> dict[str, Any]:
    """Learners, errors and the two-sample test, all on rows that no synthesizer has seen.

    Returns:
        learners: learner, measure, then [trained on synthetic rows, trained on real rows].
        errors: mean total variation of columns, pairs and triples, and the mean difference of
            associations of pairs (trend).
        two_sample: AUROC of boosting that distinguishes synthetic rows.
    """
    codes = CodedColumns.learn(training)
    known, synthetic, test = (codes.encode(frame) for frame in (training, made, judging))
    found: dict[str, dict[str, list[float]]] = {}
    for one in usefulness(codes, label, known, synthetic, test, SEED, learners).comparisons:
        found.setdefault(one.learner, {})[one.measure] = [one.synthetic, one.real]
    errors = {
        name: margin_error(codes, test, synthetic, size, SEED).mean for name, size in SIZES.items()
    }
    trend = trend_error(codes, test, synthetic, SEED)
    assert trend is not None
    return {
        "learners": found,
        "errors": {**errors, "trend": trend.mean},
        "two_sample": distinguished(codes, test, synthetic, SEED).value,
    }


def validity(training: Any, made: Any) -> dict[str, Any]:
    """Whether every cell could be one of the training table.

    Returns:
        rows: share of the rows in which every cell has a known level, or a number inside the range
            of its column with at most as many decimals, and no cell is missing in a column that is
            complete.
        columns: for each check the columns that fail it; "types" compares dtypes.
        missing: the largest difference between shares of missing cells.
    """
    names = list(training.columns)
    failed: dict[str, list[str]] = {
        "types": [name for name in names if made[name].dtype != training[name].dtype]
    }
    valid = np.ones(len(made), dtype=bool)
    for name in names:
        for check, passed in cell_checks(training[name], made[name]).items():
            valid &= passed
            if not passed.all():
                failed.setdefault(check, []).append(name)
    gaps = (made[names].isna().mean() - training.isna().mean()).abs()
    return {
        "rows": float(valid.mean()),
        "columns": {check: found for check, found in failed.items() if found},
        "missing": float(gaps.max()),
    }


def cell_checks(training: Any, made: Any) -> dict[str, Array]:
    """For each check, which cells of a synthetic column pass it; (rows,)."""
    gone = np.asarray(made.isna())
    found = {"missing": ~gone | bool(training.isna().any())}
    if not pd.api.types.is_numeric_dtype(training):
        return {**found, "levels": gone | np.asarray(made.isin(training.dropna().unique()))}
    known = training.dropna().to_numpy(np.float64)
    values = pd.to_numeric(made, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    places = decimals(known)
    fine = np.ones(len(values), bool) if places is None else np.round(values, places) == values
    return {
        **found,
        "range": gone | ((values >= known.min()) & (values <= known.max())),
        "resolution": gone | fine,
    }


def decimals(values: Array) -> int | None:
    """The fewest decimals that give all values exactly; None above ten."""
    return next(
        (d for d in range(MOST_DECIMALS + 1) if (np.round(values, d) == values).all()), None
    )
