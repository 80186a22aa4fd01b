"""``lowerbound synthesize``: synthetic rows of a table, new ones or with given columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowerbound.applications.common.application import Reporter, WrittenReport, written
from lowerbound.applications.common.conditions import typed_values
from lowerbound.applications.common.drawn_parts import write_table
from lowerbound.applications.common.form import typed
from lowerbound.applications.common.release_record import (
    check_release,
    release_of_model,
    write_release,
)
from lowerbound.applications.common.requested_rows import check_disk
from lowerbound.applications.common.sentences import about_complete_rows, about_single_people
from lowerbound.applications.release.requests import SynthesizeRequest
from lowerbound.applications.release.tables import check_table, read_cells
from lowerbound.data.protection.record import Protection
from lowerbound.data.tables.markers import levels_of
from lowerbound.errors import OptionError
from lowerbound.fitting.fitted import Fitted
from lowerbound.inference.tables import TableDraws, TableSource


@dataclass(frozen=True)
class SynthesizeReport(WrittenReport):
    """Synthetic rows were written.

    Attributes:
        rows: number of rows.
        given: columns whose cells were given.
        protection: what was protected in the fitted rows; None: nothing.
    """

    rows: int
    given: tuple[str, ...]
    protection: Protection | None = None

    def text(self) -> str:
        with_given = f" with given {', '.join(self.given)}" if self.given else ""
        lines = [f"{self.rows:,} synthetic rows{with_given}: {self.where}"]
        if self.protection is not None:
            sentences = enumerate(self.protection.sentences)
            lines += [f"{'' if place else 'protected:':<12}{each}" for place, each in sentences]
        return "\n".join(lines)


def synthesize(request: SynthesizeRequest, reporter: Reporter, fitted: Fitted) -> SynthesizeReport:
    """Draw rows and write them, block by block.

    Raises:
        OptionError: an option cannot be parsed, a column or a level does not exist, or the given
            cells cannot occur together.
        DataError: the table of ``--like`` cannot be read.
        UnsupportedError: the model is not of a table, or its columns cannot be given.
    """
    path = Path(request.output)
    check_table(path)
    check_release(path)
    source = TableSource(
        fitted, request.beyond_range, request.complete, mapped=not request.beyond_range
    )
    draws, count, names = _draws(request, source)
    check_disk(path, count, fitted.schema, f"-n {count}")
    missing = write_table("synthesize", request, reporter, draws, count)
    if not (missing or request.complete) and (note := about_complete_rows(fitted)):
        reporter.say(note)
    if source.protection is None and (note := about_single_people(fitted)):
        reporter.say(note)
    columns = [column.name for column in source.form.columns]
    command = typed("synthesize", request)
    record = release_of_model(path, count, columns, command, fitted, request.model, names)
    files = written((str(path), *write_release(path, record)))
    return SynthesizeReport(count, names, source.protection, **files)


def _draws(
    request: SynthesizeRequest, source: TableSource
) -> tuple[TableDraws, int, tuple[str, ...]]:
    """(draws of rows, their number, names of given columns)."""
    if request.given and request.like is not None:
        raise OptionError("give --given or --like, not both: write the values into the table")
    count = 1000 if request.number is None else request.number
    if count < 1:
        raise OptionError(f"-n must be at least 1, not {count}")
    if request.like is not None:
        frame = read_cells(
            request.like,
            "--like",
            source.fitted.schema.text_dialect,
            levels_of(source.fitted.schema),
        )[0]
        count = len(frame) if request.number is None else count
        return source.with_cells(frame, request.seed), count, tuple(frame.columns)
    if not request.given:
        return TableDraws(source, request.seed), count, ()
    conditions = typed_values(request.given, form="COLUMN=VALUE, such as sex=Female")
    draws = source.with_given(conditions, request.seed)
    return draws, count, tuple(conditions)
