"""Missing levels are filled as the fitted column has them, also where all cells are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.tables.completion import completed_frame, hidden_cells

ROWS = 60
SIZE = np.random.default_rng(0).normal(size=ROWS)
COLUMNS: dict[str, tuple[Any, Any]] = {  # (cells, the first level)
    "truth values": ([True, False] * 30, False),
    "two texts": (["yes", "no"] * 30, "no"),
    "texts": (["a", "b", "c"] * 20, "a"),
    "category": (pd.Categorical(["a", "b", "c"] * 20), "a"),
    "codes": (["01", "02", "03"] * 20, "01"),
    "constant text": (["k"] * ROWS, "k"),
    "numbers": ([4, 5, 6] * 20, 4),
}


def completed(name: str, cells: Any) -> list[Any]:
    """The cells, with the first level of a column in its gaps."""
    schema = load(pd.DataFrame({"c": COLUMNS[name][0], "size": SIZE}), missing="model").schema
    rows = pd.DataFrame({"c": cells, "size": [0.0, 1.0]})
    hidden = hidden_cells(rows, load(rows, schema=schema, missing="model"))
    out = completed_frame(rows, schema, np.zeros((2, 2)), hidden, exact=True)["c"]
    return list(out)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("dtype", ["float64", "Int64", "object"])
@pytest.mark.filterwarnings("ignore:no variation in column 'c'")
def test_an_empty_column_gets_levels(name: str, dtype: str) -> None:
    """pandas reads a column without any cell as numbers."""
    cells, level = completed(name, pd.Series([None, None], dtype=dtype)), COLUMNS[name][1]
    assert cells == [level] * 2
    assert type(level) is int or [type(cell) for cell in cells] == [type(level)] * 2


@pytest.mark.parametrize("dtype", ["float64", "Int64"])
@pytest.mark.filterwarnings("ignore:column 'c' has levels")
def test_text_is_filled_beside_numbers_that_are_no_levels(dtype: str) -> None:
    assert completed("texts", pd.Series([7, None], dtype=dtype)) == [7, "a"]
