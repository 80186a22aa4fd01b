"""Regression targets of rows by a semi-supervised model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.columnar_files import check_suffix, columnar, numbered
from lowerbound.applications.common.fit_rows import fitted_to
from lowerbound.applications.common.sources import open_unconditioned
from lowerbound.applications.labels.requests import PredictRequest
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.regression import BAND, RegressionQuality, judged, predictions


@dataclass(frozen=True)
class PredictReport(Report):
    """The result of a regression.

    Attributes:
        rows: number of rows.
        mean, lowest, highest: of the predictions.
        deviation: the median standard deviation.
        labeled: number of rows with a known target.
        judged: errors of the predictions of those; None: there are none.
        of_fit: whether the model was fitted to this data.
        file: the written file; "": none.
    """

    rows: int
    mean: float
    lowest: float
    highest: float
    deviation: float
    labeled: int
    judged: RegressionQuality | None
    of_fit: bool
    file: str

    def text(self) -> str:
        lines = [
            f"{self.rows:,} rows: {self.mean:.4g} on average, from {self.lowest:.4g} to "
            f"{self.highest:.4g}, give or take {self.deviation:.2g}"
            + (f": {self.file}" if self.file else "")
        ]
        if self.judged is not None:
            explained = "" if math.isnan(self.judged.r2) else f"R2 {self.judged.r2:.3f}, "
            lines.append(
                f"  of {self.labeled:,} rows whose target is known: {explained}root mean "
                f"square error {self.judged.rmse:.4g}; the band of 95 % holds "
                f"{self.judged.covered:.0%}"
            )
            if self.of_fit:
                lines.append(
                    "  the model was fitted to this data: errors of new rows may be larger"
                )
        return "\n".join(lines)


def predict(request: PredictRequest, reporter: Reporter, fitted: Fitted) -> PredictReport:
    """Mean and standard deviation of q(y | x) of every row.

    Raises:
        UnsupportedError: the model is not a regression model.
        DataError: the data is not of the kind that the model was fitted on.
        OptionError: the output's name is invalid.
    """
    if request.output:
        check_suffix(Path(request.output))
    dataset = open_unconditioned(request.data, fitted, request.on_error)
    mean, deviation = predictions(fitted.model, dataset)
    if request.output:
        half = BAND * deviation
        found = {
            "prediction": mean,
            "deviation": deviation,
            "low": mean - half,
            "high": mean + half,
        }
        with columnar(Path(request.output)) as file:
            file.add({**numbered(dataset), **{key: said.numpy() for key, said in found.items()}})
    labeled, near = judged(mean, deviation, dataset)
    return PredictReport(
        rows=len(dataset),
        mean=float(mean.mean()),
        lowest=float(mean.min()),
        highest=float(mean.max()),
        deviation=float(deviation.median()),
        labeled=labeled,
        judged=near,
        of_fit=fitted_to(request.model, request.data),
        file=request.output,
    )
