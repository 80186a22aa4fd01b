"""8-bit pictures, color too: a mixture of discretized logistics per pixel, as in PixelCNN++."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.errors import OptionError
from lowerbound.likelihoods.base import LIKELIHOODS, at_least_float32, positive_scale, raw_scale
from lowerbound.likelihoods.discretized_logistic import (
    SCALE_PER_STD,
    START_SCALE,
    log_mass,
    logistic_draw,
)
from lowerbound.likelihoods.levels import LevelsLikelihood, to_code
from lowerbound.trace import Emission

INITIAL_ROWS = 2000  # enough for the quantiles that a decoder starts from
MOMENT_POINTS = 32


class PixelMixture(NamedTuple):
    """What the decoder says about each pixel; ``pixels`` is (height, width), or (features,).

    Attributes:
        logits: of the component, which a pixel's channels share, (samples, batch, K, *pixels).
        loc: model units, (samples, batch, K, channels, *pixels).
        scale: as loc, positive.
        slopes: of each channel's location in the channels before it, in (-1, 1),
            (samples, batch, K, channels * (channels - 1) / 2, *pixels).
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor
    slopes: Tensor

    def conditional_loc(self, channel: int, before: Tensor) -> Tensor:
        """Location of a channel, (samples, batch, K, *pixels), given the channels ``before`` it.

        ``before`` is (..., at least ``channel`` channels, *pixels), model units.
        """
        loc = self.loc[:, :, :, channel]
        first = channel * (channel - 1) // 2
        for earlier in range(channel):
            loc = loc + self.slopes[:, :, :, first + earlier] * before[:, :, :, earlier]
        return loc


class DiscretizedLogisticMixtureEmission(Emission):
    r"""log p(pixel) = log sum_k pi_k prod_c P_k(x_c | x_{<c}), levels of one pixel.

    A component's location of green moves with red, and blue's with both:
    mu_g + a x_r, mu_b + b x_r + c x_g. One term per pixel, (samples, batch, 1, height, width): its
    channels share the component, so there is no share per channel.

    A cell counts if it and the channels before it in its pixel are observed: those have an exact
    marginal. A channel seen behind a hidden one is left out, and the rest stays a likelihood.

    Source: Salimans et al. 2017, section 2.1 (there on [-1, 1]).
    """

    def __init__(self, mixture: PixelMixture, levels: int, event_shape: tuple[int, ...]) -> None:
        self.mixture, self.levels = mixture, levels
        shape = torch.Size(event_shape)
        super().__init__(mixture.loc.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if observed is None:
            return self._per_pixel(self._component_mass(x).sum(3))
        # hidden values never reach the formula, and neither do those that lean on them
        counted = self._by_channel(observed.expand(x.shape)).cumprod(3).bool()
        mass = self._component_mass(torch.where(observed, x, 0.0))
        terms = self._per_pixel(torch.where(counted, mass, 0.0).sum(3))
        return torch.where(self._to_terms(counted.any(3).squeeze(2)), terms, 0.0)

    def _component_mass(self, x: Tensor) -> Tensor:
        """log P_k(x_c | x_{<c}), (samples, batch, K, channels, *pixels)."""
        mixture, values = self.mixture, self._by_channel(x)
        code = to_code(values, self.levels)
        channels = [
            log_mass(
                code[:, :, :, channel],
                mixture.conditional_loc(channel, values),
                mixture.scale[:, :, :, channel],
                self.levels,
            )
            for channel in range(values.shape[3])
        ]
        return torch.stack(channels, 3)

    def _per_pixel(self, mass: Tensor) -> Tensor:
        joint = torch.log_softmax(self.mixture.logits, 2) + mass
        return self._to_terms(torch.logsumexp(joint, 2))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        mean, mean_square = self._moments()
        return (mean_square - mean.square()).clamp_min(0)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        draws = [self._one_draw() for _ in range(sample_shape.numel())]
        return torch.stack(draws).reshape(sample_shape + self.batch_shape + self.event_shape)

    def _one_draw(self) -> Tensor:
        logits = self.mixture.logits
        noise = -torch.empty_like(logits).exponential_().log()  # Gumbel: the arg-max is a draw
        component = (logits + noise).argmax(2, keepdim=True)
        chosen = _choose(self.mixture, component)
        values = torch.zeros_like(chosen.loc)
        for channel in range(values.shape[3]):
            loc = chosen.conditional_loc(channel, values)
            scale = chosen.scale[:, :, :, channel]
            values[:, :, :, channel] = logistic_draw(loc, scale, self.levels)
        return values.reshape(self.batch_shape + self.event_shape)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """E[x] and E[x^2], (samples, batch, *event).

        Color has no closed form: clipping bends the location of the next channel. Each component is
        averaged over a fixed set of standardized logistic points instead, symmetric and of the
        exact variance, which is differentiable and within some percent of a standard deviation.
        """
        mixture = self.mixture
        weight = torch.softmax(mixture.logits, 2).unsqueeze(3)
        first, second = torch.zeros_like(mixture.loc), torch.zeros_like(mixture.loc)
        for point in _logistic_points(mixture.loc.shape[3]):
            values: list[Tensor] = []
            for channel, noise in enumerate(point):
                before = torch.stack(values, 3) if values else mixture.loc
                loc = mixture.conditional_loc(channel, before)
                values.append((loc + noise * mixture.scale[:, :, :, channel]).clamp(0, 1))
            at_point = torch.stack(values, 3)
            first, second = first + at_point, second + at_point.square()
        shape = self.batch_shape + self.event_shape
        mean, mean_square = (
            (weight * moment / MOMENT_POINTS).sum(2).reshape(shape) for moment in (first, second)
        )
        return mean, mean_square

    def _by_channel(self, x: Tensor) -> Tensor:
        """(batch, *event) to (1, batch, 1, channels, *pixels), with x's own samples if any."""
        rows = x.shape[: x.dim() - len(self.event_shape)]
        samples = rows[:-1] or (1,)
        channels, pixels = self.mixture.loc.shape[3], self.mixture.logits.shape[3:]
        return x.reshape(*samples, rows[-1], 1, channels, *pixels)

    def _to_terms(self, per_pixel: Tensor) -> Tensor:
        """(samples, batch, *pixels) to one term per pixel, channel axis kept at one."""
        return per_pixel.unsqueeze(2) if len(self.event_shape) == 3 else per_pixel


def _choose(mixture: PixelMixture, component: Tensor) -> PixelMixture:
    """The mixture with one component kept at each pixel, K = 1."""
    index = component.unsqueeze(3)
    loc, scale, slopes = (
        part.gather(2, index.expand(*index.shape[:3], part.shape[3], *index.shape[4:]))
        for part in mixture[1:]
    )
    return PixelMixture(mixture.logits.gather(2, component), loc, scale, slopes)


def _logistic_points(channels: int) -> list[tuple[float, ...]]:
    """Points of a standard logistic per channel: a low-discrepancy sequence and its mirror."""
    golden = 2.0
    for _ in range(50):  # root of g^(channels + 1) = g + 1 (Roberts 2018)
        golden = (1 + golden) ** (1 / (channels + 1))
    half = MOMENT_POINTS // 2
    steps = torch.arange(half, dtype=torch.float64).unsqueeze(1) + 1
    speeds = golden ** -torch.arange(1, channels + 1, dtype=torch.float64)
    noise = torch.logit((0.5 + steps * speeds) % 1)
    noise = noise * (math.pi / math.sqrt(3)) / noise.square().mean(0).sqrt()
    return [tuple(point) for point in torch.cat([noise, -noise]).tolist()]


@LIKELIHOODS.register("discretized_logistic_mixture")
class DiscretizedLogisticMixture(LevelsLikelihood):
    """K discretized logistics per pixel: several guesses at once, and colors that move together.

    Args:
        event_shape: (channels, height, width), or (features,) taken as pixels of one channel.
        levels: number of levels.
        components: K.
        floor: the smallest scale, as a share of the distance between two levels.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        levels: int = 256,
        components: int = 10,
        floor: float = 0.1,
    ) -> None:
        super().__init__(event_shape, levels=levels)
        if components < 1:
            raise OptionError(f"components must be at least 1, not {components}")
        picture = len(self.event_shape) == 3
        self.components = components
        self.channels = self.event_shape[0] if picture else 1
        self.pixels = self.event_shape[1:] if picture else self.event_shape
        self.floor = floor / (levels - 1)

    @property
    def numbers(self) -> int:
        """Numbers owed per pixel, all its channels together."""
        slopes = self.channels * (self.channels - 1) // 2
        return self.components * (1 + 2 * self.channels + slopes)

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        first, *rest = self.pixels if len(self.pixels) == 1 else (1, *self.pixels)
        return (self.numbers * first, *rest)

    def forward(self, parameters: Tensor) -> DiscretizedLogisticMixtureEmission:
        owed = at_least_float32(parameters)
        owed = owed.reshape(*owed.shape[:2], self.numbers // self.components, -1, *self.pixels)
        logits, loc, raw, slopes = owed.movedim(2, 3).split(self._sizes(), 3)
        mixture = PixelMixture(
            logits.squeeze(3), loc, positive_scale(raw, self.floor), torch.tanh(slopes)
        )
        return DiscretizedLogisticMixtureEmission(mixture, self.levels, self.event_shape)

    def initial_bias(self, x: Tensor) -> Tensor:
        """Equal components at the quantiles of each feature, each as wide as its share."""
        rows = x[:INITIAL_ROWS].float().reshape(-1, self.channels, *self.pixels).sort(0).values
        middle = (torch.arange(self.components) + 0.5) / self.components
        loc = rows[(middle * len(rows)).long()].transpose(0, 1)  # (channels, K, *pixels)
        spread = rows.std(0, correction=0) * SCALE_PER_STD / self.components
        raw = raw_scale(spread.clamp_min(START_SCALE), self.floor).unsqueeze(1).expand_as(loc)
        slopes = torch.zeros(self._sizes()[3], *loc.shape[1:])
        parts = [torch.zeros(1, *loc.shape[1:]), loc, raw, slopes]
        return torch.cat(parts).reshape(self.parameter_shape)

    def _sizes(self) -> list[int]:
        slopes = self.channels * (self.channels - 1) // 2
        return [1, self.channels, self.channels, slopes]
