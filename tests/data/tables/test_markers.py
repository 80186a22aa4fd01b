"""Text that looks like a missing value: kept where cells can be empty, named where it is taken."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.tables import read_table as read_audited
from lowerbound.data import load
from lowerbound.data.columns.values import with_own_gaps
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.files import read_table
from lowerbound.data.tables.on_disk import load_on_disk

WORDS = ("NA", "null", "None", "nan", "NULL", "-", "?")
ROWS = 60
LEVELS = ("DE", "FR", "NA")
DECLARED: Any = {"country": {"kind": "categorical", "levels": list(LEVELS)}}
KEPT = r"column 'country': '.*' in 20 rows, taken for a value, .*--missing-value"
TAKEN = r"column 'country': .*'.*' in 20 rows, taken for missing"


def table(word: str = "NA", gaps: int = 2) -> pd.DataFrame:
    """A third of the rows has the word, and ``gaps`` of the others have no country."""
    country = np.array([word, "DE", "FR"] * (ROWS // 3), dtype=object)
    country[[1, 4][:gaps]] = None
    return pd.DataFrame({"country": country, "size": np.arange(ROWS) ** 1.5})


def source(kind: str, frame: pd.DataFrame, folder: Path) -> Any:
    """The table in a form in which a cell can be empty on its own."""
    path = folder / "rows.parquet"
    if kind == "parquet":
        frame.to_parquet(path)
        return path
    if kind == "database":
        duckdb = pytest.importorskip("duckdb")
        frame.to_parquet(path)
        address = folder / "rows.db"
        with duckdb.connect(str(address)) as base:
            base.execute(f"create table rows as select * from '{path}'")
        return f"duckdb:{address}"
    if kind == "arrow":
        pa = pytest.importorskip("pyarrow")
        return pa.Table.from_pandas(frame)
    if kind == "polars":
        return pytest.importorskip("polars").from_pandas(frame)
    return frame.astype({"country": kind})


KINDS = ("parquet", "database", "arrow", "polars", "object", "str", "string", "category")


@pytest.mark.parametrize("kind", KINDS)
def test_text_beside_empty_cells_is_text(tmp_path: Path, kind: str) -> None:
    rows = source(kind, table(), tmp_path)
    with pytest.warns(UserWarning, match=KEPT):
        found = load(rows)
    assert found.schema.columns[0].levels == LEVELS
    assert found.observed is not None
    assert found.observed[:, 0].sum() == ROWS - 2
    again = load(rows, schema=found.schema)  # without a note
    assert again.observed is not None
    assert again.observed[:, 0].sum() == ROWS - 2


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("kind", ["parquet", "polars"])
def test_every_word_is_kept_in_a_type_that_can_be_empty(
    tmp_path: Path, kind: str, word: str
) -> None:
    rows = source(kind, table(word, gaps=0), tmp_path)
    with pytest.warns(UserWarning, match=KEPT):
        found = load(rows)
    assert word in found.schema.columns[0].levels
    assert found.observed is None or bool(found.observed.all())


@pytest.mark.parametrize("word", [*WORDS, "N/A", "#N/A"])
def test_a_csv_names_the_word_that_it_takes_for_missing(tmp_path: Path, word: str) -> None:
    path = tmp_path / "rows.csv"
    table(word).to_csv(path, index=False)
    with pytest.warns(UserWarning, match=TAKEN) as said:
        found = load(path)
    assert repr(word) in str(said[0].message)
    assert found.schema.columns[0].levels == ("DE", "FR")
    assert found.observed is not None
    assert found.observed[:, 0].sum() == ROWS - 22


@pytest.mark.parametrize("kind", ["csv", "xlsx", "frame", "on disk"])
def test_a_declared_level_is_a_value(tmp_path: Path, kind: str) -> None:
    frame, path = table(), tmp_path / "rows.csv"
    frame.to_csv(path, index=False)
    if kind == "xlsx":
        pytest.importorskip("openpyxl")
        path = path.with_suffix(".xlsx")
        frame.to_excel(path, index=False)
    if kind == "on disk":
        found = load_on_disk(path, tmp_path / "cache", kinds=DECLARED)
    else:
        found = load(frame if kind == "frame" else path, kinds=DECLARED)
    assert found.schema.columns[0].levels == LEVELS
    assert found.observed is not None
    assert found.observed[:, 0].sum() == ROWS - 2


def test_a_csv_on_disk_names_its_words_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    table().to_csv(path, index=False)
    with pytest.warns(UserWarning, match=TAKEN) as said:
        found = load_on_disk(path, tmp_path / "cache")
    assert len(said) == 1
    assert found.schema.columns[0].levels == ("DE", "FR")


def test_a_workbook_names_the_word_that_it_takes_for_missing(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    path = tmp_path / "rows.xlsx"
    table().to_excel(path, index=False)
    with pytest.warns(UserWarning, match=TAKEN):
        found = load(path)
    assert found.schema.columns[0].levels == ("DE", "FR")


def test_a_level_of_the_model_is_a_value_in_a_csv(tmp_path: Path) -> None:
    schema = load(table(), kinds=DECLARED).schema
    path = tmp_path / "rows.csv"
    table(gaps=1).to_csv(path, index=False)
    found = load(path, schema=schema)
    assert found.observed is not None
    assert found.observed[:, 0].sum() == ROWS - 1
    chunks = [chunk.frame["country"] for chunk in read_chunks(path, schema, rows=25, texts=True)]
    assert sum((cells == "NA").sum() for cells in chunks) == ROWS // 3
    assert sum(cells.isna().sum() for cells in chunks) == 1


def test_a_frame_without_gaps_says_what_it_takes_for_missing() -> None:
    frame = table("?", gaps=0)
    with pytest.warns(UserWarning, match=TAKEN):
        found = load(frame)
    assert found.schema.columns[0].levels == ("DE", "FR")
    assert found.schema.columns[0].markers == ("?",)
    later = table("?", gaps=2)  # what was missing in the fit stays so, beside empty cells too
    with pytest.warns(UserWarning, match=TAKEN):
        again = load(later, schema=found.schema)
    assert again.unseen is None
    assert again.observed is not None
    assert again.observed[:, 0].sum() == ROWS - 22


def test_a_frame_of_unfiltered_text_keeps_its_types(tmp_path: Path) -> None:
    """pandas reads every cell as it is: numbers with words between them are numbers still."""
    path = tmp_path / "rows.csv"
    path.write_text("size,country\n" + "1.5,DE\nNA,FR\n2.25,NA\n,DE\n7.5,\n" * 12)
    frame = pd.read_csv(path, keep_default_na=False)
    with pytest.warns(UserWarning, match="'NA' in 12 rows, taken for missing"):
        found = load(frame)
    assert [column.levels for column in found.schema.columns] == [(), ("DE", "FR")]
    assert found.observed is not None
    assert found.observed.sum(0).tolist() == [36, 36]


def test_an_unknown_word_is_left_as_it_is_beside_empty_cells(tmp_path: Path) -> None:
    plain = table("US")
    schema = load(plain, missing="model").schema
    path = tmp_path / "rows.parquet"
    table().to_parquet(path)
    with pytest.warns(UserWarning, match="levels that the model was not fitted on: 'NA'"):
        found = load(path, schema=schema)
    assert found.unseen_cells[:, 0].sum() == ROWS // 3  # which no imputation fills


def test_a_word_that_a_user_calls_missing_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table().to_parquet(path)
    found = load(path, dialect=Dialect.asked(missing=("NA",)))
    assert found.schema.columns[0].levels == ("DE", "FR")


def test_numbers_and_dates_have_no_such_words(tmp_path: Path) -> None:
    numbers = [cell for i in range(15) for cell in (f"{i}.5", "NA", None, f"{i}.25")]
    days = ["2024-05-01", "-", None, "2024-06-09"] * 15
    frame = pd.DataFrame({"number": numbers, "day": days})
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(path, kinds={"day": "datetime"})
    assert [column.rules.has_format for column in found.schema.columns] == [False, True]
    assert found.observed is not None
    assert found.observed.sum(0).tolist() == [30, 30]


def test_the_markers_of_pandas_are_those_that_are_known(tmp_path: Path) -> None:
    """A level of a model is kept by naming all others, so their list must be that of pandas."""
    from pandas._libs.parsers import STR_NA_VALUES

    from lowerbound.data.tables.markers import OF_PANDAS

    assert set(OF_PANDAS) == set(STR_NA_VALUES)
    path = tmp_path / "rows.csv"
    path.write_text("a,b\nNA,NA\nx,1\n")
    frame, _ = read_table(path, kept={"a": {"NA", "x"}})
    assert frame["a"].tolist() == ["NA", "x"]
    assert np.isnan(frame["b"][0])


def test_a_value_of_the_real_table_is_one_of_the_synthetic_table(tmp_path: Path) -> None:
    """An audit compares a Parquet file with the csv file of its synthetic rows."""
    real, path = with_own_gaps(table()), tmp_path / "drawn.csv"
    table(gaps=1).to_csv(path, index=False)
    found = read_audited(path, "SYNTHETIC", real)
    assert (found["country"] == "NA").sum() == ROWS // 3
    assert found["country"].isna().sum() == 1
    with pytest.warns(UserWarning, match=TAKEN):
        assert not (read_audited(path, "SYNTHETIC", table("?"))["country"] == "NA").any()
