"""Ranges and resolutions from chunks are those of all values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.data.columns.column import Column
from lowerbound.data.tables.disk_sample import SettledColumn

VALUES = {
    "tens": [120.0, 50.0, 980.0, 20.0, 20.0, 400.0],
    "cents later": [3.0, 9.0, 6.0, 12.25, 9.0, 3.0],
    "one value at first": [100.0, 100.0, 150.0, 350.0, 250.0, 100.0],
    "tenths": [13.3, 13.4, 0.1, 0.7, 13.35, 2.1],
    "off by one": [10.0, 20.0, 30.0, 41.0, 50.0, 60.0],
    "negative": [-7.5, 2.5, 12.5, -17.5, 22.5, 0.0],
    "no lattice": [0.1, 0.7, np.pi, 2.0, 5.0, 0.1],
    "no lattice at first": [np.pi, np.e, 1.0, 2.0, 5.0, 0.1],
}


VALUES["one value"] = [50.0] * 6


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES.keys())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("gap", [False, True])
def test_a_column_from_chunks_is_that_of_all_values(
    values: list[float], size: int, dtype: str, gap: bool
) -> None:
    cells = pd.Series([np.nan, *values] if gap else values, dtype=dtype, name="v")
    column = Column("v", dtype=dtype)
    found = SettledColumn(column)
    for start in range(0, len(cells), size):
        found.add(cells.iloc[start : start + size].reset_index(drop=True))
    assert found.settled == column.rules.settled(cells)
