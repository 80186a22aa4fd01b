r"""Ranges and categories of columns, measured under differential privacy.

Budget: the delta of the guarantee is split in two halves, one for the noise and one for categories
that few rows have (all of it goes to the noise if no column has categories). The first and epsilon
give rho (``rho_for``), split evenly over the columns, and over the queries of each.

Why this is private, for two tables of which one has one row more:

- A query is a table of counts of disjoint cells, of which the row changes one by one. With Gaussian
  noise of deviation s it satisfies 1 / (2 s^2) (Bun & Steinke 2016). Which bins are counted depends
  on former noisy counts alone, so the rho add.
- The categories of a column are not known before. A category is released if its noisy count exceeds
  1 + s Phi^-1(1 - delta_j). If only the additional row has the category, it is released with
  probability delta_j. Otherwise, or if it is not released, the output is that of a query with known
  cells (Korolova et al. 2009; Wilkins et al. 2024 for Gaussian noise). The delta_j add to the
  second half of delta.
- All else is a function of noisy counts, of the number of rows, and of names and types of columns,
  which are public.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from scipy.stats import norm

from lowerbound._version import __version__
from lowerbound.applications.release.marginals.charged_schema import ROUNDING, epsilon_of, rho_for
from lowerbound.data.arrays import Array, listed
from lowerbound.data.columns.dates import DAY, ISO, as_text
from lowerbound.data.columns.values import distinct_levels, level_codes
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.training.private.copied_schema import refuse_identifying
from lowerbound.training.private.declarations import (
    CellType,
    Columns,
    Declarations,
    SchemaRecord,
    cell_days,
    cell_numbers,
    cell_type,
    date_format,
    level_cells,
)
from lowerbound.training.private.engine import SecretRandomness, SeededRandomness, SystemRandomness
from lowerbound.training.private.grid import QUERIES, limit, measured_range
from lowerbound.training.private.options import warn_of_large_delta

SHARE_OF_DELTA = 0.2  # of 1 / rows^1.5, by default: the rest is left for the fit
FOR_LEVELS = 0.5  # of delta
MOST_HIDDEN = 0.5  # of the rows: noise that hides more is refused


@dataclass(frozen=True)
class SchemaBudget:
    """How the privacy is divided.

    Attributes:
        epsilon, delta: of the guarantee.
        columns: number of columns that are measured.
        leveled: how many of them have levels.

    Raises:
        OptionError: delta is out of range.
    """

    epsilon: float
    delta: float
    columns: int
    leveled: int

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise OptionError(f"delta must be above 0 and below 1, not {self.delta!r}")

    @property
    def threshold_delta(self) -> float:
        """The part of delta for levels that few rows have."""
        return FOR_LEVELS * self.delta if self.leveled else 0.0

    @cached_property
    def rho(self) -> float:
        """Of all queries."""
        return rho_for(self.epsilon, self.delta - self.threshold_delta)

    def deviation(self, queries: int) -> float:
        """The deviation of the noise of each of so many queries of one column."""
        return math.sqrt(self.columns * queries / (2 * self.rho))

    @property
    def level_threshold(self) -> float:
        """The noisy count above which a level is released."""
        return 1 + self.deviation(1) * float(norm.isf(self.threshold_delta / self.leveled))

    def hidden(self, type: CellType) -> float:
        """The number of rows whose common value noise hides, about."""
        return self.level_threshold if type == "levels" else limit(self.deviation(QUERIES))


class SchemaMeasuring:
    """Measures columns, and adds up rho.

    Args:
        budget: the noise.
        randomness: secret.
    """

    def __init__(self, budget: SchemaBudget, randomness: SecretRandomness) -> None:
        self.rho = 0.0
        self._budget = budget
        self._randomness = randomness
        self._draws = count()

    def declaration(
        self, series: Any, type: CellType, said: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The declaration of a column; None if noise hides all of its values."""
        if type == "levels":
            return self._levels(series)
        deviation = self._budget.deviation(QUERIES)
        form = (said.get("format") or date_format(series)) if type == "dates" else ""
        values = cell_days(series, form) if form else cell_numbers(series)
        found = measured_range(values, lambda exact: self._noisy(exact, deviation), deviation)
        if found is None:
            return None
        gaps = {"missing": True} if found.missing else {}
        if form:
            ends = np.array([math.floor(found.low), math.ceil(found.high)]) * DAY
            low, high = as_text(ends, ISO, DAY)
            written = {} if form == ISO else {"format": form}
            return {"kind": "datetime", "low": low, "high": high, **written, **gaps}
        return {**found.declaration, **gaps}

    def _levels(self, series: Any) -> dict[str, Any] | None:
        import pandas as pd

        series, deviation = level_cells(series), self._budget.deviation(1)
        levels = distinct_levels(series)
        codes = level_codes(series, str(series.name), levels)
        places = np.where(np.isnan(codes), len(levels), codes).astype(np.int64)
        exact = np.bincount(places, minlength=len(levels) + 1).astype(np.float64)
        noisy = self._noisy(exact, deviation)
        seen = np.flatnonzero(noisy[:-1] > self._budget.level_threshold)
        if not len(seen):
            return None
        others = len(series) - float(noisy[seen].sum())  # the number of rows is public
        most = limit(deviation)
        gaps = noisy[-1] > most or others > most * math.sqrt(len(seen))
        kind = "binary" if len(seen) == 2 else "categorical"
        # sorted anew: text that was not released would change the order of numbers
        shown = distinct_levels(pd.Series([levels[place] for place in seen]))
        said = {"kind": kind, "levels": list(shown)}
        return {**said, "missing": True} if gaps else said

    def _noisy(self, exact: Array, deviation: float) -> Array:
        noise = self._randomness.normal(next(self._draws), exact.size).double().numpy()
        self.rho += 1 / (2 * deviation**2)
        return np.asarray(exact + deviation * noise)


def measure_schema(
    frame: Any,
    epsilon: float,
    delta: float | None = None,
    *,
    known: Columns | Declarations | None = None,
    secure_noise: bool = False,
    randomness: SecretRandomness | None = None,
) -> Declarations:
    """Measure ranges and categories of the columns that are not declared.

    The result is a function of noisy counts; see the top of this module for the guarantee. Numbers
    are clipped to their range later, so a range may lack the rare ends of a column, and a category
    that few rows have is lost.

    Args:
        frame: a pandas frame.
        epsilon, delta: of these measurements; delta is a fifth of 1 / rows^1.5 by default.
        known: declarations of columns that are public. One with a kind and without levels or a
            range says the type of a column alone.
        secure_noise: noise from the system's cryptographic generator.
        randomness: the noise, for tests; None: a new secret.

    Raises:
        OptionError: epsilon or delta is out of range, every column is declared already, a declared
            column does not exist, or the noise would hide everything.
        DataError: there are no rows, a column without a public kind identifies people, or noise
            hides a column.
    """
    if not len(frame):
        raise DataError("there are no rows to measure")
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    said = _known(frame, known)
    types = {
        name: cell_type(frame[name], said.get(name))
        for name in frame.columns
        if not _is_declared(said.get(name, {}))
    }
    typed = [name for name in types if name not in said]
    refuse_identifying(frame, "their levels would be those of single people", typed)
    if not types:
        raise OptionError("every column is declared already: use these declarations as they are")
    delta = SHARE_OF_DELTA * len(frame) ** -1.5 if delta is None else delta
    budget = SchemaBudget(epsilon, delta, len(types), [*types.values()].count("levels"))
    _check_visible(budget, types, len(frame))
    warn_of_large_delta(delta, len(frame))
    noise = randomness or (SystemRandomness() if secure_noise else SeededRandomness())
    measuring = SchemaMeasuring(budget, noise)
    found = {
        name: measuring.declaration(frame[name], type, said.get(name, {}))
        for name, type in types.items()
    }
    _check_found(found, types, budget)
    assert measuring.rho <= budget.rho * (1 + ROUNDING)
    columns = {name: found[name] if name in found else said[name] for name in frame.columns}
    return Declarations(
        {name: {**(each or {}), **said.get(name, {})} for name, each in columns.items()},
        _record(budget, tuple(types), frame),
    )


def _known(frame: Any, known: Columns | Declarations | None) -> Columns:
    given = Declarations.of(known or {})
    if given.measured is not None:
        raise OptionError(
            "these declarations were measured already: give those that are public alone"
        )
    for name in given.columns:
        if name not in frame.columns:
            raise unknown("column", name, frame.columns)
    return given.columns


def _is_declared(said: Mapping[str, Any]) -> bool:
    return "levels" in said or ("low" in said and "high" in said)


def _check_visible(budget: SchemaBudget, types: Mapping[str, CellType], rows: int) -> None:
    """Refuse noise that hides most values, before anything is measured.

    Raises:
        OptionError: noise hides values of more than half of the rows.
    """
    name = max(types, key=lambda each: budget.hidden(types[each]))
    hidden = math.ceil(budget.hidden(types[name]))
    if hidden > MOST_HIDDEN * rows:
        raise OptionError(
            f"epsilon {budget.epsilon:g} is too small for {rows:,} rows and {len(types)} columns: "
            f"column {name!r} would show only values that at least {hidden:,} rows have; give a "
            "larger epsilon, or declare more columns public"
        )


def _check_found(
    found: Mapping[str, Any], types: Mapping[str, CellType], budget: SchemaBudget
) -> None:
    """Refuse columns of which nothing was seen.

    Raises:
        DataError: there is such a column; the message names all.
    """
    hidden = [name for name, said in found.items() if said is None]
    if hidden:
        rows = math.ceil(max(budget.hidden(types[name]) for name in hidden))
        raise DataError(
            f"the noise hides the values of {listed([repr(name) for name in hidden])}: it shows "
            f"only those that at least {rows:,} rows have; leave these columns out by --leave-out, "
            "declare them public by --public-schema, or give a larger epsilon (the epsilon of this "
            "attempt is spent)"
        )


def _record(budget: SchemaBudget, measured: Sequence[str], frame: Any) -> SchemaRecord:
    """The record of the whole budget; how many queries a column needs may depend on its rows."""
    return SchemaRecord(
        epsilon=epsilon_of(budget.rho, budget.delta - budget.threshold_delta),
        delta=budget.delta,
        rho=budget.rho,
        threshold_delta=budget.threshold_delta,
        columns=tuple(measured),
        declared=tuple(name for name in frame.columns if name not in measured),
        rows=len(frame),
        mechanism="counts of categories and of bins with Gaussian noise",
        lowerbound=__version__,
    )
