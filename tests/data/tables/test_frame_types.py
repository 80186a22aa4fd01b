"""Frames come back in the types of the fitted one; frames of other libraries are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lowerbound import VAE, VAEImputer
from lowerbound.data import Schema, load, to_frame

ROWS = 40
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "real": RNG.normal(size=ROWS),
        "category": pd.Categorical(RNG.choice(list("xyz"), ROWS)),
        "ordered": pd.Categorical(RNG.choice(["low", "high"], ROWS), ["low", "high"], ordered=True),
        "whole": pd.array(RNG.integers(0, 999, ROWS), dtype="Int64"),
        "when": pd.date_range("2020-01-01", periods=ROWS, tz="Europe/Vienna"),
        "second": pd.date_range("1950-01-01", periods=ROWS).astype("datetime64[s]"),
        "milli": pd.date_range("2020-01-01", periods=ROWS, freq="90ms").astype("datetime64[ms]"),
        "yes": pd.array(RNG.random(ROWS) > 0.5, dtype="boolean"),
        "text": pd.array(RNG.choice(["p", "q"], ROWS), dtype="string"),
        "part": pd.array(RNG.normal(size=ROWS), dtype="Float32"),
    }
)
PLAIN = FRAME[["real", "whole", "text"]].astype({"whole": "int64", "text": object})


def test_types_come_back() -> None:
    dataset = load(FRAME)
    again = Schema.from_mapping(dataset.schema.to_mapping())
    frame = to_frame(again, again.units(dataset.x))
    assert frame.dtypes.astype(str).to_dict() == FRAME.dtypes.astype(str).to_dict()
    for name in ("category", "ordered", "whole", "yes", "text"):
        assert frame[name].tolist() == FRAME[name].tolist()
    assert frame["ordered"].cat.ordered
    for name in ("when", "second", "milli"):
        assert (frame[name] == FRAME[name]).all()


def test_expectations_have_types_with_fractions() -> None:
    """Of whole numbers they are floats, of pandas' own types in Float64."""
    real, whole = RNG.normal(size=ROWS), np.arange(ROWS) % 30
    frame = pd.DataFrame({"double": real, "plain": whole, "single": real.astype(np.float32)})
    frame = frame.assign(
        own=pd.array(real, dtype="Float32"),
        whole=pd.array(whole, dtype="Int64"),
        small=pd.array(whole, dtype="UInt8"),
        yes=pd.array(whole > 14, dtype="boolean"),
    )
    dataset = load(frame)
    found = to_frame(dataset.schema, dataset.schema.units(dataset.x) + 1e-3, rounded=False)
    assert found.dtypes.astype(str).to_dict() == {
        "double": "float64",
        "plain": "float64",
        "single": "float32",
        "own": "Float32",
        "whole": "Float64",
        "small": "Float64",
        "yes": "boolean",
    }
    assert (found["whole"] % 1 != 0).any()


def test_expectations_beyond_a_type_are_its_ends() -> None:
    ends = np.linspace(-6e4, 6e4, ROWS).astype(np.float16)
    dataset = load(pd.DataFrame({"half": ends, "x": RNG.random(ROWS)}), normal_scores=False)
    units = dataset.schema.units(dataset.x) * 10
    back = to_frame(dataset.schema, units, rounded=False)["half"]
    assert back.dtype == np.float16
    assert back.abs().max() == np.finfo(np.float16).max


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("zone", [None, "Europe/Vienna"])
def test_far_dates_come_back_in_their_unit(unit: str, zone: str | None) -> None:
    far = pd.Series(pd.date_range("2020-01-01", periods=ROWS)).astype(f"datetime64[{unit}]")
    far.iloc[-1] = pd.Timestamp("3000-06-01").as_unit(unit)
    frame = pd.DataFrame({"far": far.dt.tz_localize(zone) if zone else far, "x": RNG.random(ROWS)})
    dataset = load(frame)
    back = to_frame(dataset.schema, dataset.schema.units(dataset.x))
    assert back["far"].dtype == frame["far"].dtype
    assert (back["far"] == frame["far"]).all()


@pytest.mark.parametrize("library", ["pandas", "pyarrow", "polars"])
def test_dates_without_a_time_come_back_as_such(library: str) -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=ROWS)).dt.date
    days.iloc[3] = None
    frame = pd.DataFrame({"day": days, "x": RNG.random(ROWS)})
    found: Any = frame if library == "pandas" else pa.table({"day": pa.array(days), "x": frame.x})
    if library == "polars":
        found = pytest.importorskip("polars", reason="pip install polars").from_arrow(found)
    dataset = load(found)
    back = to_frame(dataset.schema, dataset.schema.units(dataset.x))["day"]
    assert back.drop(3).tolist() == days.drop(3).tolist()
    assert pa.array(back).type == pa.date32()


@pytest.mark.slow
def test_samples_and_filled_frames_have_the_types() -> None:
    kinds = FRAME.dtypes.astype(str).to_dict()
    model = VAE(latent_dim=2, epochs=1, random_state=0).fit(FRAME)
    assert model.sample(5).dtypes.astype(str).to_dict() == kinds
    gaps = FRAME.mask(RNG.random(FRAME.shape) < 0.1).astype(FRAME.dtypes.to_dict())
    filled = VAEImputer(epochs=1, random_state=0).fit(gaps).transform(gaps)
    assert not filled.isna().any().any()
    assert str(filled["whole"].dtype) == "Float64"  # it holds expectations
    same = [name for name in kinds if name not in ("when", "whole")]
    assert filled[same].dtypes.astype(str).to_dict() == {name: kinds[name] for name in same}
    assert str(filled["when"].dtype).endswith("Europe/Vienna]")


@pytest.mark.parametrize("library", ["pyarrow", "polars"])
def test_frames_of_other_libraries(library: str) -> None:
    expected = load(PLAIN)
    found: Any = pa.Table.from_pandas(PLAIN)
    if library == "polars":
        found = pytest.importorskip("polars").from_pandas(PLAIN)
    dataset = load(found)
    assert [c.kind for c in dataset.schema.columns] == [c.kind for c in expected.schema.columns]
    np.testing.assert_array_equal(dataset.x, expected.x)
    model = VAE(latent_dim=2, epochs=1, random_state=0).fit(found)
    same = VAE(latent_dim=2, epochs=1, random_state=0).fit(PLAIN)
    np.testing.assert_array_equal(model.transform(found), same.transform(PLAIN))
    assert list(model.feature_names_in_) == list(PLAIN.columns)


class SparkFrame:
    """What is needed of a frame of Spark, which runs in Java."""

    columns = tuple(PLAIN.columns)

    def toPandas(self) -> pd.DataFrame:
        return PLAIN


@pytest.mark.parametrize("library", ["polars", "dask", "spark"])
def test_frames_that_are_computed_later(library: str) -> None:
    if library == "polars":
        found: Any = pytest.importorskip("polars").from_pandas(PLAIN).lazy()
    elif library == "dask":
        found = pytest.importorskip("dask.dataframe").from_pandas(PLAIN, npartitions=3)
    else:
        found = SparkFrame()
    np.testing.assert_array_equal(load(found).x, load(PLAIN).x)
    model = VAE(latent_dim=2, epochs=1, random_state=0).fit(found)
    same = VAE(latent_dim=2, epochs=1, random_state=0).fit(PLAIN)
    np.testing.assert_array_equal(model.transform(found), same.transform(PLAIN))


def test_workers_of_dask_score_each_part() -> None:
    frames = pytest.importorskip("dask.dataframe").from_pandas(PLAIN, npartitions=3)
    model = VAE(latent_dim=2, epochs=1, random_state=0).fit(PLAIN)
    found = frames.map_partitions(model.score_samples, meta=("score", "f8")).compute()
    np.testing.assert_allclose(found, model.score_samples(PLAIN), rtol=1e-5)
