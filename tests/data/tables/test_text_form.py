"""Cells with a ' before a text that a spreadsheet would compute."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.common.columnar_files import columnar
from lowerbound.data import load
from lowerbound.data.tables.kind import unquoted
from lowerbound.data.tables.text_form import TextForm


def minutes(row: int) -> str:
    """From -0:30 on."""
    return f"-0:{30 - row:02d}" if row < 30 else f"0:{row - 30:02d}"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "x.csv"
    rows = [f"{('+y', '-x', 'z')[row % 3]},{minutes(row)},{'=@'[row % 2]}p" for row in range(60)]
    path.write_text("\n".join(["level,time,class", *rows]))
    return path


def test_a_model_reads_what_it_writes(table: Path, tmp_path: Path) -> None:
    fitted, again = load(table, label="class"), tmp_path / "again.csv"
    frame = pd.read_csv(table)
    with (
        pytest.warns(UserWarning, match="texts of '(level|class)' begin as a formula"),
        columnar(again, TextForm.of(fitted.schema)) as file,
    ):
        file.add({name: frame[name] for name in frame})
    lines = again.read_text().splitlines()
    assert lines[1] == "'+y,-0:30,'=p"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(again, label="class", schema=fitted.schema)
    np.testing.assert_array_equal(found.x, fitted.x)
    assert found.label is not None
    np.testing.assert_array_equal(found.label, fitted.label)


def test_other_cells_keep_their_mark(table: Path) -> None:
    schema = load(table).schema
    frame = pd.DataFrame({"level": ["'+y", "'z", "'+new", "'", None, "+y"], "time": "'-0:30"})
    found = unquoted(frame, schema)
    assert list(found["level"].fillna("")) == ["+y", "'z", "'+new", "'", "", "+y"]
    assert set(found["time"]) == {"-0:30"}
    marked = pd.DataFrame({"level": ["'+y", "+y", "z"] * 20, "time": [1, 2, 3, 4] * 15})
    assert unquoted(marked, load(marked).schema) is marked  # the model knows them so
