"""The imputer's trees: where the model fails, where it is exact, and after storing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from lowerbound import VAEImputer
from lowerbound.applications.common.application import Silent
from lowerbound.applications.restoration.impute import impute
from lowerbound.applications.restoration.requests import ImputeRequest
from lowerbound.errors import ModelFolderError
from lowerbound.fitting import folder as model_folder
from lowerbound.fitting.manifest import TREES

Array = np.ndarray[Any, Any]
SAMPLES = 40
QUICK = VAEImputer(epochs=3, n_importance=SAMPLES, random_state=0)


def error(found: Any, truth: Array, at: Array) -> float:
    return float(np.sqrt(np.square((np.asarray(found) - truth) / truth.std(0))[at].mean()))


def alone(imputer: VAEImputer, rows: Any) -> Any:
    """The answers of the same model without trees."""
    other: VAEImputer = clone(imputer)
    vars(other).update({k: v for k, v in vars(imputer).items() if k not in imputer.get_params()})
    other.trees_ = None
    return other.transform(rows)


@pytest.fixture(scope="module")
def signs() -> tuple[Array, Array]:
    """The last column is the sign of the product of the first two; the hidden cells."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 4))
    x[:, 3] = np.sign(x[:, 0] * x[:, 1]) + 0.1 * x[:, 3]
    hidden = np.zeros(x.shape, dtype=bool)
    hidden[rng.random(700) < 0.3, 3] = True
    hidden[:, 2] = ~hidden[:, 3] & (rng.random(700) < 0.1)
    return x, hidden


@pytest.fixture(scope="module")
def holes(signs: tuple[Array, Array]) -> Array:
    x, hidden = signs
    return np.where(hidden, np.nan, x)


@pytest.fixture(scope="module")
def imputer(holes: Array) -> VAEImputer:
    return clone(QUICK).fit(holes)


@pytest.mark.slow
def test_trees_fill_what_the_linear_model_cannot(
    imputer: VAEImputer, signs: tuple[Array, Array], holes: Array
) -> None:
    x, hidden = signs
    at = hidden & (np.arange(4) == 3)
    assert error(alone(imputer, holes), x, at) > 0.85
    assert error(imputer.transform(holes), x, at) < 0.5
    assert imputer.trees_ is not None
    assert imputer.trees_.weights[3] > 0.8
    without = clone(QUICK).set_params(trees=False).fit(holes)
    assert without.trees_ is None
    np.testing.assert_array_equal(without.transform(holes), alone(imputer, holes))


def test_intervals_are_calibrated_with_the_trees(
    imputer: VAEImputer, signs: tuple[Array, Array], holes: Array
) -> None:
    x, hidden = signs
    low, high = imputer.interval(holes, 0.9)
    assert 0.85 < ((low <= x) & (x <= high))[hidden].mean() < 0.98


@pytest.mark.slow
def test_observed_cells_stay_and_draws_average_to_the_mean(
    imputer: VAEImputer, signs: tuple[Array, Array], holes: Array
) -> None:
    _, hidden = signs
    mean, draws = imputer.transform(holes), imputer.sample(holes, 400)
    for table in (mean, *draws[:3]):
        np.testing.assert_array_equal(table[~hidden], holes[~hidden])
    apart = abs(draws.mean(0) - mean)[hidden] / (draws.std(0)[hidden] / np.sqrt(400) + 1e-3)
    assert np.quantile(apart, 0.9) < 3
    assert apart.max() < 6


@pytest.mark.slow
def test_where_the_model_is_exact_trees_do_no_harm() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(600, 6))
    hidden = rng.random(x.shape) < 0.2
    rows = np.where(hidden, np.nan, x)
    imputer = clone(QUICK).fit(rows)
    assert error(imputer.transform(rows), x, hidden) < 1.01 * error(alone(imputer, rows), x, hidden)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Levels by the product of two numbers, counts, and a price in each of 30 shops."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500))
    level = np.where(a * b > 0, "same", np.where(a > 0, "above", "below"))
    found = pd.DataFrame({"a": a, "b": b, "level": level, "n": rng.poisson(np.exp(1 + a / 2))})
    found["shop"] = rng.integers(30, size=500)
    found["price"] = rng.normal(size=30)[found["shop"]] + 0.1 * rng.normal(size=500)
    return found.mask(rng.random(found.shape) < 0.15)


@pytest.fixture(scope="module")
def frame_imputer(frame: pd.DataFrame) -> VAEImputer:
    return clone(QUICK).fit(frame)


def test_rows_of_a_shop_help_each_other(frame: pd.DataFrame, frame_imputer: VAEImputer) -> None:
    shop, price = frame["shop"], frame["price"]
    mean = price.groupby(shop).transform("mean")
    cells = price.isna() & shop.notna()
    found = frame_imputer.transform(frame)["price"]
    assert abs(found - mean)[cells].mean() < 0.3 * price.std()
    assert abs(mean - price.mean())[cells].mean() > 0.6 * price.std()  # the mean of all rows


@pytest.mark.slow
def test_means_of_groups_are_of_more_rows_than_are_fitted_first() -> None:
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(1_500), 4)  # sorted: of 2,000 rows, hardly two are of one
    y = rng.normal(size=1_500)[subject] + 0.2 * rng.normal(size=6_000)
    frame = pd.DataFrame({"subject": subject, "y": y, "z": rng.normal(size=6_000)})
    gone = rng.random(6_000) < 0.2
    imputer = clone(QUICK).fit(frame.assign(y=np.where(gone, np.nan, y)))
    assert imputer.trees_ is not None
    assert set(imputer.trees_.means) == {1}
    found = imputer.transform(frame.assign(y=np.where(gone, np.nan, y)))["y"].to_numpy()
    assert np.square(found - y)[gone].mean() < 0.2 * y.var()


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mean", "median", "sample"])
def test_a_stored_imputer_gives_the_same_numbers(
    frame_imputer: VAEImputer, frame: pd.DataFrame, tmp_path: Path, strategy: str
) -> None:
    frame_imputer.save(tmp_path / "imputer.lb")
    again = VAEImputer.load(tmp_path / "imputer.lb", strategy=strategy, n_importance=SAMPLES)
    assert again.trees_ is not None
    assert frame_imputer.trees_ is not None
    assert again.trees_.means.keys() == frame_imputer.trees_.means.keys() >= {5}  # price
    before = clone_with(frame_imputer, strategy)
    pd.testing.assert_frame_equal(again.transform(frame), before.transform(frame))
    for ours, theirs in zip(again.interval(frame), before.interval(frame), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)


def clone_with(imputer: VAEImputer, strategy: str) -> VAEImputer:
    other: VAEImputer = clone(imputer)
    vars(other).update(vars(imputer))
    return other.set_params(strategy=strategy)


@pytest.mark.slow
def test_the_command_uses_stored_trees(
    frame_imputer: VAEImputer, frame: pd.DataFrame, tmp_path: Path
) -> None:
    frame_imputer.save(tmp_path / "imputer.lb")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    folder, rows = str(tmp_path / "imputer.lb"), str(tmp_path / "rows.csv")
    request = ImputeRequest(folder, rows, str(tmp_path / "whole.csv"), samples=SAMPLES)
    report = impute(request, Silent(), model_folder.read(tmp_path / "imputer.lb"))
    assert report.with_trees == len(frame_imputer.trees_.trees) > 0
    assert f"pooled with the trees of {report.with_trees} columns" in report.text()
    found, expected = pd.read_csv(tmp_path / "whole.csv"), frame_imputer.transform(frame)
    assert (found["level"] == expected["level"]).all()
    np.testing.assert_allclose(found["a"], expected["a"].astype(float), rtol=1e-6)
    assert (found["a"] - alone(frame_imputer, frame)["a"]).abs().max() > 1e-3


@pytest.mark.slow
def test_trees_of_another_model_are_refused_and_saving_removes_them(
    frame_imputer: VAEImputer, frame: pd.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "imputer.lb"
    frame_imputer.save(folder)
    kept = (folder / TREES).read_bytes()
    other = VAEImputer(epochs=1, calibration=0, random_state=1).fit(frame)
    other.save(folder)
    assert not (folder / TREES).exists()
    assert VAEImputer.load(folder).trees_ is None
    (folder / TREES).write_bytes(kept)
    with pytest.raises(
        ModelFolderError, match=r"trees\.safetensors belongs to another model, which the one"
    ):
        VAEImputer.load(folder)


def test_a_damaged_file_is_refused(frame_imputer: VAEImputer, tmp_path: Path) -> None:
    folder = tmp_path / "imputer.lb"
    frame_imputer.save(folder)
    whole = (folder / TREES).read_bytes()
    renamed = _renamed(whole, "0.roots"), _renamed(whole, "5.places")
    for damaged in (whole[:-9], b"", b"\x00" * 40, *renamed):
        (folder / TREES).write_bytes(damaged)
        with pytest.raises(ModelFolderError, match=TREES):
            VAEImputer.load(folder)


def _renamed(content: bytes, name: str) -> bytes:
    """The same file with one array under another name."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header[f"{name}.other"] = header.pop(name)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
