"""Tables in the ways in which people write them: what is read, and that given cells come back."""

from __future__ import annotations

import csv
import re
import warnings
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
WRITTEN_ANEW = TABLES
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
@pytest.mark.parametrize("table", TABLES, ids=NAMES)
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("table", WRITTEN_ANEW, ids=lambda table: table.name)
def test_new_rows_are_written_as_the_table_was(table: ForeignTable, tmp_path: Path) -> None:
    """Drawn cells have the marks and the decimals of the column, and given cells come back."""
    path, out = tmp_path / table.name, tmp_path / "out.csv"
    path.write_bytes(table.content)
    lines, layout = cells(path, table)
    name, given = lines[0][0], lines[1][0]
    fitted, model = str(tmp_path / "fitted.lb"), str(tmp_path / "model.lb")
    assert main(["fit", str(path), "-o", fitted, *SHORT]) == 0
    assert main(["synthesizer", str(path), "-o", model, "--minutes", "0.001"]) == 0
    private = ["--epsilon", "9", "--public-schema", "data"]
    for words in (
        ["sample", fitted, "-n", "9", "--given", f"{name}={given}"],
        ["synthesize", model, "-n", "9", "--given", f"{name}={given}"],
        ["private-table", str(path), *private],
    ):
        assert main([*words, "-o", str(out)]) == 0
        drawn, written = cells(out, table, written=True)
        assert written.delimiter == ("," if layout.delimiter == SPACES else layout.delimiter)
        assert drawn[0] == lines[0]
        if "--given" in words:
            assert {line[0] for line in drawn[1:]} == {given}
        for place in range(len(lines[0])):
            known = {shape(line[place]) for line in lines[1:]}
            assert {shape(line[place]) for line in drawn[1:]} <= known, words


def shape(cell: str) -> str:
    """A cell with each run of digits, groups included, as its length after the decimal mark."""
    *_, last = re.split(r"(?<=\d)[.,](?=\d)", cell)
    decimals = len(re.findall(r"\d", last))
    marks = re.sub(r"\d", "", cell).lstrip("-(").rstrip(")")
    return f"{sorted(set(marks))} {decimals}"


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
