"""A diffusion prior as a pipeline of diffusers: the same picture from the same noise."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowerbound.applications.common.conditions import prompt_of, typed_values
from lowerbound.applications.interchange.pipeline import refuse_other_pipelines
from lowerbound.data import load as load_data
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError, UnsupportedError
from lowerbound.fitting import FitOptions, Fitted, folder as model_folder
from lowerbound.fitting.assembly import assemble, resolve
from lowerbound.inference.prior_draws import sample_prior
from lowerbound.models.options import ModelOptions
from lowerbound.priors.diffusion.process import solved
from lowerbound.trace import Batch
from lowerbound.training import History
from tests.applications.interchange.test_interchange import NETWORK, run

diffusers = pytest.importorskip("diffusers")

QUICK = {"width": 16, "depth": 1}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "noise, by DDIM": {"prediction": "epsilon", "sampler": "ddim", "schedule": "linear"},
    "attributes": {"fields": {"side": ["left", "right"], "size": ["small", "large"]}},
    "captions": {"words": ["red", "green", "blue"]},
}

WORDS: dict[str, dict[str, Any]] = {
    "attributes": {"given": ("side=right",)},
    "captions": {"prompt": "red blue"},
}


def written(
    folder: Path, prior: dict[str, Any] = CASES["plain"], side: int = 16, **network: Any
) -> Path:
    """A model of random weights with latents of several scales, and a U-Net far from its start."""
    x = np.random.default_rng(0).integers(0, 256, (20, 3, side, 16)).astype(np.uint8)
    options = ModelOptions(
        latent_dim=3,
        network="autoencoder_kl",
        network_options={**NETWORK, **network},
        model_options={"stride": 2},
        prior="diffusion",
        prior_options={**QUICK, "steps": 12, **prior},
    )
    schema = load_data(x).schema
    options = resolve(schema, options)
    with torch.no_grad(), seeded(0):
        model = assemble(schema, options).eval()
        own: Any = model.learned_prior
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        own.loc.copy_(torch.tensor([0.5, -2.0, 0.0]).reshape(3, 1, 1))
        own.scale.copy_(torch.tensor([0.2, 1.0, 3.0]).reshape(3, 1, 1))
    model_folder.write(folder, Fitted(model, schema, FitOptions(options), History()))
    return folder


def pipeline(folder: Path) -> Any:
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn(pipe: Any, count: int, steps: int) -> torch.Tensor:
    """Pictures in [0, 1], (count, channels, height, width)."""
    seed = torch.Generator().manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = pipe(count, seed, num_inference_steps=steps, output_type="np").images
        pipe.scheduler.set_timesteps(steps)
    return torch.from_numpy(made).movedim(-1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_the_same_noise_becomes_the_same_picture(
    case: str, convolutions: bool, tmp_path: Path
) -> None:
    uses = {"use_quant_conv": convolutions, "use_post_quant_conv": convolutions}
    source = written(tmp_path / "m.lb", CASES[case], **uses)
    words = WORDS.get(case, {})
    report = run("export", model=str(source), output=str(tmp_path / "there"), **words)
    assert report.architecture == "LDMPipeline"
    assert report.difference < 1e-4
    assert "LDMPipeline in" in report.text()
    pipe, fitted = pipeline(tmp_path / "there"), model_folder.read(source)
    model: Any = fitted.model
    theirs = drawn(pipe, 3, 7)
    assert len(pipe.scheduler.timesteps) == 7
    noise = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)).flatten(1)
    prompt = prompt_of(fitted, typed_values(words.get("given", ())), words.get("prompt", ""), 3)
    x = solved(pipe.scheduler, lambda x, t: model.prior.predict(x, t, prompt), noise)
    ours = model.decode(model.prior.unstandardized(x).unsqueeze(0)).loc[0].clamp(0, 1)
    assert float(ours.std()) > 0.01
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)


@pytest.mark.slow
@torch.no_grad()
def test_latents_are_standardized_by_the_weights(tmp_path: Path) -> None:
    source = written(tmp_path / "m.lb")
    run("export", model=str(source), output=str(tmp_path / "there"))
    model: Any = model_folder.read(source).model
    vae = pipeline(tmp_path / "there").vqvae
    assert vae.config.scaling_factor == 1
    x = torch.rand(2, 3, 16, 16)
    theirs, ours = vae.encode(2 * x - 1).latent_dist, model.encode(Batch(x))
    mean = model.prior.standardized(ours.mean[0]).view_as(theirs.mean)
    torch.testing.assert_close(theirs.mean, mean, rtol=0, atol=1e-4)
    deviation = (ours.variance[0].sqrt()).view_as(theirs.std) / model.prior.scale
    torch.testing.assert_close(theirs.std, deviation, rtol=1e-4, atol=0)


@pytest.mark.slow
@torch.no_grad()
def test_it_takes_the_steps_of_the_prior(tmp_path: Path) -> None:
    """The same times; their noise differs by rounding, and so does the picture."""
    source = written(tmp_path / "m.lb", {"steps": 20})
    run("export", model=str(source), output=str(tmp_path / "there"))
    pipe = pipeline(tmp_path / "there")
    model: Any = model_folder.read(source).model
    theirs = drawn(pipe, 2, 20)
    process = model.prior.process
    assert [int(t) for t in pipe.scheduler.timesteps] == process.drawing_times(20)
    known = pipe.scheduler.alpha_t
    torch.testing.assert_close(known, process.alpha[: len(known)], rtol=1e-5, atol=1e-7)
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).flatten(1)
    ours = model.decode(model.prior().push(noise.unsqueeze(0))).loc[0].clamp(0, 1)
    torch.testing.assert_close(theirs, ours, rtol=0, atol=2e-3)


def test_the_autoencoder_alone(tmp_path: Path) -> None:
    source = written(tmp_path / "m.lb")
    out = tmp_path / "there"
    report = run("export", model=str(source), output=str(out), first_stage=True)
    assert report.architecture == "AutoencoderKL"
    assert report.difference < 1e-5
    with pytest.raises(DataError, match="holds other files"):
        run("export", model=str(source), output=str(out))
    with pytest.raises(OptionError, match="takes no attributes"):
        run("export", model=str(source), output=str(tmp_path / "pipe"), given=("a=b",))


@pytest.mark.slow
def test_an_exported_pipeline_is_replaced_and_its_autoencoder_imported(tmp_path: Path) -> None:
    source = written(tmp_path / "m.lb")
    for _ in range(2):
        run("export", model=str(source), output=str(tmp_path / "there"))
    report = run("import", folder=str(tmp_path / "there"), output=str(tmp_path / "back.lb"))
    assert report.latent == (3, 8, 8)
    assert "not read: unet; train a prior with lowerbound prior --kind diffusion" in report.text()
    assert sample_prior(model_folder.read(tmp_path / "back.lb").model, 2).x.shape == (2, 3, 16, 16)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "network": ({"network": "transformer"}, {}, "needs a prior with the U-Net of diffusers: train"),
    "times": ({"timesteps": 500}, {}, "as if there were 1000, and this prior has 500: train it"),
    "guidance": (
        {**CASES["attributes"], "guidance": 2.0},
        WORDS["attributes"],
        "has no guidance, and the guidance of this prior is 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_priors_that_no_stock_pipeline_draws_are_refused(case: str, tmp_path: Path) -> None:
    prior, words, message = REFUSED[case]
    source = written(tmp_path / "m.lb", prior)
    with pytest.raises(UnsupportedError, match=message):
        run("export", model=str(source), output=str(tmp_path / "there"), **words)
    assert not (tmp_path / "there").exists()


def test_maps_that_are_not_square_are_refused(tmp_path: Path) -> None:
    source = written(tmp_path / "m.lb", side=24)
    with pytest.raises(UnsupportedError, match=r"multiple of 2 for this U-Net, not 12x8: choose"):
        run("export", model=str(source), output=str(tmp_path / "there"))


def test_a_refiner_is_refused(tmp_path: Path) -> None:
    model: Any = model_folder.read(written(tmp_path / "m.lb")).model
    model.refiner = torch.nn.Identity()
    with pytest.raises(UnsupportedError, match="has no refiner, and this model has one"):
        refuse_other_pipelines(model, model.learned_prior, None)
