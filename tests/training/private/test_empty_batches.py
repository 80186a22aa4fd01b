"""An empty Poisson batch is an update by noise alone, for every part that can be private."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lowerbound.config import construct
from lowerbound.errors import OptionError, TrainingError
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import MODELS
from lowerbound.networks import NETWORKS
from lowerbound.objectives import OBJECTIVES
from lowerbound.training.engine import Engine, Update
from lowerbound.training.feed import Feed
from lowerbound.training.private.engine import PrivateEngine, SeededRandomness, check_private
from tests.evaluation.test_every_part import PARTS, built, named
from tests.training.cases import options

CLIP, MULTIPLIER, EXPECTED, RATE = 2.0, 3.0, 10.0, 1e-3
TABLES = [
    {"likelihood": likelihood, "network": network}
    for likelihood in LIKELIHOODS
    for network in NETWORKS
    if LIKELIHOODS[likelihood].by_columns and not NETWORKS[network].only_maps
]
REFUSED = {"pca", "vq_vae", "semi_supervised", "semi_supervised_regression"}
SLOW = ({"likelihood": "autoregressive_tokens"}, {"prior": "diffusion"})  # to build
PRIVATE = [
    pytest.param(parts, marks=[pytest.mark.slow] if parts in SLOW else [], id=named(parts))
    for parts in [*PARTS, *TABLES]
    if parts.get("model") not in REFUSED
]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_models_that_cannot_be_private_are_refused(name: str) -> None:
    model, _ = built({"model": name})
    objective = construct(OBJECTIVES[MODELS[name].objective], options={})
    if name == "pca":
        with pytest.raises(TrainingError, match="no parameters"):
            Engine(Update(model, objective), options())
        return
    with pytest.raises(OptionError, match="without a gradient"):
        check_private(model, objective)


@pytest.mark.parametrize("parts", PRIVATE)
def test_an_empty_batch_is_the_noise_alone(parts: dict[str, Any]) -> None:
    """Adam's first step of a gradient g is -rate * g / (|g| + eps), and g is the noise alone."""
    model, data = built(parts)
    kind = MODELS[parts.get("model", "vae")]
    objective = construct(OBJECTIVES[kind.objective], options={})
    update = Update(model.train(), objective)
    check_private(model, objective)
    plan = options()
    engine = PrivateEngine(update, plan, CLIP, MULTIPLIER, EXPECTED, SeededRandomness(7))
    trained = {name: value for name, value in update.named_parameters() if value.requires_grad}
    before = {name: value.detach().clone() for name, value in trained.items()}
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    noise = SeededRandomness(7).normal(0, sum(value.numel() for value in before.values()))
    feed = Feed(data, torch.device("cpu"), torch.float32, masking=0.5)
    nobody = feed.batch(torch.zeros(0, dtype=torch.long), torch.Generator().manual_seed(0))
    assert len(nobody) == 0
    engine.step(nobody, RATE, 0.0)
    parts_of_noise = noise.split([value.numel() for value in before.values()])
    for (name, value), part in zip(trained.items(), parts_of_noise, strict=True):
        gradient = part.view(value.shape) * MULTIPLIER * CLIP / EXPECTED
        expected = before[name] - RATE * gradient / (gradient.abs() + plan.adam_eps)
        torch.testing.assert_close(value.detach(), expected, rtol=1e-5, atol=1e-6)
    for name, value in model.named_buffers():
        torch.testing.assert_close(value, buffers[name], rtol=0, atol=0)
