"""The linear state-space model through fitting, model folders and commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.applications.restoration.filling import impute
from lowerbound.cli.main import main
from lowerbound.data import Dataset, Sequences, load
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.likelihood import score
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models import LinearStateSpace
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions
from tests.oracles import state_space as oracle

EXACT = oracle.parameters()
VALUES = 10 * EXACT.draws(300).numpy() + 5
FEW = TrainingOptions(updates=120, learning_rate=0.03)


def fitted(data: Dataset, posterior: str = "exact") -> Fitted:
    options = ModelOptions(
        model="linear_state_space", latent_dim=2, model_options={"posterior": posterior}
    )
    return fit(data, FitOptions(model=options, training=FEW))


@pytest.mark.slow
def test_a_fit_reaches_the_source_of_the_rows_in_their_own_units() -> None:
    data = load(Sequences(VALUES))
    scores = score(fitted(data).model, data, samples=2)
    assert scores.log_marginal is not None
    torch.testing.assert_close(scores.bound, scores.log_marginal, rtol=0, atol=1e-3)
    source = EXACT.log_marginal(torch.from_numpy((VALUES - 5) / 10)) - 21 * np.log(10)
    assert float(scores.log_marginal.mean()) > float(source.mean()) - 0.2


@pytest.mark.slow
def test_the_mean_field_posterior_is_learned_and_stays_below() -> None:
    data = load(Sequences(VALUES))
    scores = score(fitted(data, "mean_field").model, data, samples=4)
    assert scores.log_marginal is not None
    assert float(scores.elbo.mean()) < float(scores.bound.mean())
    assert float(scores.bound.mean()) < float(scores.log_marginal.mean())


def test_missing_cells_are_scored_and_filled() -> None:
    """The fill is E[x | observed cells], known in closed form."""
    data = load(Sequences(EXACT.draws(4).numpy()), standardize=False)
    observed = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    holes = np.where(observed, data.x, np.nan)
    data = load(Sequences(holes), standardize=False)
    model = oracle.model()
    scores = score(model, data, samples=1)
    exact = EXACT.log_marginal(torch.from_numpy(holes), observed)
    torch.testing.assert_close(scores.log_marginal, exact.detach(), rtol=0, atol=1e-8)
    torch.testing.assert_close(scores.bound, exact.detach(), rtol=0, atol=1e-8)
    found = torch.as_tensor(impute(model, data, samples=2_000).mean)
    for i in range(4):
        z = EXACT.posterior(torch.from_numpy(holes[i]).nan_to_num(), observed[i]).mean
        expected = z.unflatten(0, (-1, 2)) @ EXACT.weight.T + EXACT.offset
        apart = torch.where(observed[i], 0.0, found[i] - expected)
        assert apart.abs().max() < 0.1


def test_samples_have_the_shape_of_rows() -> None:
    found = sample_prior(oracle.model(), 5)
    assert found.x.shape == (5, oracle.TIME, oracle.FEATURES)
    assert found.z.shape == (5, oracle.TIME * oracle.LATENT)
    again = oracle.model().decode(found.z[None]).mean[0]
    torch.testing.assert_close(again, found.mean)


@pytest.mark.parametrize(
    "values", [VALUES[:, 0], np.eye(6)[None].repeat(9, 0)], ids=["vectors", "pictures"]
)
def test_other_rows_are_refused(values: object) -> None:
    with pytest.raises(OptionError, match="for sequences"):
        fitted(load(values))


@pytest.mark.parametrize(
    ("options", "said"), [({"posterior": "mean"}, "mean_field"), ({"hidden": 0}, "at least 1")]
)
def test_options_are_checked(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        LinearStateSpace.own_options(options)


@pytest.mark.slow
def test_every_command_of_its_page(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", sequences=VALUES[:200])
    np.savez(tmp_path / "test.npz", sequences=VALUES[200:])
    model, test = str(tmp_path / "m.lb"), str(tmp_path / "test.npz")
    how = ["--model", "linear_state_space", "--updates", "20"]
    assert main(["fit", str(tmp_path / "train.npz"), "-o", model, *how]) == 0
    for words in (
        ["info", model],
        ["evaluate", model, test],
        ["encode", model, test, "-o", str(tmp_path / "z.npz")],
        ["reconstruct", model, test, "-o", str(tmp_path / "r.npz")],
        ["sample", model, "-n", "5", "-o", str(tmp_path / "s.npz")],
        ["detect", model, test, "-o", str(tmp_path / "d.csv")],
    ):
        assert main(words) == 0, words
    assert np.load(tmp_path / "s.npz")["x"].shape == (5, oracle.TIME, oracle.FEATURES)


@pytest.mark.slow
def test_holes_of_a_file_are_filled(tmp_path: Path) -> None:
    holes = VALUES.copy()
    holes[::3, 2, 1] = np.nan
    np.savez(tmp_path / "holes.npz", sequences=holes)
    source, model, filled = (str(tmp_path / name) for name in ("holes.npz", "m.lb", "i.npz"))
    how = ["--model", "linear_state_space", "--updates", "20"]
    assert main(["fit", source, "-o", model, *how]) == 0
    assert main(["impute", model, source, "-o", filled]) == 0
    found = np.load(filled)["x"]
    np.testing.assert_allclose(found[~np.isnan(holes)], VALUES[~np.isnan(holes)])
    missed = (found - VALUES)[np.isnan(holes)]
    assert missed.std() < 0.8 * VALUES[:, 2, 1].std()
