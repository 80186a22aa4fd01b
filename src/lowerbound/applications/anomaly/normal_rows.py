"""The rows with which a detector compares others: normal ones, known anomalies, planted ones.

Scores of normal rows come from the first available source: the rows of --calibrate, the state of a
saved detector, or the rows of the fit with those that it set aside. Known anomalies, and planted
ones where there are none, show how well scores rank.

A planted anomaly is a normal row of a table in which a fifth of the cells, at least one, comes from
other rows. Every cell is then usual, and the row is not, so a score finds it only if it knows how
the columns depend on each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowerbound.applications.anomaly.conformal import ConformalCalibration
from lowerbound.applications.anomaly.detector_file import read_state
from lowerbound.applications.anomaly.reference import (
    Reference,
    compared,
    learn_reference,
    usual_shares,
)
from lowerbound.applications.common.fit_rows import FitRows, lost_rows, rows_of_fit
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset, joined
from lowerbound.data.sequences.windows import Reduction, Windows
from lowerbound.errors import DataError, OptionError, unknown
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.manifest import DETECTOR
from lowerbound.inference.shares import SAMPLES, Shares
from lowerbound.models.base import Model

UNLABELED = -1  # code of a row whose label is missing
SHARE = 0.2  # of the cells of a row
PLANTED_ROWS = 500  # calibration rows in which anomalies are planted


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


def with_planted_cells(rows: Dataset, seed: int) -> Dataset:
    """The rows of a table with planted cells; equal cells may be exchanged for each other.

    Args:
        rows: at least two normal rows.
        seed: of the draws.
    """
    draws = torch.Generator().manual_seed(seed)
    count, columns = len(rows), rows.x.shape[1]
    at = torch.rand(count, columns, generator=draws) < SHARE
    at[torch.arange(count), torch.randint(columns, (count,), generator=draws)] = True
    other = torch.randint(1, count, (count, columns), generator=draws)
    other = (torch.arange(count)[:, None] + other) % count
    x = torch.where(at, rows.x.gather(0, other), rows.x)
    observed = rows.observed
    if observed is not None:
        observed = torch.where(at, observed.gather(0, other), observed)
    return replace(rows, x=x, observed=observed, unseen=None, beyond=None)


@dataclass(frozen=True)
class Normal:
    """How a model scores normal rows.

    Attributes:
        reference: their scores and decoded positions.
        calibration: scores of rows that nothing was fitted on; None if there are none.
        points: the same of the points of a series, which differ from those of windows in their
            spread; None for other rows, and for windows without an order.
        usual: the average shares of a row.
        origin: the source of the rows, in words.
        planted: by score, how well it finds normal rows of a table with cells of other rows: the
            area under the ROC curve beside the calibration rows; empty without them.
        samples: as for ``raw_scores``, of these scores and of those that are compared with them.
    """

    reference: Reference
    calibration: ConformalCalibration | None
    usual: Shares
    origin: str
    planted: Mapping[str, float] = field(default_factory=dict)
    points: ConformalCalibration | None = None
    samples: int = SAMPLES

    @property
    def deciding(self) -> ConformalCalibration | None:
        """The calibration of what is reported: points or rows."""
        return self.points or self.calibration


@dataclass(frozen=True)
class WindowedSeries:
    """Rows are windows, in order.

    Attributes:
        windows: of the rows that are scored, and of those of --calibrate.
        reduce: combines the scores of windows to those of their points.
        given: number of points of --calibrate; None if it is not a series.
    """

    windows: Windows
    reduce: Reduction
    given: int | None = None

    def calibration(self, scores: Array, windows: Windows) -> ConformalCalibration:
        """The calibration of points, from the scores of consecutive windows, the last ones.

        The place of the windows of the fit is unknown, so they count as those that begin a series.
        """
        points = windows.covered(len(scores)) if self.given is None else self.given
        found = windows.points(scores, points, self.reduce)
        return ConformalCalibration.of(found, dependent=windows.length)


def normal_of(
    fitted: Fitted,
    folder: str,
    given: Dataset | None,
    kind: str,
    seed: int = 0,
    series: WindowedSeries | None = None,
    normal_class: str = "",
) -> Normal:
    """The scores of normal rows by a fitted model.

    Args:
        fitted: the model.
        folder: its folder, which may contain a detector and records the rows of the fit.
        given: normal rows of --calibrate, which the model was not fitted on.
        kind: the score that is calibrated.
        seed: of the draws.
        series: how the rows of a series are cut; None for other rows.
        normal_class: that of normal rows, the only one whose held-out rows calibrate; "": all do.

    Raises:
        DataError: no normal rows are known; the message says how to give some.
        UnsupportedError: the model or the data does not have the score.
    """
    if given is None and (Path(folder) / DETECTOR).exists():
        state, parameters = read_state(Path(folder))
        state.reference.check(kind)
        same = parameters["criterion"] == kind
        return Normal(
            state.reference,
            state.calibration if same else None,
            state.usual,
            "the detector's own rows",
            samples=int(parameters["n_importance"]),
        )
    rows = _rows(fitted, folder, given, seed, series)
    if normal_class and given is None:
        rows = _calibrated_by_class(rows, normal_class)
    usual = usual_shares(fitted.model, rows.seen, seed=seed)
    reference = learn_reference(fitted.model, rows.seen, rows.fresh, usual=usual, seed=seed)
    reference.check(kind)
    calibration, points, planted = None, None, {}
    if rows.apart is not None:
        scores = compared(fitted.model, reference, rows.apart, seed=seed)
        calibration = ConformalCalibration.of(scores[kind])
        if series is not None:
            ordered = fitted.schema.windows if given is None else series.windows
            points = None if ordered is None else series.calibration(scores[kind], ordered)
        if reference.inputs is not None and len(rows.apart) > 1:
            planted = _finding_planted(fitted.model, reference, rows.apart, seed)
    return Normal(reference, calibration, usual, rows.origin, planted, points)


def _finding_planted(
    model: Model, reference: Reference, apart: Dataset, seed: int
) -> dict[str, float]:
    """By score, the area under the ROC curve of planted anomalies beside calibration rows."""
    from sklearn.metrics import roc_auc_score

    rows = apart.thinned(PLANTED_ROWS)
    both = joined([rows, with_planted_cells(rows, seed)])
    found = compared(model, reference, both, seed=seed)
    truth = np.arange(len(both)) >= len(rows)
    # scores of a model that overflows may be infinite; only their order counts
    return {name: float(roc_auc_score(truth, np.nan_to_num(s))) for name, s in found.items()}


def _rows(
    fitted: Fitted, folder: str, given: Dataset | None, seed: int, series: WindowedSeries | None
) -> FitRows:
    known = rows_of_fit(fitted, folder)
    if given is None:
        if known is None:
            raise DataError(
                f"{lost_rows(folder)}: give normal rows that it was not fitted on with --calibrate"
            )
        return known
    counted = f"{len(given):,} {'rows' if series is None else 'windows'}"
    if known is None:
        if len(given) < 4:
            raise DataError(f"--calibrate has {counted}, and it takes at least 4")
        seen, calibrating = _halves(given, seed, series)
        where = f"{counted} of --calibrate, half to compare with"
        return FitRows(seen, None, calibrating, where)
    return FitRows(known.seen, known.fresh, given, f"{counted} of --calibrate")


def _calibrated_by_class(rows: FitRows, name: str) -> FitRows:
    """The rows of a fit without the held-out rows of other classes.

    These are anomalies: their scores would raise the threshold, and its rate would not be that of
    normal rows.
    """
    if rows.apart is None:
        return rows
    normal = np.flatnonzero(~truth_of_classes(rows.apart, name))
    if not len(normal):
        return replace(rows, apart=None, origin=f"the rows of the fit, none held out of {name!r}")
    return replace(rows, apart=rows.apart.subset(normal), origin=f"held-out rows of {name!r}")


def _halves(given: Dataset, seed: int, series: WindowedSeries | None) -> tuple[Dataset, Dataset]:
    """Two halves; those of a series follow each other and share no point, if it is long enough."""
    if series is None:
        return given.split(0.5, seed)
    middle = len(given) // 2
    before = series.windows.before(middle) or middle
    return given.subset(list(range(before))), given.subset(list(range(middle, len(given))))
