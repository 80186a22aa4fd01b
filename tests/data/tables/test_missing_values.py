"""Values that mark missing cells: a user gives them, and a note names what seems to be one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.columns.inference import likely_marker, recognized
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.on_disk import load_on_disk

MARKERS = ("-999", "T", "99")
ASKED = Dialect.asked(missing=MARKERS)
ROWS = 60


def frame() -> pd.DataFrame:
    """Every seventh cell of each column is marked, by a number or a word."""
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 4, ROWS)
    table = pd.DataFrame(
        {"height": rng.normal(1.7, 0.1, ROWS).round(3), "count": whole, "group": [*"abc"] * 20}
    )
    for name, marker in (("height", -999.0), ("count", 99), ("group", "T")):
        table.loc[::7, name] = marker
    return table


def written(folder: Path, kind: str) -> Any:
    path = folder / f"rows.{kind}"
    if kind == "frame":
        return frame()
    if kind == "csv":
        frame().to_csv(path, index=False)
    elif kind == "parquet":
        frame().to_parquet(path)
    else:
        pytest.importorskip("openpyxl")
        frame().to_excel(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["frame", "csv", "parquet", "xlsx"])
def test_marked_cells_are_missing_in_the_fit_and_in_later_files(tmp_path: Path, kind: str) -> None:
    source = written(tmp_path, kind)
    found = load(source, dialect=ASKED)
    assert found.observed is not None
    marked = np.arange(ROWS) % 7 == 0
    assert (found.observed.numpy() == ~marked[:, None]).all()
    (height, count, group) = found.schema.columns
    assert height.observed is not None
    assert count.observed is None or count.observed[1] < 20
    assert height.observed[0] > 0
    assert group.levels == ("a", "b", "c")
    again = load(source, schema=found.schema)
    assert again.observed is not None
    assert (again.observed == found.observed).all()
    if kind != "frame":
        (chunk,) = read_chunks(source, found.schema)
        assert (chunk.frame.isna().to_numpy() == marked[:, None]).all()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_marked_cells_are_missing_in_rows_on_disk(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowerbound.data.tables.on_disk.SAMPLED_CELLS", 120)
    source = written(tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = load_on_disk(source, tmp_path / "cache", dialect=ASKED)
    rows = found.batch(torch.arange(ROWS))
    assert rows.observed is not None
    assert (rows.observed.numpy() == (np.arange(ROWS) % 7 != 0)[:, None]).all()
    assert all(c.observed is None or c.observed[0] >= 0 for c in found.schema.columns)
    assert all(c.observed is None or c.observed[1] < 20 for c in found.schema.columns)


@pytest.mark.parametrize(
    ("others", "marker", "found"),
    [
        ((0.5, 2, 7, 9), -9, -9),
        ((0.5, 2, 7, 9), -999, -999),
        ((0.5, 2, 7, 9), 999, 999),
        ((-3, 2, 7, 9), -9, None),  # negative as others are, and not far
        ((1, 20, 70, 90), 99, None),
        ((1, 2, 3, 4), 9, None),
        ((1, 2, 3, 4), -5, None),
        ((1, 2, 3, 4), 100, None),
    ],
)
def test_a_number_that_seems_to_mark_missing_values_is_named(
    others: tuple[float, ...], marker: float, found: float | None
) -> None:
    assert likely_marker(np.unique([*others, marker]).astype(float)) == found
    cells = pd.Series([*others] * 9 + [marker] * 2, name="age", dtype=float)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recognized(cells)
        recognized(cells[:-1])  # a single cell may be a value
    assert len(said) == (found is not None)
    if found is not None:
        assert f"column 'age' has {marker} in 2 of 38 rows" in str(said[0].message)
        assert f"fit --missing-value {marker}" in str(said[0].message)


@pytest.mark.parametrize(
    ("cells", "levels"),
    [
        (["driver", "none", "driver", "none"], ("driver", "none")),
        (["driver", "NONE", "", "both"], ("NONE", "both", "driver")),
        (["driver", "None", "both", "?"], ("both", "driver")),  # as Python writes it
        (["none", "some", "2a", "2a"], ("2a", "none", "some")),
        (["none", "8 nested", "1 alone", "?"], ("1 alone", "8 nested", "none")),
        (["none", "1 week", "2 weeks", "9 weeks"], ("1 week", "2 weeks", "9 weeks")),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_none_is_a_level_beside_words(
    cells: list[str], levels: tuple[str, ...], in_file: bool, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"n": np.arange(400) ** 0.5, "airbag": cells * 100})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        dataset = load(tmp_path / "rows.csv" if in_file else frame, missing="model")
    column = dataset.schema.columns[1]
    assert tuple(map(str, column.levels)) == levels
    gone = {cell for cell in cells if cell and cell not in levels}
    gone -= {"none"} if in_file else set()  # beside numbers of weeks it can be nothing else
    assert len(said) == bool(gone)
    assert all(f"{cell!r} in 100 rows" in str(said[0].message) for cell in gone)
    assert column.missing_share == np.mean([str(cell) not in levels for cell in cells])


@pytest.mark.parametrize(
    "cells", [["none"], ["none", "NONE", ""], ["?", "none"]], ids=["one", "two", "beside a marker"]
)
def test_none_alone_is_missing(cells: list[str]) -> None:
    frame = pd.DataFrame({"n": np.arange(60) % 7, "y": (cells * 60)[:60]})
    with pytest.warns(UserWarning, match="'y'"):
        column = load(frame, missing="model").schema.columns[1]
    assert column.blank


@pytest.mark.parametrize("truths", [(True, False), ("true", "FALSE")])
def test_none_is_missing_beside_true_and_false(truths: tuple[Any, Any]) -> None:
    frame = pd.DataFrame({"n": np.arange(60) % 7, "y": [*truths, "none"] * 20})
    column = load(frame, missing="model").schema.columns[1]
    assert column.kind == "binary"
    assert column.missing_share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1.5", "none", "2.25", "7.5"], "real"),
        (["2024-01-05", "none", "2023-11-30"], "datetime"),
        (["5 March 2024", "none", "12 April 2023", "1 May 2025"], "datetime"),
    ],
)
def test_none_is_missing_beside_numbers_and_dates(cells: list[str], kind: str) -> None:
    frame = pd.DataFrame({"n": np.arange(60) % 7, "y": (cells * 60)[:60]})
    column = load(frame, missing="model").schema.columns[1]
    assert column.kind != "categorical"
    assert (column.kind == "datetime") == (kind == "datetime")
    assert column.missing_share == np.mean(frame["y"] == "none")


def test_a_fitted_column_decides_what_none_is() -> None:
    rows = pd.DataFrame({"n": ["1.5", "2.5", "none", "7.25"] * 30, "bag": ["yes", "none"] * 60})
    schema = load(rows, missing="model").schema
    one = load(rows.iloc[[2, 3]].assign(n="none", bag="none"), schema=schema)
    assert one.observed is not None
    assert one.observed.tolist() == [[False, True]] * 2
