"""Ten tables with a class, of scikit-learn and of the folder LOWERBOUND_DATA.

Identifiers, constant columns, and columns of hundreds of levels are left out. Of a large table a
fixed random sample of rows is taken.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
from _cells import data_file
from _mixed_tables import table
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

Array = np.ndarray[Any, Any]
Classified = tuple[Any, Array]  # a frame, and the class of each row from 0
MOST_ROWS = 3_000
ABALONE = ("sex", "length", "diameter", "height", "whole", "shucked", "viscera", "shell", "rings")
# of encounters: identifiers, a column that is nearly empty, and diagnoses of hundreds of levels
NOT_USED = (
    "encounter_id",
    "patient_nbr",
    "weight",
    "medical_specialty",
    "diag_1",
    "diag_2",
    "diag_3",
)
CODES = ("admission_type_id", "discharge_disposition_id", "admission_source_id")


def classified(name: str) -> Classified:
    """A table by its name."""
    return TABLES[name]()


def _bundled(load: Callable[..., Any]) -> Classified:
    found = load(as_frame=True)
    return found.data, found.target.to_numpy()


def _last_column(name: str) -> Classified:
    """A table of ``_mixed_tables`` whose last column is the class."""
    frame = table(name, MOST_ROWS).frame
    return frame.iloc[:, :-1], pd.factorize(frame.iloc[:, -1], sort=True)[0]


def _wisconsin() -> Classified:
    """Breast cancer (Wisconsin, original): nine grades of cells, benign or malignant."""
    read = pd.read_csv(text("uci_breast-cancer-wisconsin"), header=None, na_values="?")
    read = read.astype(np.float64).add_prefix("c")
    return read.iloc[:, :-1], (read.iloc[:, -1] == 4).to_numpy(int)


def _abalone() -> Classified:
    """Up to 8 rings, 9 or 10, and more (Waugh 1995)."""
    read = sample(pd.read_csv(text("uci_abalone"), header=None, names=ABALONE))
    return read.drop(columns="rings"), np.digitize(read["rings"], (9, 11))


def _white_wine() -> Classified:
    """Quality up to 5, 6, and more."""
    read = sample(pd.read_csv(text("uci_winequality-white"), header=None).add_prefix("c"))
    return read.iloc[:, :-1].astype(np.float64), np.digitize(read.iloc[:, -1], (6, 7))


def _readmission() -> Classified:
    """Each patient's first encounter: not readmitted, within 30 days, or later."""
    read = pd.read_csv(text("diabetes130"), na_values="?", keep_default_na=False, low_memory=False)
    read = sample(read.drop_duplicates("patient_nbr"))
    y = pd.factorize(read.pop("readmitted"), sort=True)[0]
    read = read.drop(columns=list(NOT_USED)).astype(dict.fromkeys(CODES, str))
    return read.loc[:, read.nunique() > 1], y


def sample(frame: Any, rows: int = MOST_ROWS) -> Any:
    """A fixed random sample of so many rows: all if there are no more."""
    return frame.sample(min(rows, len(frame)), random_state=0).reset_index(drop=True)


def text(name: str) -> StringIO:
    """A file of the folder LOWERBOUND_DATA, by its name without endings."""
    with lzma.open(data_file(f"{name}.csv.xz"), "rt", encoding="utf-8") as file:
        return StringIO(file.read())


TABLES: dict[str, Callable[[], Classified]] = {
    "breast_cancer": lambda: _bundled(load_breast_cancer),
    "wine": lambda: _bundled(load_wine),
    "german": lambda: _last_column("german"),
    "credit": lambda: _last_column("credit"),
    "iris": lambda: _bundled(load_iris),
    "adult": lambda: _last_column("Adult"),
    "wisconsin": _wisconsin,
    "abalone": _abalone,
    "white_wine": _white_wine,
    "readmission": _readmission,
}
