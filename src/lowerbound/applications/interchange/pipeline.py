r"""A diffusion prior and its autoencoder as a ``LDMPipeline`` of ``diffusers``.

::

    FOLDER/
      model_index.json   the names of the parts
      unet/              UNet2DModel, of standardized latents x = (z - m) / s
      scheduler/         DPMSolverMultistepScheduler
      vqvae/             AutoencoderKL of x; the pipeline's name for its autoencoder

The pipeline has one scaling factor for all channels. Mean m and standard deviation s of each
channel are therefore folded into the convolutions of 1 x 1 pixel beside the latent.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound import durable
from lowerbound.errors import UnsupportedError
from lowerbound.models.base import Model
from lowerbound.models.powers import Decodes, require
from lowerbound.networks.denoisers import UNetDenoiser, diffusers
from lowerbound.priors.diffusion.prior import DiffusionPrior
from lowerbound.priors.diffusion.process import ORDERS, PREDICTIONS, solved

PIPELINE, INDEX = "LDMPipeline", "model_index.json"
UNET, SCHEDULER, AUTOENCODER = "unet", "scheduler", "vqvae"
FILES = {INDEX, UNET, SCHEDULER, AUTOENCODER}
TIMES = 1000  # that the time embedding of the U-Net is made for
TIME_BIAS = "time_embedding.linear_2.bias"
ALONE = "or export the autoencoder alone with --first-stage"


def diffusion_prior(model: Model) -> DiffusionPrior | None:
    """The model's diffusion prior, if it has one."""
    prior = getattr(model, "prior", None)
    return prior if isinstance(prior, DiffusionPrior) else None


def refuse_other_pipelines(model: Model, prior: DiffusionPrior, prompt: Tensor | None) -> None:
    """Raise an error where no stock pipeline draws what the model draws.

    Raises:
        UnsupportedError: says why, and what to do.
    """
    denoiser = prior.denoiser
    if not isinstance(denoiser, UNetDenoiser):
        raise UnsupportedError(
            "a pipeline of diffusers needs a prior with the U-Net of diffusers: train one with "
            f"--set network=unet, {ALONE}"
        )
    if prior.process.timesteps != TIMES:
        raise UnsupportedError(
            f"the U-Net in diffusers takes times as if there were {TIMES}, and this prior has "
            f"{prior.process.timesteps}: train it with --set timesteps={TIMES}, {ALONE}"
        )
    _, height, width = prior.latent_shape
    if height != width or height % denoiser.stride:
        raise UnsupportedError(
            f"{PIPELINE} draws square latent maps whose side is a multiple of {denoiser.stride} "
            f"for this U-Net, not {height}x{width}: choose another --image-size, {ALONE}"
        )
    if prompt is not None and prior.guidance != 1:
        raise UnsupportedError(
            f"{PIPELINE} has no guidance, and the guidance of this prior is {prior.guidance:g}: "
            "train it with --set guidance=1, or export it without a prompt"
        )
    if model.refiner is not None:
        raise UnsupportedError(
            f"{PIPELINE} has no refiner, and this model has one: export a model without it, {ALONE}"
        )


def standardized(weights: dict[str, Tensor], loc: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """The weights of the autoencoder whose latent is x = (z - m) / s instead of z.

    Args:
        weights: by their names in diffusers, with or without convolutions beside the latent.
        loc, scale: m and s, (channels,).
    """
    loc, scale = loc.double(), scale.double()
    gain = torch.cat([1 / scale, torch.ones_like(scale)])
    shift = torch.cat([-loc / scale, -2 * scale.log()])
    before, bias_before = _convolution(weights, "quant_conv", len(gain))
    after, bias_after = _convolution(weights, "post_quant_conv", len(loc))
    changed = {
        "quant_conv.weight": gain.reshape(-1, 1, 1, 1) * before,
        "quant_conv.bias": gain * bias_before + shift,
        "post_quant_conv.weight": after * scale.reshape(1, -1, 1, 1),
        "post_quant_conv.bias": bias_after + after[:, :, 0, 0] @ loc,
    }
    return {**weights, **{name: value.float() for name, value in changed.items()}}


def _convolution(weights: dict[str, Tensor], name: str, channels: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution of 1 x 1 pixel; the identity if there is none."""
    identity = torch.eye(channels, dtype=torch.float64)[:, :, None, None]
    weight = weights.get(f"{name}.weight", identity)
    bias = weights.get(f"{name}.bias", torch.zeros(channels))
    return weight.double(), bias.double()


@torch.no_grad()
def write_prior(folder: Path, prior: DiffusionPrior, prompt: Tensor | None) -> None:
    """Write all but the autoencoder.

    Args:
        folder: of the pipeline.
        prior: one that ``refuse_other_pipelines`` accepts.
        prompt: that the pipeline always draws for, (1, codes); None: nothing is known.
    """
    _unet(prior, prompt).save_pretrained(folder / UNET, safe_serialization=True)
    # the solver of the prior, over the times from which it draws
    process, order = prior.process, ORDERS[prior.sampler]
    times = process.drawing_times(2)[0] + 1
    scheduler = diffusers().DPMSolverMultistepScheduler(
        num_train_timesteps=times,
        trained_betas=process.betas[:times],
        solver_order=order,
        prediction_type=PREDICTIONS[process.prediction],
        use_lu_lambdas=order == 2,  # times even in log(sigma / alpha)
    )
    scheduler.save_pretrained(folder / SCHEDULER)
    index = {
        "_class_name": PIPELINE,
        "_diffusers_version": diffusers().__version__,
        SCHEDULER: ["diffusers", type(scheduler).__name__],
        UNET: ["diffusers", "UNet2DModel"],
        AUTOENCODER: ["diffusers", "AutoencoderKL"],
    }
    durable.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def _unet(prior: DiffusionPrior, prompt: Tensor | None) -> Any:
    """The U-Net without a prompt: the embedding of the one prompt is added to that of any time."""
    denoiser: Any = prior.denoiser
    options = {name: v for name, v in denoiser.unet.config.items() if not name.startswith("_")}
    sizes = {"sample_size": prior.latent_shape[1], "class_embed_type": None}
    unet = type(denoiser.unet)(**{**options, **sizes})
    weights = dict(denoiser.unet.state_dict())
    if denoiser.prompts is not None:
        known = denoiser.prompts.unknown(1) if prompt is None else prompt
        weights[TIME_BIAS] = weights[TIME_BIAS] + denoiser.prompts(known)[0]
    unet.load_state_dict(weights)
    return unet


@torch.no_grad()
def difference_of_draws(
    model: Model, prior: DiffusionPrior, prompt: Tensor | None, folder: Path
) -> float:
    """The largest difference between one picture in [0, 1] drawn here and by the stock pipeline.

    Both start from the same noise, and take the same steps of the same scheduler.
    """
    shape = (1, *prior.latent_shape)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).flatten(1)
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pipe = diffusers().DiffusionPipeline.from_pretrained(
            str(folder), local_files_only=True, low_cpu_mem_usage=False
        )
        pipe.set_progress_bar_config(disable=True)
        seed = torch.Generator().manual_seed(0)
        theirs = pipe(1, seed, num_inference_steps=prior.steps, output_type="np").images
        pipe.scheduler.set_timesteps(prior.steps)
    x = solved(pipe.scheduler, lambda x, t: prior.predict(x, t, prompt), noise)
    z = prior.unstandardized(x).unsqueeze(0)
    emission: Any = require(model, Decodes, "be exported").decode(z)
    ours = emission.loc[0].clamp(0, 1)
    return float((ours - torch.from_numpy(theirs).movedim(-1, 1)).abs().max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of diffusers, such as that an AutoencoderKL is no VQModel."""
    logging = diffusers().utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        logging.enable_progress_bar()
