"""Scores of normal rows, with which other rows are compared.

The first available source is used: the rows of --calibrate, the state of a saved detector, or the
rows of the fit with those that it set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.anomaly.detector_file import NAME, read_state
from lowerbound.applications.io.fit_rows import FitRows, rows_of_fit
from lowerbound.data import Dataset
from lowerbound.errors import DataError
from lowerbound.fitting import Fitted
from lowerbound.inference.anomaly.conformal import ConformalCalibration
from lowerbound.inference.anomaly.explanation import Shares, shares
from lowerbound.inference.anomaly.scores import (
    MOST_REFERENCES,
    SAMPLES,
    Reference,
    combination,
    raw_scores,
)
from lowerbound.models import Model

USUAL_ROWS = 1_000  # rows for the average share of a feature


@dataclass(frozen=True)
class Normal:
    """How a model scores normal rows.

    Attributes:
        reference: their scores and decoded positions.
        calibration: scores of rows that nothing was fitted on; None if there are none.
        usual: the average shares of a row.
        origin: the source of the rows, in words.
    """

    reference: Reference
    calibration: ConformalCalibration | None
    usual: Shares
    origin: str


def normal_of(
    fitted: Fitted, folder: str, given: Dataset | None, kind: str, seed: int = 0
) -> Normal:
    """The scores of normal rows by a fitted model.

    Args:
        fitted: the model.
        folder: its folder, which may contain a detector and records the rows of the fit.
        given: normal rows of --calibrate, which the model was not fitted on.
        kind: the score that is calibrated.
        seed: of the draws.

    Raises:
        DataError: no normal rows are known; the message says how to give some.
    """
    if given is None and (Path(folder) / NAME).exists():
        state, parameters = read_state(Path(folder))
        same = parameters["criterion"] == kind
        calibration = state.calibration if same else None
        return Normal(state.reference, calibration, state.usual, "the detector's own rows")
    rows = _rows(fitted, folder, given, seed)
    seen = raw_scores(fitted.model, rows.seen.thinned(MOST_REFERENCES), samples=SAMPLES, seed=seed)
    fresh = None if rows.fresh is None else raw_scores(fitted.model, rows.fresh, seed=seed)
    reference = Reference.of(seen, fresh, combined=combination(rows.seen))
    calibration = None
    if rows.apart is not None:
        scores = reference.scores(raw_scores(fitted.model, rows.apart, seed=seed), kind)
        calibration = ConformalCalibration.of(scores)
    usual = usual_shares(fitted.model, rows.seen, samples=SAMPLES, seed=seed)
    return Normal(reference, calibration, usual, rows.origin)


def usual_shares(model: Model, rows: Dataset, *, samples: int, seed: int) -> Shares:
    """The average share of each feature, from some of the rows."""
    return shares(model, rows.thinned(USUAL_ROWS), samples=samples, seed=seed).mean()


def _rows(fitted: Fitted, folder: str, given: Dataset | None, seed: int) -> FitRows:
    known = rows_of_fit(fitted, folder)
    if given is None:
        if known is None:
            raise DataError(
                f"the rows that {folder} was fitted on have moved, or no fit of yours on this "
                "machine recorded them: give normal rows that it was not fitted on with --calibrate"
            )
        return known
    if known is None:
        if len(given) < 4:
            raise DataError(f"--calibrate has {len(given)} rows, and it takes at least 4")
        seen, calibrating = given.split(0.5, seed)
        where = f"{len(given):,} rows of --calibrate, half to compare with"
        return FitRows(seen, None, calibrating, where)
    return FitRows(known.seen, known.fresh, given, f"{len(given):,} rows of --calibrate")
