"""Objectives that look at rows: whose gradient is whose, and what the looking network learned."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.data import Dataset, load
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.fitting.assembly import assemble
from lowerbound.models import Model
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Adversarial, FeatureMatching
from lowerbound.objectives.adversarial import Critic, WindowCritic, _critic_loss, seen_apart
from lowerbound.trace import Batch


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", binarize="threshold")


def built(data: Dataset, kind: str = "vae") -> Model:
    with seeded(0):
        model = assemble(data.schema, ModelOptions(kind, 4, network="mlp"))
    model.start(data)
    return model


def batch_of(data: Dataset, rows: int = 40) -> Batch:
    return data.batch(torch.arange(rows)).to(torch.float32)


def test_model_and_critic_see_their_own_loss_alone(digits: Dataset) -> None:
    model, batch = built(digits), batch_of(digits)
    objective = Adversarial(weight=0.5, feature_weight=0.5)
    objective.prepare(model, digits)
    assert objective.critic is not None
    with seeded(1):
        objective(model, batch).loss.backward()
    critic = [p.grad.clone() for p in objective.critic.parameters()]
    of_model = [p.grad.clone() for p in model.parameters() if p.requires_grad]
    # the critic's own term at the same draws
    objective.zero_grad()
    with seeded(1), torch.no_grad():
        again = model(batch, objective.choose).likelihood.mean.flatten(0, 1)
        sampled = objective._sampled(model, batch)
    _critic_loss(objective.critic, batch.filled, again, sampled).backward()
    for found, parameter in zip(critic, objective.critic.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)
    # without the critic's term the model's gradient stays the same
    model.zero_grad()
    with seeded(1):
        trace = model(batch, objective.choose)
        bound = objective.bound(trace, batch)
        sampled = objective._sampled(model, batch)
        again = trace.likelihood.mean.flatten(0, 1)
        taken = objective._model_loss(objective.critic, batch.filled, again, sampled)
        (bound.loss + 64 * taken).backward()
    learned = [p for p in model.parameters() if p.requires_grad]
    for found, parameter in zip(of_model, learned, strict=True):
        torch.testing.assert_close(found, parameter.grad)


def test_textures_are_judged_of_reconstructions_alone() -> None:
    """A critic of windows on a transform coder: it learns from its own side alone, and what the
    decoder takes out learns from being told apart."""
    with seeded(0):
        pictures = torch.randint(0, 256, (12, 16, 16, 3), dtype=torch.uint8)
        data = load(pictures.numpy())
        model = assemble(data.schema, ModelOptions("transform"))
    model.start(data)
    objective = Adversarial(critic="windows", prior_samples=False)
    objective.prepare(model, data)
    assert isinstance(objective.critic, WindowCritic)
    batch = batch_of(data, 4)
    with seeded(1):
        objective(model, batch).loss.backward()
    assert float(model.decoder.out.weight.grad.abs().max()) > 0
    critic = [p.grad.clone() for p in objective.critic.parameters()]
    objective.zero_grad()
    with seeded(1), torch.no_grad():
        again = model(batch, objective.choose).likelihood.mean.flatten(0, 1)
    _critic_loss(objective.critic, batch.filled, again, None).backward()
    for found, parameter in zip(critic, objective.critic.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad)


def test_windows_are_of_pictures_alone() -> None:
    rows = load(torch.randn(40, 5).numpy())
    model = built(rows)
    with pytest.raises(OptionError, match="needs pictures of at least 8 pixels"):
        Adversarial(critic="windows").prepare(model, rows)
    with pytest.raises(OptionError, match="rows or windows, not edges"):
        Adversarial(critic="edges")


def test_a_critic_of_textures_tells_blur_from_noise() -> None:
    """Of pictures of equal means and other textures, told by windows wherever they lie."""
    with seeded(0):
        critic = WindowCritic(3, 8)
        optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
        for _ in range(40):
            real = 0.5 + 0.1 * torch.randn(4, 3, 24, 24)
            blurred = torch.nn.functional.avg_pool2d(real, 3, 1, 1)
            loss = _critic_loss(critic, real, blurred, None)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.1


def test_value_stays_the_elbo(digits: Dataset) -> None:
    model, batch = built(digits), batch_of(digits)
    with seeded(1):
        expected = ELBO()(model, batch)
    for objective in (FeatureMatching(), Adversarial()):
        with seeded(1):
            found = objective(model, batch)
        torch.testing.assert_close(found.value, expected.value)
        assert found.loss.item() > expected.loss.item()


def test_weight_nought_is_the_elbo(digits: Dataset) -> None:
    model, batch = built(digits), batch_of(digits)
    with seeded(1):
        found = FeatureMatching(weight=0.0)(model, batch)
    with seeded(1):
        expected = ELBO()(model, batch)
    torch.testing.assert_close(found.loss, expected.loss)


def test_labeled_rows_without_pictures_have_a_network_too() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    data = load(frame.assign(kind=["x", "y"] * 20), label="kind")
    objective = FeatureMatching()
    objective.prepare(built(data), data)
    assert objective.critic is not None


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
def test_the_network_that_looks_has_learned(digits: Dataset, labelled: bool) -> None:
    data = digits if labelled else Dataset(digits.schema, digits.x)
    objective = FeatureMatching()
    objective.prepare(built(digits), data)
    critic = objective.critic
    assert critic is not None
    assert not any(p.requires_grad for p in critic.parameters())
    x, label = digits.all().to(torch.float32).filled, digits.label
    if labelled:
        assert float((critic(x)[2].argmax(1) == label).float().mean()) > 0.9
    else:
        turned = torch.rot90(x, 1, (-2, -1))
        assert float((critic(turned)[2].argmax(1) == 1).float().mean()) > 0.6


def test_how_differently_rows_are_seen() -> None:
    critic = Critic((1, 8, 8))
    with torch.no_grad():
        seen = critic(torch.rand(5, 1, 8, 8))[:2]
    assert float(seen_apart(seen, seen).abs().max()) == 0
    nothing = tuple(torch.zeros_like(value) for value in seen)
    torch.testing.assert_close(seen_apart(nothing, seen).mean(), torch.tensor(1.0))
    louder = tuple(10 * value for value in seen)
    torch.testing.assert_close(seen_apart(nothing, louder), seen_apart(nothing, seen))


def test_refusals(digits: Dataset) -> None:
    with pytest.raises(UnsupportedError, match="autoencoder"):
        Adversarial().prepare(built(digits, "autoencoder"), digits)
    with pytest.raises(OptionError):
        FeatureMatching(weight=-1.0)
    with pytest.raises(OptionError):
        Adversarial(width=0)


def test_one_row_is_sampled_for_each_row_with_a_condition() -> None:
    data = load("digits", binarize="threshold").thinned(50).conditioned_on_label()
    with seeded(0):
        model = assemble(data.schema, ModelOptions("vae", 4, network="mlp", conditional=True))
    batch = batch_of(data, 6)
    assert batch.condition is not None
    assert Adversarial()._sampled(model, batch).shape == batch.filled.shape


def test_the_critic_sees_the_same_cells_of_all_rows() -> None:
    """Else it would know rows of the model by the cells that are hidden in real ones."""
    x = np.random.default_rng(0).normal(size=(40, 3)) + 5
    x[np.random.default_rng(1).random(x.shape) < 0.3] = np.nan
    data = load(x, missing="model")
    model, batch = built(data), data.batch(torch.arange(40)).to(torch.float32)
    objective = Adversarial(prior_samples=True)
    objective.prepare(model, data)
    assert objective.critic is not None
    assert batch.observed is not None
    seen: list[torch.Tensor] = []
    objective.critic.register_forward_pre_hook(lambda _, rows: seen.append(rows[0]))
    objective(model, batch)
    assert len(seen) >= 3
    for rows in seen:
        hidden = (~batch.observed).repeat(len(rows) // 40, 1)
        assert not bool(rows[hidden].any())
        assert bool(rows[~hidden].all())
