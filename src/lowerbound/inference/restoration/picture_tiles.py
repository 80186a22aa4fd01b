"""Posteriors of whole pictures of any size, tile by tile in bounded memory.

A tile is computed with as much of its surroundings as the network sees, so that tiles give what one
pass over the whole picture gives, up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.models.picture_denoiser import PictureDenoiser
from lowerbound.networks.pictures.noise_unet import COLORS, STRIDE

TILE = 512  # pixels of a tile's side, about 300 MB of memory
PASSES = 8  # quarter turns, and those of the mirror image


class CleanPicture(NamedTuple):
    """Mean and deviation of each pixel, (height, width, colors) float32; 0 black, 1 white."""

    mean: Array
    deviation: Array


@torch.no_grad()
def clean_picture(
    model: PictureDenoiser, noisy: Array, level: float, tile: int = TILE, passes: int = PASSES
) -> CleanPicture:
    """The posterior of a clean picture.

    Each pass sees the picture turned or mirrored. The mean of their means is closer than each; the
    deviation is that of one pass, root mean square, and so a little too large.

    Args:
        model: the denoiser.
        noisy: (height, width, 1 or 3), 0 black, 1 white.
        level: standard deviation of the noise, in the same units.
        tile: side of a tile, a multiple of 4.
        passes: 1 to 8.
    """
    height, width, colors = noisy.shape
    around = ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    whole = np.pad(noisy, around, mode="symmetric").astype(np.float32)
    x = torch.from_numpy(np.moveaxis(whole, -1, 0).copy())[None].expand(-1, COLORS, -1, -1)
    found = torch.empty(2, *x.shape[1:])
    sigma = torch.tensor([level], dtype=torch.float32)
    for inner, outer, within in _tiles(x.shape[2], x.shape[3], tile, model.network.reach):
        part = _posterior(model, x[(..., *outer)], sigma, passes)
        found[(..., *inner)] = part[(..., *within)]
    return CleanPicture(*(_laid_out(part, height, width, colors) for part in found))


def _posterior(model: PictureDenoiser, x: Tensor, sigma: Tensor, passes: int) -> Tensor:
    """Mean and deviation, (2, 3, height, width), of (1, 3, height, width)."""
    total = torch.zeros(2, *x.shape[1:])
    for number in range(passes):
        mirrored, turns = divmod(number, 4)
        seen = torch.rot90(x.flip(3) if mirrored else x, turns, (2, 3))
        found = model(seen, sigma)
        part = torch.rot90(torch.cat([found.mean, found.variance]), -turns, (2, 3))
        total += part.flip(3) if mirrored else part
    mean, variance = total / passes
    return torch.stack([mean, variance.sqrt()])


def _laid_out(part: Tensor, height: int, width: int, colors: int) -> Array:
    """(3, height, width) without the padding, in the picture's layout and number of colors."""
    values = part[:, :height, :width].permute(1, 2, 0)
    values = values if colors == COLORS else values.mean(-1, keepdim=True)
    laid: Array = values.contiguous().numpy()
    return laid


Place = tuple[slice, slice]


def _tiles(height: int, width: int, tile: int, reach: int) -> Iterator[tuple[Place, Place, Place]]:
    """Each tile in the picture, the tile with its surroundings, and the first within the second."""
    reach += -reach % STRIDE
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            pairs = [_span(top, height, tile, reach), _span(left, width, tile, reach)]
            inner, outer, within = zip(*pairs, strict=True)
            yield inner, outer, within


def _span(start: int, length: int, tile: int, reach: int) -> tuple[slice, slice, slice]:
    end = min(start + tile, length)
    first, last = max(start - reach, 0), min(end + reach, length)
    return slice(start, end), slice(first, last), slice(start - first, end - first)
