"""Tables in the ways in which people write them: what is read, and that given cells come back."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lowerbound.cli import main
from lowerbound.data import load
from lowerbound.data.tables.dialect import SPACES, Dialect, Layout, sniffed
from lowerbound.data.tables.files import read_table
from lowerbound.data.tables.numbers import found_notations, with_numbers
from tests.data.tables.foreign_tables import TABLES, ForeignTable

NAMES = [table.name for table in TABLES]
DRAWN_ANEW = [
    "semicolons.csv",
    "decimal_commas.tsv",
    "quoted_decimal_commas.csv",
    "points_in_groups.csv",
    "narrow_spaces.csv",
    "apostrophes.csv",
    "euros_before.csv",
    "minus_dollars.csv",
    "percent_commas.csv",
]
SHORT = ["--updates", "3", "--no-report", "--test", "0", "--samples", "2", "--gap-rows", "0"]


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_each_gives_its_frame(table: ForeignTable, tmp_path: Path) -> None:
    path = tmp_path / table.name
    path.write_bytes(table.content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame, dialect = read_table(path, Dialect.asked(**table.given))
        frame = with_numbers(frame, found_notations(frame, dialect, ()))
    assert list(frame.columns) == list(table.columns)
    for name, expected in table.columns.items():
        if isinstance(expected[0], str):
            assert [
                str(cell).rjust(len(want), "0")
                for cell, want in zip(frame[name], expected, strict=True)
            ] == list(expected)
        else:
            np.testing.assert_allclose(frame[name].astype(float), expected, rtol=1e-12)
    messages = " ".join(str(one.message) for one in said)
    assert table.warned in messages
    assert bool(messages) == bool(table.warned)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "table",
    [
        pytest.param(one, id=one.name, marks=[] if one.name in DRAWN_ANEW else pytest.mark.slow)
        for one in TABLES
    ],
)
def test_given_cells_come_back_as_they_were(table: ForeignTable, tmp_path: Path) -> None:
    """One number is hidden; after ``impute`` every other cell has the same characters."""
    path, out = tmp_path / table.name, tmp_path / "out.csv"
    path.write_bytes(table.content)
    lines, layout = cells(path, table)
    row = lines[layout.header + 4]
    row[0] = ""
    gaps = tmp_path / f"gaps_{table.name}"
    write(gaps, lines, layout)
    model = str(tmp_path / "m.lb")
    flags = [word for name, value in table.given.items() for word in (f"--{name}", value)]
    short = ["--updates", "3", "--no-report", "--test", "0", "--samples", "2", "--gap-rows", "0"]
    assert main(["fit", str(gaps), "-o", model, *flags, *short, "--threads", "1"]) == 0
    assert main(["impute", model, str(gaps), "-o", str(out), "--keep-formulas"]) == 0
    found = cells(out, table, written=True)[0]
    assert [len(line) for line in found] == [len(line) for line in lines]
    filled = found[layout.header + 4].pop(0)
    assert filled
    row.pop(0)
    assert found == lines


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", DRAWN_ANEW)
def test_new_rows_are_written_as_the_table_was(name: str, tmp_path: Path) -> None:
    """Drawn numbers have the marks and the decimals of their column, and given cells come back."""
    table = TABLES[NAMES.index(name)]
    path, out = tmp_path / table.name, tmp_path / "out.csv"
    path.write_bytes(table.content)
    lines, layout = cells(path, table)
    fitted, model = str(tmp_path / "fitted.lb"), str(tmp_path / "model.lb")
    assert main(["fit", str(path), "-o", fitted, *SHORT]) == 0
    assert main(["synthesizer", str(path), "-o", model, "--minutes", "0.001"]) == 0
    given = ["--given", f"{lines[0][-1]}={lines[1][-1]}"]
    private = ["--epsilon", "9", "--public-schema", "data", "--least-people", "1"]
    for words in (
        ["sample", fitted, "-n", "9", *given],
        ["synthesize", model, "-n", "9", *given],
        ["private-table", str(path), *private],
    ):
        assert main([*words, "-o", str(out)]) == 0
        drawn, written = cells(out, table, written=True)
        assert written.delimiter == layout.delimiter
        assert drawn[0] == lines[0]
        if "--given" in words:
            assert {line[-1] for line in drawn[1:]} == {lines[1][-1]}
        mark = layout.dialect.decimal or ""
        columns = (zip(*rows[1:], strict=True) for rows in (lines, drawn))
        for known, new in zip(*columns, strict=True):
            check_alike(known, new, mark)


def check_alike(known: Sequence[str], new: Sequence[str], mark: str) -> None:
    """New numbers have no other marks, decimals or groups than known ones; plain ones may."""
    if all(re.fullmatch(r"-?\d+(\.\d+)?", cell) for cell in known):
        assert all(re.fullmatch(r"-?\d+(\.\d+)?", cell) for cell in new)
        return
    marks, decimals, run = ({look(cell, mark)[i] for cell in known} for i in range(3))
    for cell in new:
        found = look(cell, mark)
        assert found[0] <= frozenset().union(*marks), cell
        assert found[1] in decimals, cell
        assert found[2] <= max(run), cell


def look(cell: str, mark: str) -> tuple[frozenset[str], int, int]:
    """(characters other than digits and signs, digits after the decimal mark, longest run)."""
    fraction = cell.rpartition(mark)[2] if mark in cell else ""
    runs = map(len, re.findall(r"\d+", cell.rpartition(mark)[0] if mark in cell else cell))
    marks = frozenset(re.sub(r"[\d()+\u2212-]", "", cell))
    return marks, len(re.sub(r"\D", "", fraction)), max(runs, default=0)


def cells(path: Path, table: ForeignTable, written: bool = False) -> tuple[list[list[str]], Layout]:
    """The cells of a file without comments, by another parser."""
    given = {k: v for k, v in table.given.items() if not written or k in ("delimiter", "decimal")}
    layout = sniffed(path, Dialect.asked(**given))
    encoding = layout.dialect.encoding or ""
    lines = path.read_bytes().decode(encoding).splitlines(keepends=True)[layout.skipped :]
    comment = table.given.get("comment")
    kept = [line for line in lines if line.strip() and not (comment and line.startswith(comment))]
    if layout.delimiter == SPACES:
        return [line.split() for line in kept], layout
    reader = csv.reader(kept, delimiter=layout.delimiter, skipinitialspace=True)
    return list(reader), layout


def write(path: Path, lines: list[list[str]], layout: Layout) -> None:
    """The cells as a file of the same dialect."""
    delimiter = " " if layout.delimiter == SPACES else layout.delimiter
    with path.open("w", encoding=layout.dialect.encoding, newline="") as file:
        marked = [[cell or ("?" if delimiter == " " else "") for cell in line] for line in lines]
        csv.writer(file, delimiter=delimiter).writerows(marked)


def test_a_column_that_is_left_out_although_most_cells_are_numbers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rows = [f"about {row}.5" if row % 9 == 0 else f"{1000 + 3.25 * row:.2f} $" for row in range(50)]
    path.write_text("amount,n\n" + "".join(f"{cell},{n}.5\n" for n, cell in enumerate(rows)))
    with pytest.warns(
        UserWarning, match=r"such as '1003.25 \$', and others are not, such as 'about"
    ):
        assert load(path).schema.left_out == ("amount",)
