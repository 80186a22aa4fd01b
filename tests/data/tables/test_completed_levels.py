"""Missing levels are filled as the fitted column has them, also where all cells are missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.tables.completion import completed_frame, hidden_cells
from lowerbound.errors import DataError

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


def _of(kind: str, cells: list[str | None], levels: list[str]) -> Any:
    """A column of categories in a frame of pandas, of polars or of Arrow."""
    if kind == "polars":
        pl = pytest.importorskip("polars")
        return pl.DataFrame({"g": pl.Series(cells, dtype=pl.Categorical)}).to_pandas()["g"]
    if kind == "enum":
        pl = pytest.importorskip("polars")
        return pl.DataFrame({"g": pl.Series(cells, dtype=pl.Enum(levels))}).to_pandas()["g"]
    if kind == "arrow":
        pa = pytest.importorskip("pyarrow")
        cells_of = pa.table({"g": pa.array(cells).dictionary_encode()})
        return cells_of.to_pandas()["g"]
    return pd.Series(pd.Categorical(cells, categories=levels, ordered=kind == "ordered"), name="g")


@pytest.mark.parametrize("kind", ["plain", "ordered", "polars", "enum", "arrow"])
@pytest.mark.parametrize("seen", [["low"], ["middle"], ["high"], ["high", "low"]])
def test_answers_are_levels_of_the_fit_where_the_type_has_fewer(kind: str, seen: list[str]) -> None:
    levels = ["low", "middle", "high"]
    fitted = pd.DataFrame({"g": pd.Categorical(levels * 20, levels, ordered=kind == "ordered")})
    fitted["n"] = np.arange(60) ** 1.5
    schema = load(fitted, missing="model").schema
    known = [str(level) for level in schema.columns[0].levels]
    given = pd.DataFrame({"g": _of(kind, [*seen, None, None, None], seen)}).assign(n=1.0)
    answers = np.zeros((len(given), 2))
    answers[-3:, 0] = [known.index(level) for level in levels]
    hidden = np.stack([given["g"].isna().to_numpy(), np.zeros(len(given), dtype=bool)], axis=1)
    filled = completed_frame(given, schema, answers, hidden, exact=True)["g"]
    assert [str(cell) for cell in filled] == [*seen, *levels]
    assert set(map(str, filled.cat.categories)) == set(levels)
    if kind == "ordered" and len(seen) == 1:
        assert filled.dtype == fitted["g"].dtype


def test_a_type_that_cannot_hold_an_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill that leaves a cell empty would be counted as a filled one."""
    schema = load(pd.DataFrame({"g": [*"ab"] * 30, "n": np.arange(60) ** 1.5})).schema
    given = pd.DataFrame({"g": ["a", None], "n": 1.0})
    monkeypatch.setattr(type(schema.columns[0].rules), "filling", lambda *_: [None])
    hidden = np.array([[False, False], [True, False]])
    with pytest.raises(DataError, match="column 'g' cannot hold the values that fill it"):
        completed_frame(given, schema, np.zeros((2, 2)), hidden, exact=True)
