"""The estimator of synthetic tables; its draws are tested in tests/inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

from lowerbound import VAE, TableSynthesizer
from lowerbound.errors import DataError, OptionError, UnsupportedError


def people(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    age = draw.integers(18, 90, rows)
    return pd.DataFrame(
        {
            "person": [f"P{n:05d}" for n in draw.permutation(rows)],
            "age": age,
            "town": draw.choice(["Bern", "Basel"], rows),
            "old": np.where(age > 60, "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def synthesizer() -> TableSynthesizer:
    return TableSynthesizer(prior="standard_normal", random_state=0).fit(people())


@pytest.mark.slow
def test_the_folder_gives_the_same_rows(synthesizer: TableSynthesizer, tmp_path: Path) -> None:
    synthesizer.save(tmp_path / "m")
    again = TableSynthesizer.load(tmp_path / "m")
    pd.testing.assert_frame_equal(
        synthesizer.sample(30, random_state=4), again.sample(30, random_state=4)
    )
    assert again.n_features_in_ == 4
    assert list(again.feature_names_in_) == ["person", "age", "town", "old"]


@pytest.mark.slow
def test_stays_are_no_longer_than_observed_ones() -> None:
    draw = np.random.default_rng(1)
    start = pd.Timestamp("2023-01-01") + pd.to_timedelta(draw.integers(0, 365, 600), unit="D")
    end = start + pd.to_timedelta(draw.integers(0, 30, 600), unit="D")
    made = TableSynthesizer(prior="standard_normal", random_state=0)
    made.fit(pd.DataFrame({"start": start, "end": end, "age": draw.integers(18, 90, 600)}))
    drawn = made.sample(600)
    assert (drawn["end"] - drawn["start"]).dt.days.between(0, 29).mean() > 0.98


def test_completed_rows_keep_index_and_cells(synthesizer: TableSynthesizer) -> None:
    given = people(20, seed=5)[["person", "town"]].set_axis(range(100, 120))
    rows = synthesizer.complete(given)
    assert list(rows.index) == list(range(100, 120))
    pd.testing.assert_frame_equal(rows[["person", "town"]], given)


def test_a_matrix_gives_a_matrix(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3)).round(1)
    parameters = {"prior": "standard_normal", "minutes": 0.01, "random_state": 0}
    made = TableSynthesizer(**parameters, least_people=1).fit(x)
    rows = made.sample(40)
    assert rows.shape == (40, 3)
    assert np.array_equal(rows, rows.round(1))
    x[0, 0] = np.nan
    completed = made.complete(x)
    assert np.array_equal(completed[1:], x[1:])
    assert np.isfinite(completed[0]).all()
    made.save(tmp_path / "m")
    again = TableSynthesizer.load(tmp_path / "m")
    np.testing.assert_array_equal(again.sample(40, random_state=1), made.sample(40, random_state=1))
    assert np.array_equal(again.complete(x)[1:], x[1:])
    assert not hasattr(again, "feature_names_in_")


@pytest.mark.filterwarnings("ignore:no rows with the given cells of row 0")  # whose other is 0
def test_lists_with_none_are_numbers() -> None:
    lists = [[k / 2, None if k % 3 == 0 else 0.7 * k] for k in range(60)]
    parameters = {"prior": "standard_normal", "minutes": 0.01, "random_state": 0}
    made = TableSynthesizer(**parameters, least_people=1).fit(lists)
    assert not any(column.levels for column in made.fitted_.schema.columns)
    assert made.sample(4).dtype == made.complete(lists).dtype == np.float64


@pytest.mark.slow
def test_an_audit_of_copies_finds_them(synthesizer: TableSynthesizer) -> None:
    rows = people(200)
    found = synthesizer.audit(rows, people(200, seed=9), synthetic=rows, label="old")
    assert found.copies.synthetic == 200
    assert found.label == "old"
    assert synthesizer.evaluate(rows).rows["synthetic"] == 200


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame({"id": range(100)}), "identifies rows"),
        (
            pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["a", "a"]),
            "several columns are named a",
        ),
        (pd.DataFrame({"a": [[1]] * 30, "b": range(30)}), "only numbers, text, dates"),
        (pd.DataFrame({"a": [1.0, np.inf] * 20}), "has inf"),
    ],
)
def test_rows_that_cannot_be_modeled(frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TableSynthesizer().fit(frame)


def test_bad_requests(synthesizer: TableSynthesizer, tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        TableSynthesizer().sample(3)
    with pytest.raises(OptionError, match="whole number from 0"):
        synthesizer.sample(-1)
    with pytest.raises(OptionError, match="unknown level of column 'town'"):
        synthesizer.sample(1, given={"town": "Genf"})
    with pytest.raises(OptionError, match="did you mean"):
        TableSynthesizer(prior="flows").fit(people(40))
    VAE(latent_dim=2, epochs=1).fit("digits").save(tmp_path / "digits")
    with pytest.raises(UnsupportedError, match="models of tables"):
        TableSynthesizer.load(tmp_path / "digits")
