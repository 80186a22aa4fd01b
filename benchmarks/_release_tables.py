"""The tables of the benchmark of released rows: columns as in the files, missing cells as None or
NaN, and the part that judges.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import table_priors
from _mixed_tables import READERS
from event_tables import diagnosis
from table_priors import place

SHARE = 0.2  # of the rows that judge
MOST_ROWS = 20_000  # of diabetes-130
SPLITS = {False: 20, True: 99}  # seed of the split, by --held-out


@dataclass(frozen=True)
class Source:
    """A table, the column that learners predict, and its file; Adult is split by its publisher."""

    title: str
    file: str
    label: str
    read: Callable[[str], Any] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all its files."""
        return tuple(table_priors.FILES.values()) if self.read is None else (self.file,)


def california(path: str) -> Any:
    return pd.read_csv(path)


def credit(path: str) -> Any:
    return READERS["credit"](_text(path))


def german(path: str) -> Any:
    return READERS["german"](_text(path))


def diabetes(path: str) -> Any:
    """The first encounter of 20,000 patients.

    Without identifiers and without constant columns; diagnoses as the groups of Strack et al. 2014;
    coded reasons of admission and discharge as levels; readmitted or not.
    """
    frame = pd.read_csv(path, keep_default_na=False, na_values="?", low_memory=False)
    frame = frame.sort_values("encounter_id").drop_duplicates("patient_nbr")
    frame = frame.sample(MOST_ROWS, random_state=0).drop(columns=["encounter_id", "patient_nbr"])
    for name in ("diag_1", "diag_2", "diag_3"):
        frame[name] = frame[name].map(diagnosis, na_action="ignore")
    codes = [name for name in frame.columns if name.endswith("_id")]
    frame = frame.astype(dict.fromkeys(codes, str))
    frame["readmitted"] = frame["readmitted"].ne("NO").map({True: "YES", False: "NO"})
    return frame.loc[:, frame.nunique(dropna=False) > 1]


def _text(path: str) -> str:
    with lzma.open(path, "rt", encoding="utf-8-sig", newline=None) as file:
        return file.read()


SOURCES = {
    "adult": Source("Adult", "uci_adult-train.csv.xz", "income"),
    "credit": Source(
        "credit default", "credit_default.csv.xz", "default payment next month", credit
    ),
    "diabetes": Source("diabetes-130", "diabetes130.csv.xz", "readmitted", diabetes),
    "california": Source(
        "California housing", "california_housing.csv.xz", "median_house_value", california
    ),
    "german": Source("German credit", "uci_german.csv.xz", "c20", german),
}


@cache
def frames(name: str, held_out: bool) -> tuple[Any, Any]:
    """Training rows and the rows that judge; with ``held_out`` both are training rows.

    Raises:
        DataError: a file is in no data folder.
    """
    source = SOURCES[name]
    if source.read is None:
        training, judging = table_priors.frames(held_out)
        return training.reset_index(drop=True), judging.reset_index(drop=True)
    training, judging = split(source.read(str(place(source.file))), SPLITS[False])
    return split(training, SPLITS[True]) if held_out else (training, judging)


def split(frame: Any, seed: int) -> tuple[Any, Any]:
    """(training rows, judging rows), at random."""
    order = np.random.default_rng(seed).permutation(len(frame))
    judging = round(SHARE * len(frame))
    parts = order[judging:], order[:judging]
    first, second = (frame.iloc[rows].reset_index(drop=True) for rows in parts)
    return first, second
