"""``lowerbound imputer``: fit a model of a table that fills its missing cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.form import typed
from lowerbound.applications.restoration.imputer_files import write_calibration, write_trees
from lowerbound.applications.restoration.imputer_fit import (
    HiddenError,
    ImputerFit,
    fit_imputer,
    imputation_options,
)
from lowerbound.applications.restoration.requests import ImputerRequest
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.determined import Dependencies
from lowerbound.data.loading import load
from lowerbound.errors import DataError, counted
from lowerbound.fitting import folder as model_folder
from lowerbound.training.loop import Interrupted
from lowerbound.training.reporter import History

MOST_LINES = 40  # columns in the printed report


@dataclass(frozen=True)
class ImputerReport(Report):
    """A model that fills missing cells.

    Attributes:
        model: the model folder.
        rows: number of rows that it was fitted to.
        missing: share of their cells that are missing.
        with_trees: number of columns with trees.
        with_means: number of columns whose trees see means of groups of rows.
        found: sentences on columns that another determines.
        hidden: how well cells that were hidden from a first fit were filled, by column; empty if
            there were too few to hide.
    """

    model: str
    rows: int
    missing: float
    with_trees: int
    with_means: int
    found: tuple[str, ...]
    hidden: Mapping[str, HiddenError]

    def text(self) -> str:
        lines = [f"rows:    {self.rows:,}, of whose cells {self.missing:.1%} are missing"]
        if self.with_trees:
            means = f", {self.with_means} of which see means of groups" if self.with_means else ""
            lines.append(f"trees:   of {counted(self.with_trees, 'column')}{means}")
        for number, sentence in enumerate(self.found):
            lines.append(f"{'' if number else 'found:':<9}{sentence}")
        lines += self._errors()
        lines.append(f"model:   {self.model}")
        return "\n".join(lines)

    def _errors(self) -> list[str]:
        if not self.hidden:
            return ["hidden:  too few cells to hide some, so no errors are known"]
        width = max(map(len, self.hidden))
        lines = [
            "hidden:  errors of cells that a first fit did not see: of numbers in standard",
            "         deviations, beside the column's mean; of levels the share of wrong ones,",
            "         beside the most frequent level",
        ]
        for name, each in islice(self.hidden.items(), MOST_LINES):
            cells = f"{each.cells:>6,} cells"
            lines.append(f"  {name:{width}} {cells}  {each.error:.3f}  ({each.usual:.3f})")
        if len(self.hidden) > MOST_LINES:
            lines.append(f"  and {len(self.hidden) - MOST_LINES:,} more columns (--json has all)")
        return lines


def imputer(request: ImputerRequest, reporter: Reporter) -> ImputerReport:
    """Fit an imputer of a table and write its folder.

    Raises:
        DataError: the data is no table, or cannot be read or modeled.
        OptionError: a kind is unknown, or a number is invalid.
        ModelFolderError: the folder holds something else, or a model that must not be replaced.
        Interrupted: Ctrl-C; the message names how to continue.
    """
    folder = Path(request.output)
    fit_folder.check_startable(folder, resume=request.resume, overwrite=request.overwrite)
    dataset = _read(request)
    reporter.say(
        f"{request.data}: {counted(len(dataset), 'row')} of "
        f"{counted(len(dataset.schema.columns), 'column')}"
    )
    training = {"minutes": request.minutes, "seed": request.seed, "device": request.device}
    options = imputation_options(dataset, {}, training)
    try:
        found = fit_imputer(
            dataset,
            options,
            with_errors=True,
            folder=folder,
            resume=request.resume,
            reporter=reporter.training(),
            say=reporter.say,
        )
    except KeyboardInterrupt as interruption:
        again = typed("imputer", replace(request, resume=True, overwrite=False))
        where = str(interruption) or "interrupted"  # between the trainings, or at a second signal
        history = getattr(interruption, "history", History())
        raise Interrupted(fit_folder.way_on(folder, where, again), history) from None

    def beside(place: Path) -> None:
        write_calibration(place, found.calibration)
        write_trees(place, found.trees)

    model_folder.write(folder, found.fitted, beside)
    return _report(request, dataset, found)


def _read(request: ImputerRequest) -> Dataset:
    """The rows.

    Raises:
        DataError: they are no table.
    """
    dataset = load(request.data, missing="model", kinds=request.kinds, dialect=request.file.dialect)
    if not (dataset.schema.columns and dataset.schema.data_kind.matrix):
        raise DataError(
            f"{request.data} holds {dataset.schema.summary}, and no table: a model of "
            "lowerbound fit --missing model fills missing cells of it"
        )
    return dataset


def _report(request: ImputerRequest, dataset: Dataset, found: ImputerFit) -> ImputerReport:
    return ImputerReport(
        model=request.output,
        rows=len(dataset),
        missing=dataset.missing_share,
        with_trees=0 if found.trees is None else len(found.trees.trees),
        with_means=0 if found.trees is None else len(found.trees.means),
        found=Dependencies.of(found.fitted.schema).summaries,
        hidden=found.hidden,
    )
