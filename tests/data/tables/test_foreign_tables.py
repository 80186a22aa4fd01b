"""Tables in the ways in which people write them: what is read, and that given cells come back."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from lowerbound.data.tables.dialect import Dialect
from lowerbound.data.tables.files import read_table
from lowerbound.data.tables.numbers import found_notations, with_numbers
from tests.data.tables.foreign_tables import TABLES, ForeignTable

NAMES = [table.name for table in TABLES]


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
