"""Known anomalies, and how well scores rank them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.errors import DataError, OptionError, unknown

UNLABELED = -1  # code of a row whose label is missing


@dataclass(frozen=True)
class Ranking:
    """How well scores rank known anomalies.

    Attributes:
        anomalies: their number.
        auroc: probability that an anomaly scores above a normal row; 0.5 is chance.
        average_precision: precision averaged over the anomalies; their share is chance.
        unlabeled: number of rows without a label, which are left out.
    """

    anomalies: int
    auroc: float
    average_precision: float
    unlabeled: int = 0

    def text(self) -> str:
        """A line of the report."""
        left_out = f", without {self.unlabeled:,} rows that have no label" if self.unlabeled else ""
        return (
            f"{self.anomalies:,} known anomalies: AUROC {self.auroc:.4f}, average precision "
            f"{self.average_precision:.4f}{left_out}"
        )


class KnownAnomalies:
    """The labels of known anomalies, collected chunk by chunk without the rows.

    Args:
        column: the column of the labels; "": the rows' own classes.
        normal: the label of normal rows; "": 0 if there is one, otherwise the most common label.
    """

    def __init__(self, column: str, normal: str) -> None:
        self.column, self.normal = column, normal
        self._index: dict[str, int] = {}
        self._codes: list[Array] = []

    @property
    def wanted(self) -> bool:
        """Whether --label or --normal is set."""
        return bool(self.column or self.normal)

    @property
    def decided(self) -> bool:
        """Whether the rows so far contain both normal rows and anomalies."""
        return len(self._index) > 1 and self.normal in ("", *self._index)

    def add(self, values: Any, rows: Dataset) -> None:
        """Add the column's values, a pandas series, or the classes of some rows.

        Raises:
            DataError: the rows have no classes.
            OptionError: no class has the name of the normal one.
        """
        missing = np.zeros(len(rows) if values is None else len(values), dtype=bool)
        if self.column:
            said, missing = values.map(_name).to_numpy().astype(str), values.isna().to_numpy()
        else:
            said = np.where(truth_of_classes(rows, self.normal), "", self.normal)
        names, places = np.unique(said[~missing], return_inverse=True)
        codes = [self._index.setdefault(str(name), len(self._index)) for name in names]
        found = np.full(len(missing), UNLABELED, dtype=np.int32)
        found[~missing] = np.array(codes, dtype=np.int32)[places]
        self._codes.append(found)

    def ranking(self, scores: Array) -> Ranking:
        """How well ``scores``, (rows,), rank the rows that have a label.

        Raises:
            DataError, OptionError: as for ``anomalies``.
        """
        labeled = np.concatenate(self._codes) != UNLABELED
        ranking = ranking_of(self.anomalies()[labeled], scores[labeled])
        return replace(ranking, unlabeled=int((~labeled).sum()))

    def anomalies(self) -> Array:
        """The mask of anomalies among all rows, (rows,); False without a label.

        Raises:
            DataError: the column has only one value, or all rows are normal, or none is.
            OptionError: no value equals the normal one.
        """
        codes = np.concatenate(self._codes)
        names = list(self._index)
        if len(names) < 2:
            what = f"column {self.column!r} has one value only"
            if not self.column:
                which = "all" if self.normal in names else "none"
                what = f"{which} of the rows are of the class {self.normal!r}"
            raise DataError(
                f"{what}, so it does not separate anomalies from normal rows: leave --label or "
                "--normal out"
            )
        if self.column and self.normal and self.normal not in names:
            raise unknown(f"value of column {self.column!r}:", self.normal, names)
        counts = np.bincount(codes[codes != UNLABELED], minlength=len(names))
        common = min(names, key=lambda name: (-counts[self._index[name]], name))
        usual = self.normal or ("0" if "0" in names else common)
        return np.asarray((codes != self._index[usual]) & (codes != UNLABELED))


def truth_of_classes(rows: Dataset, normal: str) -> Array:
    """True if a row's own class is not ``normal``, (rows,).

    Raises:
        DataError: the rows have no classes.
        OptionError: no class has this name, or the model was fitted without classes.
    """
    if rows.label is None:
        raise DataError(
            "these rows have no classes: name a table's column of them with --label, or leave "
            "--normal out"
        )
    names = rows.schema.class_names
    if not names:
        raise OptionError(
            f"--normal {normal} is not a class of the model, because it was fitted on data without "
            "classes: leave --normal out, or fit a folder whose subfolders name the classes"
        )
    if normal not in names:
        raise unknown("class", normal, names)
    return np.asarray((rows.label != names.index(normal)).numpy())


def ranking_of(truth: Array, scores: Array) -> Ranking:
    """How well ``scores`` rank ``truth``.

    Raises:
        DataError: the lengths differ, or all rows are of one kind.
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


def _name(value: Any) -> str:
    """The text of a label: whole numbers without a fraction, booleans as 0 and 1."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
