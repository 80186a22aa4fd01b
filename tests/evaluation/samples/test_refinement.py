"""Distortion and realism before and after a refiner, against formulas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lowerbound import VAE
from lowerbound.data import load
from lowerbound.evaluation.samples.refinement import RefinementQuality, psnr, refinement_quality
from lowerbound.fitting import RefinerFit
from lowerbound.fitting.gains import NOT_MEASURED, distortion, realism
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.reconstruction import RefinedRows
from lowerbound.training import TrainingOptions


def test_psnr_by_its_formula():
    x = torch.rand(50, 1, 8, 8)
    assert psnr(x, x + 0.1) == pytest.approx(20, abs=1e-4)
    assert psnr(x, x) == pytest.approx(100)


def test_an_exact_draw_costs_3_decibels():
    """x and the draw are independent given the mean, with the same variance."""
    torch.manual_seed(0)
    mean = torch.rand(200, 1, 16, 16)
    x, drawn = (mean + 0.05 * torch.randn_like(mean) for _ in range(2))
    assert psnr(x, mean) - psnr(x, drawn) == pytest.approx(10 * np.log10(2), abs=0.05)


@pytest.mark.slow
def test_figures_of_pictures_with_and_without_classes():
    rng = np.random.default_rng(0)
    place = np.arange(400) % 2
    x = 60 * (np.arange(8)[None, :, None] // 4 == place[:, None, None]) + np.zeros((1, 1, 8))
    x = (x + rng.integers(0, 120, x.shape)).astype(np.uint8)
    vae = VAE(latent_dim=1, network="mlp", epochs=3, random_state=0).fit(x)
    vae.fit_refiner(x, training_options={"updates": 2, "validation": 0.0}, width=8, steps=2)
    assert vae.fitted_.options.refiner_fit.psnr is None  # none were held out
    rows = replace(load(x, schema=vae.fitted_.schema), label=torch.from_numpy(place))
    seen, unseen = rows.subset(range(300)), rows.subset(range(300, 400))
    facts = refinement_quality(vae.model_, seen, unseen, rows=100).facts
    assert facts.held_out == 100
    assert facts.features.startswith("lenet-")
    assert facts.frechet_of_real < facts.former_frechet
    assert facts.sharpness > facts.former_sharpness
    bare = refinement_quality(vae.model_, load(x[:300]), load(x[300:]), rows=100)
    assert bare.facts.frechet is None
    assert "learns from labels" in bare.facts.skipped
    kept = bare.added_to(RefinerFit(7, TrainingOptions(updates=3), -1.0))
    assert (kept.rows, kept.training.updates, kept.bound) == (7, 3, -1.0)
    assert kept.psnr == bare.facts.psnr


def test_real_pictures_in_place_of_draws_have_the_distance_of_real_pictures():
    x = torch.rand(40, 1, 8, 8)
    flat = RefinedRows(x, torch.full_like(x, 0.5), x)
    found = RefinementQuality(flat, load(x.numpy()), Skipped("no classes")).facts
    assert found.sharpness == pytest.approx(1)
    assert found.former_sharpness == pytest.approx(0, abs=1e-9)
    assert found.psnr == pytest.approx(100)


def test_facts_in_words():
    empty = vars(RefinerFit())
    assert distortion(empty) == realism(empty) == NOT_MEASURED
    facts = {**empty, "held_out": 1200, "psnr": 20.0, "former_psnr": 22.5, "skipped": "no classes"}
    assert distortion(facts) == "PSNR 20.00 dB refined, 22.50 dB before, on 1,200 held-out pictures"
    assert "not measured: no classes; sharpness not measured" in realism(facts)
