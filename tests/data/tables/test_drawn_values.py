"""Drawn values are values that the table can have: on its grid, and inside its range if asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.schema import Schema
from lowerbound.data.tables.declared import declared_schema
from lowerbound.data.tables.frames import to_frame

DAY = 86_400
STEPS = {
    "cents": 0.01,
    "whole": 1.0,
    "fifties": 50.0,
    "quarters": 0.25,
    "kids": 1.0,
    "skewed": 0.1,
    "single": 0.1,
    "day": DAY,
    "hour": 3_600.0,
    "noon": DAY,
}


def table(rows: int = 400) -> pd.DataFrame:
    """Numbers and dates with known steps, and one column without."""
    draw = np.random.default_rng(0)
    start = pd.Timestamp("2024-03-01")
    whole = draw.integers(100, 900, rows).astype(float)
    whole[::7] = np.nan
    frame = pd.DataFrame(
        {
            "cents": np.round(draw.normal(20, 5, rows), 2),
            "whole": whole,
            "fifties": draw.integers(-40, 40, rows) * 50,
            "quarters": draw.integers(0, 200, rows) / 4,
            "kids": draw.poisson(2, rows),
            "skewed": np.round(draw.gamma(0.3, 2, rows) + 0.1, 1),
            "single": np.round(draw.normal(0, 9, rows), 1).astype("float32"),
            "day": start + pd.to_timedelta(draw.integers(0, 500, rows), unit="D"),
            "hour": start + pd.to_timedelta(draw.integers(0, 9_000, rows), unit="h"),
            "noon": start + pd.to_timedelta(draw.integers(0, 90, rows) * 24 + 12, unit="h"),
            "free": draw.normal(size=rows),
        }
    )
    return frame.drop(columns="kids").assign(kids=pd.array(frame["kids"], dtype="Int64"))


@pytest.fixture(scope="module")
def schema() -> Schema:
    return load(table(), missing="model", kinds={"kids": "count"}).schema


def drawn(schema: Schema, spread: float = 1.5) -> torch.Tensor:
    """Rows in model units; counts are not negative."""
    generator = torch.Generator().manual_seed(0)
    x = spread * torch.randn(1_000, len(schema.modeled), generator=generator, dtype=torch.float64)
    counts = torch.tensor([column.kind == "count" for column in schema.modeled])
    return torch.where(counts, (4 * x).abs().round(), x)


def in_units(series: pd.Series) -> np.ndarray:
    if series.dtype.kind == "M":
        since = series - pd.Timestamp("1970-01-01")
        return since.dt.total_seconds().to_numpy(dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


@pytest.mark.parametrize("name", list(STEPS))
def test_drawn_values_are_the_nearest_of_the_grid(schema: Schema, name: str) -> None:
    x, step = drawn(schema), STEPS[name]
    place = [column.name for column in schema.columns].index(name)
    free = schema.decode(x, rounded=False)[:, place]
    made = in_units(to_frame(schema, x)[name])
    offset = DAY / 2 if name == "noon" else 0.0
    nearest = np.round(np.rint((made - offset) / step) * step + offset, 2)
    single = name == "single"  # its type has no exact tenths
    assert np.array_equal(made, nearest.astype("float32") if single else nearest)
    away = np.abs(made - free)
    if name == "skewed":  # zero is not a positive number
        assert made.min() == 0.1
        away = away[free > 0.1]
    assert away.max() <= step / 2 * (1 + 1e-5)
    assert np.unique(made).size > 5


def test_columns_without_a_grid_keep_every_digit(schema: Schema) -> None:
    x = drawn(schema)
    place = [column.name for column in schema.columns].index("free")
    assert np.array_equal(to_frame(schema, x)["free"], schema.decode(x, rounded=False)[:, place])


def test_expectations_are_not_rounded(schema: Schema) -> None:
    mean = to_frame(schema, drawn(schema), rounded=False)["whole"].to_numpy()
    assert np.mean(mean == np.rint(mean)) < 0.01


def test_the_density_does_not_depend_on_the_grid(schema: Schema) -> None:
    x = drawn(schema)
    jacobian = schema.log_jacobian(x, mass=False)
    assert torch.equal(schema.for_other_rows.log_jacobian(x, mass=False), jacobian)


def test_rows_within_the_range_end_where_the_table_ends(schema: Schema) -> None:
    x, given = drawn(schema, 9.0), table()
    inside, free = to_frame(schema, x, within_range=True), to_frame(schema, x)
    for name in given.columns:
        low, high = given[name].min(), given[name].max()
        assert inside[name].between(low, high).all(), name
        assert not free[name].between(low, high).all(), name
        kept = free[name].between(low, high)
        assert inside[name][kept].equals(free[name][kept]), name


def test_given_rows_off_the_grid_keep_their_values(schema: Schema) -> None:
    given = table(3).assign(fifties=[25, 60, 1], cents=[1.234, 0.001, 7.0])
    x = load(given, schema=schema).x
    back = to_frame(schema.for_other_rows, x)
    assert back["fifties"].tolist() == [25, 60, 1]
    assert np.allclose(back["cents"], given["cents"], rtol=0, atol=1e-9)


def test_an_older_schema_rounds_to_whole_numbers_of_its_type_only(schema: Schema) -> None:
    old = schema.to_mapping()
    for column in old["columns"]:
        del column["lattice"], column["observed"]
    older = Schema.from_mapping(old)
    x = drawn(schema)
    made, free = to_frame(older, x), schema.decode(x, rounded=False)
    names = [column.name for column in schema.columns]
    assert np.array_equal(made["cents"], free[:, names.index("cents")])
    assert np.array_equal(made["fifties"], np.rint(free[:, names.index("fifties")]))
    inside = to_frame(older, x, within_range=True)
    pd.testing.assert_frame_equal(inside, made)


def test_quantiles_of_draws_are_on_the_grid(schema: Schema) -> None:
    draws = np.random.default_rng(0).integers(0, 100, (20, 50)) / 4
    column = next(column for column in schema.columns if column.name == "quarters")
    found = column.rules.quantiles(draws, (0.05, 0.5, 0.95))
    assert np.isin(found * 4, np.arange(100)).all()


def test_a_declared_schema_has_the_declared_range_and_no_grid_of_its_own() -> None:
    """The rows that it is learned from are evenly spaced: in steps of 1 and of 2 here."""
    schema = declared_schema(
        {
            "free": {"kind": "real", "low": 0, "high": 2001},
            "whole": {"kind": "real", "low": 0, "high": 4002, "whole": True, "missing": True},
            "paid": {"kind": "mixed", "low": 10, "high": 2001, "atom": 0},
            "share": {"kind": "bounded", "low": 0.0, "high": 1.0},
            "when": {"kind": "datetime", "low": "2020-01-01", "high": "2030-12-31"},
        }
    )
    columns = {column.name: column for column in schema.columns}
    assert {name: column.rules.lattice.step for name, column in columns.items()} == {
        "free": 0.0,
        "whole": 1.0,
        "paid": 0.0,
        "share": 0.0,
        "when": DAY,
    }
    ends = [pd.Timestamp(day).timestamp() for day in ("2020-01-01", "2030-12-31")]
    assert {name: column.observed for name, column in columns.items()} == {
        "free": (0.0, 2001.0),
        "whole": (0.0, 4002.0),
        "paid": (0.0, 2001.0),
        "share": (0.0, 1.0),
        "when": tuple(ends),
    }
