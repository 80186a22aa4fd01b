"""``lowerbound private-table``: synthetic rows from noisy tables of pairs of columns.

The best private method for a table is naive Bayes, marginals or the hybrid, by comparison.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.form import entries, typed
from lowerbound.applications.common.release_record import check_release, release_of, write_release
from lowerbound.applications.common.rows import write_columns
from lowerbound.applications.release.marginals.correction import CorrectionOptions
from lowerbound.applications.release.marginals.model import MarginalModel, fit_marginals
from lowerbound.applications.release.marginals.tree_fit import TreeOptions
from lowerbound.applications.release.requests import PrivateTableRequest
from lowerbound.applications.release.tables import check_table
from lowerbound.applications.release.usefulness import BOOSTING, Task
from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.arrays import Array, listed
from lowerbound.data.options import LEAST_PEOPLE
from lowerbound.data.tables.files import read_frame
from lowerbound.data.tables.numbers import with_numbers
from lowerbound.data.tables.text_form import TextForm, read_numbers
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.evaluation.samples.column_judge import CodedColumns, distinguished
from lowerbound.fitting.source import DataSource
from lowerbound.training.private.copied_schema import declarations_of, identifying_levels, without
from lowerbound.training.private.declarations import Declarations
from lowerbound.training.private.options import OF_THE_DATA
from lowerbound.training.private.record import ReleaseRecord

NOT_COVERED = (
    "the method was chosen by figures of {count} private fits on other rows; the guarantee covers "
    "neither this choice nor the other fits, whose epsilons would add if they were published"
)
SUFFIX = ".json"
OF_A_MODEL = ("data", "output", "number", "save", "seed")
"""The options that a fitted model takes; all others are of a fit."""


@dataclass(frozen=True)
class Method:
    """How a private table is fitted.

    Attributes:
        pairs: whether pairs of columns are measured.
        hybrid: whether the target given the other columns is fitted by noisy gradients.
    """

    pairs: bool
    hybrid: bool


METHODS = {
    "naive Bayes": Method(pairs=False, hybrid=False),
    "marginals": Method(pairs=True, hybrid=False),
    "hybrid": Method(pairs=True, hybrid=True),
}


@dataclass(frozen=True)
class Judged:
    """The figures of a method's rows on the rows of the comparison.

    Attributes:
        method: its name.
        measure: "AUROC", or "R²" if the target is a number.
        learned: of boosting that learned the target from synthetic rows.
        two_sample: AUROC of boosting that distinguishes synthetic rows; 0.5 is best.
    """

    method: str
    measure: str
    learned: float
    two_sample: float


def best_of(
    fit: Callable[[Method], MarginalModel], frame: Any, holdout: Any, target: str, seed: int
) -> tuple[MarginalModel, tuple[Judged, ...]]:
    """The model from whose rows boosting learns the target best, and the figures of all.

    Args:
        fit: makes the model of a method.
        frame: the private rows; as many are drawn from each model.
        holdout: rows of the same source and columns.
        target: column that boosting predicts.
        seed: of the rows that are drawn, and of the judges.

    Raises:
        DataError: the holdout has no rows, or too few with a target.
    """
    if not len(holdout):
        raise DataError("the table to compare on has no rows")
    models = {name: fit(method) for name, method in METHODS.items()}
    codes = CodedColumns.learn(holdout)
    real = codes.encode(holdout)
    task = Task(codes, target, real, seed)
    found = tuple(
        _judged(name, task, codes, real, model.sample(len(frame), seed))
        for name, model in models.items()
    )
    best = models[max(found, key=lambda one: one.learned).method]
    release = best.release
    limits = (*release.not_claimed, NOT_COVERED.format(count=len(METHODS)))
    return replace(best, release=replace(release, not_claimed=limits)), found


def _judged(name: str, task: Task, codes: CodedColumns, real: Array, made: Any) -> Judged:
    synthetic = codes.encode(made)
    measure, learned = task.score(BOOSTING, synthetic)
    two_sample = distinguished(codes, real, synthetic, task.seed).value
    return Judged(name, measure, learned, two_sample)


def comparison_lines(compared: Sequence[Judged]) -> Iterator[str]:
    """A line for each method, the winner and a warning; none without a comparison."""
    if not compared:
        return
    measure = compared[0].measure
    yield f"{'method':<12} {measure} of boosting trained on synthetic rows, two-sample AUROC"
    for one in compared:
        yield f"{one.method:<12} {one.learned:.4f}  {one.two_sample:.4f}"
    best = max(compared, key=lambda one: one.learned)
    yield f"best:   {best.method}, by the {measure}; the rows are its rows"
    yield (
        "warning: the comparison is not covered by the guarantee: its figures come from several "
        "private fits, and from rows that must be public or spent"
    )


@dataclass(frozen=True)
class PrivateTableReport(WrittenReport):
    """The rows that were written, and their guarantee.

    Attributes:
        output: the table.
        model: the saved model; "" if it was not saved.
        rows: number of rows written.
        pairs: pairs of columns whose tables were measured.
        release: the release record.
        compared: figures of each method on the rows of --compare; empty without it.
    """

    output: str
    model: str
    rows: int
    pairs: tuple[tuple[str, str], ...]
    release: Mapping[str, Any]
    compared: tuple[Judged, ...] = ()

    def text(self) -> str:
        pairs = ", ".join(f"{a} with {b}" for a, b in self.pairs) or "none"
        release = from_mapping(ReleaseRecord, self.release)
        lines = [f"rows:   {self.rows:,} in {self.output}", f"pairs:  {pairs}"]
        lines += [f"model:  {self.model}"] if self.model else []
        lines += [f"record: {self.files[1]}"]
        return "\n".join([*comparison_lines(self.compared), *lines, *release.lines()])


def private_table(request: PrivateTableRequest, reporter: Reporter) -> PrivateTableReport:
    """Fit a private model to a table, or read one, and write rows drawn from it.

    Raises:
        DataError: the table or the declarations cannot be read, or do not fit each other.
        OptionError: epsilon or the public schema is missing, a value is out of range, options of a
            fit are given with a model, or the model could not be read from where it is saved.
        ModelFolderError: the model cannot be read.
    """
    check_table(Path(request.output))
    check_release(Path(request.output), request.save)
    if request.save is not None and Path(request.save).suffix.lower() != SUFFIX:
        raise OptionError(
            f"--save {request.save}: a model is read again only from a {SUFFIX} file; choose a "
            f"name that ends in {SUFFIX}"
        )
    source = Path(request.data)
    compared: tuple[Judged, ...] = ()
    if source.suffix.lower() == SUFFIX:
        own = [entry for entry in entries(PrivateTableRequest) if entry.name not in OF_A_MODEL]
        given = [entry.flag for entry in own if entry.of(request) != entry.default]
        if given:
            raise OptionError(
                f"{request.data} is a fitted model, which takes no options of a fit: leave out "
                f"{listed(given)}"
            )
        model = MarginalModel.load(source)
    else:
        model, compared = _fitted(request, reporter)
    made = model.sample(
        model.release.rows if request.number is None else request.number, request.seed
    )
    cells = {name: made[name] for name in made.columns}
    if request.save is not None:  # first: a run that ends in between has not spent it for nothing
        model.save(Path(request.save))
    write_columns(Path(request.output), cells, model.form, rounded=True)
    table, command = Path(request.output), typed("private-table", request)
    record = release_of(table, len(made), made.columns, command, **_facts(model, request))
    return PrivateTableReport(
        **written((str(table), *write_release(table, record))),
        output=request.output,
        model=request.save or "",
        rows=len(made),
        pairs=model.pairs,
        release=to_mapping(model.release),
        compared=compared,
    )


def _facts(model: MarginalModel, request: PrivateTableRequest) -> dict[str, Any]:
    """What the release record says of the model and its data; no hash of the private rows, with
    which somebody who guesses them could check the guess."""
    read = Path(request.data).suffix.lower() == SUFFIX
    kept = request.save or (request.data if read else None)
    return {
        "model": None if kept is None else DataSource.of(kept),
        "data": None if read else DataSource(Path(request.data).name, model.release.rows),
        "protection": model.release.protection,
        "guarantee": model.release,
    }


def _fitted(
    request: PrivateTableRequest, reporter: Reporter
) -> tuple[MarginalModel, tuple[Judged, ...]]:
    if request.epsilon is None:
        raise OptionError("a private table needs an epsilon: give --epsilon, such as 1")
    for place in (request.save, request.output):
        if place and Path(place).is_file():
            reporter.say(
                f"{place} exists: if it was made from these rows, its epsilon stays spent, and "
                f"this run spends {request.epsilon:g} more"
            )
    given = _given(request)
    skipped = () if given is None else given.other_than_numbers
    frame, form = read_numbers(request.data, skipped=skipped)
    reporter.say(
        f"{request.data}: {counted(len(frame), 'row')} of {counted(frame.shape[1], 'column')}"
    )
    frame = without(frame, request.leave_out)
    if given is None:
        declared = declarations_of(frame, request.least_people)
    else:
        declared = given
        if undeclared := [name for name in frame.columns if name not in given.columns]:
            warnings.warn(
                f"{request.public_schema} does not declare the columns {listed(undeclared)}: left "
                "out",
                UserWarning,
                stacklevel=1,
            )
        for words in identifying_levels(given):
            warnings.warn(f"{request.public_schema}: {words}", UserWarning, stacklevel=1)
    public = _public(request.public_schema, form)
    if declared.measured is not None:
        public = request.public_schema

    def fit(method: Method) -> MarginalModel:
        model = fit_marginals(
            frame,
            declared,
            request.epsilon or 0.0,
            request.delta,
            request.target,
            TreeOptions(tree=method.pairs),
            hybrid=CorrectionOptions() if method.hybrid else None,
            secure_noise=request.secure_noise,
            public=public,
        )
        return replace(model, form=form)

    if request.compare is None:
        return fit(Method(request.pairs, request.hybrid)), ()
    if request.target is None:
        raise OptionError("a comparison judges how well a column is predicted: give --target")
    holdout = _holdout(request.compare, form, declared)
    return best_of(fit, frame, holdout, request.target, request.seed)


def _given(request: PrivateTableRequest) -> Declarations | None:
    """The declarations in a file; None: those that the rows say."""
    if not request.public_schema:
        raise OptionError(
            "ranges and categories of columns get no noise: give --public-schema FILE with what is "
            "public or was measured by lowerbound private-schema, or --public-schema data to copy "
            "what at least --least-people rows of the data say of its columns"
        )
    if request.public_schema == OF_THE_DATA:
        return None
    if request.least_people != LEAST_PEOPLE:
        raise OptionError("--least-people is for --public-schema data: a file is taken as it is")
    return Declarations.read(request.public_schema)


def _holdout(path: str, form: TextForm, declared: Declarations) -> Any:
    """The declared columns of the rows to compare on.

    Raises:
        DataError: it cannot be read, or lacks a column.
    """
    found = with_numbers(read_frame(path, None, form.notations), form.notations)
    lacking = [name for name in declared.columns if name not in found.columns]
    if lacking:
        raise DataError(
            f"{path} has no column {lacking[0]!r}: the table to compare on needs each declared one"
        )
    return found[[*declared.columns]]


def _public(given: str, form: TextForm) -> str:
    """What is declared public, in words."""
    source = "of what is copied from the rows" if given == OF_THE_DATA else f"({given})"
    written = "" if form.usual else "; how the file writes numbers"
    return f"ranges and categories {source}{written}"
