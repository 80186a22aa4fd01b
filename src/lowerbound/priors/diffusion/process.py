r"""The noise that a diffusion model removes, and the bound on log p that its predictions give.

.. math:: q(x_t \mid x_0) = N(\alpha_t x_0, \sigma_t^2 I), \quad \alpha_t^2 + \sigma_t^2 = 1,
    \quad t = 0, \dots, T - 1

from almost no noise at t = 0 to almost nothing else at t = T - 1. Source: Ho et al. 2020.

Draws follow an ordinary differential equation from noise to data.

p(z) of a diffusion model: draws by a differential equation, and a bound on its density.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.point import Density
from lowerbound.distributions.reparameterization import Pushed
from lowerbound.networks.denoisers import diffusers

Schedule = Literal["linear", "cosine"]
Prediction = Literal["v", "epsilon"]
Predict = Callable[[Tensor, Tensor], Tensor]

SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
LARGEST_LOG_NOISE = 4.3  # log(sigma / alpha) where drawing starts: x_t holds 1 % of the data
SamplerName = Literal["dpm_solver", "ddim"]
ORDERS = {"dpm_solver": 2, "ddim": 1}
PREDICTIONS = {"v": "v_prediction", "epsilon": "epsilon"}


class DenoisingTerms(NamedTuple):
    """What training a denoiser needs of standardized rows.

    Attributes:
        bound: an unbiased estimate of a lower bound on log p(x_0) in nats, (rows,).
        loss: the weighted mean squared error of the prediction, (rows,).
    """

    bound: Tensor
    loss: Tensor


class NoiseProcess(nn.Module):
    r"""A noise schedule of ``diffusers``, and the variational bound of its reverse process.

    Each reverse step is Gaussian, with the variance beta_t of the forward step, which is exact
    where the data is N(0, I):

    .. math::
        p(x_{t-1} \mid x_t) = N(\mu_t(x_t, \hat x), \beta_t I), \qquad
        -\log p(x_0) \le \mathrm{KL}(q(x_{T-1} \mid x_0) \| N(0, I))
            + c + \sum_t w_t E \lVert \hat v - v_t \rVert^2

    with :math:`v_t = \alpha_t \epsilon - \sigma_t x_0` (Salimans & Ho 2022) and
    :math:`w_t = \alpha_{t-1}^2 \beta_t / (2 \sigma_t^2)`. The constant c holds the difference of
    the two variances at each step, and the normalizer of the Gaussian p(x_0 | x_1).

    Args:
        schedule: "linear" (Ho et al. 2020) or "cosine" (Nichol & Dhariwal 2021).
        prediction: what the network predicts, "v" or the noise, "epsilon".
        timesteps: T.

    Raises:
        MissingExtraError: ``diffusers`` is not installed.
    """

    alpha: Tensor
    sigma: Tensor
    weight: Tensor
    cumulative: Tensor

    def __init__(self, schedule: Schedule, prediction: Prediction, timesteps: int) -> None:
        super().__init__()
        self.prediction, self.timesteps = prediction, timesteps
        scheduler = diffusers().DDPMScheduler(timesteps, beta_schedule=SCHEDULES[schedule])
        self.betas: list[float] = scheduler.betas.tolist()
        beta = scheduler.betas.double()
        kept = (1 - beta).cumprod(0)  # alpha^2
        before = torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
        weight = before * beta / (2 * (1 - kept))
        self.whole_weight = float(weight.sum())
        ratio = ((1 - before) / (1 - kept))[1:]  # of the exact variance to beta
        self.constant = float((ratio - 1 - ratio.log()).sum() + math.log(2 * math.pi * beta[0])) / 2
        self.last_alpha, self.last_sigma = float(kept[-1] ** 0.5), float((1 - kept[-1]) ** 0.5)
        for name, values in {
            "alpha": kept.sqrt(),
            "sigma": (1 - kept).sqrt(),
            "weight": weight,
            "cumulative": weight.cumsum(0) / weight.sum(),
        }.items():
            self.register_buffer(name, values.float(), persistent=False)

    def noised(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t, (rows, ...), of x_0, noise and times (rows,)."""
        return _of(self.alpha, t, x) * x + _of(self.sigma, t, x) * noise

    def target(self, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """y, what the network should predict at x_t."""
        if self.prediction == "epsilon":
            return noise
        return _of(self.alpha, t, x) * noise - _of(self.sigma, t, x) * x

    def squared_error(self, found: Tensor, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        r"""An unbiased estimate of E ||v' - v||^2 over the noise, (rows,), v' the prediction.

        .. math:: \lVert v' \rVert^2 - 2 v' \cdot v
            + \alpha^2 d + \sigma^2 \lVert x_0 \rVert^2

        The last two terms are the mean of ||v||^2. In its place they take most of the variance
        away, because little of the noise can be predicted where there is little of it.

        Args:
            found: what the network predicts at x_t.
            x: x_0, (rows, numbers).
            noise: that x_t was made with.
            t: times, (rows,).
        """
        alpha, sigma = _of(self.alpha, t, x), _of(self.sigma, t, x)
        if self.prediction == "epsilon":
            found = (found - sigma * self.noised(x, noise, t)) / alpha
        random = found * (found - 2 * (alpha * noise - sigma * x))
        return (random + alpha.square() + (sigma * x).square()).sum(1)

    def terms(self, predict: Predict, x: Tensor, min_snr: float = 0.0) -> DenoisingTerms:
        """The denoising error and an estimate of the bound, from one time of each row.

        The times of a batch are stratified. Training draws them evenly, and evaluation by
        importance.

        Args:
            predict: the network, of x_t (rows, numbers) and times (rows,).
            x: x_0, (rows, numbers).
            min_snr: largest signal-to-noise ratio that the loss of x_0 is weighted by (Hang et al.
                2023); 0: the plain loss.
        """
        rows = torch.arange(len(x), device=x.device)
        uniform = (rows / max(len(x), 1) + torch.rand((), device=x.device)) % 1
        t, nats = (self.evenly if self.training else self.by_importance)(uniform)
        noise = torch.randn_like(x)
        found = predict(self.noised(x, noise, t), t).to(x.dtype)
        squares = (found - self.target(x, noise, t)).square().mean(1)
        error = self.squared_error(found, x, noise, t)
        return DenoisingTerms(self.ends(x) - nats * error, self._weight(t, min_snr) * squares)

    def evenly(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Times of equal probability, and the nats of a squared error of v there.

        The mean of the nats times the squared error is unbiased for the sum in the bound.

        Args:
            uniform: numbers in [0, 1), of any shape.
        """
        t = (uniform * self.timesteps).long().clamp_max(self.timesteps - 1)
        return t, self.timesteps * self.weight[t]

    def by_importance(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """The same, times drawn in proportion to w_t, so that all have the same nats."""
        t = torch.searchsorted(self.cumulative, uniform.to(self.cumulative.dtype), right=True)
        t = t.clamp_max(self.timesteps - 1)
        return t, torch.full_like(self.weight[t], self.whole_weight)

    def ends(self, x: Tensor) -> Tensor:
        r"""-KL(q(x_{T-1} | x_0) || N(0, I)) - c of rows (rows, ...), (rows,) nats."""
        rows = x.flatten(1)
        spread = self.last_sigma**2 - 1 - 2 * math.log(self.last_sigma)
        constant = rows.shape[1] * (spread / 2 + self.constant)
        return -(self.last_alpha**2 * rows.square().sum(1) / 2 + constant)

    def noise_of(self, found: Tensor, x: Tensor, t: int) -> Tensor:
        """The noise in x_t, (rows, numbers), from what the network predicts there."""
        if self.prediction == "epsilon":
            return found
        return self.alpha[t] * found + self.sigma[t] * x

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """alpha^2 / sigma^2."""
        return (self.alpha[t] / self.sigma[t]).square()

    def drawing_times(self, steps: int, *, by_angle: bool = False) -> list[int]:
        """At most ``steps`` times from noise to data.

        Args:
            steps: how many.
            by_angle: even in arctan(sigma / alpha), instead of log(sigma / alpha).
        """
        level = (self.sigma.double() / self.alpha.double()).log().cpu()
        level = level[level <= LARGEST_LOG_NOISE]
        if by_angle:
            level = level.exp().atan()
        wanted = torch.linspace(float(level[-1]), float(level[0]), steps, dtype=torch.float64)
        nearest = (level.unsqueeze(1) - wanted).abs().argmin(0)
        return sorted(set(nearest.tolist()), reverse=True)

    def _weight(self, t: Tensor, min_snr: float) -> Tensor:
        """Of the squared error of the prediction in the loss, (rows,)."""
        if not min_snr:
            return torch.ones_like(self.alpha[t])
        ratio = self.signal_to_noise(t)
        own = ratio if self.prediction == "epsilon" else ratio + 1
        return ratio.clamp_max(min_snr) / own


def _of(values: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """One of the values for each row of x, with its axes."""
    return values[t].reshape(-1, *(1 for _ in x.shape[1:]))


@dataclass(frozen=True)
class OdeSampler:
    """Solves the probability-flow equation, so the same noise always becomes the same draw.

    ``dpm_solver`` is DPM-Solver++ of second order with several steps (Lu et al. 2022). ``ddim`` is
    DDIM without noise (Song et al. 2021), the same solver of first order; it takes about five times
    as many steps. Of N(0, I) with the exact network, 20 steps of dpm_solver draw a standard
    deviation of 1.01, 20 steps of ddim 0.94 and 100 steps 0.99.

    Attributes:
        process: the noise process.
        name: the solver.
        steps: evaluations of the network.
    """

    process: NoiseProcess
    name: SamplerName
    steps: int

    @torch.no_grad()
    def __call__(self, predict: Predict, noise: Tensor) -> Tensor:
        """x_0, (rows, ...), of standard normal noise of that shape.

        Args:
            predict: the network, of x_t (rows, ...) and one time (1,).
            noise: x at the noisiest time.
        """
        return solved(self._scheduler(), predict, noise)

    def _scheduler(self) -> Any:
        order = ORDERS[self.name]
        scheduler = diffusers().DPMSolverMultistepScheduler(
            num_train_timesteps=self.process.timesteps,
            trained_betas=self.process.betas,
            solver_order=order,
            prediction_type=PREDICTIONS[self.process.prediction],
        )
        times = self.process.drawing_times(self.steps, by_angle=order == 1)
        with warnings.catch_warnings():  # it turns tensors into arrays in numpy's former way
            warnings.simplefilter("ignore", DeprecationWarning)
            scheduler.set_timesteps(timesteps=times)
        return scheduler


def solved(scheduler: Any, predict: Predict, noise: Tensor) -> Tensor:
    """Noise (rows, ...) after all steps of a scheduler of ``diffusers``."""
    x = noise
    for t in scheduler.timesteps:
        prediction = predict(x, t.to(x.device).reshape(1))
        x = scheduler.step(prediction, t, x, return_dict=False)[0]
    return x


NOISE, TIMES = 0, 1  # levels of the keyed noise
CELL = 0.125  # of standardized latents: the noise is keyed by cells, so that rounding changes none


class Guided(Protocol):
    """A network that predicts with a prompt, or with other numbers that describe a row."""

    def __call__(
        self, x: Tensor, t: Tensor, prompt: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor: ...


class DiffusionDistribution(Pushed):
    """p(z | prompt), batch shape (1, rows of the prompt), event (numbers,).

    The prompt may be any numbers that the network takes beside x.

    Args:
        predict: the network on standardized rows, (rows, numbers).
        process: what it was trained to undo.
        loc, scale: of the latents, (1, 1 | rows, numbers): z = loc + scale x.
        sampler: from noise to x.
        guidance: strength of the prompt in draws; the density is always that of guidance 1.
        prompt: (rows, codes or numbers); None: p(z).
        spread: standard deviation of the numbers of x, (1, 1, numbers); None: 1.
        times: how many times each row's bound averages over.
        rows_at_once: rows of one pass of the network.
    """

    density: ClassVar[Density] = "bound"
    smooth: ClassVar[bool] = True

    def __init__(
        self,
        predict: Guided,
        process: NoiseProcess,
        loc: Tensor,
        scale: Tensor,
        sampler: OdeSampler,
        *,
        guidance: float = 1.0,
        prompt: Tensor | None = None,
        spread: Tensor | None = None,
        times: int = 16,
        rows_at_once: int = 1024,
    ) -> None:
        self.predict, self.process, self.sampler = predict, process, sampler
        self.loc, self.scale = loc, scale
        self.guidance, self.prompt = guidance, prompt
        self.deviation = scale if spread is None else scale * spread
        self.times, self.rows_at_once = times, rows_at_once
        rows = 1 if prompt is None else len(prompt)
        super().__init__(torch.Size((1, rows)), loc.shape[2:], validate_args=False)

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Standard normal noise (samples, batch, numbers) to draws; no gradient passes."""
        rows = noise.flatten(0, -2)
        prompts = self._prompts(noise)
        parts = []
        for part in self._chunks(len(rows), 1):
            x = self.sampler(self._guided(prompts, part), rows[part])
            parts.append(x.to(noise.dtype))
        z: Tensor = self.loc + self.scale * torch.cat(parts).reshape(noise.shape)
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        """A lower bound on log p(z) in nats, (samples, rows), of z (samples, rows, numbers).

        Its times are stratified and its noise is keyed by the content of z, so the bound of a z is
        always the same number; over many z its mean is unbiased for the bound's.
        """
        x = ((z - self.loc) / self.scale).flatten(0, -2)
        keys = row_keys((x / CELL).round())
        prompts = self._prompts(z)
        with torch.autocast(z.device.type, enabled=False):
            parts = [
                self._bound(x[part], keys[part], None if prompts is None else prompts[part])
                for part in self._chunks(len(x), self.times)
            ]
        bound = torch.cat(parts) if parts else x.new_zeros(0)
        total: Tensor = bound.reshape(z.shape[:-1]) - self.scale.log().sum()
        return total

    @property
    def mean(self) -> Tensor:
        """The mean of the latents that the prior was trained on, (1, 1 | rows, numbers)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The variance of the latents that the prior was trained on, (1, 1, numbers)."""
        return self.deviation.square()

    @property
    def like(self) -> Tensor:
        return self.loc

    def _bound(self, x: Tensor, keys: Tensor, prompts: Tensor | None) -> Tensor:
        """The bound of standardized rows, (rows,)."""
        shape = (self.times, *x.shape)
        noise = KeyedNoise(keys).normal(shape, x, NOISE).flatten(0, 1)
        like = torch.empty((), dtype=torch.float64, device=x.device)
        offset = torch.special.ndtr(KeyedNoise(keys).normal((1, len(x)), like, TIMES))
        strata = torch.arange(self.times, dtype=torch.float64, device=x.device).unsqueeze(1)
        t, nats = self.process.by_importance(((strata + offset) / self.times).flatten())
        clean = x.repeat(self.times, 1)
        known = None if prompts is None else prompts.repeat(self.times, 1)
        found = self.predict(self.process.noised(clean, noise, t), t, known)
        error = self.process.squared_error(found, clean, noise, t)
        of_times: Tensor = (nats * error).unflatten(0, (self.times, -1)).mean(0)
        return self.process.ends(x) - of_times

    def _guided(self, prompts: Tensor | None, part: slice) -> Predict:
        known = None if prompts is None else prompts[part]
        return lambda x, t: self.predict(x, t, known, self.guidance)

    def _prompts(self, z: Tensor) -> Tensor | None:
        """The prompt of every row of z, (all rows, codes)."""
        if self.prompt is None:
            return None
        return self.prompt.expand(*z.shape[:-1], -1).flatten(0, -2)

    def _chunks(self, rows: int, copies: int) -> Iterator[slice]:
        each = max(1, self.rows_at_once // copies)
        return (slice(start, min(start + each, rows)) for start in range(0, rows, each))
