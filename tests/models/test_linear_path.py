"""A VAE of pictures starts as a linear model that is no worse than principal components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from lowerbound.applications.compression.export import bare, export_integer
from lowerbound.data import load
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.fitting.assembly import assemble, initialize, start_from_model
from lowerbound.fitting.fitted import FitOptions
from lowerbound.fitting.folder import read, write
from lowerbound.fitting.model import fit
from lowerbound.inference.likelihood import score
from lowerbound.likelihoods.discretized_logistic import log_mass
from lowerbound.models.options import ModelOptions
from lowerbound.models.vae import LONG_RUN, VariationalAutoencoder
from lowerbound.networks.pictures.linear_path import LinearPath
from lowerbound.training import TrainingOptions

LATENT = 8
NETWORKS = ("convolutional", "linear", "mlp", "transformer")


def digits(rows: int = 1_200) -> Dataset:
    pictures = load_digits().images[:rows] / 16 * 255
    return load(pictures.round().astype(np.uint8)[:, None])


def started(rows: Dataset, **options: Any) -> VariationalAutoencoder:
    chosen = ModelOptions(latent_dim=LATENT, **options)
    with seeded(0):
        model = assemble(rows.schema, chosen)
        model.start(rows)
    assert isinstance(model, VariationalAutoencoder)
    return model.eval()


def bound(model: VariationalAutoencoder, rows: Dataset) -> float:
    return float(score(model, rows, samples=4, seed=0).elbo.double().mean())


def bound_of_components(rows: Dataset) -> float:
    """The bound of probabilistic PCA whose noise is a discretized logistic per pixel, by hand."""
    x = rows.all().filled.flatten(1).double()
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    rest = values[:-LATENT].mean()
    weight = vectors[:, -LATENT:] * (values[-LATENT:] - rest).sqrt()
    precision = weight.T @ weight / rest + torch.eye(LATENT)
    means = (x - mean) @ weight / rest @ torch.linalg.inv(precision)
    variance = 1 / precision.diagonal()
    z = means + variance.sqrt() * torch.randn(
        means.shape, generator=torch.Generator().manual_seed(0)
    )
    left = (x - mean - means @ weight.T).abs().mean(0)
    scale = (left / (2 * np.log(2))).clamp_min(1e-3)
    logs = log_mass((x * 255).round(), mean + z @ weight.T, scale, 256).sum(1)
    rate = 0.5 * (means.square() + variance - 1 - variance.log()).sum(1)
    return float((logs - rate).mean())


@pytest.mark.parametrize("network", NETWORKS)
def test_the_bound_of_the_start_is_not_below_that_of_principal_components(network: str) -> None:
    rows = digits()
    assert bound(started(rows, network=network), rows) > bound_of_components(rows)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["bernoulli", "discretized_logistic_mixture", "gaussian"])
def test_the_start_is_far_above_the_marginals_whatever_the_likelihood(likelihood: str) -> None:
    pictures = load_digits().images[:1_200, None]
    values = (pictures > 8).astype(np.uint8) if likelihood == "bernoulli" else pictures * 15
    rows = load(values.round().astype(np.uint8) if likelihood != "gaussian" else values / 240)
    with_path = bound(started(rows, likelihood=likelihood), rows)
    without = started(rows, likelihood=likelihood, model_options={"linear_start": False})
    assert with_path > bound(without, rows) + 3


def test_the_networks_add_nothing_at_the_start() -> None:
    rows = digits(200)
    model = started(rows)
    path, x = model.path, rows.all().filled[:5]
    assert path is not None
    assert path.analysis is not None
    assert path.synthesis is not None
    posterior = model.encode(rows.batch(torch.arange(5)))
    assert torch.allclose(posterior.mean[0], path.analysis(x.flatten(1)), atol=1e-5)
    z = torch.randn(1, 5, LATENT)
    loc = path.synthesis(z[0]) + model.decoder.output_bias.flatten()  # type: ignore[operator,union-attr]
    assert torch.allclose(
        model.decode(z).loc[0].flatten(1),
        loc[:, :64],
        atol=1e-5,  # type: ignore[attr-defined]
    )


@pytest.mark.slow
def test_training_goes_on_with_the_path_and_keeps_or_raises_the_bound(tmp_path: Path) -> None:
    rows = digits()
    options = FitOptions(
        model=ModelOptions(latent_dim=LATENT), training=TrainingOptions(updates=60)
    )
    fitted = fit(rows, options, folder=tmp_path / "run")
    history, after = fitted.history, fitted.model.path
    assert history.start is not None
    assert max(r.validation for r in history if r.validation is not None) >= history.start - 1
    assert isinstance(after, LinearPath)
    assert after.is_open
    learned = {name for name, value in after.named_parameters() if value.requires_grad}
    assert learned == {"log_variance", "synthesis.weight"}


@pytest.mark.slow
def test_a_long_run_starts_with_the_strong_components_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lowerbound.models.vae.LEAST_NATS", 1.2)
    rows = digits()
    whole, long = (
        fit(rows, FitOptions(ModelOptions(latent_dim=LATENT), training=training)).model
        for training in (
            TrainingOptions(updates=LONG_RUN - 1, minutes=1e-9),
            TrainingOptions(updates=LONG_RUN, minutes=1e-9),
        )
    )
    assert isinstance(whole, VariationalAutoencoder)
    assert isinstance(long, VariationalAutoencoder)
    codes = whole.encode(rows.all())
    held = 0.5 * (codes.mean.square() + codes.variance - 1 - codes.variance.log()).mean((0, 1))
    weak = held < 1.2
    assert 0 < int(weak.sum()) < LATENT
    fewer = long.encode(rows.all())
    prior = torch.zeros(int(weak.sum()))
    assert torch.allclose(fewer.mean[..., weak].abs().amax((0, 1)), prior, atol=0.02)
    assert torch.allclose(fewer.variance[..., weak].log().abs().amax((0, 1)), prior, atol=0.02)
    assert torch.allclose(fewer.mean[..., ~weak], codes.mean[..., ~weak], atol=0.02)
    assert bound(whole, rows) > bound(long, rows) > bound(bare_start(rows), rows) + 3


@pytest.mark.slow
def test_a_strong_component_beside_weak_ones_stays() -> None:
    noise = torch.Generator().manual_seed(0)
    codes = torch.randn(2_000, 16, generator=noise)
    base = torch.linalg.qr(torch.randn(64, 16, generator=noise)).Q.T
    strength = torch.cat((torch.tensor([300.0]), torch.linspace(38, 32, 15)))
    mixed = 128 + (codes * strength) @ base + 6 * torch.randn(2_000, 64, generator=noise)
    rows = load(mixed.round().clamp(0, 255).to(torch.uint8).numpy().reshape(-1, 1, 8, 8))
    with seeded(0):
        model = assemble(rows.schema, ModelOptions(latent_dim=16))
        initialize(model, rows, LONG_RUN)
    assert isinstance(model, VariationalAutoencoder)
    assert model.path is not None
    assert model.path.synthesis is not None
    used = model.path.synthesis.weight.abs().amax(0) > 0
    assert 0 < int(used.sum()) < 16
    assert bound(model.eval(), rows) > bound(bare_start(rows), rows) + 30


def bare_start(rows: Dataset) -> VariationalAutoencoder:
    return started(rows, model_options={"linear_start": False})


def test_it_comes_back_from_a_folder(tmp_path: Path) -> None:
    rows = digits(300)
    fitted = fit(rows, FitOptions(training=TrainingOptions(updates=3)))
    write(tmp_path / "m.lb", fitted)
    found = read(tmp_path / "m.lb").model
    assert _same(fitted.model, found, rows)


@pytest.mark.parametrize("levels", [2, 256])
def test_pixels_that_explain_each_other_take_none(levels: int) -> None:
    pictures = load_digits().images[:64] / 16
    rows = load((pictures * (levels - 1)).round().astype(np.uint8)[:, None])
    options = {"width": 4, "features": 4, "layers": 1, "context": 1}
    model = started(rows, likelihood="autoregressive", likelihood_options=options)
    assert model.path is not None
    assert not model.path.is_open


def test_a_model_without_a_path_gives_one_without(tmp_path: Path) -> None:
    rows = digits(300)
    old = started(rows, model_options={"linear_start": False})
    new = started(rows)
    with torch.no_grad():
        for value in old.parameters():
            value.add_(0.01)
    start_from_model(new, old)
    assert _same(old, new, rows)


@pytest.mark.parametrize("size", [(70, 130), (64, 64), (65, 20)])
def test_large_pictures_pass_at_a_lower_resolution(size: tuple[int, int]) -> None:
    path = LinearPath((3, *size), 4, (6, *size))
    maps = path.open()
    assert max(path.size) <= 64
    torch.nn.init.normal_(maps.synthesis.weight)
    torch.nn.init.normal_(maps.analysis.weight)
    added = path.parameters_of(torch.randn(2, 4), torch.zeros(2, 6, *size))
    assert added.shape == (2, 6, *size)
    assert path.heads(torch.rand(2, 3, *size), torch.zeros(2, 8)).shape == (2, 8)
    constant = path.enlarged(torch.ones(1, 6, *path.size))
    assert torch.allclose(constant, torch.ones(1, 6, *size))


def test_the_form_in_whole_numbers_has_the_path() -> None:
    rows = digits(300)
    relu = {"activation": "relu"}
    model = started(rows, network="mlp", network_options=relu)
    exported = export_integer(model, rows)
    assert bound(exported, rows) == pytest.approx(bound(model, rows), rel=0.02)  # type: ignore[arg-type]
    loaded = bare(model)
    loaded.load_state_dict(exported.state_dict())


def test_a_path_of_lower_resolution_has_no_exact_form() -> None:
    rows = load(np.random.default_rng(0).integers(0, 255, (40, 1, 66, 8)).astype(np.uint8))
    model = started(rows, network="mlp", network_options={"activation": "relu"})
    with pytest.raises(UnsupportedError, match="linear_start=false"):
        export_integer(model, rows)


def _same(one: Any, other: Any, rows: Dataset) -> bool:
    batch = rows.batch(torch.arange(4))

    def answers(model: Any) -> Tensor:
        z = model.encode(batch).mean
        found: Tensor = model.decode(z).mean
        return found

    with torch.no_grad():
        return torch.equal(answers(one), answers(other))
