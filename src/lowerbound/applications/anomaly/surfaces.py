r"""Pictures of surfaces: how unusual their pixels are among the pixels around them.

In pictures of objects each place has a meaning. In pictures of a surface, such as wood, cloth or
circuit boards, any place may show anything, and a defect is small, so neither distances of whole
pictures nor a code of them find it. Here each pixel x is predicted by least squares from the n
pixels around it, wherever it is, without their mean m. With k the kind of surroundings that n
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

A picture has two scores at each resolution:

.. math::
    \text{worse} = \operatorname{top}\big(\operatorname{mean}_{3 \times 3} u\big) \qquad
    \text{better} = \operatorname{top}\big(-\operatorname{mean}_{5 \times 5} \log u\big)

where top is the mean of the highest hundredth of the places: somewhere the pixels fit worse than
usual (a scratch), or better (a smooth spot). The score is the root of the sum of the squared
rarities of these. The pixels at the border, which have no pixels around them, do not count.

The rarity of a score among n normal rows, in nats, makes scores of any unit comparable:

.. math:: -\log p(s), \qquad p(s) = \frac{1 + \#\{i : s_i \ge s\}}{n + 1}

with linear interpolation between the n reference scores, and beyond the highest of them

.. math:: -\log p(s_{\max}) + \log\left(1 + \frac{s - s_{\max}}{\beta}\right)

beta is the mean excess of the highest tenth over its least score. Rows beyond all reference rows
are therefore still ranked; if most reference rows have the highest score, a higher one counts
little. The function is continuous and increasing, so rounding, which differs from batch to batch,
changes it little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import spread_rows

RADIUS = 3  # pixels on each side
SURROUNDINGS = 32  # kinds of surroundings
ROWS_OF_KIND = 20  # rows of a fit for each of its coefficients, at least
RIDGE = 1e-4  # in mean variances of a coefficient's input
PIXELS = 100_000  # that a fit takes
FLOOR = 0.1  # c in mean errors
LEAST = 1e-6  # c, in units of the pictures
NUMBERS_AT_ONCE = 2**19  # of windows, which fit into a cache
GRID = 1e-4  # share of the spread; reference scores that are nearer are merged
UPPER = 0.1  # share of the reference rows that sets beta
FARTHEST = 1e200  # higher scores count as this one, so that every rarity is finite
RISE = 1e-3  # nats per unit of asinh below the highest, so that ties of p keep their order
RESOLUTIONS = (1, 2)  # pixels of a side that become one
LEAST_SIDE = 4 * RADIUS  # pixels
WORSE, BETTER = 3, 5  # sides of the places
BORDER = RADIUS + BETTER // 2  # pixels without a place around them
TOP = 0.01  # of the places
POSITIONS = 0.1  # share of the variance that the place of a pixel explains; below: a surface
MOST_PICTURES = 1_000  # that a fit takes
TAIL_PIXELS = 20_000  # places from which the rarity of a place is read
KINDS = ("worse", "better")  # scores at each resolution


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

    count = min(SURROUNDINGS, most)
    if count < 2:
        return direction.mean(0, keepdim=True)
    found = MiniBatchKMeans(count, random_state=0, n_init=3).fit(direction.numpy())
    return torch.from_numpy(found.cluster_centers_).to(direction.dtype)


@dataclass(frozen=True)
class UpperTail:
    """The upper tail of reference scores.

    Attributes:
        values: increasing, (knots,).
        surprise: -log p at each, increasing, (knots,).
        center, spread: median and interquartile range of the reference scores.
        excess: beta.
    """

    values: Array
    surprise: Array
    center: float
    spread: float
    excess: float

    @classmethod
    def of(cls, scores: Array) -> UpperTail:
        """The tail of the scores of reference rows, (rows,)."""
        ordered = np.sort(np.asarray(scores, dtype=np.float64))
        low, center, high = np.quantile(ordered, (0.25, 0.5, 0.75))
        spread = float(high - low) or float(np.ptp(ordered)) or 1.0
        grid = GRID * spread
        values = np.unique(np.rint((ordered - center) / grid)) * grid + center
        beyond = len(ordered) - np.searchsorted(ordered, values - grid / 2, side="left")
        surprise = np.log(len(ordered) + 1) - np.log1p(beyond)
        upper = ordered[np.searchsorted(ordered, np.quantile(ordered, 1 - UPPER)) :]
        excess = float((upper - upper[0]).mean()) or spread
        return cls(values, surprise, float(center), spread, excess)

    def __call__(self, scores: Array) -> Array:
        """-log p of each score in nats, continued beyond the reference rows."""
        scores = np.clip(np.asarray(scores, dtype=np.float64), -FARTHEST, FARTHEST)
        inside = np.interp(scores, self.values, self.surprise)
        further = np.log1p(np.maximum(scores - self.values[-1], 0.0) / self.excess)
        rise = RISE * np.arcsinh((scores - self.center) / self.spread)
        return np.asarray(inside + further + rise)


@dataclass(frozen=True, eq=False)
class Surface:
    """Normal pictures, and how well their pixels fit the pixels around them.

    Attributes:
        shape: (channels, height, width) of a picture.
        fits: at each resolution, one for each channel.
        tails: at each resolution, of the two scores of a picture.
        pixels: at each resolution, of the two scores of a place.
    """

    shape: tuple[int, ...]
    fits: tuple[tuple[ChannelFit, ...], ...]
    tails: tuple[Mapping[str, UpperTail], ...]
    pixels: tuple[Mapping[str, UpperTail], ...]

    @classmethod
    def of(cls, row: Array, shape: tuple[int, ...], fresh: Array | None = None) -> Surface:
        """The surface that normal pictures show.

        Args:
            row: the pictures, (rows, numbers).
            shape: (channels, height, width).
            fresh: others, for the tails; None: use ``row``.
        """
        known = _some_pictures(row, shape)
        others = known if fresh is None else _some_pictures(fresh, shape)
        fits, tails, pixels = [], [], []
        for seen, compared in zip(_resolutions(known), _resolutions(others), strict=True):
            fits.append(fitted(seen))
            places = _places(fits[-1], compared)
            tails.append({kind: UpperTail.of(_top(each)) for kind, each in places.items()})
            pixels.append({kind: UpperTail.of(_some(each)) for kind, each in places.items()})
        return cls(tuple(shape), tuple(fits), tuple(tails), tuple(pixels))

    def scores(self, row: Array) -> Array:
        """The score of each picture, (rows,); higher is more anomalous."""
        squares = np.zeros(len(row))
        for tails, places in zip(self.tails, self._at_resolutions(row), strict=True):
            for kind, each in places.items():
                squares += np.square(np.maximum(tails[kind](_top(each)), 0.0))
        return np.asarray(np.sqrt(squares))

    def heat(self, row: Array) -> Tensor:
        """Rarity of each pixel, nats, (rows, height, width); 0 at the border.

        At each resolution it is -log of twice the smaller share of normal places that fit as badly,
        or as well; the resolutions are added.
        """
        total = torch.zeros(len(row), *self.shape[1:])
        for tails, places in zip(self.pixels, self._at_resolutions(row), strict=True):
            worse, better = (tails[kind](places[kind].numpy()) for kind in KINDS)
            rare = np.maximum(np.maximum(worse, better) - math.log(2), 0)
            total += _enlarged(torch.from_numpy(rare).float(), self.shape[1:])
        return total

    def _at_resolutions(self, row: Array) -> Iterator[dict[str, Tensor]]:
        """Both scores of each place at each resolution."""
        for fits, seen in zip(self.fits, _resolutions(_pictures(row, self.shape)), strict=True):
            yield _places(fits, seen)


def has_surroundings(shape: tuple[int, ...]) -> bool:
    """Whether rows of this shape are pictures that are large enough."""
    return len(shape) == 3 and min(shape[1:]) >= LEAST_SIDE


def is_surface(pictures: Tensor) -> bool:
    r"""Whether the place of a pixel says little about its value, (rows, channels, height, width).

    .. math:: \frac{\operatorname{Var}_p \bar x_p - \overline{s^2} / n}{\overline{s^2}} < 0.1

    with the mean x_p and the variance s^2 of n pictures at each place p.
    """
    if len(pictures) < 2 or not has_surroundings(tuple(pictures.shape[1:])):
        return False
    some = pictures[spread_rows(len(pictures), MOST_PICTURES)].double()
    variance = some.var(0).mean()
    if not variance > 0:
        return False
    between = some.mean(0).flatten(1).var(1).mean() - variance / len(some)
    return bool(between / variance < POSITIONS)


def _pictures(row: Array, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(row, np.float32)).reshape(-1, *shape)


def _some_pictures(row: Array, shape: tuple[int, ...]) -> Tensor:
    return _pictures(row[spread_rows(len(row), MOST_PICTURES).numpy()], shape)


def _resolutions(pictures: Tensor) -> list[Tensor]:
    """The pictures at each resolution at which they are large enough."""
    steps = [step for step in RESOLUTIONS if min(pictures.shape[2:]) // step >= LEAST_SIDE]
    return [F.avg_pool2d(pictures, step) for step in steps]


def _places(fits: tuple[ChannelFit, ...], pictures: Tensor) -> dict[str, Tensor]:
    """Both scores of each place, (rows, height - 2 BORDER, width - 2 BORDER)."""
    log_u = excess(fits, pictures).unsqueeze(1)
    inside = (BETTER - WORSE) // 2  # so that both have the same places
    worse = F.avg_pool2d(log_u.exp(), WORSE, 1)[..., inside:-inside, inside:-inside]
    better = F.avg_pool2d(-log_u, BETTER, 1)
    return dict(zip(KINDS, (worse.squeeze(1), better.squeeze(1)), strict=True))


def _top(places: Tensor) -> Array:
    flat = places.flatten(1)
    highest = flat.topk(max(1, round(TOP * flat.shape[1])), 1).values
    return np.asarray(highest.mean(1).numpy(), np.float64)


def _some(places: Tensor) -> Array:
    flat = places.flatten()
    step = max(1, len(flat) // TAIL_PIXELS)
    return np.asarray(flat[::step].numpy(), np.float64)


def _enlarged(places: Tensor, size: tuple[int, ...]) -> Tensor:
    """A map of places as one of pixels, (rows, *size), 0 at the border."""
    small = F.pad(places, (BORDER,) * 4)
    step = size[0] // small.shape[1]
    wide = small.repeat_interleave(step, 1).repeat_interleave(step, 2)
    return F.pad(wide, (0, size[1] - wide.shape[2], 0, size[0] - wide.shape[1]))
