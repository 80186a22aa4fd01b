"""Tables with columns of both kinds, and the three ways in which their cells are hidden.

Numbers are float64 and levels text, columns of two values among them; what is missing in the file
is None or NaN, and is never scored.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri
from scipy.stats import rankdata

from lowerbound.data.catalog import data_folders, first_place
from lowerbound.errors import DataError

Array = np.ndarray[Any, Any]

ADULT = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
)
CREDIT_LEVELS = ("SEX", "EDUCATION", "MARRIAGE", "default payment next month")
GERMAN_LEVELS = (0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 18, 19, 20)
FILES = {
    "Adult": "uci_adult-train.csv.xz",
    "credit": "credit_default.csv.xz",
    "german": "uci_german.csv.xz",
}
STEEPNESS = 1.0  # of the logistic curves, per standard deviation of what decides
KEPT = 0.25  # share of the columns that are never hidden, and decide, where cells go at random


@dataclass(frozen=True)
class Table:
    """Rows of a table, and which of its columns are numbers and which are levels."""

    frame: Any
    numeric: tuple[str, ...]
    levels: tuple[str, ...]

    def hiding(self, hidden: Array) -> Table:
        """The same with cells taken away."""
        columns = self.frame.columns
        left = {c: self.frame[c].where(~hidden[:, i], None) for i, c in enumerate(columns)}
        types = dict.fromkeys(self.numeric, np.float64)
        return Table(pd.DataFrame(left).astype(types), self.numeric, self.levels)

    @property
    def present(self) -> Array:
        """Where there is a value, (rows, columns)."""
        return np.asarray(self.frame.notna())

    @property
    def columns_of_numbers(self) -> Array:
        """Whether each column is one of numbers, (columns,)."""
        return np.isin(self.frame.columns, self.numeric)


def table(name: str, rows: int) -> Table:
    """A fixed random sample of the table's rows: all where it has no more."""
    frame = READERS[name](_text(name))
    frame = frame.sample(min(rows, len(frame)), random_state=0).reset_index(drop=True)
    numeric = tuple(
        c
        for c in frame.columns
        if pd.api.types.is_numeric_dtype(frame[c]) and frame[c].nunique() > 2
    )
    levels = tuple(c for c in frame.columns if c not in numeric)
    present = frame.notna()
    frame = frame.astype({**dict.fromkeys(numeric, np.float64), **dict.fromkeys(levels, str)})
    whole = Table(frame.astype(dict.fromkeys(levels, object)), numeric, levels)
    return whole.hiding(~present.to_numpy())


def place(name: str) -> Path:
    """The table's file.

    Raises:
        DataError: it is in no data folder.
    """
    found = first_place(data_folders(), (FILES[name],))
    if found is None:
        raise DataError(f"the data set {FILES[name]} is missing: put it into LOWERBOUND_DATA")
    return found


def completely_at_random(table: Table, share: float, random: np.random.Generator) -> Array:
    """MCAR: every cell with the same probability."""
    return random.random(table.frame.shape) < share


def at_random(table: Table, share: float, random: np.random.Generator) -> Array:
    """MAR: by a logistic curve in what a row holds in columns that stay whole.

    A quarter of the columns is drawn; each other column has a direction of its own in the normal
    scores of those.
    """
    rows, columns = table.frame.shape
    kept = random.choice(columns, max(2, round(KEPT * columns)), replace=False)
    known = scores(table, random)[:, kept]
    hidden = np.zeros((rows, columns), dtype=bool)
    for column in np.setdiff1d(np.arange(columns), kept):
        weight = random.normal(size=len(kept))
        decides = known @ (weight / np.linalg.norm(weight))
        hidden[:, column] = _by_curve(decides, share, random)
    return hidden


def not_at_random(table: Table, share: float, random: np.random.Generator) -> Array:
    """MNAR: by a logistic curve in the cell's own value, large ones and some levels more often."""
    own = scores(table, random)
    return np.stack([_by_curve(column, share, random) for column in own.T], 1)


MECHANISMS: dict[str, Callable[[Table, float, np.random.Generator], Array]] = {
    "MCAR": completely_at_random,
    "MAR": at_random,
    "MNAR": not_at_random,
}


def scores(table: Table, random: np.random.Generator) -> Array:
    """Normal scores of numbers by rank, and for each level a normal number drawn once."""
    found = np.zeros(table.frame.shape)
    for i, name in enumerate(table.frame.columns):
        column = table.frame[name]
        if name in table.numeric:
            found[:, i] = ndtri(rankdata(column.fillna(column.median())) / (len(column) + 1))
        else:
            codes = pd.factorize(column, sort=True, use_na_sentinel=False)[0]
            found[:, i] = random.normal(size=codes.max() + 1)[codes]
    return found


def _by_curve(decides: Array, share: float, random: np.random.Generator) -> Array:
    """Hidden with probability sigmoid(a + s u), a such that the mean probability is ``share``."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        above = expit(middle + STEEPNESS * decides).mean() > share
        low, high = (low, middle) if above else (middle, high)
    return random.random(len(decides)) < expit(low + STEEPNESS * decides)


def _text(name: str) -> str:
    with lzma.open(place(name), "rt", encoding="utf-8-sig", newline=None) as file:
        return file.read()


def _adult(text: str) -> Any:
    read = pd.read_csv(StringIO(text), header=None, names=ADULT, skipinitialspace=True)
    return read.replace("?", None)


def _credit(text: str) -> Any:
    read = pd.read_csv(StringIO(text), header=1).drop(columns="ID")
    return read.astype(dict.fromkeys(CREDIT_LEVELS, str))


def _german(text: str) -> Any:
    read = pd.read_csv(StringIO(text), header=None)
    return read.astype(dict.fromkeys(GERMAN_LEVELS, str)).add_prefix("c")


READERS: dict[str, Callable[[str], Any]] = {"Adult": _adult, "credit": _credit, "german": _german}
