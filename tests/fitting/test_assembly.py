"""Every combination of registered parts is assembled, started from data, and trained a little."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from lowerbound.data import Dataset, Formulas, load
from lowerbound.errors import DataError, LowerboundError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, fit
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods import LIKELIHOODS
from lowerbound.models import MODELS
from lowerbound.models.options import ModelOptions
from lowerbound.networks import NETWORKS
from lowerbound.objectives import OBJECTIVES
from lowerbound.posteriors import POSTERIORS
from lowerbound.priors import PRIORS
from lowerbound.training import TrainingOptions
from tests.tables import KINDS, mixed_frame

TRAINING = TrainingOptions(updates=3, batch_size=16, validation=0.0, compile="off")
GENERATOR = np.random.default_rng(0)
PICTURES = GENERATOR.integers(0, 256, (40, 8, 8), dtype=np.uint8)
COLOR = GENERATOR.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
BITS = GENERATOR.integers(0, 2, (40, 8, 8), dtype=np.uint8)
COUNTS = np.random.default_rng(1).poisson(3.0, (40, 5)).astype(float)
VECTORS = GENERATOR.normal(3.0, 2.0, (40, 5))
SUITS = {
    "bernoulli": BITS,
    "continuous_bernoulli": PICTURES / 255.0,
    "gaussian": VECTORS,
    "laplace": VECTORS,
    "student_t": VECTORS,
    "mixed": mixed_frame(),
}


def suited(likelihood: str) -> Dataset:
    """Data in the support of that likelihood."""
    if likelihood == "mixed":
        return load(SUITS[likelihood], kinds=KINDS)
    if likelihood == "multinomial":
        return load(Formulas(["GaAs", "InP", "ZnSe", "Al0.3Ga0.7As"] * 10))
    for data in (load(SUITS.get(likelihood, PICTURES)), load(COUNTS, standardize=False)):
        try:
            LIKELIHOODS[likelihood].from_schema(data.schema, {}).check(data.all().filled)
        except DataError:
            continue
        return data
    raise AssertionError(f"no data of this test is in the support of {likelihood}")


SMALL = {"autoregressive_tokens": {"width": 16, "depth": 1}}  # whose default takes seconds


def options(**model: object) -> FitOptions:
    return FitOptions(ModelOptions(latent_dim=2, **model), training=TRAINING)


@pytest.mark.parametrize(
    ("network", "likelihood"),
    [
        pytest.param(n, kind, marks=() if n == "mlp" or kind == "gaussian" else pytest.mark.slow)
        for n, kind in product((n for n in NETWORKS if not NETWORKS[n].only_maps), LIKELIHOODS)
    ],
)
def test_every_network_with_every_likelihood(network: str, likelihood: str) -> None:
    data = suited(likelihood)
    sizes = SMALL.get(likelihood, {})
    fitted = fit(data, options(network=network, likelihood=likelihood, likelihood_options=sizes))
    scores = score(fitted.model, data, samples=2)
    assert torch.isfinite(scores.bound).all()


@pytest.mark.parametrize("prior", list(PRIORS))
@pytest.mark.parametrize("posterior", list(POSTERIORS))
def test_every_prior_with_every_posterior(prior: str, posterior: str) -> None:
    data = load(VECTORS)
    if prior == "vamp" and posterior not in ("gaussian", "clamped_gaussian"):
        with pytest.raises(UnsupportedError):
            fit(data, options(prior=prior, posterior=posterior))
        return
    fitted = fit(data, options(prior=prior, posterior=posterior))
    samples = 2 if PRIORS[prior].density == "exact" else 1  # a bound takes no importance weights
    assert torch.isfinite(score(fitted.model, data, samples=samples).bound).all()


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize(
    "raw", [BITS, PICTURES, COLOR, VECTORS], ids=["bits", "grey", "color", "reals"]
)
def test_every_model_on_every_kind_of_data(model: str, raw: object) -> None:
    if model == "transform" and raw is VECTORS:
        with pytest.raises(OptionError, match="for pictures"):
            fit(load(raw), options(model=model))
        return
    data = load(raw)
    if model == "event_history":
        with pytest.raises(OptionError, match="for tables of events"):
            fit(data, options(model=model))
        return
    if model == "linear_state_space":
        with pytest.raises(OptionError, match="for sequences"):
            fit(data, options(model=model))
        return
    if model == "recurrent_state_space":
        with pytest.raises(OptionError, match="windows of episodes"):
            fit(data, options(model=model))
        return
    if model == "semi_supervised":
        with pytest.raises(OptionError, match="labels of none"):
            fit(data, options(model=model))
        data = data.with_labels([("a", "b", None)[row % 3] for row in range(len(data))])
    if model == "semi_supervised_regression":
        with pytest.raises(OptionError, match="the data has none"):
            fit(data, options(model=model))
        data = data.with_targets([(0.5, 2, None)[row % 3] for row in range(len(data))])
    fitted = fit(data, options(model=model))
    assert not fitted.model.training
    assert fitted.options.model.network in NETWORKS


def test_start_is_the_marginal_of_the_data() -> None:
    """Before any training, -log p(x | z) is nearer to the entropy of independent pixels than to the
    64 log 2 nats of even odds."""
    data = load("digits", binarize="threshold")
    plain = {"linear_start": False}
    options = ModelOptions(latent_dim=2, network="mlp", model_options=plain)
    model = assemble(data.schema, options)
    model.start(data)
    x = data.all().filled
    share = x.mean(0).clamp(0.01, 0.99)
    entropy = float(-(share * share.log() + (1 - share) * (1 - share).log()).sum())
    distortion = float(score(model, data).distortion.mean())
    assert entropy - 0.1 < distortion < (entropy + 64 * np.log(2)) / 2


def test_defaults_follow_the_data() -> None:
    def chosen(raw: object) -> ModelOptions:
        return resolve(load(raw).schema, ModelOptions())

    assert chosen(BITS).likelihood == "bernoulli"
    assert chosen(PICTURES).likelihood == "discretized_logistic"
    assert chosen(VECTORS).likelihood == "gaussian"
    assert (
        chosen(GENERATOR.integers(0, 256, (9, 28, 28), dtype=np.uint8)).network == "convolutional"
    )
    assert chosen(VECTORS).network == "mlp"
    assert chosen(VECTORS).latent_dim == 2


def test_conditional_model_needs_labels_and_uses_them() -> None:
    with pytest.raises(DataError, match="labels"):
        fit(load(VECTORS), options(conditional=True))
    data = load(VECTORS).with_labels(["a", "b"] * 20)
    fitted = fit(data, options(conditional=True))
    assert fitted.schema.condition is not None
    batch = data.conditioned_on_label().all().to(torch.float32)
    assert fitted.model(batch).likelihood.mean.shape == (1, 40, 5)


@pytest.mark.parametrize("prior", list(PRIORS))
def test_priors_of_conditional_models(prior: str) -> None:
    data = load(VECTORS).with_labels(["a", "b"] * 20)
    if prior == "vamp":
        with pytest.raises(UnsupportedError, match="without a class"):
            fit(data, options(conditional=True, prior=prior))
        return
    assert len(fit(data, options(conditional=True, prior=prior)).history)


def test_values_of_a_wrong_type_are_named() -> None:
    with pytest.raises(OptionError, match="'tau' takes a number, not 'abc'"):
        fit(load(VECTORS), options(likelihood_options={"tau": "abc"}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"network": "mlpp"}, "mlp"),
        ({"likelihood": "gausian"}, "gaussian"),
        ({"prior": "wamp"}, "vamp"),
        ({"posterior": "gauss"}, "gaussian"),
        ({"model": "vea"}, "vae"),
        ({"likelihood_options": {"tua": 1.0}}, "tau"),
        ({"prior": "vamp", "prior_options": {"component": 3}}, "components"),
        ({"network_options": {"hiden": [3]}}, "hidden"),
    ],
)
def test_unknown_names_suggest_the_nearest(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=f"did you mean '{message}'"):
        fit(load(VECTORS), options(**wrong))


def test_grey_values_under_bernoulli_are_refused() -> None:
    with pytest.raises(LowerboundError, match="binarize"):
        fit(load(PICTURES), options(likelihood="bernoulli"))


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_fits_are_reproducible_and_leave_random_state_alone(
    objective: str, untouched_random_state: None
) -> None:
    data = load(VECTORS)
    fits = [
        fit(data, FitOptions(ModelOptions(latent_dim=2), objective, training=TRAINING))
        for _ in "ab"
    ]
    for a, b in zip(fits[0].model.parameters(), fits[1].model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_given_options_of_a_likelihood_override_the_defaults_of_the_model() -> None:
    """Of columns with gaps each has a scale of its own, unless the caller says otherwise."""
    x = np.random.default_rng(0).normal(size=(30, 3))
    x[::4, 0] = np.nan
    schema = load(x, missing="model").schema
    for given, scale in (({}, "feature"), ({"scale": "global"}, "global")):
        chosen = resolve(schema, ModelOptions(likelihood_options=given))
        assert (chosen.likelihood, chosen.likelihood_options["scale"]) == ("gaussian", scale)
