"""``lowerbound synthesizer``: fit a model from which synthetic rows of a table are drawn.

It reports how alike drawn rows are to the rows that it was fitted to.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lowerbound.applications.common import fit_folder
from lowerbound.applications.common.application import Report, Reporter
from lowerbound.applications.common.form import typed
from lowerbound.applications.release.evidence import AuditedTables
from lowerbound.applications.release.requests import SynthesizerRequest
from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.applications.release.tables import read_cells
from lowerbound.data.columns.inference import Hint
from lowerbound.data.protection.record import Protection
from lowerbound.data.tables.markers import declared_levels
from lowerbound.data.tables.numbers import notations_of, with_numbers
from lowerbound.errors import DataError, OptionError, counted
from lowerbound.evaluation.samples.column_judge import distinguished
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.source import DataSource, Likeness
from lowerbound.inference.tables import TableSource
from lowerbound.training.loop import Interrupted

MOST_ROWS = 2_000  # of each table: a few seconds


def likeness(
    fitted: Fitted, frame: Any, hints: Mapping[str, Hint] | None = None, seed: int = 0
) -> Likeness | None:
    """Draw rows and let boosting distinguish them from fitted ones; None: too few rows.

    Args:
        fitted: a model of a table.
        frame: the fitted rows, a pandas frame.
        hints: kinds of columns by name.
        seed: of the rows and the judge.
    """
    import pandas as pd

    count = min(len(frame), MOST_ROWS)
    drawn = pd.concat(list(TableSource(fitted).blocks(count, seed)), ignore_index=True)
    notations = notations_of(fitted.schema)
    real = with_numbers(frame, notations).sample(count, random_state=seed)
    # in some of the rows, identifiers do not count up and would look like numbers
    protected = Protection.of(fitted.schema.details)
    apart = [*fitted.schema.left_out, *(protected.uninformative if protected is not None else ())]
    real, drawn = real.drop(columns=apart), drawn.drop(columns=apart)
    hints = {name: hint for name, hint in (hints or {}).items() if name not in apart}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the fit has warned of the same columns
            tables = AuditedTables.of(real, with_numbers(drawn, notations), hints=hints)
    except DataError:
        return None
    found = distinguished(tables.codes, tables.real, tables.synthetic, seed)
    return Likeness(count, found.value, found.low, found.high)


@dataclass(frozen=True)
class SynthesizerReport(Report):
    """A model for synthetic rows.

    Attributes:
        model: the model folder.
        rows: number of rows that it was fitted to.
        columns: names of the modeled columns.
        identifiers: names of the columns that get fresh identifiers.
        protection: what was protected, column by column.
        constraints: number of ranges, inequalities and combinations.
        found: sentences on what no fitted row breaks: inequalities, and columns that another
            determines.
        prior: name of p(z).
        seconds: of training.
        likeness: how well boosting distinguishes drawn rows from fitted ones; None: too few rows.
    """

    model: str
    rows: int
    columns: tuple[str, ...]
    identifiers: tuple[str, ...]
    protection: Protection
    constraints: int
    found: tuple[str, ...]
    prior: str
    seconds: float
    likeness: Likeness | None

    def text(self) -> str:
        lines = [f"rows:        {self.rows:,} of {len(self.columns)} modeled columns"]
        if self.identifiers:
            lines.append(f"identifiers: {', '.join(self.identifiers)} (replaced by fresh ones)")
        if self.constraints:
            lines.append(f"constraints: {self.constraints}, fulfilled by every synthetic row")
        for number, sentence in enumerate(self.protection.sentences):
            lines.append(f"{'' if number else 'protected:':<13}{sentence}")
        for number, sentence in enumerate(self.found):
            lines.append(f"{'' if number else 'found:':<13}{sentence}")
        lines.append(f"prior:       {self.prior}")
        if self.likeness is not None:
            lines.append(f"likeness:    {self.likeness.sentence}")
        lines.append(f"model:       {self.model}, after {self.seconds:.0f} s of training")
        return "\n".join(lines)


def synthesizer(request: SynthesizerRequest, reporter: Reporter) -> SynthesizerReport:
    """Fit a model of a table and write its folder.

    Raises:
        DataError: the table cannot be read or modeled, or does not fulfill a constraint.
        OptionError: a constraint cannot be parsed, or a column or prior does not exist.
        ModelFolderError: the folder holds something else, or a model that must not be replaced.
        Interrupted: Ctrl-C; the message names how to continue.
    """
    folder = Path(request.output)
    fit_folder.check_startable(folder, resume=request.resume, overwrite=request.overwrite)
    kinds = request.kinds
    frame, dialect = read_cells(request.data, "DATA", kept=declared_levels(kinds))
    reporter.say(
        f"{request.data}: {counted(len(frame), 'row')} of {counted(frame.shape[1], 'column')}"
    )
    options = SynthesizerOptions(
        constraints=request.constraint,
        combinations=_combinations(request.combination),
        kinds=kinds,
        dialect=dialect,
        prior=request.prior,
        minutes=request.minutes,
        seed=request.seed,
        device=request.device,
        least_people=request.least_people,
        entity=request.entity,
    )
    try:
        fitted = fit_synthesizer(
            frame,
            options,
            folder=folder,
            resume=request.resume,
            reporter=reporter.training(),
            say=reporter.say,
        )
    except Interrupted as interruption:
        again = typed("synthesizer", replace(request, resume=True, overwrite=False))
        words = fit_folder.way_on(folder, str(interruption), again)
        raise Interrupted(words, interruption.history) from None
    reporter.say("comparing drawn rows with fitted ones")
    found = likeness(fitted, frame, kinds, request.seed)
    source = DataSource.of(request.data, len(frame))
    fitted = replace(fitted, options=replace(fitted.options, likeness=found, data=source))
    model_folder.write(folder, fitted)
    return _report(request, fitted, len(frame))


def _combinations(words: Sequence[str]) -> list[list[str]]:
    """The columns of each combination.

    Raises:
        OptionError: a word has no comma.
    """
    found = [[name.strip() for name in word.split(",")] for word in words]
    for word, names in zip(words, found, strict=True):
        if len(names) < 2:
            raise OptionError(f"--combination takes two columns or more, with commas, not {word!r}")
    return found


def _report(request: SynthesizerRequest, fitted: Fitted, rows: int) -> SynthesizerReport:
    form = TableSource(fitted).form
    limits = form.constraints
    sizes = map(len, (limits.ranges, limits.inequalities, limits.combinations))
    facts: Any = fitted.options.prior_fit
    records = fitted.history.records
    return SynthesizerReport(
        model=request.output,
        rows=rows,
        columns=tuple(column.name for column in fitted.schema.modeled),
        identifiers=tuple(each.name for each in form.columns if each.identifies),
        protection=Protection.of(fitted.schema.details) or Protection(least_people=1),
        constraints=sum(sizes),
        found=(*(each.summary for each in form.orders), *form.dependencies.summaries),
        prior=facts.kind if facts is not None else "standard_normal",
        seconds=records[-1].seconds if records else 0.0,
        likeness=fitted.options.likeness,
    )
