"""Scores of normal rows, with which other rows are compared.

The first available source is used: the rows of --calibrate, the state of a saved detector, or the
rows of the fit with those that it set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lowerbound.applications.anomaly.detector_file import read_state
from lowerbound.applications.anomaly.labels import truth_of_classes
from lowerbound.applications.io.fit_rows import FitRows, lost_rows, rows_of_fit
from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import joined
from lowerbound.data.sequences.windows import Reduction, Windows
from lowerbound.errors import DataError
from lowerbound.fitting import Fitted
from lowerbound.inference.anomaly.comparison import compared, learn_reference, usual_shares
from lowerbound.inference.anomaly.conformal import ConformalCalibration
from lowerbound.inference.anomaly.explanation import Shares
from lowerbound.inference.anomaly.planted import with_planted_cells
from lowerbound.inference.anomaly.reference import Reference
from lowerbound.inference.anomaly.units import SAMPLES
from lowerbound.model_folder.manifest import DETECTOR
from lowerbound.models import Model

PLANTED_ROWS = 500  # calibration rows in which anomalies are planted


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
