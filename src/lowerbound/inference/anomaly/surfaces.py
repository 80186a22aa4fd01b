r"""Pictures of surfaces: how unusual their pixels are among the pixels around them.

In pictures of objects each place has a meaning. In pictures of a surface, such as wood, cloth or
circuit boards, any place may show anything, and a defect is small, so neither distances of whole
pictures nor a code of them find it. Here each pixel is predicted from the pixels around it
(:mod:`lowerbound.classical.surroundings`), wherever it is. With log u its excess over the usual
error, a picture has two scores at each resolution:

.. math::
    \text{worse} = \operatorname{top}\big(\operatorname{mean}_{3 \times 3} u\big) \qquad
    \text{better} = \operatorname{top}\big(-\operatorname{mean}_{5 \times 5} \log u\big)

where top is the mean of the highest hundredth of the places: somewhere the pixels fit worse than
usual (a scratch), or better (a smooth spot). The score is the root of the sum of the squared
rarities of these. The pixels at the border, which have no pixels around them, do not count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.classical.surroundings import RADIUS, ChannelFit, excess, fitted
from lowerbound.data.arrays import Array
from lowerbound.data.dataset import spread_rows
from lowerbound.inference.anomaly.tails import UpperTail

RESOLUTIONS = (1, 2)  # pixels of a side that become one
LEAST_SIDE = 4 * RADIUS  # pixels
WORSE, BETTER = 3, 5  # sides of the places
BORDER = RADIUS + BETTER // 2  # pixels without a place around them
TOP = 0.01  # of the places
POSITIONS = 0.1  # share of the variance that the place of a pixel explains; below: a surface
MOST_PICTURES = 1_000  # that a fit takes
TAIL_PIXELS = 20_000
KINDS = ("worse", "better")


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
