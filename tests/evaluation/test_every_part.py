"""Every registered prior, posterior, likelihood and network goes through every suite."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from lowerbound.data import Dataset, Events, Formulas, Sequences, load
from lowerbound.data.sequences.windows import Windows
from lowerbound.evaluation.report.sizes import SuiteOptions
from lowerbound.evaluation.report.suites import latent_suite, likelihood_suite, sample_suite
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.likelihood import score
from lowerbound.inference.scores import Scores
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import MODELS, Model
from lowerbound.models.options import ModelOptions
from lowerbound.networks import NETWORKS
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS
from tests.data.sequences.episodes import episodes
from tests.data.sequences.tables import visits
from tests.oracles import state_space
from tests.tables import KINDS, mixed_frame

QUICK = SuiteOptions(samples=4, rows=12, agreement_rows=20, gap_rows=2, draws=12)
PARTS: list[dict[str, Any]] = [
    *({"prior": name} for name in PRIORS),
    *({"posterior": name} for name in POSTERIORS),
    *({"likelihood": name} for name in LIKELIHOODS),
    *({"network": name} for name in NETWORKS if not NETWORKS[name].only_maps),
    {"network": "autoencoder_kl", "network_options": {"block_out_channels": [8, 16]}},
    *({"model": name} for name in MODELS),
    {"model": "vq_vae", "network": "convolutional", "model_options": {"maps": 2}},
    {"model": "pca", "model_options": {"components": 3}},
]


def named(parts: dict[str, Any]) -> str:
    """What a test of these parts is called."""
    return "-".join(str(word) for pair in parts.items() for word in pair)


pytestmark = pytest.mark.filterwarnings("ignore:the median effective sample size")


def rows_for(likelihood: str, model: str) -> Dataset:
    """Digits as likelihood and model take them; a table for the likelihood of tables."""
    if likelihood and LIKELIHOODS[likelihood].by_columns:
        return load(mixed_frame(60), kinds=KINDS)
    if likelihood == "multinomial":
        return load(Formulas(["GaAs", "InP", "ZnSe", "Al0.3Ga0.7As", "In0.5Ga0.5P"] * 12))
    if model == "event_history":
        return load(Events(visits(60), "patient", "day"))
    if model == "linear_state_space":
        return load(Sequences(state_space.parameters().draws(60, time=5).numpy()))
    if model == "recurrent_state_space":
        return load(episodes(), windows=Windows(4, 4))
    digits = load("digits").thinned(60)
    if likelihood == "bernoulli":
        return replace(digits, schema=replace(digits.schema, binarize="dynamic"))
    if model == "semi_supervised_regression":
        return digits.with_targets(digits.label)
    if likelihood == "continuous_bernoulli":
        return replace(
            digits, x=digits.x / 16, schema=replace(digits.schema, levels=None, white=1.0)
        )
    return digits


def built(parts: dict[str, Any]) -> tuple[Model, Dataset]:
    data = rows_for(parts.get("likelihood", ""), parts.get("model", ""))
    torch.manual_seed(0)
    model = assemble(data.schema, ModelOptions(**{"latent_dim": 3, "network": "mlp", **parts}))
    model.start(data)
    return model.eval(), data


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS, ids=named)
def test_every_suite_answers_in_finite_json(parts: dict[str, Any]) -> None:
    model, data = built(parts)
    training, held_out = data.split(0.3, 0)
    likelihood = likelihood_suite(model, held_out, QUICK)
    latents = latent_suite(model, training, held_out, QUICK)
    samples = sample_suite(model, training, Skipped("not requested"), QUICK)
    for findings in (likelihood, latents, samples):
        json.dumps(findings.to_mapping(), allow_nan=False)
    own = next(iter(samples.samples.values()))
    assert own.x.shape == own.mean.shape == (12, *data.schema.event_shape)
    if parts.get("model") in (
        "hierarchical",
        "linear_state_space",
        "recurrent_state_space",
        "ladder",
        "vq_vae",
        "transform",
        "semi_supervised",
        "semi_supervised_regression",
    ):  # no one prior over the code
        assert isinstance(latents.agreement, Skipped)
    else:
        assert 0 <= latents.agreement.hole_rate <= 1
    if parts.get("model") == "autoencoder":
        assert isinstance(likelihood.scores, Skipped)
    else:
        assert isinstance(likelihood.scores, Scores)
        assert likelihood.scores.mass == bool(likelihood.scores.summary().bits_per_dimension)


BOUNDED = [parts for parts in PARTS if parts.get("model") != "autoencoder"]


@pytest.mark.parametrize("parts", BOUNDED, ids=named)
def test_no_row_depends_on_its_neighbors(parts: dict[str, Any]) -> None:
    model, data = built(parts)
    prior = PRIORS[parts.get("prior", "standard_normal")]
    samples = 3 if prior.density == "exact" else 1  # a bound takes no importance weights
    together = score(model, data.subset(range(9)), samples=samples)
    alone = score(model, data.subset([5]), samples=samples)
    assert torch.isfinite(together.bound).all()
    assert math.isclose(float(alone.bound[0]), float(together.bound[5]), rel_tol=1e-4)
    assert math.isclose(float(alone.elbo[0]), float(together.elbo[5]), rel_tol=1e-4)
