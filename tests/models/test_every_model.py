"""A refiner after every kind of model of pictures, and of bits, levels and real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.fitting import FitOptions, fit, folder as model_folder
from lowerbound.fitting.refiner import fit_refiner, without_refiner
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.inference.reconstruction import reconstruct_refined
from lowerbound.models import Imagines
from lowerbound.models.options import ModelOptions
from lowerbound.models.refinement import Refined, unrefined
from lowerbound.training import TrainingOptions

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 8, 6)).astype(np.uint8)
COLOR = RNG.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
BRIEF = TrainingOptions(updates=2, batch_size=16)
SMALL = {"width": 8, "steps": 2}

CASES: dict[str, tuple[np.ndarray, ModelOptions, dict[str, Any]]] = {
    "vae of color": (COLOR, ModelOptions(latent_dim=2), {}),
    "map": (
        COLOR,
        ModelOptions(latent_dim=2, network="convolutional", model_options={"stride": 4}),
        {},
    ),
    "vq_vae": (GREY, ModelOptions("vq_vae", model_options={"codes": 8}), {}),
    "ladder": (GREY, ModelOptions("ladder", network="mlp"), {}),
    "hierarchical": (GREY, ModelOptions("hierarchical", network="mlp"), {}),
    "autoencoder": (GREY, ModelOptions("autoencoder", latent_dim=2), {}),
    "pca": (GREY, ModelOptions("pca", latent_dim=2), {}),
    "autoregressive": (GREY, ModelOptions(latent_dim=2, likelihood="autoregressive"), {}),
    "bits": (GREY, ModelOptions(latent_dim=2), {"binarize": "dynamic"}),
    "real numbers": (GREY / 255.0, ModelOptions(latent_dim=2), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_draws_are_pictures_of_the_kind_of_the_data(case, tmp_path):
    x, model, reading = CASES[case]
    rows = load(x, **reading)
    fitted = fit(rows, FitOptions(model, training=BRIEF))
    made, _ = fit_refiner(fitted, rows, SMALL, BRIEF)
    model_folder.write(tmp_path / "model", made)
    made = model_folder.read(tmp_path / "model")
    found = reconstruct_refined(made.model, rows)
    drawn = [found.drawn]
    if isinstance(made.model, Imagines):
        samples = sample_prior(made.model, 6)
        assert torch.equal(samples.mean, sample_prior(fitted.model, 6).mean)
        drawn.append(samples.x)
    levels = 2 if rows.schema.binary else rows.schema.levels
    for pictures in drawn:
        assert pictures.shape[1:] == rows.schema.event_shape
        assert bool(((pictures >= 0) & (pictures <= 1)).all())
        if levels is not None:
            codes = pictures * (levels - 1)
            torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-3)
    batch = rows.batch(torch.arange(3)).to(torch.float32)
    assert Refined(made.model)(batch).likelihood.log_prob(batch.filled).shape[-1] == 3
    plain, before = unrefined(made.model).state_dict(), fitted.model.state_dict()
    assert plain.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in plain.items())
    assert without_refiner(made).options.model == fitted.options.model
    assert made.model.refiner is not None
