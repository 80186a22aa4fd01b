"""Texts of known entropy: training alone ignores the code, and each remedy keeps it.

Texts are four letters a or b, all 16 equally likely, each letter three times. Their entropy is
log 16 nats. A decoder that sees the tokens before needs no code for it.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from lowerbound.data import load
from lowerbound.fitting import FitOptions, fit
from lowerbound.inference.likelihood import score
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions

TEXTS = ["".join(3 * letter for letter in word) for word in itertools.product("ab", repeat=4)]
ENTROPY = math.log(len(TEXTS))
RECURRENT = {"hidden": 24, "context": 32}
PLACES = {"hidden": [48, 32], "context": 32, "channels": 0}
pytestmark = pytest.mark.filterwarnings("ignore:the median effective sample size")


def nats_and_rate(
    network: str, objective: str, options: dict[str, Any], **likelihood: Any
) -> tuple[float, float]:
    """-L_200 and the rate, both in nats per text."""
    model = ModelOptions(
        latent_dim=4,
        network=network,
        network_options=RECURRENT if network == "recurrent" else PLACES,
        likelihood_options={"width": 24, **likelihood},
    )
    training = TrainingOptions(
        updates=400, batch_size=64, learning_rate=1e-2, schedule="cosine", validation=0, threads=1
    )
    dataset = load(TEXTS * 20, tokens="characters")
    fitted = fit(dataset, FitOptions(model, objective, options, training))
    scores = score(fitted.model, load(TEXTS, schema=dataset.schema), samples=200, seed=0)
    return -float(scores.bound.mean()), float(scores.rates.sum(0).mean())


@pytest.mark.long
def test_training_alone_ignores_the_code() -> None:
    nats, rate = nats_and_rate("recurrent", "elbo", {})
    assert ENTROPY - 1e-3 < nats < 1.02 * ENTROPY
    assert rate < 0.1


@pytest.mark.long
@pytest.mark.parametrize(
    ("objective", "options", "likelihood", "most"),
    [
        ("elbo", {"free_bits": 2.2}, {}, 1.02),
        ("target_rate", {"target": 2.2}, {}, 1.02),
        ("elbo", {}, {"word_dropout": 0.7}, 1.05),  # it scores with tokens that training hid
    ],
)
def test_a_remedy_keeps_the_code(
    objective: str, options: dict[str, Any], likelihood: dict[str, Any], most: float
) -> None:
    nats, rate = nats_and_rate("positions", objective, options, **likelihood)
    assert ENTROPY - 1e-3 < nats < most * ENTROPY
    assert rate > 2.0
