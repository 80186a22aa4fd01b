"""Numbers that no measurement has are missing cells, and a note names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound import VAEImputer
from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.data import load
from lowerbound.data.tables.chunks import read_chunks
from lowerbound.errors import DataError

LARGEST = float(np.finfo(np.float64).max)
OF_32_BITS = float(np.finfo(np.float32).max)
MARKS = (LARGEST, -LARGEST, 1.7e308, -1e200, OF_32_BITS, -3.402823e38)
ROWS = 60


def frame(mark: float) -> pd.DataFrame:
    values = np.random.default_rng(0).normal(15, 4, (ROWS, 2))
    values[::7, 0] = mark
    return pd.DataFrame(values, columns=["temp", "hum"])


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("kind", ["frame", "csv", "parquet", "array"])
def test_such_cells_are_missing(tmp_path: Path, kind: str, mark: float) -> None:
    rows = frame(mark)
    source: Any = {"frame": rows, "array": rows.to_numpy()}.get(kind, tmp_path / f"rows.{kind}")
    if kind == "csv":
        rows.to_csv(source, index=False)
    if kind == "parquet":
        rows.to_parquet(source)
    missing = "model" if kind == "array" else None
    with pytest.warns(
        UserWarning, match=rf"{mark:.6g} in 9 rows, taken for missing".replace("+", r"\+")
    ):
        found = load(source, missing=missing)
    assert found.observed is not None
    assert (~found.observed).sum(0).tolist() == [9, 0]
    assert torch.isfinite(found.x).all()
    with pytest.warns(UserWarning, match="taken for missing"):
        again = load(source, schema=found.schema)
    assert torch.equal(again.observed, found.observed)


@pytest.mark.parametrize("size", [1e20, 1e38, 1e149, 1e-300])
def test_other_far_numbers_are_values(size: float) -> None:
    found = load(frame(size))
    assert found.observed is None or bool(found.observed.all())


def test_numbers_that_are_all_so_large_stay() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2)) * 1e200
    np.testing.assert_allclose(load(rows).schema.decode(load(rows).x), rows)


def test_complete_rows_with_such_a_cell_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'x0' has 1\.79769e\+308 in rows 0, 7, .*missing"):
        load(frame(LARGEST).to_numpy())


def test_chunks_and_imputers_fill_them(tmp_path: Path) -> None:
    rows, path = frame(LARGEST), tmp_path / "rows.csv"
    rows.to_csv(path, index=False)
    with pytest.warns(UserWarning, match="taken for missing"):
        schema = load(path).schema
    with pytest.warns(UserWarning, match="taken for missing"):
        cells = [chunk.frame["temp"] for chunk in read_chunks(path, schema, rows=25)]
    assert sum(each.isna().sum() for each in cells) == 9
    imputer = VAEImputer(epochs=1, calibration=0, random_state=0)
    with pytest.warns(UserWarning, match="taken for missing"):
        filled = imputer.fit(rows).transform(rows)
    assert filled["temp"].abs().max() < 40


def test_a_synthesizer_is_fitted_without_them() -> None:
    with pytest.warns(UserWarning, match="taken for missing"):
        fitted = fit_synthesizer(frame(LARGEST), SynthesizerOptions(minutes=0.001, seed=0))
    observed = fitted.schema.columns[0].observed
    assert observed is not None
    assert observed[1] < 40


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_largest_number_of_an_array_by_its_type(dtype: str) -> None:
    """65504 of 16 bits is a value."""
    rows = frame(0.0).to_numpy().astype(dtype)
    rows[::7, 0] = np.finfo(dtype).max
    if dtype == "float16":
        found = load(rows, missing="model")
        assert found.observed is None or bool(found.observed.all())
        return
    with pytest.warns(UserWarning, match=r"3\.40282e\+38 in 9 rows, taken for missing"):
        found = load(rows, missing="model")
    assert found.observed is not None
    assert (~found.observed).sum(0).tolist() == [9, 0]
