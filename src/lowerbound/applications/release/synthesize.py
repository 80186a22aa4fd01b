"""``lowerbound synthesize``: synthetic rows of a table, new ones or with given columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowerbound.applications.base import Reporter, WrittenReport, written
from lowerbound.applications.form import REQUIRED, ModelRequest
from lowerbound.applications.io.columnar_files import columnar
from lowerbound.applications.io.prompts import typed_values
from lowerbound.applications.io.sentences import about_complete_rows
from lowerbound.applications.io.sizes import check_disk
from lowerbound.applications.release.tables import check_table, read_cells
from lowerbound.config import option
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import OptionError
from lowerbound.fitting import Fitted
from lowerbound.inference.synthesis.tables import TableSource


@dataclass(frozen=True)
class SynthesizeRequest(ModelRequest):
    """Options of ``lowerbound synthesize``."""

    output: str = option(REQUIRED, "table to write: .csv or .parquet", short="-o", metavar="FILE")
    number: int | None = option(
        None, "rows to write (default: 1,000, or the rows of --like)", short="-n"
    )
    given: tuple[str, ...] = option(
        (),
        "a value that a column has in all rows, such as sex=Female; repeatable",
        metavar="COLUMN=VALUE",
    )
    like: str | None = option(
        None,
        "a table of the same columns, or some of them: its cells are kept, and missing cells and "
        "columns are drawn",
        metavar="FILE",
    )
    beyond_range: bool = option(
        False,
        "let drawn numbers and dates leave the range of the fitted rows; a model of lowerbound "
        "synthesizer never leaves it",
    )
    complete: bool = option(False, "draw no missing cells")
    seed: int = option(0, "of the draws")


@dataclass(frozen=True)
class SynthesizeReport(WrittenReport):
    """Synthetic rows were written.

    Attributes:
        rows: number of rows.
        given: columns whose cells were given.
    """

    rows: int
    given: tuple[str, ...]

    def text(self) -> str:
        with_given = f" with given {', '.join(self.given)}" if self.given else ""
        return f"{self.rows:,} synthetic rows{with_given}: {self.where}"


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
    source = TableSource(
        fitted, request.beyond_range, request.complete, mapped=not request.beyond_range
    )
    blocks, count, names = _blocks(request, source)
    check_disk(path, count, fitted.schema, f"-n {count}")
    done, missing = 0, False
    with columnar(path, TextForm.of(fitted.schema)) as file:
        for frame in blocks:
            cells = source.form.spelled(frame) if path.suffix.lower() == ".csv" else frame
            file.add({name: cells[name] for name in cells.columns})
            done += len(frame)
            missing |= bool(frame.isna().any(axis=None))
            reporter.advance("drawing", done, count)
    if not (missing or request.complete) and (note := about_complete_rows(fitted)):
        reporter.say(note)
    return SynthesizeReport(done, names, **written((str(path),)))


def _blocks(
    request: SynthesizeRequest, source: TableSource
) -> tuple[Iterator[Any], int, tuple[str, ...]]:
    """(blocks of rows, their number of rows, names of given columns)."""
    if request.given and request.like is not None:
        raise OptionError("give --given or --like, not both: write the values into the table")
    count = 1000 if request.number is None else request.number
    if request.like is not None:
        frame = read_cells(request.like, "--like", source.fitted.schema.text_dialect)[0]
        count = len(frame) if request.number is None else count
        return source.completed(frame, count, request.seed), count, tuple(frame.columns)
    if not request.given:
        return source.blocks(count, request.seed), count, ()
    conditions = typed_values(request.given, form="COLUMN=VALUE, such as sex=Female")
    frame = source.given(conditions)
    return source.completed(frame, count, request.seed), count, tuple(conditions)
