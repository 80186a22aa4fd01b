"""A fit that starts from the weights of another model."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lowerbound.data import load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble, start_from_model
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


def built(latent_dim: int, hidden: int, seed: int = 0) -> Model:
    options = ModelOptions("vae", latent_dim, network="mlp", network_options={"hidden": [hidden]})
    with seeded(seed):
        return assemble(load("digits").schema, options)


def test_weights_are_taken_where_sizes_agree_and_the_rest_stays() -> None:
    model, other = built(4, 16, 1), built(5, 16, 2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_from_model(model, other)
    theirs = other.state_dict()
    taken = 0
    for name, value in model.state_dict().items():
        alike = theirs[name].shape == value.shape
        taken += alike
        assert torch.equal(value, theirs[name] if alike else before[name]), name
    assert 0 < taken < len(before)


def test_nothing_alike_is_an_error() -> None:
    with seeded(0):
        other = assemble(load("wine").schema, ModelOptions("vae", 3, network="mlp"))
    with pytest.raises(OptionError, match="model to start from: fit the same kind"):
        start_from_model(built(4, 16), other)


@pytest.mark.slow
def test_a_fit_goes_on_from_a_model() -> None:
    """One update at rate 0 leaves it where it was."""
    digits = load("digits")
    settings = TrainingOptions(updates=1, learning_rate=1e-12, validation=0.0, seed=3)
    options = FitOptions(
        ModelOptions("vae", 4, network="mlp", network_options={"hidden": [16]}), training=settings
    )
    start = built(4, 16, 5)
    found = fit(digits, options, start=partial(start_from_model, other=start)).model.state_dict()
    for name, value in start.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
