"""A likelihood or prior of the caller's that returns a wrong shape is refused before training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from lowerbound import VAE
from lowerbound.data import load
from lowerbound.errors import OptionError
from lowerbound.fitting.assembly import assemble, check_own_parts
from lowerbound.likelihoods import Likelihood
from lowerbound.models.given_parts import by_names
from lowerbound.models.options import ModelOptions
from lowerbound.priors import Prior
from lowerbound.trace import Emission

ROWS = np.random.default_rng(0).normal(size=(40, 4))


class OwnEmission(Emission):
    """N(x; m, 1), whose terms, mean or draws may lack an axis."""

    def __init__(self, m: Tensor, wrong: str) -> None:
        self.m, self.wrong = m, wrong

    def _terms(self, x: Tensor) -> Tensor:
        terms = Normal(self.m, 1.0, validate_args=False).log_prob(x)
        return terms.sum(-1) if self.wrong == "terms" else terms

    @property
    def mean(self) -> Tensor:
        return self.m[0] if self.wrong == "mean" else self.m

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.m)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        drawn: Tensor = Normal(self.m, 1.0).sample(sample_shape)
        return drawn[..., :1] if self.wrong == "draws" else drawn


class OwnLikelihood(Likelihood):
    """p(x | z) as ``OwnEmission``."""

    mass = False

    def __init__(self, event_shape: tuple[int, ...], *, wrong: str = "") -> None:
        super().__init__(event_shape)
        self.wrong = wrong

    def forward(self, parameters: Tensor) -> Emission:
        (m,) = self.split(parameters)
        return m if self.wrong == "kind" else OwnEmission(m, self.wrong)  # type: ignore[return-value]


class OwnPrior(Prior):
    """N(0, 1), with the numbers as axes of the batch or of the event."""

    def __init__(self, latent_dim: int, event_shape: Any = (), *, axes: int = 1) -> None:
        super().__init__(latent_dim, event_shape)
        self.axes = axes

    def forward(self, encode: Any = None) -> Distribution:
        zeros = torch.zeros(1, 1, self.latent_dim)
        return Independent(Normal(zeros, 1.0), self.axes)


def fit(**parts: Any) -> VAE:
    return VAE(latent_dim=2, epochs=2, random_state=0, **parts).fit(ROWS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("kind", "OwnLikelihood must return an Emission, not Tensor"),
        ("terms", "the terms of OwnLikelihood must have the shape .* and have \\(1, 2\\)"),
        ("mean", "the mean of OwnLikelihood must have the shape .* and have \\(2, 4\\)"),
        ("draws", "the draws of OwnLikelihood must have the shape .* and have \\(1, 2, 1\\)"),
    ],
)
def test_a_likelihood_of_wrong_shapes(wrong: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        fit(likelihood=OwnLikelihood, likelihood_options={"wrong": wrong})


@pytest.mark.parametrize("axes", [0, 2])
def test_a_prior_of_wrong_shapes(axes: int) -> None:
    with pytest.raises(OptionError, match=r"must have batch shape \(1, 1\) and event shape \(2,\)"):
        fit(prior=OwnPrior, prior_options={"axes": axes})


class Mixing(OwnLikelihood):
    """One with weights in float32, and a scale that is set from rows."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__(event_shape)
        self.mix = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.scale: Tensor | None = None

    def initialize(self, x: Tensor) -> None:
        self.scale = x.std()

    def forward(self, parameters: Tensor) -> Emission:
        (m,) = self.split(parameters)
        assert self.scale is not None
        return OwnEmission(self.scale * self.mix(m.flatten(0, 1)).view_as(m), self.wrong)


class NeedsRows(OwnPrior):
    """One that is nothing without the posterior of rows."""

    def forward(self, encode: Any = None) -> Distribution:
        if encode is None:
            raise ValueError("need the posterior")
        return super().forward()


def test_parts_with_weights_and_parts_that_are_set_from_rows() -> None:
    dataset = load(ROWS)
    options = by_names({"likelihood": Mixing, "prior": NeedsRows, "latent_dim": 2})
    model = assemble(dataset.schema, ModelOptions(**options))
    before = torch.random.get_rng_state()
    check_own_parts(model, dataset, started=False)
    model.likelihood.initialize(dataset.all().filled)
    check_own_parts(model, dataset, started=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert int(model.likelihood.mix[1].num_batches_tracked) == 0
    assert model.likelihood.mix.training
    model.likelihood.wrong = "terms"
    check_own_parts(model, dataset, started=False)
    with pytest.raises(OptionError, match="the terms of Mixing"):
        check_own_parts(model, dataset, started=True)


def test_parts_of_right_shapes() -> None:
    model = fit(likelihood=OwnLikelihood, prior=OwnPrior)
    assert np.isfinite(model.score(ROWS))
