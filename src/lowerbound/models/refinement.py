"""A diffusion model of pictures given the decoder's mean, which restores the detail it lacks.

p(x | z) of a refined decoder draws by removing noise, and has a bound on its density. The model of
the picture stays fixed while the refiner's networks are trained.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from lowerbound.config import construct
from lowerbound.distributions.point import Density
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods.categorical import from_code, to_code
from lowerbound.models.base import DRAW, Model
from lowerbound.networks.denoisers import DenoiserSizes, UNetDenoiser
from lowerbound.priors.base import PriorTerms
from lowerbound.priors.diffusion.process import (
    DiffusionDistribution,
    NoiseProcess,
    OdeSampler,
    Prediction,
    SamplerName,
    Schedule,
)
from lowerbound.trace import Batch, Choose, Emission, Trace

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

SMALLEST_SCALE = 1e-6
NUMBERS_AT_ONCE = 2**24  # of a pass of the network: 64 MB
LARGE_SIDE = 32  # pixels a side, above which the network sees blocks of 2 x 2 pixels


class RefinedEmission(Emission):
    """p(x | z) of a refiner, given the decoder's mean.

    ``log_prob`` is a lower bound on the density of x before draws are rounded to levels, so it
    serves the ELBO, and neither importance weights nor annealing. Mean and variance are those of
    the unrefined likelihood.

    Args:
        refiner: the diffusion model.
        unrefined: the likelihood of the model, of batch shape (samples, batch).
    """

    density: ClassVar[Density] = "bound"

    def __init__(self, refiner: Refiner, unrefined: Emission) -> None:
        self.refiner, self.unrefined = refiner, unrefined
        guess = unrefined.mean
        self.guess = guess.to(refiner.loc.dtype)
        super().__init__(guess.shape[:2], guess.shape[2:], validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """The bound on log p(x | z) of each row, (samples, batch, 1).

        Raises:
            UnsupportedError: a pixel is hidden.
        """
        if observed is not None and not bool(observed.all()):
            raise UnsupportedError(
                "a refined decoder scores whole pictures, and pixels are hidden: use the model "
                "without its refiner"
            )
        return super().terms(x)

    def _terms(self, x: Tensor) -> Tensor:
        rows = x.expand(self.batch_shape + self.event_shape).flatten(0, 1).flatten(1)
        bound = self.refiner.distribution(self.guess.flatten(0, 1)).log_prob(rows.unsqueeze(0))
        return bound.reshape(*self.batch_shape, 1)

    def training_terms(self, x: Tensor) -> PriorTerms:
        """An estimate of the bound, and the loss, of pictures (batch, *event), (batch,) each.

        The bound is that of the first sample of z.
        """
        return self.refiner.terms(x, self.guess[0])

    def given(self, x: Tensor, observed: Tensor) -> Emission:
        """Refused: a refiner draws whole pictures.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "hidden pixels are drawn from p(x | z), and a refined decoder draws whole pictures: "
            "use the model without its refiner"
        )

    @property
    def mean(self) -> Tensor:
        return self.unrefined.mean

    @property
    def variance(self) -> Tensor:
        return self.unrefined.variance

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.batch_shape + self.event_shape
        rows = self.guess.expand(shape).reshape(-1, *self.event_shape)
        return self.refiner.draw(rows).reshape(shape)


class Refiner(nn.Module):
    r"""p(x | z) = p(x | g(z)), a diffusion model of the picture x given the decoder's mean g.

    .. math:: x = g + m + s \, r, \qquad \mathcal L = E_{t, \epsilon}
        \lVert \hat y(r_t, g, t) - y_t \rVert^2, \qquad r_t = \alpha_t r + \sigma_t \epsilon

    The network sees the noisy residual r_t and the standardized g side by side, as channels. Mean m
    and standard deviation s of the residual x - g, and those of g, are those of training pictures,
    one number for each channel. The network starts at zero, and with the prediction "v" x then is
    N(g + m, s^2 I).

    Args:
        event_shape: (channels, height, width).
        levels: number of levels of a pixel, to which draws are rounded; None: any number.
        width: channels of the U-Net's first level.
        depth: residual blocks of each of its levels.
        patch: side of the blocks of pixels that the network sees as channels; None: 1 for pictures
            of up to 32 pixels a side, else 2.
        schedule: of the noise, "cosine" or "linear".
        prediction: of the network, "v" or "epsilon".
        timesteps: T, times of the noise process.
        min_snr: as of a diffusion prior.
        sampler: "dpm_solver" or "ddim".
        steps: evaluations of the network for a draw.
        bound_times: how many times the bound on log p(x | z) averages over.

    Attributes:
        sampler, steps: may be changed on a trained refiner.

    Source: Pandey et al. 2022 (DiffuseVAE); two pictures as channels, Saharia et al. 2022.
    """

    loc: Tensor
    scale: Tensor
    guess_loc: Tensor
    guess_scale: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        levels: int | None = None,
        *,
        width: int = 24,
        depth: int = 1,
        patch: int | None = None,
        schedule: Schedule = "cosine",
        prediction: Prediction = "v",
        timesteps: int = 1000,
        min_snr: float = 0.0,
        sampler: SamplerName = "dpm_solver",
        steps: int = 20,
        bound_times: int = 16,
    ) -> None:
        super().__init__()
        patch = patch or (1 if max(event_shape[1:]) <= LARGE_SIDE else 2)
        counts = {"width": width, "depth": depth, "patch": patch, "steps": steps}
        for name, count in {**counts, "bound_times": bound_times}.items():
            if count < 1:
                raise OptionError(f"{name} must be at least 1, not {count}")
        if timesteps < 10:
            raise OptionError(f"timesteps must be at least 10, not {timesteps}")
        self.event_shape, self.levels, self.patch = tuple(event_shape), levels, patch
        self.process = NoiseProcess(schedule, prediction, timesteps)
        channels, *sides = self.event_shape
        blocks = (channels * patch**2, *(math.ceil(side / patch) for side in sides))
        sizes = DenoiserSizes(blocks, timesteps, width=width, depth=depth, beside=blocks[0])
        self.denoiser = UNetDenoiser(sizes)
        self.min_snr, self.bound_times = min_snr, bound_times
        self.sampler, self.steps = sampler, steps
        for name, value in {"loc": 0.0, "scale": 1.0}.items():
            self.register_buffer(name, torch.full((channels, 1, 1), value))
            self.register_buffer(f"guess_{name}", torch.full((channels, 1, 1), value))

    def forward(self, likelihood: Emission) -> RefinedEmission:
        """p(x | z) given the unrefined one."""
        return RefinedEmission(self, likelihood)

    @torch.no_grad()
    def start(self, x: Tensor, guess: Tensor) -> None:
        """Take the statistics of training pictures and of their decoded means, (rows, *event)."""
        for name, values in {"": x.double() - guess.double(), "guess_": guess.double()}.items():
            getattr(self, f"{name}loc").copy_(values.mean((0, 2, 3), keepdim=True)[0])
            spread = values.std((0, 2, 3), correction=0, keepdim=True)[0]
            getattr(self, f"{name}scale").copy_(spread.clamp_min(SMALLEST_SCALE))

    def terms(self, x: Tensor, guess: Tensor) -> PriorTerms:
        """An estimate of the bound on log p(x | z), and the loss, of pictures (rows, *event)."""
        seen = guess.flatten(1)
        residual = ((x - guess - self.loc) / self.scale).flatten(1)
        bound, loss = self.process.terms(
            lambda noisy, t: self.predict(noisy, t, seen), residual, self.min_snr
        )
        return PriorTerms(bound - self._log_scale(), loss)

    def distribution(self, guess: Tensor) -> DiffusionDistribution:
        """p(x | z) before rounding, batch shape (1, rows), event (numbers,).

        Args:
            guess: the decoder's means, (rows, *event).
        """
        channels, *sides = self.event_shape
        scale = self.scale.expand(channels, *sides).reshape(1, 1, -1)
        return DiffusionDistribution(
            self.predict,
            self.process,
            (guess + self.loc).flatten(1).unsqueeze(0),
            scale,
            OdeSampler(self.process, self.sampler, self.steps),
            prompt=guess.flatten(1),
            times=self.bound_times,
            rows_at_once=max(1, NUMBERS_AT_ONCE // self.denoiser.activations),
        )

    def predict(
        self, x: Tensor, t: Tensor, prompt: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        """The network's prediction for standardized residuals.

        Args:
            x: r_t, (rows, numbers).
            t: (rows,) or (1,).
            prompt: the decoder's means, (rows, numbers).
            guidance: not used.
        """
        assert prompt is not None
        seen = (prompt.unflatten(1, self.event_shape) - self.guess_loc) / self.guess_scale
        noisy = x.unflatten(1, self.event_shape)
        found = self.denoiser(torch.cat([self._blocks(noisy), self._blocks(seen)], 1), t)
        height, width = self.event_shape[1:]
        pixels: Tensor = pixel_shuffle(found, self.patch)[:, :, :height, :width]
        return pixels.flatten(1)

    @torch.no_grad()
    def draw(self, guess: Tensor, noise: Tensor | None = None) -> Tensor:
        """Pictures within [0, 1], at levels where pixels have levels, (rows, *event).

        Args:
            guess: the decoder's means, (rows, *event).
            noise: standard normal, of that shape; None: from torch's global state.
        """
        noise = torch.randn_like(guess) if noise is None else noise
        drawn = self.distribution(guess).push(noise.flatten(1).unsqueeze(0))
        x = drawn[0].unflatten(1, self.event_shape)
        return (
            x.clamp(0, 1)
            if self.levels is None
            else from_code(to_code(x, self.levels), self.levels)
        )

    def _blocks(self, pictures: Tensor) -> Tensor:
        """Blocks of pixels as channels; sides that are no multiple are padded with zeros."""
        height, width = pictures.shape[2:]
        padded = pad(pictures, (0, -width % self.patch, 0, -height % self.patch))
        return pixel_unshuffle(padded, self.patch)

    def _log_scale(self) -> Tensor:
        """log |dx / dr|, nats."""
        return self.scale.log().sum() * math.prod(self.event_shape[1:])


def refiner_for(schema: Schema, options: Mapping[str, Any]) -> Refiner:
    """The refiner of a model of this data.

    Raises:
        UnsupportedError: the data is not pictures.
        OptionError: an option is unknown or has a wrong value.
        MissingExtraError: ``diffusers`` is not installed.
    """
    if not schema.data_kind.pictures:
        raise UnsupportedError(
            f"a refiner restores the detail of pictures, and this model is of {schema.summary}: "
            "fit a model to pictures, or train a prior with lowerbound prior"
        )
    if schema.missing:
        raise UnsupportedError(
            "a refiner learns from whole pictures, and those of this model have missing pixels"
        )
    levels = 2 if schema.binary else schema.levels
    refiner: Refiner = construct(Refiner, schema.event_shape, levels, options=options)
    return refiner


def unrefined(model: Model) -> Model:
    """The model without its refiner, and with the same other parts, which are not copied."""
    if model.refiner is None:
        return model
    bare = copy.copy(model)
    parts = {name: part for name, part in model._modules.items() if part is not model.refiner}
    vars(bare)["_modules"] = parts
    bare.refiner = None
    return bare


class Refined(Model):
    """The same latents as a model, and p(x | z) by its refiner.

    Only the refiner's parameters and buffers belong to this module, so that training, checkpoints
    and a moving average of the weights change nothing else. The density of p(x | z) is a bound.

    Args:
        model: in evaluation mode, with a refiner.

    Raises:
        UnsupportedError: the model has no refiner.
    """

    title = "refined model"

    def __init__(self, model: Model) -> None:
        super().__init__()
        if model.refiner is None:
            raise UnsupportedError("this model has no refiner: train one with lowerbound refiner")
        self.refiner: Refiner = model.refiner
        self._unrefined = model.__call__

    def forward(self, batch: Batch, choose: Choose = DRAW) -> Trace:
        with torch.no_grad():
            trace: Trace = self._unrefined(batch, choose)
        return replace(trace, likelihood=self.refiner(trace.likelihood))

    def parts(self) -> Mapping[str, Sequence[Parameter]]:
        return {"generative": list(self.refiner.parameters())}
