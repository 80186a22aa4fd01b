"""Search the latent space of a model for rows with a high score, and judge each one truly."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import durable
from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.columnar_files import check_suffix, columnar
from lowerbound.applications.common.parts import FinishedParts, finished_parts, stamp
from lowerbound.applications.common.sources import open_data
from lowerbound.applications.design.engine import MOST_KNOWN, Designer, SearchOptions
from lowerbound.applications.design.figures import figure_paths, write_figures
from lowerbound.applications.design.goals import DesignTask, Goal, HeadQuality
from lowerbound.applications.design.kept_values import kept_values
from lowerbound.applications.design.quantities import (
    files_of,
    further_goal,
    limit,
    quantity,
    similar,
)
from lowerbound.applications.design.requests import LEAST, DesignRequest
from lowerbound.applications.design.result import Candidate, DesignResult
from lowerbound.applications.design.retraining import search_and_retrain
from lowerbound.applications.design.rows import MoleculeRows, RowForm, row_form
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset, joined
from lowerbound.data.loading import load
from lowerbound.data.sciences.molecules import KnownMolecules
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import DataError, OptionError
from lowerbound.fitting.fitted import Fitted


@dataclass(frozen=True)
class Designed:
    """One accepted row.

    Attributes:
        row: its text, or the cells of a table's row.
        score: true score.
        predicted: predicted score; NaN for a method without predictions.
        values: true values by name of the quantity.
        call: number of the call.
        known: whether DATA has the same row.
    """

    row: Any
    score: float
    predicted: float
    values: dict[str, float]
    call: int
    known: bool


@dataclass(frozen=True)
class DesignReport(WrittenReport):
    """A search.

    Attributes:
        method: its name.
        calls: calls of the objective that were made.
        proposals: number of proposals.
        rejected: of these, proposals without a score.
        quality: of the predictions, on rows of DATA that they were not trained on.
        best_known: highest score in DATA.
        auc_top10: area under the mean of the best ten scores so far, per call (PMO).
        gap: predicted minus true score, mean over the twenty highest predictions.
        inside: share of the distinct accepted rows within the tolerance of the target; NaN
            without a target.
        columns: names of the cells of a row; "text" for rows that are texts.
        best: best distinct rows.
    """

    method: str
    calls: int
    proposals: int
    rejected: int
    quality: tuple[HeadQuality, ...]
    best_known: float
    auc_top10: float
    gap: float
    inside: float
    columns: tuple[str, ...]
    best: tuple[Designed, ...]

    def text(self) -> str:
        lines = [
            f"{self.method}: {self.calls:,} calls, {self.proposals:,} proposals, "
            f"{self.rejected:,} of them rejected: {self.where}"
        ]
        lines += [f"  {about_quality(quality)}" for quality in self.quality]
        best = self.best[0].score if self.best else math.nan
        figures = {
            f"best {best:.4g} (in DATA {self.best_known:.4g})": best,
            f"AUC of the top 10 {self.auc_top10:.4g}": self.auc_top10,
            f"predicted - true of the top predictions {self.gap:+.3g}": self.gap,
        }
        known = [words for words, value in figures.items() if math.isfinite(value)]
        lines.append(f"  score: {', '.join(known) or 'none'}")
        if math.isfinite(self.inside):
            lines.append(f"  {self.inside:.0%} of the distinct rows are within the tolerance")
        return "\n".join(lines + [f"  {about_row(row, self.columns)}" for row in self.best])


def about_quality(found: HeadQuality) -> str:
    """One line on predictions."""
    return (
        f"predictions of {found.name}: R2 {found.r_squared:.3f}, 90 % intervals cover "
        f"{found.coverage:.1%} of {found.rows:,} other rows"
    )


def about_row(row: Designed, columns: Sequence[str]) -> str:
    """One line on a row, with the names of its cells."""
    values = ", ".join(f"{name} {value:.4g}" for name, value in row.values.items())
    text = row.row
    if not isinstance(text, str):
        cells = zip(columns, row.row, strict=True)
        text = ", ".join(f"{name} {_rounded(cell)}" for name, cell in cells)
    predicted = f" (predicted score {row.predicted:.4g})" if math.isfinite(row.predicted) else ""
    return f"{text}: {values}{predicted}{', in DATA' if row.known else ''}"


def _rounded(cell: object) -> str:
    """A cell with four digits if it is a fraction."""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def design(request: DesignRequest, reporter: Reporter, fitted: Fitted) -> DesignReport:
    """Fit predictions to known rows, search, and write all proposals.

    Raises:
        UnsupportedError: the model or its rows cannot be used for a design.
        OptionError: an unknown name, or an option of the wrong form.
        DataError: the data is of another kind, the objective is constant or fails, or the model
            is collapsed.
    """
    output = Path(request.output)
    check_suffix(output)
    for figure in figure_paths(output):
        durable.check_replaced(figure)
    if request.number < 1:
        raise OptionError(f"-n must be at least 1, not {request.number}")
    form = row_form(fitted.schema)
    if request.tolerance and request.target is None:
        raise OptionError("--tolerance is a distance from a target: give --target too")
    if request.direction == "min" and request.target is not None:
        raise OptionError("--target replaces a direction: leave out --direction or --target")
    if request.least != LEAST and not request.similar_to:
        raise OptionError("--least is a similarity to a molecule: give --similar-to too")
    if request.target is not None and not math.isfinite(request.target):
        raise OptionError(f"--target takes a finite number, not {request.target}")
    goal = Goal(*quantity(request.objective, form), target=request.target)
    goal = replace(goal, direction=request.direction, tolerance=request.tolerance)
    limits = tuple(limit(text, form) for text in request.range)
    if request.similar_to:
        limits = (*limits, similar(request.similar_to, request.least, form))
    task = DesignTask((goal, *(further_goal(text, form) for text in request.also)), limits)
    facts = {"files": stamp(*files_of((request.objective, *request.also, *request.range)))}
    with finished_parts(
        "design", request, reporter, unit="function calls", facts=facts
    ) as finished:
        return _designed_and_written(request, reporter, fitted, task, finished)


def _designed_and_written(
    request: DesignRequest,
    reporter: Reporter,
    fitted: Fitted,
    task: DesignTask,
    finished: FinishedParts,
) -> DesignReport:
    """Search with values that are kept meanwhile, and write all proposals."""
    options = SearchOptions(
        method=request.method,
        calls=request.calls,
        caution=request.caution,
        novel=request.novel,
        seed=request.seed,
    )
    output = Path(request.output)
    existed = output.exists()
    known = open_data(request.data, fitted, on_error=request.on_error)
    data, starts = known.thinned(MOST_KNOWN), None
    if request.similar_to:
        data, starts = _with_seed(known.thinned(MOST_KNOWN - 1), request.similar_to, fitted)
    reporter.say(f"computing {_names(task)} of {len(data):,} rows, and fitting predictions")
    with kept_values(task, finished) as kept:
        result = search_and_retrain(
            fitted,
            data,
            kept,
            options,
            request.retrain,
            known=known if len(known) > len(data) else None,
            starts=starts,
            progress=reporter.advance,
            found=_warn_of_targets,
            say=reporter.say,
        )
    if result.stopped is not None and existed and finished.folder is not None:
        raise result.stopped  # what was there stays, and the calls are kept beside it
    files = (
        _write(result, output, known, data),
        *write_figures(result, output, request.number, _title(request)),
    )
    _raise_stop(result, files)
    return _report(request, result, files)


def _raise_stop(result: DesignResult, files: tuple[str, ...]) -> None:
    """Raise what ended the search early, after its proposals were written.

    Raises:
        DataError: the objective failed 20 times in a row, or a retraining failed.
        KeyboardInterrupt: Ctrl-C.
    """
    if result.stopped is None:
        return
    kept = f"{result.called:,} calls are in {files[0]}"
    if isinstance(result.stopped, KeyboardInterrupt):
        raise KeyboardInterrupt(f"interrupted; {kept}") from None
    raise DataError(f"{result.stopped}; {kept}") from result.stopped


def _names(task: DesignTask) -> str:
    return ", ".join(quantity.name for quantity in task.quantities)


def _title(request: DesignRequest) -> str:
    goal = request.direction if request.target is None else f"target {request.target:g}"
    return f"{request.objective} ({goal}), {request.method}"


def _with_seed(data: Dataset, smiles: str, fitted: Fitted) -> tuple[Dataset, list[int]]:
    """The rows and the molecule to stay similar to, which is the only start."""
    try:
        seed = load([smiles], schema=fitted.schema, on_error="raise")
    except DataError as error:
        raise DataError(f"--similar-to {smiles}: {error}") from error
    plain = replace(data, label=None, target=None, ids=None, source="")
    return joined([plain, replace(seed, ids=None, source="")]), [len(data)]


def _warn_of_targets(designer: Designer) -> None:
    """Warn about targets that no known row reaches."""
    for i, goal in enumerate(designer.task.goals):
        known = designer.values[designer.values[:, i].isfinite(), i]
        low, high = float(known.min()), float(known.max())
        if goal.target is not None and not low <= goal.target <= high:
            warnings.warn(
                f"the target {goal.target:g} of {goal.name} is outside the values of DATA, "
                f"{low:.4g} to {high:.4g}: predictions there are extrapolated",
                UserWarning,
                stacklevel=2,
            )


def _write(result: DesignResult, output: Path, *known: Dataset) -> str:
    """Write all proposals; molecules with their similarity to the nearest known one."""
    frame = result.table
    if isinstance(result.form, MoleculeRows):
        frame.insert(1, "nearest", _nearest(result.form, list(frame["text"]), known))
    with columnar(output, TextForm.of(known[0].schema)) as file:
        file.add({name: frame[name] for name in frame.columns})
    return str(output)


def _nearest(form: RowForm, texts: Sequence[str], known: Sequence[Dataset]) -> Array:
    """Similarity of each molecule to the nearest known one, (texts,); NaN if a text is none."""
    best = np.full(len(texts), np.nan)
    for dataset in known:
        for rows in form.known_parts(dataset):
            best = np.fmax(best, KnownMolecules(rows).nearest(texts)[1])
    return best


def _report(request: DesignRequest, result: DesignResult, files: tuple[str, ...]) -> DesignReport:
    accepted = result.ranked()
    goal = result.task.goals[0]
    misses = [abs(c.outcome.values[0] - (goal.target or 0)) <= goal.tolerance for c in accepted]
    known_inside = goal.target is not None and bool(accepted)
    return DesignReport(
        method=request.method,
        calls=result.called,
        proposals=len(result.candidates),
        rejected=sum(not c.outcome.accepted for c in result.candidates),
        quality=result.quality,
        best_known=result.best_known,
        auc_top10=result.auc_top10,
        gap=result.gap,
        inside=sum(misses) / len(misses) if known_inside else math.nan,
        columns=tuple(result.form.columns([])),
        best=tuple(_designed(c, result.task) for c in accepted[: request.number]),
        **written(files),
    )


def _designed(candidate: Candidate, task: DesignTask) -> Designed:
    names = [quantity.name for quantity in task.quantities]
    values = dict(zip(names, candidate.outcome.values, strict=True))
    return Designed(
        candidate.row, candidate.score, candidate.predicted, values, candidate.outcome.call,
        candidate.known,
    )  # fmt: skip
