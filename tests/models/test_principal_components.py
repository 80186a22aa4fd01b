"""A VAE of the network "linear" starts at the exact solution of probabilistic PCA."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from lowerbound.classical import factor_analysis as classical
from lowerbound.classical.factor_analysis import principal_components
from lowerbound.data import load
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.likelihood import score
from lowerbound.models import ProbabilisticPrincipalComponents
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(400, 3)) @ RANDOM.normal(size=(3, 9)) + 0.3 * RANDOM.normal(
    size=(400, 9)
)


@pytest.mark.parametrize("shape", [(9,), (1, 3, 3)])
@pytest.mark.parametrize("latent_dim", [2, 5])
def test_the_first_bound_is_the_exact_likelihood(latent_dim: int, shape: tuple[int, ...]) -> None:
    """Of numbers and of pictures, for which other networks get a linear path beside them."""
    rows = (ROWS - ROWS.min()) / np.ptp(ROWS)  # greys lie between 0 and 1
    data = load(rows.reshape(400, *shape))
    options = ModelOptions(latent_dim=latent_dim, network="linear", likelihood="gaussian")
    model = assemble(data.schema, options).double()
    model.start(data)
    exact = ProbabilisticPrincipalComponents(shape, latent_dim).fit(data.x.double())
    scores = score(model.eval(), data, samples=4)
    expected = exact.log_marginal(data.x) + data.log_jacobian(mass=False)
    torch.testing.assert_close(scores.bound, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(scores.effective_sample_size, torch.full((400,), 4.0).double())


def test_a_fixed_scale_keeps_its_value_and_has_its_own_solution() -> None:
    """At the optimum for a given sigma, W W^T + sigma^2 I has the leading variances of the rows."""
    data = load(ROWS)
    options = ModelOptions(
        latent_dim=2,
        network="linear",
        likelihood="gaussian",
        likelihood_options={"scale": "fixed", "tau": 0.2},
    )
    model = assemble(data.schema, options).double()
    model.start(data)
    weight = model.decoder.layers[0].weight.detach()
    own = torch.linalg.eigvalsh(weight @ weight.T + 0.2**2 * torch.eye(9))[-2:]
    theirs = torch.linalg.eigvalsh(data.x.double().T.cov(correction=0))[-2:]
    torch.testing.assert_close(own, theirs)


def test_a_short_training_keeps_the_optimum() -> None:
    """At the usual learning rate the noise of updates would lose hundreds of nats of wide rows."""
    wide = RANDOM.normal(size=(300, 4)) @ RANDOM.normal(size=(4, 400))
    data = load(wide + 0.05 * RANDOM.normal(size=wide.shape))
    options = ModelOptions(latent_dim=4, network="linear", likelihood="gaussian")
    fitted = fit(data, FitOptions(options, training=TrainingOptions(updates=60, validation=0.0)))
    exact = ProbabilisticPrincipalComponents((400,), 4).fit(data.x.double())
    expected = exact.log_marginal(data.x) + data.log_jacobian(mass=False)
    found = score(fitted.model, data, samples=1).bound
    assert float((found - expected).mean()) == pytest.approx(0.0, abs=0.5)


def test_hidden_layers_start_as_before() -> None:
    data = load(ROWS)
    options = ModelOptions(latent_dim=2, network="mlp", likelihood="gaussian")
    model = assemble(data.schema, options)
    before = model.encoder.layers[0].weight.clone()
    model.start(data)
    torch.testing.assert_close(model.encoder.layers[0].weight, before)


@pytest.mark.parametrize("most", [0.0, 1e12])
def test_directions_and_variances_agree_with_scikit_learn(
    most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both decompositions; scikit-learn divides by N - 1."""
    monkeypatch.setattr(classical, "MOST_EXACT", most)
    rows = load_digits().data[:500]
    theirs = PCA(6).fit(rows)
    ours = principal_components(torch.as_tensor(rows), 6)
    shrunk = (len(rows) - 1) / len(rows)
    assert ours.variances.numpy() == pytest.approx(shrunk * theirs.explained_variance_, rel=1e-6)
    aligned = np.abs((ours.directions.numpy() * theirs.components_.T).sum(0))
    assert aligned == pytest.approx(np.ones(6), abs=1e-6)
    rest = shrunk * (theirs.explained_variance_.sum() / theirs.explained_variance_ratio_.sum())
    rest = (rest - shrunk * theirs.explained_variance_.sum()) / (64 - 6)
    assert float(ours.rest) == pytest.approx(rest, rel=1e-6)
