"""A mixture of discretized logistics per pixel for 8-bit grey or color pictures (PixelCNN++)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.likelihoods.base import LIKELIHOODS, at_least_float32, positive_scale, raw_scale
from lowerbound.likelihoods.categorical import LevelsLikelihood, scale_floor, to_code
from lowerbound.likelihoods.discretized_logistic import (
    fit_logistic,
    log_mass,
    logistic_draw,
    logistic_moments,
    logistic_scale,
)
from lowerbound.trace import Emission

MOMENT_POINTS = 16  # of the quadrature of the moments of color
START_SHARE = 0.7  # fraction of the fitted logistic's spread, between and within components


class DiscretizedLogisticMixtureEmission(Emission):
    r"""log p(pixel) = log sum_k pi_k prod_c P_k(x_c | x_{<c}), levels of one pixel.

    In a component, the location of green depends on red, and that of blue on red and green:
    mu_g + a x_r, mu_b + b x_r + c x_g. There is one term per pixel, (samples, batch, 1, height,
    width), because its channels share the component.

    A cell counts if it and the previous channels of its pixel are observed, because these cells
    have an exact marginal. An observed channel after a hidden one is left out.

    Source: Salimans et al. 2017, section 2.1 (there on [-1, 1]).
    """

    def __init__(
        self,
        mixture: PixelMixture,
        levels: int,
        event_shape: tuple[int, ...],
        moment_points: int = MOMENT_POINTS,
    ) -> None:
        self.mixture, self.levels, self.moment_points = mixture, levels, moment_points
        shape = torch.Size(event_shape)
        super().__init__(mixture.loc.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if observed is None:
            return self._per_pixel(self._component_mass(x).sum(3))
        # hidden values, and channels that depend on them, do not enter the formula
        counted = self._by_channel(observed.expand(x.shape)).cumprod(3).bool()
        mass = self._component_mass(torch.where(observed, x, 0.0))
        terms = self._per_pixel(torch.where(counted, mass, 0.0).sum(3))
        return torch.where(self._to_terms(counted.any(3).squeeze(2)), terms, 0.0)

    def given(self, x: Tensor, observed: Tensor) -> DiscretizedLogisticMixtureEmission:
        """p(hidden channels | z, observed channels) of each pixel, exact.

        Raises:
            UnsupportedError: in some pixel, a channel is observed and one before it is hidden.
        """
        seen = self._by_channel(observed)
        if bool((seen == seen[:, :, :, :1]).all()):
            return self  # whole pixels, which are independent
        if bool((seen != seen.cumprod(3).bool()).any()):
            raise UnsupportedError(
                "some pixels have an observed channel after a hidden one, and the likelihood "
                "discretized_logistic_mixture has no formula for these: hide whole pixels, or fit "
                "the model again with --likelihood discretized_logistic"
            )
        filled = torch.where(observed, x, 0.0)
        mass = torch.where(seen, self._component_mass(filled), 0.0).sum(3)
        mixture = self.mixture.given(self._by_channel(filled), seen, mass)
        return DiscretizedLogisticMixtureEmission(
            mixture, self.levels, self.event_shape, self.moment_points
        )

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
        mixture = self.mixture.repeated(sample_shape.numel())
        # Gumbel trick: the arg-max of logits plus -log of exponential noise is a draw of k
        noise = -torch.empty_like(mixture.logits).exponential_().log()
        chosen = mixture.at_component((mixture.logits + noise).argmax(2, keepdim=True))
        values = torch.zeros_like(chosen.loc)
        for channel in range(values.shape[3]):
            loc = chosen.conditional_loc(channel, values)
            scale = chosen.scale[:, :, :, channel]
            values[:, :, :, channel] = logistic_draw(loc, scale, self.levels)
        return values.reshape(sample_shape + self.batch_shape + self.event_shape)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """E[x] and E[x^2], (samples, batch, *event).

        Given the previous channels, the moments of a channel have a closed form. Over the previous
        channels, each component is averaged at fixed points, because clipping makes the integral
        nonlinear. This is exact for one channel, and within some percent of a standard deviation
        for color.
        """
        weight = torch.softmax(self.mixture.logits, 2).unsqueeze(3)
        points = _logistic_points(self.mixture.loc.shape[3] - 1, self.moment_points)
        total = self._moments_at(points[0])
        for point in points[1:]:
            total = total + self._moments_at(point)
        mean, mean_square = (weight * total / len(points)).sum(3)
        shape = self.batch_shape + self.event_shape
        return mean.reshape(shape), mean_square.reshape(shape)

    def _moments_at(self, point: tuple[float, ...]) -> Tensor:
        """Both moments given all channels but the last, (2, samples, batch, K, channels, *pixels).

        ``point`` has the position of each given channel on its component's standard logistic.
        """
        moments, before = [], torch.zeros_like(self.mixture.loc[:, :, :, :0])
        for channel, noise in enumerate((*point, 0.0)):
            loc = self.mixture.conditional_loc(channel, before)
            scale = self.mixture.scale[:, :, :, channel]
            moments.append(torch.stack(logistic_moments(loc, scale, self.levels)))
            before = torch.cat([before, (loc + noise * scale).clamp(0, 1).unsqueeze(3)], 3)
        return torch.stack(moments, 4)

    def _by_channel(self, x: Tensor) -> Tensor:
        """Reshape (batch, *event) to (1, batch, 1, channels, *pixels), with samples if any."""
        rows = x.shape[: x.dim() - len(self.event_shape)]
        samples = rows[:-1] or (1,)
        channels, pixels = self.mixture.loc.shape[3], self.mixture.logits.shape[3:]
        return x.reshape(*samples, rows[-1], 1, channels, *pixels)

    def _to_terms(self, per_pixel: Tensor) -> Tensor:
        """Reshape (samples, batch, *pixels) to one term per pixel, with a channel axis of one."""
        return per_pixel.unsqueeze(2) if len(self.event_shape) == 3 else per_pixel


def _logistic_points(channels: int, count: int) -> list[tuple[float, ...]]:
    """Points of a standard logistic per channel: a low-discrepancy sequence and its mirror."""
    if channels == 0:
        return [()]
    golden = 2.0
    for _ in range(50):  # root of g^(channels + 1) = g + 1 (Roberts 2018)
        golden = (1 + golden) ** (1 / (channels + 1))
    half = count // 2
    steps = torch.arange(half, dtype=torch.float64).unsqueeze(1) + 1
    speeds = golden ** -torch.arange(1, channels + 1, dtype=torch.float64)
    noise = torch.logit((0.5 + steps * speeds) % 1)
    noise = noise * (math.pi / math.sqrt(3)) / noise.square().mean(0).sqrt()
    return [tuple(point) for point in torch.cat([noise, -noise]).tolist()]


@LIKELIHOODS.register("discretized_logistic_mixture")
class DiscretizedLogisticMixture(LevelsLikelihood):
    """K discretized logistics per pixel, with several modes and correlated colors.

    Args:
        event_shape: (channels, height, width), or (features,) as pixels of one channel.
        levels: number of levels.
        components: K.
        floor: the smallest scale, as a fraction of the distance between two levels.
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
        self.floor = scale_floor(floor, levels)
        self.moment_points = MOMENT_POINTS

    @property
    def numbers(self) -> int:
        """Parameters per pixel, all its channels together."""
        return self.components * sum(self._sizes())

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        first, *rest = self.pixels if len(self.pixels) == 1 else (1, *self.pixels)
        return (self.numbers * first, *rest)

    def forward(self, parameters: Tensor) -> DiscretizedLogisticMixtureEmission:
        values = at_least_float32(parameters)
        values = values.reshape(
            *values.shape[:2], sum(self._sizes()), self.components, *self.pixels
        )
        logits, loc, raw, slopes = values.movedim(2, 3).split(self._sizes(), 3)
        mixture = PixelMixture(
            logits.squeeze(3), loc, positive_scale(raw, self.floor), torch.tanh(slopes)
        )
        return DiscretizedLogisticMixtureEmission(
            mixture, self.levels, self.event_shape, self.moment_points
        )

    def initial_bias(self, x: Tensor) -> Tensor:
        """Components of equal weight, spread over the logistic that fits each feature's levels."""
        return self._spread(*fit_logistic(x, self.levels))

    def placed(self, parameters: Tensor, loc: Tensor, log_scale: Tensor, slopes: Tensor) -> Tensor:
        """Parameters that are relative to a prediction as those of ``forward``.

        A location is in units of the predicted scale, and a scale is a factor of it.

        Args:
            parameters: relative, (rows, numbers, *pixels).
            loc, log_scale: predicted, (rows, channels, *pixels).
            slopes: predicted, (channels * (channels - 1) / 2,).
        """
        values = parameters.unflatten(1, (sum(self._sizes()), self.components))
        logits, own_loc, raw, own_slopes = values.split(self._sizes(), 1)
        scale = log_scale.exp().clamp(self.floor, 1.0).unsqueeze(2)
        upright = torch.atanh(slopes).view(-1, 1, *[1] * len(self.pixels))
        parts = [
            logits,
            loc.unsqueeze(2) + scale * own_loc,
            raw_scale(scale, self.floor) + raw,
            upright + own_slopes,
        ]
        return torch.cat(parts, 1).flatten(1, 2)

    def relative_bias(self, spread: Tensor) -> Tensor:
        """The parameters, relative to a prediction, whose scales are spread around it.

        Args:
            spread: standard deviation of the logarithm of the scale, (channels,).
        """
        middle = (torch.arange(self.components, device=spread.device) + 0.5) / self.components
        sizes = [spread.new_zeros(size, self.components) for size in self._sizes()]
        sizes[2] = spread.unsqueeze(1) * torch.special.ndtri(middle).to(spread)
        numbers = torch.cat(sizes).flatten().view(-1, *[1] * len(self.pixels))
        return numbers.expand(-1, *self.pixels).reshape(self.parameter_shape)

    def linear_start(
        self, mean: Tensor, weight: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        if len(self.event_shape) != 3:
            return None
        loc = weight.unsqueeze(1).expand(-1, self.components, *weight.shape[1:])
        sizes = [loc.new_zeros(size, *loc.shape[1:]) for size in self._sizes()]
        weights = torch.cat([sizes[0], loc, *sizes[2:]]).flatten(0, 1)
        return weights, self._spread(mean, logistic_scale(deviation))

    def _spread(self, loc: Tensor, scale: Tensor) -> Tensor:
        """The parameters of components spread over a logistic per feature, (*event,) each."""
        fitted_loc, fitted_scale = (
            part.reshape(self.channels, 1, *self.pixels) for part in (loc, scale)
        )
        middle = (torch.arange(self.components, device=loc.device) + 0.5) / self.components
        spread = START_SHARE * torch.logit(middle).reshape(-1, *[1] * len(self.pixels))
        each = fitted_loc + spread * fitted_scale  # (channels, K, *pixels)
        raw = raw_scale(START_SHARE * fitted_scale, self.floor).expand_as(each)
        equal, *_, upright = (each.new_zeros(size, *each.shape[1:]) for size in self._sizes())
        return torch.cat([equal, each, raw, upright]).reshape(self.parameter_shape)

    def _sizes(self) -> list[int]:
        """Logit, locations, scales and slopes per component of a pixel."""
        slopes = self.channels * (self.channels - 1) // 2
        return [1, self.channels, self.channels, slopes]


class PixelMixture(NamedTuple):
    """The decoder's output for each pixel; ``pixels`` is (height, width), or (features,).

    Attributes:
        logits: of the component, which a pixel's channels share, (samples, batch, K, *pixels).
        loc: model units, (samples, batch, K, channels, *pixels).
        scale: as loc, positive.
        slopes: of each channel's location in the previous channels, in (-1, 1),
            (samples, batch, K, channels * (channels - 1) / 2, *pixels).
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor
    slopes: Tensor

    def conditional_loc(self, channel: int, before: Tensor) -> Tensor:
        """Location of a channel, (samples, batch, K, *pixels), given the previous channels.

        ``before`` is (..., at least ``channel`` channels, *pixels), model units.
        """
        loc = self.loc[:, :, :, channel]
        first = channel * (channel - 1) // 2
        for earlier in range(channel):
            loc = loc + self.slopes[:, :, :, first + earlier] * before[:, :, :, earlier]
        return loc

    def given(self, values: Tensor, seen: Tensor, mass: Tensor) -> PixelMixture:
        """The mixture of the channels after the seen ones.

        Args:
            values: of the seen channels, others 0, (1, batch, 1, channels, *pixels), model units.
            seen: whether a channel is seen, like values.
            mass: log of each component's mass of the seen channels, (samples, batch, K, *pixels).
        """
        channels = range(self.loc.shape[3])
        loc = torch.stack([self.conditional_loc(channel, values) for channel in channels], 3)
        earlier = [before for channel in channels for before in range(channel)]
        slopes = torch.where(seen[:, :, :, earlier], 0.0, self.slopes)
        return PixelMixture(self.logits + mass, loc, self.scale.expand_as(loc), slopes)

    def repeated(self, count: int) -> PixelMixture:
        """The mixture repeated ``count`` times along the samples."""
        return PixelMixture(*(part.expand(count, *part.shape).flatten(0, 1) for part in self))

    def at_component(self, component: Tensor) -> PixelMixture:
        """The mixture with K = 1, the ``component`` (samples, batch, 1, *pixels) of each pixel."""
        index = component.unsqueeze(3)
        loc, scale, slopes = (
            part.gather(2, index.expand(*index.shape[:3], part.shape[3], *index.shape[4:]))
            for part in self[1:]
        )
        return PixelMixture(self.logits.gather(2, component), loc, scale, slopes)
