"""Eight tables with a number to predict: of scikit-learn and of the folder LOWERBOUND_DATA.

Of a large table a fixed random sample of rows is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from _label_tables import ABALONE, sample, text
from _mixed_tables import table
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Array = np.ndarray[Any, Any]
TEST = 0.3
MOST_ROWS = 2_000
Measured = tuple[Any, Array]  # a frame, and the number of each row


@dataclass(frozen=True)
class Draw:
    """Training rows of which few keep their label, and test rows.

    Attributes:
        x, y: training rows and their numbers, known or not.
        known: which rows keep it, (rows,) bool.
        test_x, test_y: rows that nothing is fitted on.
    """

    x: Any
    y: Array
    known: Array
    test_x: Any
    test_y: Array

    @property
    def given(self) -> Array:
        """The numbers, NaN where they are hidden."""
        return np.where(self.known, self.y, np.nan)

    @property
    def numbers(self) -> tuple[Array, Array]:
        """Labeled and test rows for other learners: standardized by all training rows, gaps filled
        with medians, an indicator for each level."""
        prepare = _columns(self.x).fit(self.x)
        return prepare.transform(self.x[self.known]), prepare.transform(self.test_x)


def drawn(name: str, labels: int, draw: int) -> Draw:
    """30 % of the rows for the test, and so many labels of the others, by the number of a draw."""
    x, y = TABLES[name]()
    rows, test = train_test_split(np.arange(len(y)), test_size=TEST, random_state=draw)
    known = np.isin(rows, np.random.default_rng(draw).choice(rows, labels, replace=False))
    return Draw(x.iloc[rows], y[rows], known, x.iloc[test], y[test])


def _columns(frame: Any) -> Any:
    numbers = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
    others = [c for c in frame.columns if c not in numbers]
    filled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    standardized = make_pipeline(levels, StandardScaler())
    return ColumnTransformer([("numbers", filled, numbers), ("levels", standardized, others)])


def _of_arrays(found: tuple[Array, Array]) -> Measured:
    x, y = found
    return pd.DataFrame(x).add_prefix("c"), y


def _of_column(frame: Any, column: str) -> Measured:
    few = sample(frame, MOST_ROWS)
    y = few.pop(column).to_numpy(np.float64)
    return few.astype({c: float for c in few if pd.api.types.is_numeric_dtype(few[c])}), y


def _wine(color: str) -> Measured:
    read = pd.read_csv(text(f"uci_winequality-{color}"), header=None).add_prefix("c")
    return _of_column(read, "c11")


def _abalone() -> Measured:
    return _of_column(pd.read_csv(text("uci_abalone"), header=None, names=ABALONE), "rings")


def _california() -> Measured:
    return _of_column(pd.read_csv(text("california_housing")), "median_house_value")


def _amount() -> Measured:
    """The amount of a German credit."""
    return _of_column(table("german", MOST_ROWS).frame, "c4")


TABLES: dict[str, Callable[[], Measured]] = {
    "diabetes": lambda: _of_arrays(load_diabetes(return_X_y=True)),
    "friedman1": lambda: _of_arrays(make_friedman1(1_000, 10, noise=1.0, random_state=0)),
    "friedman2": lambda: _of_arrays(make_friedman2(1_000, noise=100.0, random_state=0)),
    "red_wine": lambda: _wine("red"),
    "white_wine": lambda: _wine("white"),
    "abalone": _abalone,
    "california": _california,
    "german": _amount,
}
