"""The requests to predict classes and numbers."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.applications.common.form import (
    DataRequest,
    EngineRequest,
    OnError,
    ResumableRequest,
    unreadable,
)
from lowerbound.config import option


@dataclass(frozen=True)
class ClassifyRequest(DataRequest, ResumableRequest, EngineRequest):
    """Request to classify rows."""

    output: str = option(
        "",
        "file for each row's class, the probability of each class, and the nats of information "
        "that its label would give: .csv, .parquet or .json",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    abstain: float = option(0.0, "probability below which a row gets no class")
    suggest: int = option(
        10, "number of rows to suggest for labeling, most informative first", formerly="ask"
    )
    on_error: OnError = unreadable()


@dataclass(frozen=True)
class PredictRequest(DataRequest):
    """Request to predict a number for each row."""

    output: str = option(
        "",
        "file for each row's prediction, its standard deviation and 95 % band: .csv, "
        ".parquet or .json",
        short="-o",
        metavar="OUT",
        writes=True,
    )
    on_error: OnError = unreadable()
