"""Rows with given cells, against the exact conditional of a joint Gaussian."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.release.synthesizer_fit import SynthesizerOptions, fit_synthesizer
from lowerbound.data import Dataset, load
from lowerbound.data.arrays import Array
from lowerbound.errors import UnsupportedError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference import table_draws as synthesis_rows
from lowerbound.inference.table_draws import BLOCK, ROUNDS, GivenCells, completed_block
from lowerbound.inference.tables import TableDraws, TableSource
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

COVARIANCE = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.5], [0.3, 0.5, 1.0]])


@pytest.fixture(scope="module")
def gaussian() -> Fitted:
    """A linear VAE of three columns, whose posterior is exact."""
    draw = np.random.default_rng(0)
    x = draw.multivariate_normal(np.zeros(3), COVARIANCE, size=2_000)
    rows = load(pd.DataFrame(x, columns=["a", "b", "c"]), missing="model", normal_scores=False)
    options = ModelOptions(latent_dim=2, network="linear", likelihood="gaussian")
    return fit(rows, FitOptions(options, training=TrainingOptions(updates=1, learning_rate=1e-9)))


@pytest.fixture(scope="module")
def moments(gaussian: Fitted) -> tuple[Array, Array]:
    """Mean and covariance of 200,000 unconditional draws."""
    rows = pd.concat(list(TableSource(gaussian).blocks(200_000, seed=9)))
    return rows.to_numpy().mean(0), np.cov(rows.to_numpy().T)


@pytest.mark.slow
def test_given_columns_have_the_exact_conditional(
    gaussian: Fitted, moments: tuple[Array, Array]
) -> None:
    mean, cov = moments
    source = TableSource(gaussian)
    rows = pd.concat(list(source.completed(source.given({"b": 1.2, "c": -0.4}), 20_000, seed=1)))
    known = np.array([1.2, -0.4]) - mean[1:]
    weights = np.linalg.solve(cov[1:, 1:], cov[1:, 0])
    assert rows["b"].eq(1.2).all()
    assert abs(rows["a"].mean() - (mean[0] + weights @ known)) < 0.04
    assert abs(rows["a"].var() - (cov[0, 0] - weights @ cov[1:, 0])) < 0.04


def test_every_given_row_has_its_own_conditional(
    gaussian: Fitted, moments: tuple[Array, Array]
) -> None:
    mean, cov = moments
    given = pd.DataFrame({"b": np.repeat([-2.0, 0.0, 2.0], 2_000)})
    rows = pd.concat(list(TableSource(gaussian).completed(given, seed=2)), ignore_index=True)
    slope = cov[0, 1] / cov[1, 1]
    found = rows.groupby("b")["a"]
    for value, center in found.mean().items():
        assert abs(center - (mean[0] + slope * (value - mean[1]))) < 0.06
    assert (abs(found.var() - (cov[0, 0] - slope * cov[0, 1])) < 0.06).all()


def test_a_completed_row_does_not_depend_on_how_many_there_are(gaussian: Fitted) -> None:
    source, given = TableSource(gaussian), pd.DataFrame({"b": [-2.0, 0.0, 2.0]})
    few, many = (
        pd.concat(list(source.completed(given, count, seed=3)), ignore_index=True)
        for count in (20, 40)
    )
    pd.testing.assert_frame_equal(few, many.head(20))


def test_columns_drawn_at_once_cannot_restrict_each_other() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    frame["b"] = frame["a"] + frame["b"].abs()
    fitted = fit_synthesizer(
        frame, SynthesizerOptions(constraints=["a <= b"], prior="standard_normal", minutes=0.005)
    )
    linear = fit(
        load(frame, schema=fitted.schema),
        FitOptions(
            ModelOptions(latent_dim=1, network="linear", likelihood="gaussian"),
            training=TrainingOptions(updates=1),
        ),
    )
    with pytest.raises(UnsupportedError, match="lowerbound synthesizer"):
        next(iter(TableSource(linear).blocks(5)))


def test_rows_like_given_ones_go_on_where_the_last_block_ended(gaussian: Fitted) -> None:
    """Row i has the cells of given row i modulo their number, in every block."""
    given = pd.DataFrame({"b": np.linspace(-2.0, 2.0, 1_500)})
    rows = pd.concat(list(TableSource(gaussian).completed(given, 3_100, seed=2)))
    place = np.arange(3_100) % 1_500
    np.testing.assert_allclose(rows["b"].to_numpy(), given["b"].to_numpy()[place], atol=1e-6)


def test_blocks_of_new_rows_differ_and_start_at_the_row_that_is_asked_for(
    gaussian: Fitted,
) -> None:
    draws = TableDraws(TableSource(gaussian), seed=4)
    whole = draws.values(0, 2 * BLOCK + 5)
    assert len(np.unique(whole[:, 0])) == 2 * BLOCK + 5
    np.testing.assert_array_equal(draws.values(BLOCK, BLOCK + 5), whole[BLOCK:])


def test_rows_that_are_drawn_again_have_other_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A latent that leads to no row that fulfills every formula would lead to none again."""
    model: Any = torch.nn.Linear(1, 1)
    for several in (1, 2):
        seeds: list[int] = []

        def never(*arguments: Any, seeds: list[int] = seeds) -> tuple[Array, Array]:
            seeds.append(arguments[-1])
            return np.zeros((BLOCK, 1)), np.zeros(BLOCK, dtype=bool)

        monkeypatch.setattr(synthesis_rows, "_completed", never)
        cells = GivenCells(rows_of(several), np.zeros((several, 1)), np.ones((several, 1), bool))
        limits: Any = None
        completed_block(model, limits, cells, 0, 3)
        assert len(set(seeds)) == len(seeds) == ROUNDS


def rows_of(count: int) -> Dataset:
    return load(np.arange(5.0)[:, None] + [[0.0, 1.0]]).subset(range(count))
