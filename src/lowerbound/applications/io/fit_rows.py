"""Which rows a model was fitted on, and which its fit set aside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from lowerbound.applications.form import OnError
from lowerbound.applications.io import fit_folder
from lowerbound.applications.io.sources import (
    DataParts,
    apart,
    conditioned,
    is_there,
    open_data,
    open_unconditioned,
)
from lowerbound.data import Dataset
from lowerbound.errors import DataError
from lowerbound.fitting import Fitted, held_out
from lowerbound.training import TrainingOptions

FEWEST_FRESH = 20  # rows held out for early stopping that are of use to anyone else


class AsksForPart(Protocol):
    """A request for rows of some data, or for those of them that a model's fit set aside."""

    @property
    def model(self) -> str: ...

    @property
    def data(self) -> str: ...

    @property
    def part(self) -> Literal["all", "test"]: ...

    @property
    def on_error(self) -> OnError: ...


def requested_parts(request: AsksForPart, fitted: Fitted) -> DataParts:
    """The rows that a request names as the test part, and the others as the training part.

    Where the request names no part, all rows are the training part and there is no test part.

    Args:
        request: says which rows, and by whose fit they were set aside.
        fitted: whose schema the rows are read by.

    Raises:
        DataError: the data cannot be read, or no test part of it is known.
    """
    dataset = open_unconditioned(request.data, fitted, request.on_error)
    if request.part == "all":
        return DataParts(dataset, None, "all there are")
    fit = fit_folder.remembered(Path(request.model)) or {}
    try:
        share, seed = float(fit["test"]), int(fit["fitting"]["training"]["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{request.model} does not say which rows were set aside when it was fitted, so there "
            "is no --part test"
        ) from error
    parts = apart(request.data, dataset, share, seed, request.on_error)
    if parts.test is None:
        raise DataError(f"no rows of {request.data} were set aside: leave out --part test")
    return parts


def requested(parts: DataParts) -> Dataset:
    """Of ``requested_parts``, the rows that the request names."""
    return parts.training if parts.test is None else parts.test


@dataclass(frozen=True)
class FitRows:
    """Rows by what a fit did with them.

    Attributes:
        seen: that the model was trained on.
        fresh: held out for early stopping; None where they are too few.
        apart: that nothing was fitted or chosen on; None where there are none.
        origin: where they are from, in words.
    """

    seen: Dataset
    fresh: Dataset | None
    apart: Dataset | None
    origin: str


def rows_of_fit(fitted: Fitted, folder: str) -> FitRows | None:
    """The rows that the model in a folder was fitted on, and those set aside.

    None where they have moved, or where no fit of this user on this machine recorded them: a
    folder from elsewhere does not say which data is opened.

    Raises:
        DataError: they are there and cannot be read, or are other data by now.
    """
    request = fit_folder.recorded(Path(folder))
    if request is None or not is_there(request["data"]):
        return None
    source, on_error = request["data"], request["reading"]["on_error"]
    options = fitted.options.training
    try:
        dataset = open_unconditioned(source, fitted, on_error)
        parts = apart(source, dataset, request["test"], options.seed, on_error)
    except DataError as error:
        raise DataError(
            f"{folder} was fitted on {source}, which cannot be read as it was then: {error}; "
            "restore it, or move it away to go on without it"
        ) from error
    seen, fresh = seen_and_fresh(conditioned(parts.training, fitted), options)
    aside = None if parts.test is None else conditioned(parts.test, fitted)
    return FitRows(seen, fresh, aside, parts.protocol)


def seen_and_fresh(training: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """The rows that a fit trained on, and those that it held out; None where those are too few.

    Args:
        training: the very rows of the fit: the same split is made again.
        options: of its training.
    """
    seen, fresh = held_out(training, options)
    if fresh is None or len(fresh) < FEWEST_FRESH:
        return training, None
    return seen, fresh


class NamesData(Protocol):
    """A request that names a model folder and data."""

    @property
    def model(self) -> str: ...

    @property
    def data(self) -> str: ...

    @property
    def on_error(self) -> OnError: ...


def training_rows(request: NamesData, fitted: Fitted) -> Dataset:
    """The rows of the data, without those that the model's fit set aside where it is the same data.

    Raises:
        DataError: the data cannot be read or is of another kind than the model's.
    """
    fit = fit_folder.recorded(Path(request.model))
    if fit is None or Path(fit["data"]).resolve() != Path(request.data).resolve():
        return open_data(request.data, fitted, on_error=request.on_error)
    dataset = open_unconditioned(request.data, fitted, request.on_error)
    seed = fitted.options.training.seed
    parts = apart(request.data, dataset, fit["test"], seed, request.on_error)
    return conditioned(parts.training, fitted)
