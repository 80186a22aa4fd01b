"""Fits to tables learn a correction of drawn rows; private and other fits do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest, ks_2samp
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.data.tables.frames import to_frame
from lowerbound.evaluation.samples.column_judge import judged_columns
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.fitting.folder import read, write
from lowerbound.fitting.prior import fit_prior
from lowerbound.inference.codes import draw_latents
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.inference.tables import TableSource
from lowerbound.models.correction import RowCorrection
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from lowerbound.training.private.options import PrivacyOptions

ROWS = 3_000
BRIEF = TrainingOptions(updates=60, threads=1, validation=0.1)


def table(seed: int = 0) -> pd.DataFrame:
    """``rare`` is 95 % missing, and ``late`` mostly where ``group`` is b."""
    draw = np.random.default_rng(seed)
    group = draw.choice(["a", "b"], ROWS, p=[0.7, 0.3])
    height = draw.normal(size=ROWS) + 2 * (group == "b")
    price = np.round(np.exp(draw.normal(2, 0.8, ROWS)), 1)
    price[draw.random(ROWS) < 0.3] = 9.9
    rare = np.where(draw.random(ROWS) < 0.95, np.nan, draw.normal(size=ROWS))
    late = np.where(
        draw.random(ROWS) < np.where(group == "b", 0.6, 0.05), np.nan, draw.gamma(2, 1, ROWS)
    )
    return pd.DataFrame(
        {"group": group, "height": height.round(2), "price": price, "rare": rare, "late": late}
    )


def options(**model: object) -> FitOptions:
    return FitOptions(ModelOptions(**{"latent_dim": 3, **model}), training=BRIEF)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return load(table())


@pytest.fixture(scope="module")
def fitted(rows: Dataset) -> Fitted:
    return fit(rows, options())


def drawn(fitted: Fitted, **how: bool) -> pd.DataFrame:
    return to_frame(fitted.schema, sample_prior(fitted.model, ROWS, seed=1, **how).x)  # type: ignore[arg-type]


@pytest.mark.slow
def test_missing_cells_of_a_plain_fit(fitted: Fitted) -> None:
    real, made = table(), drawn(fitted)
    assert list(made.columns[made.isna().any()]) == ["rare", "late"]
    for name in ("rare", "late"):
        share = real[name].isna().mean()
        assert binomtest(int(made[name].isna().sum()), ROWS, share).pvalue > 1e-3
    by_group = made["late"].isna().groupby(made["group"]).mean()
    assert by_group["b"] == pytest.approx(0.6, abs=0.08)
    assert by_group["a"] == pytest.approx(0.05, abs=0.05)
    assert not drawn(fitted, complete=True).isna().any(axis=None)


def test_columns_have_the_distributions_and_the_grid_of_the_rows(fitted: Fitted) -> None:
    real, made = table(), drawn(fitted)
    for name in ("height", "price", "rare", "late"):
        assert ks_2samp(made[name].dropna(), real[name].dropna()).pvalue > 1e-3
    assert made["price"].eq(9.9).mean() == pytest.approx(0.3, abs=0.04)
    for name, places in (("height", 2), ("price", 1)):
        assert np.array_equal(made[name], made[name].round(places))


@pytest.mark.slow
def test_boosting_tells_fewer_rows(fitted: Fitted, rows: Dataset) -> None:
    real = rows.x.double().masked_fill(~rows.mask, torch.nan)
    plain = sample_prior(fitted.model, ROWS, seed=1, refined=False).x.double()
    corrected = sample_prior(fitted.model, ROWS, seed=1).x
    before = judged_columns(fitted.schema, real, plain).value
    after = judged_columns(fitted.schema, real, corrected).value
    assert before > 0.6
    assert after < 0.55


def test_scores_and_means_do_not_depend_on_it(fitted: Fitted, rows: Dataset) -> None:
    few = rows.subset(range(20))
    scored = score(fitted.model, few, samples=5, seed=0).bound
    made = sample_prior(fitted.model, 50, seed=1)
    correction, fitted.model.correction = fitted.model.correction, None
    try:
        assert torch.equal(score(fitted.model, few, samples=5, seed=0).bound, scored)
        plain = sample_prior(fitted.model, 50, seed=1)
        assert torch.equal(plain.z, made.z)
        assert torch.equal(plain.mean, made.mean)
    finally:
        fitted.model.correction = correction


def test_a_folder_keeps_it(fitted: Fitted, tmp_path: Path) -> None:
    write(tmp_path / "m", fitted)
    again = read(tmp_path / "m", "cpu")
    pd.testing.assert_frame_equal(drawn(again), drawn(fitted))


def test_synthetic_rows_and_given_columns(fitted: Fitted) -> None:
    source = TableSource(fitted)
    made = pd.concat(list(source.blocks(2_000, 0)))
    short = pd.concat(list(source.blocks(30, 0)))
    pd.testing.assert_frame_equal(made.head(30), short)
    assert made["rare"].isna().mean() == pytest.approx(0.95, abs=0.02)
    given = pd.concat(list(source.completed(source.given({"group": "b", "late": 6.0}), 1_000)))
    assert given["late"].eq(6.0).all()
    assert given["rare"].isna().mean() == pytest.approx(0.95, abs=0.03)
    whole = TableSource(fitted, complete=True)
    assert not pd.concat(list(whole.blocks(500, 0))).isna().any(axis=None)


def test_another_prior_matches_it_anew(fitted: Fitted, rows: Dataset) -> None:
    latents = draw_latents(fitted.model, rows)
    draws = latents.z.shape[1]
    made, _ = fit_prior(fitted, latents.dataset(), "mixture", {}, BRIEF, draws=draws)
    assert made.model.correction is not None
    real, found = table(), drawn(made)
    assert ks_2samp(found["height"], real["height"]).pvalue > 1e-3
    share = real["late"].isna().mean()
    assert binomtest(int(found["late"].isna().sum()), ROWS, share).pvalue > 1e-3


def test_a_fit_learns_it_once(
    rows: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For the model that is published last; the model that is returned has the same."""
    times: list[int] = []
    learn = RowCorrection.learn

    def counted(correction: RowCorrection, x: Tensor, observed: Tensor) -> None:
        times.append(len(x))
        learn(correction, x, observed)

    monkeypatch.setattr(RowCorrection, "learn", counted)
    published: list[Fitted] = []
    brief = FitOptions(ModelOptions(latent_dim=1), training=TrainingOptions(updates=5, threads=1))
    found = fit(rows, brief, folder=tmp_path, publish=published.append)
    assert len(times) == 1
    assert published[-1].options.model.correction == found.options.model.correction
    fit(rows.subset(range(500)), brief, model=found.model)
    assert len(times) == 2  # the other rows have their own
    assert times[1] < times[0]


@pytest.mark.slow
def test_a_private_fit_keeps_no_quantiles() -> None:
    few = table()[["height", "late"]].head(600)
    privacy = PrivacyOptions(epsilon=8.0, public_schema="data")
    brief = TrainingOptions(updates=5, threads=1)
    private = fit(
        load(few), FitOptions(ModelOptions(latent_dim=1), training=brief, privacy=privacy)
    )
    assert private.options.release is not None
    assert private.model.correction is None
    assert private.options.model.correction is None
    assert not [name for name in private.model.state_dict() if "correction" in name]


@pytest.mark.slow
def test_cells_that_are_missing_because_of_their_values() -> None:
    """The observed cells then do not show the distribution of all: draws stay the model's."""
    data = load(table()[["height", "late"]], normal_scores=False)
    told = fit(data, options(latent_dim=1, missingness="self_masking_high"))
    assert told.model.correction is None


def test_rows_drawn_column_by_column_need_none(rows: Dataset) -> None:
    brief = TrainingOptions(updates=5, threads=1)
    chosen = ModelOptions(latent_dim=2, network="mlp", likelihood="autoregressive_columns")
    assert fit(rows, FitOptions(chosen, training=brief)).model.correction is None
