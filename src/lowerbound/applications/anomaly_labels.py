"""Which rows a person knows to be anomalies, and how well scores rank them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data import CATALOG, Dataset
from lowerbound.data.arrays import listed
from lowerbound.data.table_files import CSV_SUFFIXES, PARQUET_SUFFIXES, read_frame, table_suffix
from lowerbound.errors import DataError, OptionError, unknown

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Labeled:
    """Data whose label is apart.

    Attributes:
        source: the path or name, or the frame without its label.
        truth: True for an anomaly, (rows,); None where nobody knows.
    """

    source: Any
    truth: Array | None


@dataclass(frozen=True)
class Ranking:
    """How well scores rank known anomalies.

    Attributes:
        anomalies: how many there are.
        auroc: chance that an anomaly scores above a normal row; 0.5 is none.
        average_precision: precision averaged over the anomalies; by chance their share.
    """

    anomalies: int
    auroc: float
    average_precision: float

    def text(self) -> str:
        """For people."""
        return (
            f"{self.anomalies:,} known anomalies: AUROC {self.auroc:.4f}, average precision "
            f"{self.average_precision:.4f}"
        )


def labeled_data(source: str, label: str, normal: str, table: bool = False) -> Labeled:
    """The data of a path, its column of known anomalies apart.

    Args:
        source: a path or the name of a set.
        label: name of the column; "": there is none.
        normal: its value for normal rows; "": 0 where that is one, else the most common.
        table: read a table even without a label, to be cut into windows.

    Raises:
        DataError: there is no such column (the nearest is named), or it has one value only.
    """
    path = Path(source).expanduser()
    is_table = table_suffix(path) in (*CSV_SUFFIXES, *PARQUET_SUFFIXES) and path.is_file()
    if not is_table or source in CATALOG:
        if label or table:
            raise OptionError(f"{source} is no table, so it has neither columns nor windows")
        return Labeled(source, None)
    if not (label or table):
        return Labeled(source, None)
    frame = read_frame(path)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if not label:
        return Labeled(frame, None)
    if label not in frame.columns:
        close = difflib.get_close_matches(label, list(frame.columns), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {listed(list(frame.columns))}"
        raise DataError(f"{source} has no column {label!r}; {hint}")
    return Labeled(frame.drop(columns=[label]), _truth(frame[label], normal, label))


def truth_of_classes(rows: Dataset, normal: str) -> Array:
    """True where a row's own class is another than ``normal``, (rows,).

    Raises:
        DataError: the rows have no classes.
        OptionError: none of them is called so.
    """
    if rows.label is None:
        raise DataError("these rows have no classes: say which column has them with --label")
    names = rows.schema.class_names
    if normal not in names:
        raise unknown("class", normal, names)
    return np.asarray((rows.label != names.index(normal)).numpy())


def ranking_of(truth: Array, scores: Array) -> Ranking:
    """How well ``scores`` rank ``truth``.

    Raises:
        DataError: their numbers differ, or all rows are of one kind.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if len(truth) != len(scores):
        raise DataError(f"{len(truth):,} labels for {len(scores):,} rows")
    if truth.all() or not truth.any():
        raise DataError("all rows are of one kind, so there is nothing to rank: leave --label out")
    return Ranking(
        int(truth.sum()),
        float(roc_auc_score(truth, scores)),
        float(average_precision_score(truth, scores)),
    )


def _truth(values: Any, normal: str, label: str) -> Array:
    said = values.map(_name).to_numpy()
    names, counts = np.unique(said, return_counts=True)
    if len(names) < 2:
        raise DataError(f"column {label!r} has one value only, so it tells no anomalies apart")
    if normal and normal not in names:
        raise unknown(f"value of column {label!r}:", normal, names)
    usual = normal or ("0" if "0" in names else str(names[counts.argmax()]))
    return np.asarray(said != usual)


def _name(value: Any) -> str:
    """Numbers that are whole without a fraction, booleans as 0 and 1, so that 0.0 is 0."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
