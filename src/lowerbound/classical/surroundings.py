r"""Pixels predicted from the pixels around them, by least squares.

With n the pixels around a pixel x, without their mean m, and k the kind of surroundings that n
belongs to,

.. math::
    \hat x = m + a_k^T n + \dots, \qquad \log s = b_k^T \phi(n), \qquad
    \log u = \log(1 + |x - \hat x| / c) - \log s

where phi measures the contrast of n, and c is a tenth of the mean error, so that exact pixels have
a logarithm. So u has no unit and is about one wherever the picture is as usual, in flat
parts and at edges, in every place of the picture. The kinds are clusters of n in units of its
contrast. Channels are predicted in order: the dots stand for the windows of the channels before
this one, so the second channel of a pair depends on the first.
Source of errors that depend on the contrast around a pixel: Wu & Memon 1997 (CALIC).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

RADIUS = 3  # pixels on each side
KINDS = 32
ROWS_OF_KIND = 20  # rows of a fit for each of its coefficients, at least
RIDGE = 1e-4  # in mean variances of a coefficient's input
PIXELS = 100_000  # that a fit takes
FLOOR = 0.1  # c in mean errors
LEAST = 1e-6  # c, in units of the pictures
NUMBERS_AT_ONCE = 2**19  # of windows, which fit into a cache


@dataclass(frozen=True, eq=False)
class ChannelFit:
    """The fit of one channel.

    Attributes:
        kinds: centers of the kinds of surroundings, (K, pixels around).
        location: coefficients a, (K, inputs).
        deviation: coefficients b, (K, measures).
        floor: c, (1,).
    """

    kinds: Tensor
    location: Tensor
    deviation: Tensor
    floor: Tensor

    @classmethod
    def of(cls, windows: Tensor, channel: int) -> ChannelFit:
        """The least-squares fit to some windows, (rows, channels, side * side)."""
        inputs, around, difference = _parts(windows, channel)
        pooled = _ridge(inputs, difference)
        residual = (difference - inputs @ pooled).abs()
        floor = (FLOOR * residual.mean()).clamp_min(LEAST).reshape(1)
        kinds = _kinds(_direction(around, floor), len(windows) // (ROWS_OF_KIND * len(pooled)))
        bare = cls(kinds, inputs.new_zeros(0), inputs.new_zeros(0), floor)
        kind = bare._kind(around)
        locations, deviations = [], []
        for place in range(len(kinds)):
            own = kind == place
            location = _ridge(inputs[own], difference[own], pooled)
            left = (difference[own] - inputs[own] @ location).abs()
            measures = bare._contrast(around[own])
            deviations.append(_ridge(measures, torch.log1p(left / floor)))
            locations.append(location)
        return cls(kinds, torch.stack(locations), torch.stack(deviations), floor)

    def excess(self, windows: Tensor, channel: int) -> Tensor:
        """log u of the middle of each window, (rows,)."""
        inputs, around, difference = _parts(windows, channel)
        kind = self._kind(around).unsqueeze(1)
        location = (inputs @ self.location.T).gather(1, kind).squeeze(1)
        expected = (self._contrast(around) @ self.deviation.T).gather(1, kind).squeeze(1)
        return torch.log1p((difference - location).abs() / self.floor) - expected

    def _kind(self, around: Tensor) -> Tensor:
        """The nearest kind of each row, (rows,)."""
        direction, kinds = _direction(around, self.floor).double(), self.kinds.double()
        return (kinds.square().sum(1) - 2 * direction @ kinds.T).argmin(1)

    def _contrast(self, around: Tensor) -> Tensor:
        """phi: one, and logarithms of the contrast, (rows, measures)."""
        mean = torch.log1p(around.abs().mean(1) / self.floor)
        square = torch.log1p(around.square().mean(1).sqrt() / self.floor)
        near = torch.log1p((around[:, 1:] - around[:, :-1]).abs().mean(1) / self.floor)
        return torch.stack([torch.ones_like(mean), mean, mean.square(), square, near], 1)


def fitted(pictures: Tensor) -> tuple[ChannelFit, ...]:
    """The fits of all channels to pictures, (rows, channels, height, width).

    Each side has more than ``2 * RADIUS`` pixels.
    """
    count = math.prod(side - 2 * RADIUS for side in pictures.shape[2:])
    each = min(count, max(1, PIXELS // len(pictures)))
    draws = torch.Generator().manual_seed(0)
    places = torch.randint(count, (len(pictures), each), generator=draws)
    chosen: list[Tensor] = []
    for windows in _windows(pictures):
        rows = torch.arange(len(windows)).unsqueeze(1)
        here = places[sum(map(len, chosen)) :][: len(windows)]
        chosen.append(windows[rows, here])
    some = torch.cat(chosen).flatten(0, 1)
    return tuple(ChannelFit.of(some, channel) for channel in range(some.shape[1]))


def excess(fits: Sequence[ChannelFit], pictures: Tensor) -> Tensor:
    """log u of each pixel that has all pixels around it, (rows, height - 2 r, width - 2 r).

    It is that of its oddest channel; of two channels, such as a template and a picture, that of
    the second.
    """
    height, width = (side - 2 * RADIUS for side in pictures.shape[2:])
    parts = []
    for windows in _windows(pictures):
        flat = windows.flatten(0, 1)
        chosen = [1] if len(fits) == 2 else range(len(fits))
        each = torch.stack([fits[channel].excess(flat, channel) for channel in chosen])
        parts.append(each.amax(0).reshape(len(windows), height, width))
    return torch.cat(parts)


def _windows(pictures: Tensor) -> Iterator[Tensor]:
    """The windows of some pictures at a time, (pictures, places, channels, side * side)."""
    side, channels = 2 * RADIUS + 1, pictures.shape[1]
    numbers = channels * side * side * pictures.shape[2] * pictures.shape[3]
    for part in pictures.float().split(max(1, NUMBERS_AT_ONCE // numbers)):
        columns = F.unfold(part, side)  # (pictures, channels * side * side, places)
        yield columns.transpose(1, 2).unflatten(2, (channels, side * side))


def _parts(windows: Tensor, channel: int) -> tuple[Tensor, Tensor, Tensor]:
    """(inputs of the regression, pixels around without their mean, difference of the pixel)."""
    own, middle = windows[:, channel], windows.shape[2] // 2
    around = torch.cat([own[:, :middle], own[:, middle + 1 :]], 1)
    mean = around.mean(1, keepdim=True)
    before = windows[:, :channel]
    means = before.mean(2)
    inputs = [around - mean, (before - means.unsqueeze(2)).flatten(1), means - mean]
    return (
        torch.cat(inputs, 1),
        around - mean,
        own[:, middle] - mean.squeeze(1),
    )


def _direction(around: Tensor, floor: Tensor) -> Tensor:
    """The pixels around in units of their contrast."""
    return around / (around.square().mean(1, keepdim=True).sqrt() + floor / FLOOR)


def _ridge(inputs: Tensor, target: Tensor, toward: Tensor | None = None) -> Tensor:
    """Coefficients of least squares, drawn a little to ``toward`` (None: to zero)."""
    exact = inputs.double()
    moments = exact.T @ exact
    weight = (RIDGE * moments.diagonal().mean()).clamp_min(1e-12)
    goal = exact.T @ target.double()
    if toward is not None:
        goal = goal + weight * toward.double()
    moments.diagonal().add_(weight)
    solved: Tensor = torch.linalg.solve(moments, goal)
    return solved.to(inputs.dtype)


def _kinds(direction: Tensor, most: int) -> Tensor:
    """Centers of clusters, (K, pixels around)."""
    from sklearn.cluster import MiniBatchKMeans

    count = min(KINDS, most)
    if count < 2:
        return direction.mean(0, keepdim=True)
    found = MiniBatchKMeans(count, random_state=0, n_init=3).fit(direction.numpy())
    return torch.from_numpy(found.cluster_centers_).to(direction.dtype)
