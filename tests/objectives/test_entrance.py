"""A critic that enters late: nothing before, a balanced push after, and readings of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Adversarial
from lowerbound.objectives.adversarial import Entrance, last_weights
from lowerbound.trace import Batch
from lowerbound.training import TrainingOptions

MAPS = {"network_options": {"width": 4}, "model_options": {"stride": 4}}


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    return load(np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3)).astype(np.uint8))


def built(data: Dataset) -> Model:
    with seeded(0):
        model = assemble(data.schema, ModelOptions(latent_dim=2, network="convolutional", **MAPS))
    model.start(data)
    return model


def batch_of(data: Dataset) -> Batch:
    return data.batch(torch.arange(8)).to(torch.float32)


def entered(data: Dataset, model: Model, at: float, **options: float) -> Adversarial:
    objective = Adversarial(critic="windows", **options)  # type: ignore[arg-type]
    objective.prepare(model, data)
    objective.progress.fill_(at)
    return objective


def loss_of(objective: ELBO, model: Model, batch: Batch) -> float:
    with seeded(1):
        return objective(model, batch).loss.item()


def test_before_the_critic_enters_the_loss_is_that_of_the_elbo(pictures: Dataset) -> None:
    model, batch = built(pictures), batch_of(pictures)
    elbo = loss_of(ELBO(), model, batch)
    assert loss_of(entered(pictures, model, 0.5), model, batch) == elbo
    assert loss_of(entered(pictures, model, 0.2, enter=0.3), model, batch) == elbo
    assert loss_of(entered(pictures, model, 0.4, enter=0.3), model, batch) > elbo
    assert loss_of(entered(pictures, model, 0.9).eval(), model, batch) == elbo


def test_the_critics_push_is_its_share_of_the_reconstructions(pictures: Dataset) -> None:
    """Gradients at the last weights, at the end of the rise and half-way."""
    model, batch = built(pictures), batch_of(pictures)
    last = last_weights(model.decoder)

    def gradient(objective: ELBO) -> torch.Tensor:
        with seeded(1):
            return torch.autograd.grad(objective(model, batch).loss, last)[0]

    own = gradient(ELBO())
    for at, share in ((0.6, 1.0), (0.55, 0.5)):
        objective = entered(pictures, model, at, weight=0.7, feature_weight=0.0)
        pushed = gradient(objective) - own
        assert float(pushed.norm() / own.norm()) == pytest.approx(0.7 * share, rel=1e-3)


def test_a_critic_without_a_gradient_has_a_bounded_weight() -> None:
    decoder = nn.Linear(3, 2)
    out = decoder(torch.ones(1, 3)).sum()
    weight = Entrance(0.0).weight(decoder, 1e9 * out, 0.0 * out)
    assert float(weight) == pytest.approx(1e4)
    assert not weight.requires_grad


def test_the_last_weights_are_not_the_output_bias(pictures: Dataset) -> None:
    decoder = built(pictures).decoder
    last = last_weights(decoder)
    assert last is not decoder.output_bias
    assert last.dim() == 4
    with pytest.raises(UnsupportedError, match="whose decoder has weights"):
        last_weights(nn.Module())


def test_readings_are_means_since_they_were_forgotten() -> None:
    entrance = Entrance(0.0)
    assert entrance.readings() == {}
    real, made = torch.tensor([1.0, 1.0]), torch.tensor([1.0, -1.0])
    entrance.collect(torch.tensor(2.0), torch.tensor(3.0), real, made)
    entrance.collect(torch.tensor(4.0), torch.tensor(3.0), real, made)
    assert entrance.readings() == {
        "critic loss": (3.0,),
        "critic weight": (3.0,),
        "critic right": (0.75,),
    }
    entrance.forget()
    assert entrance.readings() == {}


@pytest.mark.slow
def test_training_keeps_the_newest_weights_and_records_the_entrance(pictures: Dataset) -> None:
    options = FitOptions(
        ModelOptions(latent_dim=2, network="convolutional", **MAPS),
        objective="adversarial",
        objective_options={"critic": "windows", "weight": 5.0},
        training=TrainingOptions(updates=120, batch_size=8, validation=0.2),
    )
    fitted = fit(pictures, options)
    first, *_, last = fitted.history.records
    assert fitted.history.best == last.updates == 120
    assert "critic loss" not in first.readings
    assert {"critic loss", "critic weight", "critic right"} <= set(last.readings)


def test_a_resumed_run_is_the_same(pictures: Dataset, tmp_path: Path) -> None:
    model = built(pictures)
    one, other = entered(pictures, model, 0.9), entered(pictures, model, 0.9)
    loss_of(one, model, batch_of(pictures))
    other.load_state_dict(one.state_dict())
    assert other.readings() == one.readings() != {}


def test_a_critic_of_rows_enters_at_once_unless_a_share_is_given() -> None:
    assert Adversarial().entrance is None
    assert Adversarial().judged_by_value
    late = Adversarial(enter=0.25)
    assert late.entrance is not None
    assert late.prior_samples
    assert not late.judged_by_value
    assert Adversarial(critic="windows").enter == 0.5
    for enter in (-0.1, 1.0):
        with pytest.raises(OptionError, match="enter is a share of the run"):
            Adversarial(critic="windows", enter=enter)
