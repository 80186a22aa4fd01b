"""A diffusion model as prior: any shape of latents, drawn by a few steps from noise.

Latents are edited from data to noise and back, without randomness, or drawn again from partial
noise, in whole or where nothing holds them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from lowerbound.config import construct
from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.distributions.point import Density
from lowerbound.errors import OptionError
from lowerbound.networks.denoisers import DENOISERS, Denoiser, DenoiserSizes
from lowerbound.priors.attributes import AttributeReader, attribute_completion, read
from lowerbound.priors.base import PRIORS, Encode, Prior, PriorTerms
from lowerbound.priors.diffusion.process import (
    DiffusionDistribution,
    NoiseProcess,
    OdeSampler,
    Predict,
    Prediction,
    SamplerName,
    Schedule,
)

SMALLEST_SCALE = 1e-6
LEAST_SPREAD = 0.05  # far above the least noise of a schedule, .006
NUMBERS_AT_ONCE = 2**24  # of a pass of the network: 64 MB


@dataclass(frozen=True)
class Inversion:
    r"""Solves the probability-flow equation in both directions, from data to a time and back.

    .. math:: \frac{d y}{d \tau} = \hat\epsilon(x_t, t), \qquad y = x_t / \alpha_t, \;
        \tau = \sigma_t / \alpha_t

    by Heun's method, two evaluations of the network for a step. Its first order is DDIM, and
    DDIM inversion (Song et al. 2021; Mokady et al. 2023).

    Attributes:
        process: the noise process.
        times: from the least noise up.
    """

    process: NoiseProcess
    times: Sequence[int]

    @classmethod
    def up_to(cls, process: NoiseProcess, strength: float, steps: int) -> Inversion:
        """At most ``steps`` times, evenly spread over the share ``strength`` of all times."""
        noisiest = process.drawing_times(1 + 1)[0]
        last = max(1, round(strength * noisiest))
        spread = torch.linspace(0, last, steps + 1, dtype=torch.float64).round().long()
        return cls(process, sorted(set(spread.tolist())))

    @torch.no_grad()
    def noised(self, predict: Predict, x: Tensor) -> Tensor:
        """x at the last time, of clean rows (rows, numbers)."""
        first = self.times[0]
        y = x + self._tau(first) * self._noise(predict, x, first)
        return self._solved(predict, y, self.times) * self.process.alpha[self.times[-1]]

    @torch.no_grad()
    def cleaned(self, predict: Predict, x: Tensor) -> Tensor:
        """Clean rows of x at the last time, (rows, numbers)."""
        first, last = self.times[0], self.times[-1]
        y = self._solved(predict, x / self.process.alpha[last], self.times[::-1])
        return y - self._tau(first) * self._noise(predict, y, first)

    @torch.no_grad()
    def stepped(self, predict: Predict, x: Tensor, t: int, s: int) -> Tensor:
        """x at time s of x at time t, (rows, numbers), by one step."""
        y = self._solved(predict, x / self.process.alpha[t], (t, s))
        return y * self.process.alpha[s]

    def _solved(self, predict: Predict, y: Tensor, times: Sequence[int]) -> Tensor:
        for t, next_t in pairwise(times):
            step = self._tau(next_t) - self._tau(t)
            slope = self._noise(predict, y, t)
            end = self._noise(predict, y + step * slope, next_t)
            y = y + step * (slope + end) / 2
        return y

    def _tau(self, t: int) -> Tensor:
        return self.process.sigma[t] / self.process.alpha[t]

    def _noise(self, predict: Predict, y: Tensor, t: int) -> Tensor:
        """The noise that the network finds in x_t = alpha_t y."""
        x = y * self.process.alpha[t]
        found = predict(x, torch.full((1,), t, device=x.device)).to(x.dtype)
        return self.process.noise_of(found, x, t)


@dataclass(frozen=True)
class Redrawing:
    r"""Noises rows up to a time, and frees them of the noise again.

    .. math:: x_t = \alpha_t x + \sigma_t \epsilon, \qquad \epsilon \sim N(0, I)

    and back by the probability flow (Meng et al. 2022). Numbers that are kept are replaced at every
    time s by \alpha_s x + \sigma_s \epsilon', with new noise. This alone ignores how the others
    depend on them, because the flow sees the kept numbers with noise only. So each step is
    repeated: noise from s up to t, and the flow down again (Lugmayr et al. 2022, with the flow of
    Xu et al. 2023 as step). The error falls as one over the number of rounds. Where noise exceeds
    data (s > a), a step is made once, because the later ones correct it.

    Attributes:
        path: the times, and the flow between them.
        rounds: how often each step is made.
    """

    path: Inversion
    rounds: int

    @torch.no_grad()
    def __call__(self, predict: Predict, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Rows drawn again, (rows, numbers).

        Args:
            predict: the network, of x_t and one time (1,).
            x: standardized rows, (rows, numbers).
            kept: numbers that stay as they are, (rows | 1, numbers); None: no number.
        """
        noisy = self._noised(x, self.path.times[-1])
        if kept is None:
            return self.path.cleaned(predict, noisy)
        for t, s in pairwise(reversed(self.path.times)):
            for repeat in reversed(range(self._rounds(t))):
                clean = self.path.stepped(predict, noisy, t, s)
                noisy = torch.where(kept, self._noised(x, s), clean)
                if repeat:
                    noisy = self._noised_further(noisy, s, t)
        first = Inversion(self.path.process, self.path.times[:1])
        return torch.where(kept, x, first.cleaned(predict, noisy))

    def _rounds(self, t: int) -> int:
        process = self.path.process
        return self.rounds if process.sigma[t] <= process.alpha[t] else 1

    def _noised(self, x: Tensor, t: int) -> Tensor:
        """x_t of clean rows."""
        process = self.path.process
        return process.alpha[t] * x + process.sigma[t] * torch.randn_like(x)

    def _noised_further(self, x: Tensor, s: int, t: int) -> Tensor:
        """x_t of x_s, s < t."""
        process = self.path.process
        kept = process.alpha[t] / process.alpha[s]
        spread = (process.sigma[t].square() - (kept * process.sigma[s]).square()).sqrt()
        return kept * x + spread * torch.randn_like(x)


@PRIORS.register("diffusion")
class DiffusionPrior(Prior):
    r"""z = m + s x / r, and x is drawn by removing noise step by step with a trained network.

    .. math:: \mathcal L = E_{t, \epsilon} \lVert \hat y(x_t, t) - y_t \rVert^2, \qquad
        x_t = \alpha_t x_0 + \sigma_t \epsilon

    The mean m and the standard deviation s are those of the training latents: of each number of a
    vector, because numbers of a vector have no common scale, and of each channel of a map, because
    its network treats all places alike.

    The standard deviation r of the numbers of x is 1 for maps. For vectors it is proportional to
    s / e, with e that of q(z | x), and its mean square is 1. So noise hides the numbers that matter
    less to p(x | z) first, as it hides details of a picture before its shapes.

    The network starts at zero, and with the prediction "v" the prior then is N(m, s^2 / r^2).

    Args:
        latent_dim: numbers in z.
        event_shape: shape of a row; not used.
        latent_shape: (latent_dim,), or (channels, height, width).
        network: of the denoiser; "auto": "mlp" for vectors, "unet" for maps.
        width: numbers of a hidden layer, channels, or numbers of a token; None: from the shape.
        depth: blocks of the network, of a U-Net per level; None: the network's default.
        schedule: of the noise, "cosine" or "linear".
        prediction: of the network, "v" or "epsilon".
        timesteps: T, times of the noise process.
        min_snr: largest signal-to-noise ratio that the loss of x_0 is weighted by (Hang et al.
            2023); 0: the plain loss.
        fields: of a conditional prior, the values of each field of the prompt by name.
        words: of a prior with captions, the vocabulary.
        book: phrases from which captions are made in training, as of ``PhraseBook``.
        hide_prompt: share of the rows that are trained without a prompt.
        hide_fields: share of the other rows that are trained with some fields or words unknown.
        completes: whether unknown fields of a prompt are drawn before z, from their joint
            distribution, which is learned beside.
        reads: whether the fields of a row are also learned from its latent, for edits of rows of
            which they are unknown.
        sampler: "dpm_solver" or "ddim"; see ``OdeSampler``.
        steps: evaluations of the network for a draw.
        guidance: strength of the prompt in draws: 0 ignores it, 1 is the conditional model, more
            exaggerates it (Ho & Salimans 2022).
        bound_times: how many times ``log_prob`` averages over.

    Attributes:
        sampler, steps, guidance: may be changed on a trained prior.

    Source: Ho et al. 2020; of latents, Vahdat et al. 2021 and Rombach et al. 2022.
    """

    density: ClassVar[Density] = "bound"
    takes_prompts: ClassVar[bool] = True
    library: ClassVar[str] = "diffusers"
    loc: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(
        self,
        latent_dim: int,
        event_shape: tuple[int, ...] = (),
        latent_shape: tuple[int, ...] = (),
        *,
        network: Literal["auto", "mlp", "unet", "transformer"] = "auto",
        width: int | None = None,
        depth: int | None = None,
        schedule: Schedule = "cosine",
        prediction: Prediction = "v",
        timesteps: int = 1000,
        min_snr: float = 0.0,
        fields: Mapping[str, Sequence[str]] | None = None,
        words: Sequence[str] = (),
        book: Mapping[str, Any] | None = None,
        hide_prompt: float = 0.1,
        hide_fields: float = 0.5,
        completes: bool = False,
        reads: bool = False,
        sampler: SamplerName = "dpm_solver",
        steps: int = 20,
        guidance: float = 1.0,
        bound_times: int = 16,
    ) -> None:
        super().__init__(latent_dim, event_shape)
        self.latent_shape = latent_shape or (latent_dim,)
        self.vocabulary = PromptVocabulary(dict(fields or {}), tuple(words), book or {})
        _check_counts(width=width, depth=depth, steps=steps, bound_times=bound_times)
        _check_counts(least=10, timesteps=timesteps)
        self.process = NoiseProcess(schedule, prediction, timesteps)
        sizes = DenoiserSizes(self.latent_shape, timesteps, self.vocabulary, width, depth)
        self.denoiser = _denoiser(network, sizes)
        self.min_snr = min_snr
        self.hide_prompt, self.hide_fields = hide_prompt, hide_fields
        self.completion = attribute_completion(self.vocabulary, completes)
        sizes_read = self.vocabulary.sizes if reads else ()
        self.reader = AttributeReader(sizes_read, self.latent_shape) if sizes_read else None
        self.sampler, self.steps, self.guidance = sampler, steps, guidance
        self.bound_times = bound_times
        shape = (self.latent_shape[0], *(1 for _ in self.latent_shape[1:]))
        self.register_buffer("loc", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("spread", torch.ones(shape))
        self.register_load_state_dict_pre_hook(_of_older_folder)  # type: ignore[no-untyped-call]

    @classmethod
    def build(
        cls,
        latent_dim: int,
        event_shape: tuple[int, ...],
        latent_shape: tuple[int, ...],
        options: Mapping[str, Any],
    ) -> Prior:
        prior: Prior = construct(cls, latent_dim, event_shape, latent_shape, options=options)
        return prior

    def forward(self, encode: Encode | None = None) -> DiffusionDistribution:
        return self._distribution(None)

    def given(self, prompt: Tensor | None, encode: Encode | None = None) -> DiffusionDistribution:
        """p(z | prompt), batch shape (1, rows); p(z) without a prompt.

        Raises:
            UnsupportedError: the prior takes no prompt.
            OptionError: a prompt of other fields or values.
        """
        if prompt is None or self.denoiser.prompts is None:
            super().given(prompt)
            return self._distribution(None)
        self.denoiser.prompts.check(self.vocabulary.fields_of(prompt))
        return self._distribution(read(prompt, self.vocabulary, self.completion))

    def terms(self, z: Tensor, prompt: Tensor | None = None) -> PriorTerms:
        """The denoising error and an unbiased estimate of the bound, from one time of each row.

        The times of a batch are stratified. Training draws them evenly, and evaluation by
        importance. Training hides prompts at random.
        """

        known = None if prompt is None else self.vocabulary.fields_of(prompt)

        def predict(noised: Tensor, t: Tensor) -> Tensor:
            seen = known
            if self.training and known is not None and self.denoiser.prompts is not None:
                seen = self.denoiser.prompts.hidden(known, self.hide_prompt, self.hide_fields)
            return self.predict(noised, t, seen)

        x = self.standardized(z)
        bound, loss = self.process.terms(predict, x, self.min_snr)
        if prompt is not None and self.completion is not None:
            loss = loss + self.completion.loss(prompt)
        if known is not None and self.reader is not None:
            loss = loss + self.reader.loss(x, known)
        return PriorTerms(bound - self._scales().log().sum(), loss)

    @torch.no_grad()
    def start_from_latents(self, z: Tensor, noise: Tensor | None = None) -> None:
        """Take m and s of the latents, (rows, latent_dim), and r of their ``noise``."""
        latents = z.double().unflatten(1, self.latent_shape)
        axes = [0, *range(2, latents.dim())]
        self.loc.copy_(latents.mean(axes, keepdim=True)[0])
        deviation = latents.std(axes, correction=0, keepdim=True)[0]
        self.scale.copy_(deviation.clamp_min(SMALLEST_SCALE))
        if noise is not None and len(self.latent_shape) == 1:
            self.spread.copy_(_spread(deviation, noise.double()))

    def standardized(self, z: Tensor) -> Tensor:
        """x = r (z - m) / s of latents (rows, latent_dim)."""
        return (z - self._locs()) / self._scales()

    def unstandardized(self, x: Tensor) -> Tensor:
        """z = m + s x / r of standardized rows (rows, latent_dim)."""
        return self._locs() + self._scales() * x

    def described(self, z: Tensor, prompt: Tensor) -> Tensor:
        """Prompts of latents, (rows, codes), with unknown fields read from the latents."""
        if self.reader is None:
            return prompt
        fields = self.vocabulary.fields_of(prompt)
        read_fields = self.reader.read(self.standardized(z), fields)
        return torch.cat([read_fields, prompt[:, fields.shape[1] :]], 1)

    @torch.no_grad()
    def edited(self, z: Tensor, before: Tensor, after: Tensor, strength: float = 0.8) -> Tensor:
        """Latents of the same rows under another prompt, (rows, latent_dim).

        The rows are inverted to noise under the prompt ``before``, then freed of it under
        ``after`` with the prior's guidance. Without randomness, a prompt that stays the same
        returns the same latents.

        Args:
            z: latents, (rows, latent_dim).
            before: the prompts that describe the rows, (rows, codes).
            after: the prompts that the edited rows should have.
            strength: share of the times up to the noisiest that rows are taken back; more changes
                more.
        """
        inversion = Inversion.up_to(self.process, strength, self.steps)
        noise = inversion.noised(lambda x, t: self.predict(x, t, before), self.standardized(z))
        clean = inversion.cleaned(lambda x, t: self.predict(x, t, after, self.guidance), noise)
        return self.unstandardized(clean)

    @torch.no_grad()
    def redrawn(
        self,
        z: Tensor,
        prompt: Tensor | None = None,
        strength: float = 0.6,
        kept: Tensor | None = None,
        rounds: int = 20,
    ) -> Tensor:
        """Latents near z drawn from noise by ``Redrawing``, (rows, latent_dim).

        Args:
            z: latents, (rows, latent_dim).
            prompt: of the new latents, (rows, codes); None: nothing is known.
            strength: share of the times up to the noisiest; at 1 hardly anything of z is left.
            kept: numbers that stay as they are, (rows | 1, latent_dim); None: no number.
            rounds: how often each step is made if some numbers are kept.

        Raises:
            UnsupportedError: the prior takes no prompt.
            OptionError: a prompt of other fields or values.
        """
        prompt = self.given(prompt).prompt  # refuses what it does not take
        redrawing = Redrawing(Inversion.up_to(self.process, strength, self.steps), rounds)
        clean = redrawing(
            lambda x, t: self.predict(x, t, prompt, self.guidance), self.standardized(z), kept
        )
        drawn = self.unstandardized(clean)
        return drawn if kept is None else torch.where(kept, z, drawn)

    def predict(
        self, x: Tensor, t: Tensor, prompt: Tensor | None = None, guidance: float = 1.0
    ) -> Tensor:
        r"""The network's prediction for standardized rows.

        .. math:: \hat y = \hat y(x_t) + g \, (\hat y(x_t \mid prompt) - \hat y(x_t))

        Args:
            x: x_t, (rows, latent_dim).
            t: (rows,) or (1,).
            prompt: (rows, codes); None: nothing is known.
            guidance: g.
        """
        maps = x.unflatten(1, self.latent_shape)
        nothing = None if self.denoiser.prompts is None else self.denoiser.prompts.unknown(len(x))
        known = nothing if prompt is None or guidance == 0 else prompt
        found: Tensor = self.denoiser(maps, t, known).flatten(1)
        if known is nothing or guidance == 1:
            return found
        plain: Tensor = self.denoiser(maps, t, nothing).flatten(1)
        return plain + guidance * (found - plain)

    def _distribution(self, prompt: Tensor | None) -> DiffusionDistribution:
        return DiffusionDistribution(
            self.predict,
            self.process,
            self._locs().reshape(1, 1, -1),
            self._scales().reshape(1, 1, -1),
            OdeSampler(self.process, self.sampler, self.steps),
            guidance=self.guidance,
            prompt=prompt,
            spread=self.spread.expand(self.latent_shape).reshape(1, 1, -1),
            times=self.bound_times,
            rows_at_once=max(1, NUMBERS_AT_ONCE // self.denoiser.activations),
        )

    def _locs(self) -> Tensor:
        return self.loc.expand(self.latent_shape).flatten()

    def _scales(self) -> Tensor:
        """s / r of every number."""
        return (self.scale / self.spread).expand(self.latent_shape).flatten()


def _spread(deviation: Tensor, noise: Tensor) -> Tensor:
    """r of latents with the standard deviations s and, given their rows, e; 1 if one has none."""
    ratio = deviation / noise
    if not bool((noise > 0).all()) or not bool(ratio.isfinite().all()):
        return torch.ones_like(deviation)
    return (ratio / ratio.square().mean().sqrt()).clamp_min(LEAST_SPREAD)


def _of_older_folder(prior: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Folders of former versions have no r: it was 1."""
    assert isinstance(prior, DiffusionPrior)
    state.setdefault(f"{prefix}spread", torch.ones_like(prior.spread))


def _denoiser(network: str, sizes: DenoiserSizes) -> Denoiser:
    axes = len(sizes.shape)
    if network == "auto":
        network = "unet" if axes == 3 else "mlp"
    kind = DENOISERS[network]
    if axes not in kind.axes:
        raise OptionError(
            f"the network {network!r} of a diffusion prior takes latents that are maps, and these "
            f"are vectors of {math.prod(sizes.shape)} numbers: choose the network mlp"
        )
    return kind(sizes)


def _check_counts(least: int = 1, **counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < least:
            raise OptionError(f"{name} must be at least {least}, not {count}")
