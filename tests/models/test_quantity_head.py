"""Codes predict quantities beside the row: density, training, units, storage and messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.stats import laplace, norm
from torch import Tensor

from lowerbound.data import Dataset, load
from lowerbound.data.labels import encode_quantities
from lowerbound.distributions.reparameterization import draw
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, Fitted, fit, folder as model_folder
from lowerbound.fitting.assembly import assemble
from lowerbound.inference.codes import encode_rows, posteriors
from lowerbound.inference.regression import predicted_quantities, quantity_quality
from lowerbound.models.heads import QuantityHead, QuantityOptions
from lowerbound.models.options import ModelOptions
from lowerbound.training import TrainingOptions


@pytest.mark.parametrize("noise", ["gaussian", "laplace"])
def test_term_is_the_density_of_known_values(noise: Literal["gaussian", "laplace"]) -> None:
    torch.manual_seed(0)
    options = QuantityOptions(predict_weight=2.5, predict_noise=noise)
    head = QuantityHead(3, 2, options).double()
    z = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    values = torch.randn(5, 2, dtype=torch.float64)
    values[1, 0] = values[3] = float("nan")
    found = head.weighted(z, values)
    said = head(z)
    mean, scale = said.mean.detach().numpy(), said.scale.detach().numpy()
    density = {"gaussian": norm, "laplace": laplace}[noise]
    expected = 2.5 * np.nansum(density.logpdf(values.numpy(), mean, scale), -1)
    assert found.detach().numpy() == pytest.approx(expected)
    assert bool((found[:, 3] == 0).all())
    (slope,) = torch.autograd.grad(found.sum(), z)
    assert bool(slope.isfinite().all())
    assert bool((slope[:, 3] == 0).all())


def rows(predict: bool) -> tuple[Dataset, Tensor]:
    """Rows whose third number is small, and a quantity that depends on it alone."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(1500, 3)) * [3.0, 1.0, 0.3]
    values = 5 + 40 * x[:, 2]
    dataset = load(x, standardize=False)
    encoded, quantities = encode_quantities({"small": values})
    if predict:
        schema = replace(dataset.schema, quantities=quantities)
        dataset = replace(dataset, schema=schema, quantities=encoded)
    return dataset, torch.tensor(values)


def fitted_on(dataset: Dataset, folder: Path | None = None) -> Fitted:
    options = FitOptions(
        model=ModelOptions(
            latent_dim=1,
            network="mlp",
            likelihood="gaussian",
            model_options={"predict_weight": 20.0},
        ),
        training=TrainingOptions(epochs=30, batch_size=64, seed=0),
    )
    fitted = fit(dataset, options)
    if folder is not None:
        model_folder.write(folder, fitted)
    return fitted


def test_the_deviation_has_the_noise_and_the_spread_of_the_code() -> None:
    """By the law of total variance, from many more draws."""
    dataset, _ = rows(predict=True)
    torch.manual_seed(0)
    model = assemble(dataset.schema, ModelOptions(latent_dim=2, network="mlp")).eval()
    head = model.head
    with torch.no_grad():
        for value in head.parameters():
            if value.dim() > 1:
                value.mul_(30)
    few = dataset.subset(range(5))
    _, deviation = predicted_quantities(model, few)
    ((_, posterior),) = posteriors(model, few)
    with torch.no_grad():
        found = head(draw(posterior, 20_000))
    noise, spread = found.variance.mean(0), found.mean.var(0)
    scale = dataset.schema.quantities[0].scale.deviation
    expected = scale * (noise + spread).sqrt().double()
    assert float((spread / noise).min()) > 3
    assert torch.allclose(deviation.log(), expected.log(), atol=0.6)


@pytest.mark.slow
def test_a_code_learns_what_it_has_to_predict(tmp_path: Path) -> None:
    dataset, values = rows(predict=True)
    training, test = dataset.subset(range(1000)), dataset.subset(range(1000, 1500))
    fitted = fitted_on(training, tmp_path / "m.lb")
    quality = quantity_quality(fitted.model, test)["small"]
    assert quality.r2 > 0.9
    assert quality.covered > 0.85
    mean, deviation = predicted_quantities(fitted.model, test)
    error = values[1000:] - mean[:, 0]
    assert float(error.square().mean().sqrt()) == pytest.approx(quality.rmse)
    assert deviation.shape == (500, 1)
    # without the quantity, the code is the largest number
    plain, _ = rows(predict=False)
    other = fitted_on(plain.subset(range(1000)))
    code = encode_rows(other.model, plain).mean[:, 0]
    assert abs(np.corrcoef(code, values)[0, 1]) < 0.2
    with pytest.raises(UnsupportedError, match="predicts no quantities"):
        predicted_quantities(other.model, test)
    again = model_folder.read(tmp_path / "m.lb")
    assert again.schema.quantities == dataset.schema.quantities
    stored, _ = predicted_quantities(again.model, test)
    assert stored.equal(mean)


@pytest.mark.slow
def test_unknown_values_change_nothing(tmp_path: Path) -> None:
    dataset, _ = rows(predict=True)
    assert dataset.quantities is not None
    hidden = dataset.quantities.clone()
    hidden[::2] = float("nan")
    fitted = fitted_on(replace(dataset, quantities=hidden).subset(range(1000)))
    quality = quantity_quality(fitted.model, dataset.subset(range(1000, 1500)))["small"]
    assert quality.r2 > 0.85


def test_models_that_predict_nothing_refuse_quantities() -> None:
    dataset, _ = rows(predict=True)
    with pytest.raises(OptionError, match="does not predict quantities: leave out --predict"):
        fit(dataset, FitOptions(model=ModelOptions(model="autoencoder", latent_dim=1)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0] * 30, "gap is 1 in all rows"),
        ([1.0, 2.0] * 5, "gap is known for 10 rows: a prediction needs at least 20"),
        ([1.0, float("inf")] * 15, "gap.*inf"),
        (["high", "low"] * 15, "gap.*holds numbers, but not"),
    ],
)
def test_bad_values(values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode_quantities({"gap": values})


@pytest.mark.parametrize("options", [{"predict_weight": 0.0}, {"predict_hidden": 0}])
def test_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="predict_weight must be above 0"):
        QuantityOptions(**options)  # type: ignore[arg-type]
