"""A linear predictor of each pixel from the pixels before it, in closed form.

Convolutions over the pixels before each pixel: rows above, and those to the left in its row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.dataset import spread_rows
from lowerbound.networks.initialization import convolution, gain

ACTIVATION = "relu"


def causal_mask(reach: int, *, strict: bool) -> Tensor:
    """Which places of a window are read, (reach + 1, 2 reach + 1); strict: not the pixel itself."""
    mask = torch.ones(reach + 1, 2 * reach + 1)
    mask[-1, reach + (not strict) :] = 0
    return mask


class CausalConvolution(nn.Module):
    """A convolution over the pixels up to each pixel, in the order of reading.

    Args:
        inputs, outputs: channels.
        reach: rows above, and columns on either side, that it reads.
        strict: whether it leaves out the pixel itself.
        gain: compensates the activation before it.

    Source: van den Oord et al. 2016 (the masks A, if strict, and B).
    """

    mask: Tensor

    def __init__(
        self, inputs: int, outputs: int, reach: int, *, strict: bool, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.reach = reach
        mask = causal_mask(reach, strict=strict)
        self.register_buffer("mask", mask, persistent=False)
        drawn = convolution(inputs, outputs, (reach + 1, 2 * reach + 1), gain=gain)
        share = float(mask.mean()) or 1.0
        self.weight = nn.Parameter(drawn.weight.detach() * mask / share**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, pictures: Tensor) -> Tensor:
        """(rows, inputs, height, width) to (rows, outputs, height, width)."""
        padded = F.pad(pictures, (self.reach, self.reach, self.reach, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)

    def at(self, window: Tensor) -> Tensor:
        """One pixel, (rows, outputs), from the window that it reads.

        Args:
            window: (rows, inputs, reach + 1, 2 reach + 1), with the pixel in the middle of the
                last row.
        """
        weight = (self.weight * self.mask).flatten(1)
        return F.linear(window.flatten(1), weight, self.bias)


class CausalBlock(nn.Module):
    """A residual block: h + W f(causal convolution of f(h), plus a map of the features)."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        after = gain(ACTIVATION)
        self.convolution = CausalConvolution(width, width, reach, strict=False, gain=after)
        self.out = convolution(width, width, (1, 1), gain=0.5 * after)

    def forward(self, state: Tensor, added: Tensor) -> Tensor:
        """The next state from the state and the added features, (rows, width, height, width)."""
        return self._joined(state, self.convolution(F.relu(state)) + added)

    def at(self, window: Tensor, added: Tensor) -> Tensor:
        """The next state of one pixel, (rows, width), from the window of states that it reads."""
        reach = self.convolution.reach
        hidden = self.convolution.at(F.relu(window)) + added
        return self._joined(window[:, :, -1:, reach : reach + 1], hidden[:, :, None, None])[
            ..., 0, 0
        ]

    def _joined(self, state: Tensor, hidden: Tensor) -> Tensor:
        answer: Tensor = state + self.out(F.relu(hidden))
        return answer


class CausalStack(nn.Module):
    r"""A function of the pixels before each pixel, and of features of the whole picture.

    ::

        picture ─strict─> state ─block─> ... ─block─> outputs (zero at the start)
        features ──1x1─────┴───────┴────────────┘

    Args:
        inputs: channels of the picture.
        features: channels of the features.
        outputs: numbers per pixel.
        width: channels of the states.
        layers: residual blocks.
        context: reach of the first convolution, in pixels.
        reach: reach of each block, in pixels; 0: the blocks look at one pixel only.
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        outputs: int,
        *,
        width: int,
        layers: int,
        context: int,
        reach: int,
    ) -> None:
        super().__init__()
        self.width = width
        self.first = CausalConvolution(inputs, width, context, strict=True)
        self.condition = convolution(features, width * (layers + 1), (1, 1))
        self.blocks = nn.ModuleList(CausalBlock(width, reach) for _ in range(layers))
        self.last = convolution(width, outputs, (1, 1), gain=0.0)

    def forward(self, pictures: Tensor, features: Tensor) -> Tensor:
        """The outputs at all pixels at once.

        Args:
            pictures: (rows, inputs, height, width).
            features: (rows, features, height, width).
        """
        first, *added = self.condition(features).split(self.width, 1)
        state = self.first(pictures) + first
        for block, more in zip(self.blocks, added, strict=True):
            state = block(state, more)
        answer: Tensor = self.last(F.relu(state))
        return answer

    def pixel_by_pixel(self, features: Tensor) -> PixelByPixel:
        """The same function for pictures that are drawn pixel by pixel."""
        return PixelByPixel(self, features)


class PixelByPixel:
    """The outputs of a stack one pixel at a time, from the rows that its convolutions still read.

    No pixel is computed twice, and memory does not grow with the height.

    Args:
        stack: the function.
        features: (rows, features, height, width).
    """

    def __init__(self, stack: CausalStack, features: Tensor) -> None:
        self.stack = stack
        rows, _, self.height, self.width = features.shape
        self.added = stack.condition(features)
        self.layers: list[CausalConvolution] = [stack.first]
        self.layers += [block.convolution for block in stack.blocks]  # type: ignore[misc]
        self.kept = [
            KeptRows(rows, layer.weight.shape[1], layer.reach, self.width, like=features)
            for layer in self.layers
        ]

    def outputs(self, top: int, left: int) -> Tensor:
        """The outputs at a pixel, (rows, outputs), after every pixel before it was put."""
        first, *added = self.added[:, :, top, left].split(self.stack.width, 1)
        state = self.stack.first.at(self.kept[0].window(left)) + first
        for level, (block, more) in enumerate(zip(self.stack.blocks, added, strict=True), 1):
            self.kept[level].put(left, state)
            state = block.at(self.kept[level].window(left), more)  # type: ignore[operator]
        answer: Tensor = self.stack.last(F.relu(state)[:, :, None, None])
        return answer[:, :, 0, 0]

    def put(self, left: int, pixel: Tensor) -> None:
        """Set a pixel of the picture, (rows, inputs); the last of a row ends it."""
        self.kept[0].put(left, pixel)
        if left == self.width - 1:
            for rows in self.kept:
                rows.end()


class KeptRows:
    """The current row of a picture and as many rows above it as a window reaches.

    Args:
        rows, channels: of the pictures.
        reach: rows above, and columns on either side, of a window.
        width: of the pictures.
        like: a tensor of the type and on the device of the numbers.
    """

    def __init__(self, rows: int, channels: int, reach: int, width: int, *, like: Tensor) -> None:
        self.reach = reach
        self.values = like.new_zeros(rows, channels, reach + 1, width + 2 * reach)

    def put(self, left: int, pixel: Tensor) -> None:
        """Set a pixel of the current row, (rows, channels)."""
        self.values[:, :, -1, left + self.reach] = pixel

    def end(self) -> None:
        """Go to the next row."""
        self.values = F.pad(self.values[:, :, 1:], (0, 0, 0, 1))

    def window(self, left: int) -> Tensor:
        """The window of a pixel, (rows, channels, reach + 1, 2 reach + 1)."""
        return self.values[:, :, :, left : left + 2 * self.reach + 1]


MOST_PIXELS = 1 << 18  # that the regressions are made of
MOST_PICTURES = 1024
PICTURES_AT_ONCE = 16
HIDDEN_EVERY = 20  # one of so many pictures is regressed as if all of its pixels were hidden
STEEPEST = 0.95  # slope of a channel in an earlier one
# E log |t| and its variance for a standard logistic t, from E |t|^a = 2 Gamma(1 + a) eta(a) with
# Dirichlet's eta: ln(pi/2) - gamma, and pi^2/6 + 2 eta''(0) - ln(pi/2)^2
MEAN_LOG, VARIANCE_LOG = -0.12563295961, 1.31894883960
LEAST_SPREAD = 0.3  # below, components would begin as one
COLLINEAR = 1e-9  # directions of less than this share of the largest variance are left out


class Predicted(NamedTuple):
    """What the pixels before say of each pixel, (rows, channels, height, width) each.

    Attributes:
        loc: location, in model units, to which the slopes add earlier channels.
        log_scale: logarithm of the scale of a logistic around it.
    """

    loc: Tensor
    log_scale: Tensor


class CausalPredictor(nn.Module):
    r"""Least squares for the location of a pixel, and for the size of the residual.

    .. math:: \mu_i = b + \sum_{j < i} w_j \tilde x_j + u_j m_j, \qquad
        \log s_i = c + \sum_{j < i} v_j a_j + y_j m_j, \qquad
        a_j = m_j \left| \operatorname{asinh}((x_j - \hat x_j) / s_0) \right|

    Here j are the pixels in a window of rows above and of columns to the left, m_j is 1 where a
    pixel is known, :math:`\tilde x` is x in [-1, 1] and 0 where hidden, and :math:`\hat x_j` is the
    prediction of x_j. The numbers are found by regression on training pictures, and training of a
    model does not change them.

    Args:
        channels: of a pixel. Each is predicted from the channels before it too.
        context: rows above, and columns on either side.

    Attributes:
        slopes: of each channel in the channels before it, (channels * (channels - 1) / 2,).
        spread: standard deviation of log s that is not predicted, (channels,).

    Source: Wu & Memon 2000 (least squares and the error energy of lossless picture coders).
    """

    places: Tensor
    location: Tensor
    size: Tensor
    unit: Tensor
    slopes: Tensor
    spread: Tensor
    constants: Tensor

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.channels, self.context = channels, context
        window = context + 1, 2 * context + 1
        mask = causal_mask(context, strict=True)
        self.register_buffer("places", mask.flatten().nonzero().flatten(), persistent=False)
        start = {
            "location": torch.zeros(channels, 2 * channels, *window),
            "size": torch.zeros(channels, 2 * channels, *window),
            "constants": torch.tensor([[0.5], [math.log(0.25)]]).repeat(1, channels),
            "unit": torch.ones(channels),
            "slopes": torch.zeros(channels * (channels - 1) // 2),
            "spread": torch.full((channels,), LEAST_SPREAD),
        }
        for name, value in start.items():
            self.register_buffer(name, value)

    def forward(self, pictures: Tensor) -> tuple[Predicted, Tensor]:
        """The prediction of each pixel, and the sizes of residuals.

        Args:
            pictures: values in [-1, 1], 0 where hidden, and a mask of those that are known,
                (rows, 2 * channels, height, width).

        Returns:
            The prediction, and asinh((x - predicted) / s_0), 0 where hidden,
            (rows, channels, height, width).
        """
        with torch.autocast(pictures.device.type, enabled=False):
            pictures = pictures.to(self.location.dtype)
            loc = self._located(pictures)
            residual = self.residual(pictures, loc)
            known = pictures[:, self.channels :]
            log_scale = self._over(
                torch.cat([residual.abs(), known], 1), self.size, self.constants[1]
            )
        return Predicted(loc, log_scale), residual

    def residual(self, pictures: Tensor, loc: Tensor) -> Tensor:
        """asinh((x - predicted) / s_0) where a pixel is known up to the channel, else 0."""
        shape = (-1, *[1] * (pictures.dim() - 2))
        values, known = pictures.split(self.channels, 1)
        off = self._off((values + 1) / 2, loc)
        whole = known.cumprod(1) > 0
        return torch.where(whole, torch.asinh(off / self.unit.view(shape)), 0.0)

    def _off(self, x: Tensor, loc: Tensor) -> Tensor:
        """x minus its prediction, which the channels before it enter."""
        parts = []
        for channel in range(self.channels):
            first = channel * (channel - 1) // 2
            predicted = loc[:, channel]
            for earlier in range(channel):
                predicted = predicted + self.slopes[first + earlier] * x[:, earlier]
            parts.append(x[:, channel] - predicted)
        return torch.stack(parts, 1)

    def _located(self, pictures: Tensor) -> Tensor:
        return self._over(pictures, self.location, self.constants[0])

    def _over(self, inputs: Tensor, weight: Tensor, constant: Tensor) -> Tensor:
        reach = self.context
        return F.conv2d(F.pad(inputs, (reach, reach, reach, 0)), weight, constant)

    def pixel_by_pixel(self, rows: int, width: int) -> PredictedPixelByPixel:
        """The same predictions while pictures are drawn."""
        return PredictedPixelByPixel(self, rows, width)

    @torch.no_grad()
    def fit(self, x: Tensor, levels: int) -> None:
        """Set all numbers by regression on pictures, (rows, channels, height, width).

        The location comes first, and then the size of its residuals. Some pictures count as hidden,
        so that a pixel without a past is predicted by its mean.
        """
        # at most so many rows, evenly spaced
        x = x[spread_rows(len(x), MOST_PICTURES).to(x.device)]
        generator = torch.Generator(device="cpu").manual_seed(0)
        share = min(1.0, MOST_PIXELS / max(1, len(x) * math.prod(x.shape[2:])))
        chosen = torch.rand(len(x), math.prod(x.shape[2:]), generator=generator) < share
        chosen = chosen.to(x.device)
        pictures = _with_hidden(x.double())
        self._fit_location(x.double(), pictures, chosen)
        self._fit_size(x.double(), pictures, chosen, 0.25 / max(levels - 1, 1))

    def _fit_location(self, x: Tensor, pictures: Tensor, chosen: Tensor) -> None:
        sums = _Regression()
        for window, values in self._windows(pictures, x, chosen):
            sums.add(torch.cat([window, values], 1))
        count, own = sums.size - self.channels, self.channels
        for channel in range(own):
            first, target = channel * (channel - 1) // 2, count + channel
            earlier = list(range(count, target))
            slopes = sums.solve([*range(count), *earlier], target)[count:]
            self.slopes[first : first + channel] = slopes.clamp(-STEEPEST, STEEPEST)
            fixed = self.slopes[first : first + channel].double()
            weights = sums.solve(list(range(count)), target, earlier, fixed)
            self._set(self.location, self.constants[0], channel, weights)

    def _fit_size(self, x: Tensor, pictures: Tensor, chosen: Tensor, least: float) -> None:
        given = pictures.to(self.location.dtype)
        loc = torch.cat([self._located(each) for each in given.split(PICTURES_AT_ONCE)])
        off = self._off(x.to(loc), loc)
        known = given[:, self.channels :].bool()
        for channel in range(self.channels):
            seen = off[:, channel][known[:, channel]]
            self.unit[channel] = seen.abs().median().clamp_min(least) if len(seen) else 1.0
        logs = off.abs().clamp_min(least).log().double() - MEAN_LOG
        inputs = torch.cat([self.residual(given, loc).abs(), known], 1).double()
        sums = _Regression()
        for window, values in self._windows(inputs, logs, chosen):
            sums.add(torch.cat([window, values], 1))
        count = sums.size - self.channels
        for channel in range(self.channels):
            weights = sums.solve(list(range(count)), count + channel)
            self._set(self.size, self.constants[1], channel, weights)
            left = sums.left(weights, count + channel) - VARIANCE_LOG
            self.spread[channel] = max(left, LEAST_SPREAD**2) ** 0.5

    def _windows(
        self, inputs: Tensor, targets: Tensor, chosen: Tensor
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Windows with a one, (pixels, numbers), and targets, (pixels, channels)."""
        reach, channels = self.context, self.channels
        for rows in torch.arange(len(inputs)).split(PICTURES_AT_ONCE):
            part = F.pad(inputs[rows], (reach, reach, reach, 0))
            seen = F.unfold(part, (reach + 1, 2 * reach + 1))
            seen = seen.unflatten(1, (2 * channels, -1))[:, :, self.places].flatten(1, 2)
            window = seen.movedim(1, 2)[chosen[rows]]
            values = targets[rows].flatten(2).movedim(1, 2)[chosen[rows]]
            yield torch.cat([window, torch.ones_like(window[:, :1])], 1), values

    def _set(self, table: Tensor, constants: Tensor, channel: int, weights: Tensor) -> None:
        """Write the weights of a window and the constant of a channel."""
        kept = weights[:-1].view(2 * self.channels, -1).to(table)
        table[channel].flatten(1)[:, self.places] = kept
        constants[channel] = weights[-1]


class PredictedPixelByPixel:
    """Predictions of one pixel at a time, from the rows that the windows still read.

    Args:
        predictor: fitted.
        rows, width: of the pictures.
    """

    def __init__(self, predictor: CausalPredictor, rows: int, width: int) -> None:
        self.predictor, self.width = predictor, width
        size = (rows, 2 * predictor.channels, predictor.context, width)
        self.pixels = KeptRows(*size, like=predictor.location)
        self.sizes = KeptRows(*size, like=predictor.location)

    def at(self, left: int) -> Predicted:
        """The prediction of a pixel, (rows, channels, 1, 1) each, given those before it."""
        own = self.predictor
        parts = (self.pixels, own.location), (self.sizes, own.size)
        loc, log_scale = (
            F.linear(kept.window(left).flatten(1), weight.flatten(1), constant)[:, :, None, None]
            for (kept, weight), constant in zip(parts, own.constants, strict=True)
        )
        return Predicted(loc, log_scale)

    def put(self, left: int, pixel: Tensor, loc: Tensor) -> Tensor:
        """Set a pixel, (rows, 2 * channels), and return its residuals, (rows, channels).

        The last pixel of a row ends it.
        """
        pixel = pixel.to(loc.dtype)
        residual = self.predictor.residual(pixel, loc)
        self.pixels.put(left, pixel)
        self.sizes.put(left, torch.cat([residual.abs(), pixel[:, self.predictor.channels :]], 1))
        if left == self.width - 1:
            self.pixels.end()
            self.sizes.end()
        return residual


class _Regression:
    """Sums of products of columns, from which least squares are solved."""

    def __init__(self) -> None:
        self.products = torch.zeros(0)

    @property
    def size(self) -> int:
        return len(self.products)

    def add(self, columns: Tensor) -> None:
        """Add rows, (rows, columns)."""
        products = columns.T @ columns
        self.products = self.products + products if self.size else products

    def solve(
        self,
        inputs: list[int],
        target: int,
        others: list[int] | None = None,
        fixed: Tensor | None = None,
    ) -> Tensor:
        """Weights of the columns ``inputs``, beside ``others`` whose weights are ``fixed``."""
        right = self.products[inputs][:, target]
        if others and fixed is not None:
            right = right - self.products[inputs][:, others] @ fixed
        values, vectors = torch.linalg.eigh(self.products[inputs][:, inputs])
        kept = values > COLLINEAR * values.max()
        inverse = torch.where(kept, 1 / values, 0.0)
        weights: Tensor = vectors @ (inverse * (vectors.T @ right))
        return weights

    def left(self, weights: Tensor, target: int) -> float:
        """Mean squared residual; the column before the targets is one."""
        count = len(weights)
        rows = float(self.products[count - 1, count - 1])
        total = self.products[target, target] - 2 * weights @ self.products[:count, target]
        total = total + weights @ self.products[:count, :count] @ weights
        return float(total) / max(rows, 1.0)


def _with_hidden(x: Tensor) -> Tensor:
    """Values in [-1, 1] and a mask; every so many rows are hidden."""
    known = torch.ones_like(x)
    known[::HIDDEN_EVERY] = 0
    return torch.cat([(2 * x - 1) * known, known], 1)
