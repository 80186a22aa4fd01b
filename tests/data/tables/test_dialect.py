"""How a table is written in a file: what is inferred, given, kept, and written again."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.cli import main
from lowerbound.data import load, to_frame
from lowerbound.data.schema import Schema
from lowerbound.data.tables.chunks import estimated_bytes, read_chunks
from lowerbound.data.tables.dialect import LOOKED_AT, SPACES, Dialect, encoding_of, sniffed
from lowerbound.data.tables.files import read_frame
from lowerbound.data.tables.numbers import (
    notations_of,
    other_notations,
    with_numbers,
    with_points,
)
from lowerbound.data.tables.text_form import TextForm
from lowerbound.errors import DataError, OptionError
from tests.data.tables.foreign_tables import (
    COMMAS,
    HEIGHTS,
    NUMBERS,
    PRICES,
    german,
    text,
    workbook,
)

SHORT = ("--updates", "3", "--no-report", "--test", "0", "--samples", "2", "--gap-rows", "0")
GERMAN = text({name: [german(v) for v in cells] for name, cells in NUMBERS.items()}, ";")


@pytest.mark.filterwarnings("ignore:.*decimal commas")
def test_a_model_writes_as_its_table_was_written(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(GERMAN)
    model, out = str(tmp_path / "m.lb"), tmp_path / "out.csv"
    assert main(["fit", str(tmp_path / "x.csv"), "-o", model, *SHORT]) == 0
    for words in (["sample", model, "-n", "5"], ["reconstruct", model, str(tmp_path / "x.csv")]):
        assert main([*words, "-o", str(out)]) == 0
        lines = out.read_text().splitlines()
        assert lines[0].startswith("height;price")
        assert all("," in cell for line in lines[1:] for cell in line.split(";"))
        drawn = to_frame((found := load(out)).schema, found.schema.units(found.x))
        assert 0 < drawn["height"].mean() < 1e4
    assert main(["sample", model, "-n", "5", "-o", str(tmp_path / "out.parquet")]) == 0
    assert pd.read_parquet(tmp_path / "out.parquet")["price"].dtype == float


@pytest.mark.parametrize("words", [("TRUE", "FALSE"), ("true", "false"), ("True", "False")])
def test_truth_is_written_as_in_the_table(tmp_path: Path, words: tuple[str, str]) -> None:
    path = tmp_path / "rows.csv"
    cells = [f"{row % 50 / 7:.3f},{words[row % 2] if row % 5 else ''}" for row in range(60)]
    path.write_text("n,ok\n" + "\n".join(cells) + "\n")
    schema = Schema.from_mapping(json.loads(json.dumps(load(path).schema.to_mapping())))
    form = TextForm.of(schema)
    assert form.usual == (words[0] == "True")
    columns = {"n": np.ones(3), "ok": pd.array([True, False, None], dtype="boolean")}
    frame = pd.DataFrame(form.written(columns, True)).to_csv(index=False)
    assert frame == f"n,ok\n1.0,{words[0]}\n1.0,{words[1]}\n1.0,\n"


def test_what_was_given_holds_for_later_files(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=COMMAS):
        schema = load(_file(tmp_path, GERMAN)).schema
    assert schema.dialect == Dialect(";", ",", None, "utf-8-sig")
    assert Schema.from_mapping(schema.to_mapping()) == schema
    assert schema.columns[1].notation is not None
    path = _file(tmp_path, GERMAN.replace(";", "~"))
    with pytest.warns(UserWarning, match=COMMAS):
        given = load(path, dialect=Dialect.asked(delimiter="~"))
    assert given.schema.dialect is not None
    assert given.schema.dialect.for_others == Dialect.asked(delimiter="~")
    with pytest.warns(UserWarning, match=COMMAS):
        again = load(path, schema=given.schema)
    np.testing.assert_array_equal(again.x, given.x)


@pytest.mark.parametrize("delimiter", ["\t", ";", SPACES])
def test_a_delimiter_that_does_not_occur_is_named(delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + "1.5,x\n2,y\n" * 20)
    with pytest.raises(DataError, match=r"x\.csv has no .* but it has ',': .*\('a,b'\)"):
        load(tmp_path / "x.csv", dialect=Dialect.asked(delimiter=delimiter))
    schema = load(pd.DataFrame({"a": [1.5, 2, 3] * 9, "b": [*"xyz"] * 9})).schema
    schema = replace(schema, dialect=Dialect.asked(delimiter=delimiter))
    with pytest.raises(DataError, match="which --delimiter says"):
        list(read_chunks(tmp_path / "x.csv", schema))
    (tmp_path / "one.csv").write_text('"height, cm"\n' + '"1,5"\n"2,25"\n' * 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load(tmp_path / "one.csv", dialect=Dialect.asked(delimiter=";"))
    assert [column.name for column in found.schema.columns] == ["height, cm"]


def test_a_sheet_of_a_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n" + "1.5,x\n2,y\n" * 20)
    asked = Dialect.asked(sheet="Data")
    with pytest.raises(DataError, match=r"x\.csv is no workbook.*: leave --sheet out"):
        load(tmp_path / "x.csv", dialect=asked)
    # a model of a workbook reads other files too
    schema = load(pd.DataFrame({"a": [1.5, 2] * 9, "b": [*"xy"] * 9})).schema
    schema = replace(schema, dialect=asked)
    assert len(load(tmp_path / "x.csv", schema=schema)) == 40


def test_a_usual_table_has_no_dialect(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema = load(_file(tmp_path, text(NUMBERS))).schema
    assert schema.dialect is None
    assert "dialect" not in schema.to_mapping()


def test_a_cell_of_another_notation_is_named(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=COMMAS):
        schema = load(_file(tmp_path, GERMAN)).schema
    bad = GERMAN.replace("150,50", "150.5 cm")
    with (
        pytest.warns(UserWarning, match=COMMAS),
        pytest.raises(DataError, match=r"'height' holds numbers .* as 1234,50, but not in row 0"),
    ):
        load(_file(tmp_path, bad), schema=schema)


def test_thousands_without_fractions_are_read_as_the_model_knows_them(tmp_path: Path) -> None:
    """No cell has a comma, so the file alone does not say that 2.651 is a thousand."""
    cells = [f"{german(price)};{'ab'[row % 2]}" for row, price in enumerate(PRICES)]
    with pytest.warns(UserWarning, match=COMMAS):
        schema = load(_file(tmp_path, "\n".join(["price;kind", *cells, ""]))).schema
    german_file = _file(tmp_path, "price;kind\n2.651;b\n;a\n3.374;a\n850;b\n")
    np.testing.assert_array_equal(_prices(german_file, schema), [2651, np.nan, 3374, 850])
    english_file = _file(tmp_path, "price;kind\n2.651;b\n;a\n0.374;a\n850;b\n")
    np.testing.assert_allclose(_prices(english_file, schema), [2.651, np.nan, 0.374, 850])
    with pytest.raises(DataError, match="line 3 has 3 fields, the first line has 2"):
        list(read_chunks(_file(tmp_path, "price;kind\n2.651;b\n2;a;b\n"), schema))


def _prices(path: Path, schema: Schema) -> Any:
    """The prices of a file that is read at once, which are the same in chunks of a row."""
    known = notations_of(schema)
    whole = with_numbers(read_frame(path, None, known), known)["price"].to_numpy()
    parts = [with_numbers(chunk.frame, known)["price"] for chunk in read_chunks(path, schema, 1)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    free = schema.for_other_rows
    decoded = free.decode(free.units(load(path, schema=free, missing="model").x))[:, 0]
    present = ~np.isnan(whole)
    np.testing.assert_allclose(decoded[present], whole[present], rtol=1e-5)
    return whole


@pytest.mark.parametrize(
    "given",
    [
        {"dialect": Dialect.asked(thousands="'")},
        {"kinds": {"n": "real"}},
        {"label": "n", "regression": True},
    ],
)
def test_cells_with_as_many_groups_are_numbers_if_they_are_said_to_be(
    given: dict[str, Any], tmp_path: Path
) -> None:
    """Otherwise they may be codes."""
    path = tmp_path / "x.csv"
    path.write_text("n,m\n" + "".join(f"{2 + i}'{100 + i},{i % 3}.5\n" for i in range(30)))
    numbers = [1000.0 * (2 + i) + 100 + i for i in range(30)]
    found = load(path, **given)
    if found.target is not None and found.schema.target is not None:
        read = found.schema.target.restored(found.target)
    else:
        read = to_frame(found.schema, found.schema.units(found.x))["n"]
    np.testing.assert_allclose(read, numbers)


@pytest.mark.filterwarnings("ignore:.*decimal commas")
def test_a_model_of_points_reads_a_table_with_commas(tmp_path: Path) -> None:
    """At once and by chunks, of which the last, 1.234, alone might be a fraction."""
    numbers = {"height": HEIGHTS, "price": [*PRICES[:-1], 1234.0]}
    schema = load(_file(tmp_path, text(numbers))).schema
    expected = load(tmp_path / "table.csv", schema=schema).x
    path = _file(
        tmp_path, text({name: [german(v) for v in numbers[name]] for name in numbers}, ";")
    )
    path.write_text(path.read_text().replace("1234,00", "1.234").replace("1.234,00", "1.234"))
    np.testing.assert_array_equal(load(path, schema=schema).x, expected)
    for chunk in read_chunks(path, schema, 3, texts=True):
        others = other_notations(chunk.frame, chunk.dialect, schema)
        rows = slice(chunk.first, chunk.first + len(chunk.frame))
        np.testing.assert_allclose(
            with_numbers(chunk.frame, others)["price"], numbers["price"][rows]
        )
        plain = with_points(chunk.text, others, schema)["price"].astype(float)
        np.testing.assert_allclose(plain, numbers["price"][rows])


def test_frames_with_text_that_is_numbers() -> None:
    frame = pd.DataFrame({"price": [f"${v:,.2f}" for v in PRICES], "height": HEIGHTS})
    dataset = load(frame)
    assert dataset.schema.columns[0].kind in ("real", "positive")
    decoded = dataset.schema.decode(dataset.schema.units(dataset.x))
    np.testing.assert_allclose(decoded[:, 0], PRICES, rtol=1e-6)
    doubtful = pd.DataFrame({"n": [f"{v % 9 + 1},{v % 7 + 100}" for v in range(24)]})
    with pytest.warns(UserWarning, match=r"1,100 is read as 1100, not 1\.1 \(--decimal ,"):
        load(doubtful.assign(height=HEIGHTS))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"delimiter": "ab"}, "--delimiter is one character, not 'ab'"),
        ({"decimal": "x"}, "--decimal is . or , and not 'x'"),
        ({"decimal": ",", "thousands": ","}, "are both ','"),
        ({"comment": "//"}, "--comment is one character"),
        ({"encoding": "klingon"}, "--encoding 'klingon' is unknown"),
    ],
)
def test_bad_dialects(given: dict[str, str], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Dialect.asked(**given)


def test_a_wrong_encoding_and_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = _file(tmp_path, "a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be read as text"):
        load(path, dialect=Dialect.asked(encoding="utf-32"))
    path.write_bytes(b"a,b\n1,\x01\x02\xff\n")
    with pytest.raises(DataError, match="characters that no text has"):
        load(path)
    path.write_bytes(b"a,b\n1,x\n2,y\n" * 200 + b"3,x\x1f\n")
    assert "x\x1f" in set(read_frame(path)["b"])


def test_the_encoding_is_found_wherever_its_first_letter_is(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    start = b"n,town\n" + b"1,Linz\n" * (LOOKED_AT // 7)
    path.write_bytes(start + "2,Köln\n".encode("cp1252"))
    assert encoding_of(path) == "cp1252"
    path.write_bytes(start + b"2,\x81\n")
    assert encoding_of(path) == "latin-1"
    path.write_bytes(start + "2,Köln\n".encode())
    assert encoding_of(path) == "utf-8-sig"
    path.write_bytes("n,Köln\n".encode() + start[7:] + b"2,\xf6\n")
    with pytest.raises(DataError, match=r"--encoding, such as cp1252, if it is not UTF-8"):
        read_frame(path)


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["country,1990,1991", "C0,172.8,", "C1,180.1,1990"], True),
        ([",2020,2010,2000", "C0,1,2,3"], True),
        (["country,1990,1991,1993", "C0,172.8,0,1"], True),
        (["country,1990,1991,1990", "C0,172.8,0,1"], False),
        (["C0,1990,1991", "C1,1500,1700"], False),  # another line has such numbers
        (["C0,1500,2400", "C1,3200,150"], False),  # too far apart for years
        (["C0,1990", "C1,172.8"], False),
        (["1990,1991", "172.8,3"], False),  # there is no name
    ],
)
def test_years_are_names(tmp_path: Path, lines: list[str], header: bool) -> None:
    path = _file(tmp_path, "\n".join([*lines, ""]))
    assert sniffed(path).header == header


@pytest.mark.parametrize(
    ("lines", "header"),
    [
        (["0,1,2", "5.1,4.2,3.3", "5.5,4.1,3.9"], True),
        ([",1,2,3", "0,4.2,3.3,1", "1,4.1,3.9,2"], True),
        (["1,2,3", "3,1,2", "2,1,3"], False),  # ranks
        (["0,1", "1,0"], False),
        (["0,1,3", "4,5,6"], False),
        (["2024-05-01,a,x", "2024-05-02,b,y"], False),
        (["3.5.2024 10:00,a", "4.5.2024 11:00,b"], False),
        (["day,2024-05-01,2024-05-02", "C0,5,6"], True),
        (["day,name", "2024-05-01,a"], True),
        (["1.2.3.4,a", "1.2.3.5,b"], True),  # no dates
    ],
)
def test_numbers_of_columns_are_names_and_dates_are_not(
    tmp_path: Path, lines: list[str], header: bool
) -> None:
    assert sniffed(_file(tmp_path, "\n".join([*lines, ""]))).header == header


@pytest.mark.parametrize(
    ("above", "skipped"),
    [
        ("Report of sales 2023\n", 1),
        ("Report of sales 2023\n\n", 2),
        ("Export\nBerlin\n", 2),
        ("# a comment\n", 1),
        ("", 0),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_titles_above_the_names_are_skipped(
    tmp_path: Path, above: str, skipped: int, delimiter: str
) -> None:
    table = "a,b,c\n1,2,3\n4,5,6\n7,8,9\n".replace(",", delimiter)
    path = _file(tmp_path, above + table)
    layout = sniffed(path)
    assert (layout.skipped, layout.header, layout.delimiter) == (skipped, True, delimiter)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = read_frame(path)
    assert list(frame.columns) == ["a", "b", "c"]
    assert frame["c"].tolist() == [3, 6, 9]
    titles = [str(one.message) for one in said if "below the title" in str(one.message)]
    assert len(titles) == (above[:1] not in ("", "#"))


@pytest.mark.parametrize(
    "content", ["x\n1,5\n2,6\n3,7\n", "some words\nmore words\nand more\nwords\n"]
)
def test_no_title(tmp_path: Path, content: str) -> None:
    assert sniffed(_file(tmp_path, content)).skipped == 0


def test_a_doubtful_first_line_is_said_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "C0,1500\nC1,3200\nC0,172\nC1,17\n")
    with pytest.warns(UserWarning, match="contains numbers or dates and is read as data") as said:
        schema = load(path).schema
    assert len([one for one in said if "first line" in str(one.message)]) == 1
    estimated_bytes(path)  # a warning would be an error
    list(read_chunks(path, schema, texts=True))


def test_workbooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("python_calamine", reason="pip install 'lowerbound[excel]'")
    pytest.importorskip("openpyxl")
    path = tmp_path / "book.xlsx"
    path.write_bytes(workbook(NUMBERS))
    frame = load(path)
    np.testing.assert_allclose(
        frame.schema.decode(frame.schema.units(frame.x))[:, 1], PRICES, rtol=1e-6
    )
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        pd.DataFrame({"a": [1, 2]}).to_excel(book, sheet_name="notes", index=False)
        pd.DataFrame(NUMBERS).to_excel(book, sheet_name="rows", index=False)
    with pytest.warns(UserWarning, match=r"has sheets notes, rows: the first is read \(--sheet"):
        assert len(load(path)) == 2
    assert main(["schema", str(path), "--sheet", "rows"]) == 0
    assert "price" in capsys.readouterr().out
    with pytest.raises(DataError, match="has no sheet 'x'; it has notes, rows"):
        load(path, dialect=Dialect.asked(sheet="x"))
    path.write_bytes(b"PK no workbook")
    with pytest.raises(DataError, match="cannot be read as a workbook"):
        load(path)


def _file(folder: Path, content: str) -> Path:
    path = folder / "table.csv"
    path.write_text(content)
    return path


@pytest.mark.filterwarnings("ignore:.*decimal commas")
@pytest.mark.parametrize("wrong", ["oops", "3.25"])
def test_a_wrong_cell_among_decimal_commas_is_named(tmp_path: Path, wrong: str) -> None:
    """Otherwise the whole column would be levels."""
    lines = [f"{row % 7},5;{row % 50},25" for row in range(200)]
    lines[60] = f"3,5;{wrong}"
    (tmp_path / "x.csv").write_text("t;v\n" + "\n".join(lines))
    with pytest.raises(DataError, match=r"column 'v' holds numbers, but not in row 60"):
        load(tmp_path / "x.csv")
    levels = load(tmp_path / "x.csv", kinds={"v": "categorical"})
    assert levels.schema.columns[1].kind == "categorical"


def test_names_of_several_columns_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "twins.csv"
    path.write_text("x,y,x,,\n" + "".join(f"{i},{i + 1},{i + 2},1,2\n" for i in range(20)))
    with pytest.warns(UserWarning, match=r"named x: the later ones are read as x\.1 and so on"):
        frame = read_frame(path)
    assert list(frame.columns)[:3] == ["x", "y", "x.1"]


def test_a_sign_that_is_no_comment_begins_a_name(tmp_path: Path) -> None:
    """With --comment %, a first line that begins with # has the names."""
    path = _file(tmp_path, "% of 2023\n#id,size\n1,2\n3,4\n5,6 % seen twice\n")
    dialect = Dialect.asked(comment="%")
    layout = sniffed(path, dialect)
    assert (layout.skipped, layout.header) == (1, True)
    frame = read_frame(path, dialect)
    assert list(frame.columns) == ["#id", "size"]
    assert frame["size"].tolist() == [2, 4, 6]
