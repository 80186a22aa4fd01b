"""The rows that a model was fitted on, and the rows that its fit held out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.form import OnError
from lowerbound.applications.common.sources import (
    DataParts,
    SetAside,
    apart,
    conditioned,
    is_there,
    located,
    open_data,
    open_unconditioned,
    same_source,
)
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.data.pictures.folders import look_at
from lowerbound.data.pictures.pixels import dimensions
from lowerbound.data.pictures.whole import picture_paths
from lowerbound.data.protection.record import is_protected
from lowerbound.data.schema import Schema
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted, held_out
from lowerbound.training.options import TrainingOptions

FEWEST_FRESH = 20  # least number of validation rows that are useful as held-out rows
SET_ASIDE = "set_aside"  # what a recorded request says about the rows that the fit set aside
SAMPLED_ROWS = 64
SAME_ROWS = 0.75  # share of sampled rows that agree: other processors may round a few otherwise


class AsksForPart(Protocol):
    """A request for all rows of some data, or for the test part of a model's fit."""

    @property
    def model(self) -> str: ...

    @property
    def data(self) -> str: ...

    @property
    def part(self) -> Literal["all", "test"]: ...

    @property
    def on_error(self) -> OnError: ...


def requested_parts(request: AsksForPart, fitted: Fitted, of_another: bool = False) -> DataParts:
    """The test part of a request's data as test rows, and the other rows as training rows.

    If the request names no part, all rows are training rows and there is no test part.

    Args:
        request: the data, the part, and the model whose fit defines the test part.
        fitted: the model whose schema reads the rows.
        of_another: whether that is another model than the request's, so that its rows may differ
            from those of the fit by their schema alone.

    Raises:
        DataError: the data cannot be read, or its test part is unknown.
        OptionError: the data is not that of the fit.
    """
    dataset = open_unconditioned(request.data, fitted, request.on_error)
    if request.part == "all":
        return DataParts(dataset, None, "all there are")
    fit = fit_folder.remembered(Path(request.model)) or {}
    try:
        test = _test_part(fit, int(fit["fitting"]["training"]["seed"]), fitted)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{request.model} does not record which rows were set aside when it was fitted: leave "
            "out --part test"
        ) from error
    parts = apart(request.data, dataset, test, request.on_error)
    if parts.test is None:
        raise DataError(f"no rows of {request.data} were set aside: leave out --part test")
    if not of_another:
        _check_set_aside(request.data, parts, fit.get(SET_ASIDE))
    return parts


def set_aside_rows(parts: DataParts) -> dict[str, Any]:
    """What identifies the test part of a fit, as JSON values: the number of all rows, and a hash
    of each of some test rows, evenly spaced. Labels and the format of the file do not matter."""
    if parts.test is None:
        return {}
    rows = len(parts.training) + len(parts.test)
    return {SET_ASIDE: {"rows": rows, "test": " ".join(_row_hashes(parts.test))}}


def _row_hashes(dataset: Dataset) -> list[str]:
    index = spread_rows(len(dataset), SAMPLED_ROWS).to(dataset.x.device)
    values = dataset.x.index_select(0, index).cpu()
    if values.is_floating_point():  # few digits, because the last ones depend on the processor
        values = values.bfloat16().float() + 0.0  # 0.0: no negative zero
    content = [values.flatten(1).numpy()]
    if dataset.observed is not None:
        content.append(dataset.observed.index_select(0, index).cpu().flatten(1).numpy())
    return [
        hashlib.sha256(b"".join(row.tobytes() for row in each)).hexdigest()[:8]
        for each in zip(*content, strict=True)
    ]


def _check_set_aside(source: str, parts: DataParts, then: Any) -> None:
    """Check that the test part is that of the fit, as far as the fit recorded it.

    Raises:
        OptionError: it is another, so it may hold training rows.
    """
    difference = _difference(parts, then)
    if difference:
        raise OptionError(f"{source} is not the data of the fit ({difference}): leave --part out")


def _difference(parts: DataParts, then: Any) -> str:
    """How the test part differs from that of the fit, as far as the fit recorded it; "": it does
    not."""
    recorded = then if isinstance(then, Mapping) else {}
    rows, hashes = recorded.get("rows"), recorded.get("test")
    if not isinstance(rows, int) or not isinstance(hashes, str) or parts.test is None:
        return ""  # a folder from before this was recorded, or of a private fit
    if parts.test.schema.windows is not None and not parts.test.schema.columns:
        return ""  # clips are fitted in windows that overlap, and read end to end after that
    now = set_aside_rows(parts)[SET_ASIDE]
    if rows != now["rows"]:
        return f"{now['rows']:,} rows, the fit read {rows:,}"
    if is_protected(parts.test.schema):
        return ""  # rare values were replaced for the fit alone
    before, after = hashes.split(), now["test"].split()
    same = sum(map(str.__eq__, before, after))
    if len(before) == len(after) and same >= SAME_ROWS * len(after):
        return ""
    return "other rows, or the same rows in another order"


def _test_part(request: Mapping[str, Any], seed: int, fitted: Fitted) -> SetAside:
    """The test part of the fit with this request."""
    share = None if request["test"] is None else float(request["test"])
    return SetAside.of(share, seed, fitted.options.model.infers_label)


def requested(parts: DataParts) -> Dataset:
    """The rows of ``requested_parts`` that the request names."""
    return parts.training if parts.test is None else parts.test


@dataclass(frozen=True)
class FitRows:
    """The rows of a fit.

    Attributes:
        seen: training rows.
        fresh: validation rows, held out for early stopping; None if they are too few.
        apart: test rows; None if there are none.
        origin: source of the test part, in words.
    """

    seen: Dataset
    fresh: Dataset | None
    apart: Dataset | None
    origin: str


def fitted_to(model: str, data: str) -> bool:
    """Whether a model folder records that the model was fitted to this data."""
    folder = Path(model)
    fit = fit_folder.recorded(folder) or fit_folder.remembered(folder) or {}
    return isinstance(fit.get("data"), str) and same_source(source_of(fit), data)


def source_of(fit: Mapping[str, Any]) -> str:
    """The data of a fit by its request, with an absolute path if its directory is recorded."""
    return located(fit["data"], fit.get(fit_folder.DIRECTORY, ""))


def rows_of_fit(fitted: Fitted, folder: str) -> FitRows | None:
    """The rows that the model in a folder was fitted on, and the rows that its fit held out.

    None if the data was moved, or if no fit of this user on this machine recorded it, because a
    folder from another user must not choose which data is opened. Warnings about this data are
    left out: the fit gave them, and the caller reads other data, too.

    Raises:
        DataError: the data exists, but cannot be read or has changed.
    """
    request = fit_folder.recorded(Path(folder))
    if request is None or not is_there(source_of(request)):
        return None
    source, on_error = source_of(request), request["reading"]["on_error"]
    options = fitted.options.training
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            dataset = open_unconditioned(source, fitted, on_error)
            parts = apart(source, dataset, _test_part(request, options.seed, fitted), on_error)
    except DataError as error:
        raise DataError(
            f"{folder} was fitted on {source}, which cannot be read as it was then: {error}; "
            "restore it, or move it away to go on without it"
        ) from error
    if difference := _difference(parts, request.get(SET_ASIDE)):
        raise DataError(
            f"{folder} was fitted on {source}, which has changed since ({difference}): restore it, "
            "or move it away to go on without it"
        )
    seen, fresh = seen_and_fresh(conditioned(parts.training, fitted), options)
    aside = None if parts.test is None else conditioned(parts.test, fitted)
    return FitRows(seen, fresh, aside, parts.protocol)


def lost_rows(folder: str) -> str:
    """Why ``rows_of_fit`` has no rows, in words."""
    request = fit_folder.recorded(Path(folder))
    if request is None:
        return f"no fit of yours on this machine recorded the rows that {folder} was fitted on"
    return f"{folder} was fitted on {source_of(request)}, which is not there"


def seen_and_fresh(training: Dataset, options: TrainingOptions) -> tuple[Dataset, Dataset | None]:
    """The training rows and the validation rows of a fit; None if the latter are too few.

    Args:
        training: the rows of the fit, from which the same split is made again.
        options: options of its training.
    """
    seen, fresh = held_out(training, options)
    if fresh is None or len(fresh) < FEWEST_FRESH:
        return training, None
    return seen, fresh


class NamesData(Protocol):
    """A request that names a model folder and data to train a part of the model on."""

    @property
    def model(self) -> str: ...

    @property
    def data(self) -> str: ...

    @property
    def allow_resize(self) -> bool: ...

    @property
    def on_error(self) -> OnError: ...


def training_and_test_rows(
    request: NamesData,
    fitted: Fitted,
    prompted: Callable[[Dataset], Dataset] = lambda dataset: dataset,
) -> tuple[Dataset, Dataset | None]:
    """The rows of the data, apart from those that the model's fit set aside, and these; None if
    the data is not that of the fit.

    Args:
        request: names the model and the data.
        fitted: the model.
        prompted: adds prompts to all rows of the data, before some are set aside.

    Raises:
        DataError: the data cannot be read, is of another kind than the model's, or is pictures of
            another size or in color without ``allow_resize``, unless the fit read them too.
    """
    fit = fit_folder.recorded(Path(request.model))
    if fit is None or not same_source(source_of(fit), request.data):
        _check_pictures(request, fitted.schema)
        return prompted(open_data(request.data, fitted, on_error=request.on_error)), None
    dataset = prompted(open_unconditioned(request.data, fitted, request.on_error))
    aside = _test_part(fit, fitted.options.training.seed, fitted)
    parts = apart(request.data, dataset, aside, request.on_error)
    test = None if parts.test is None else conditioned(parts.test, fitted)
    return conditioned(parts.training, fitted), test


def _check_pictures(request: NamesData, schema: Schema) -> None:
    """Check that picture files are like the model's pictures, or may be made like them.

    Raises:
        DataError: a picture has another size, or color that the model does not have.
    """
    if request.allow_resize or schema.image is None or not schema.image.resizes:
        return
    channels, height, width = schema.event_shape
    for path in picture_paths(str(Path(request.data).expanduser())):
        found = look_at([path])
        others = [f"{dimensions(size)} pixels" for size in found.sizes if size != (height, width)]
        others += ["color"] if found.colored and channels == 1 else []
        if others:
            raise DataError(
                f"{path} has {' and '.join(others)}, and {request.model} was fitted to "
                f"{'grey' if channels == 1 else 'color'} pictures of {width}x{height}: give "
                "pictures like those, or add --allow-resize to train on pictures that are made so"
            )
