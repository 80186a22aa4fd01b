"""The request to find anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lowerbound.applications.common.form import (
    DataRequest,
    EngineRequest,
    OnError,
    ResumableRequest,
    unreadable,
)
from lowerbound.config import option


@dataclass(frozen=True)
class DetectRequest(DataRequest, ResumableRequest, EngineRequest):
    """Request to find the anomalies among rows."""

    output: str = option(
        "",
        "file for the score of each row: .csv, .parquet or .json",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    calibrate: str = option(
        "",
        "normal rows that the model was not fitted on (default: those set aside when it was; with "
        "--normal and without --label, those of the normal class)",
        metavar="ROWS",
        reads="data",
    )
    alpha: float | None = option(
        None,
        "share of normal rows that may be called anomalies (default: 0.01, or the smallest "
        "share that the calibration rows allow)",
    )
    score: Literal[
        "combined",
        "bound",
        "reconstruction",
        "latent",
        "neighbors",
        "mahalanobis",
        "unseen",
        "surroundings",
    ] = option(
        "combined",
        "the anomaly score; surroundings is for pictures, and the three before it for tables",
    )
    explain: int = option(
        5, "number of the most anomalous rows to explain by their most surprising features"
    )
    label: str = option("", "the table's column that marks anomalies", metavar="COLUMN")
    normal: str = option(
        "", "the label of normal rows (default: 0, or the most common one)", metavar="VALUE"
    )
    window: int | None = option(
        None,
        "rows are points in time: score windows of N points (default: as the model was fitted)",
    )
    reduce: Literal["mean", "max"] = option(
        "mean", "how the scores of a point's windows become the point's score"
    )
    on_error: OnError = unreadable()
    seed: int = option(0, "of the draws")
