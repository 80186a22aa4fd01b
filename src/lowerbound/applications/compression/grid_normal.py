r"""A Gaussian over the points of a grid, in whole numbers.

::

    z = k / 2^12        k = m + c w + r        c ~ table        r ~ uniform on 0 .. w - 1

The density is cut into 256 bins of a sixteenth of a standard deviation. One table holds their
probabilities for all locations m and widths w. The density is flat within each bin, which costs
1 / (24 * 16^2) nats. A 257th entry means that k lies anywhere within reach, so that the prior
supports every latent of a posterior.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.compression.stack import PRECISION, CodingTable, Stack
from lowerbound.data.arrays import Array
from lowerbound.distributions.reparameterization import Pushed, Size

GRID = 12  # fractional bits
POINTS = 1 << GRID  # per unit
REACH = 1 << 21  # largest |k|: 512 units
PER_DEVIATION = 16  # bins
BINS = 256  # 8 deviations to either side
ANYWHERE = BINS  # the table's last entry
LEAST_WIDTH = 2  # the coder needs at least two values
MOST_WIDTH = REACH // BINS
UNIT_WIDTH = POINTS // PER_DEVIATION  # of a standard normal


@lru_cache
def bell() -> Array:
    """The table: whole numbers that sum to 2 ** 24, (257,).

    Bin c has round(2 ** 24 (Phi((c - 127) / 16) - Phi((c - 128) / 16))), at least 1; "anywhere"
    has 16, and the two bins in the middle have the remainder.
    """
    edges = np.array(
        [math.erf(e / PER_DEVIATION / math.sqrt(2)) for e in range(-BINS // 2, BINS // 2 + 1)]
    )
    total = 1 << PRECISION
    counts = np.maximum(np.rint(np.diff(edges) / 2 * total), 1).astype(np.int64)
    counts = np.append(counts, 16)
    counts[BINS // 2 - 1 : BINS // 2 + 1] += (total - counts.sum()) // 2
    return counts


@lru_cache
def table() -> CodingTable:
    """The same as a table of the coder."""
    return CodingTable(bell())


Order = Literal["coarse first", "fine first"]
"""Order in which the bin and the place within it are popped.

Posteriors should pop bits that look like noise, above all for their bins. The place within a bin
looks like noise; the bin of a row's latent does not. Priors therefore leave the place on top, and
posteriors pop their bins from it.
"""
Parts = tuple[Tensor, Tensor, Tensor]


class Ambiguous(Exception):
    """Bits name a point of the grid that other bits name too, so they cannot be restored from it:
    they name it as "anywhere", and it lies in a bin. Of a latent of deviation 1, about one in 70
    million is such a point."""


class GridNormal(Pushed):
    """A Gaussian on the grid for every latent of (samples | 1, batch | 1, *event).

    Args:
        m: locations in points of the grid, int64.
        width: width of a bin, at least 2, int64.
        coded: where False, (*event,), z is m and costs no bits; None: everywhere True.
    """

    has_rsample = False

    def __init__(self, m: Tensor, width: Tensor, coded: Tensor | None = None) -> None:
        self.m, self.width = torch.broadcast_tensors(
            m.clamp(-REACH // 2, REACH // 2), width.clamp(LEAST_WIDTH, MOST_WIDTH)
        )
        self.coded = coded
        super().__init__(self.m.shape[:2], self.m.shape[2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return _units(self.m)

    @property
    def like(self) -> Tensor:
        locations: Tensor = self.m.float()
        return locations

    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise to the grid at the same cumulative probability."""
        below = torch.special.ndtr(noise.double())
        ends = torch.from_numpy(np.cumsum(bell())).double() / (1 << PRECISION)
        c = torch.searchsorted(ends[:-1].contiguous(), below.contiguous()).clamp_max(BINS - 1)
        starts = torch.cat([ends.new_zeros(1), ends])
        within = (below - starts[c]) / (starts[c + 1] - starts[c])
        r = (within * self.width).floor().long().clamp_min(0)
        k = self._k(c, torch.minimum(r, self.width - 1))
        return self._settled(k)

    def log_prob(self, z: Tensor) -> Tensor:
        """log of the mass of z, (samples, batch), nats in float64."""
        c, _, _ = self._parts(z)
        counts = torch.from_numpy(bell())[c].double()
        terms = torch.log(counts / (1 << PRECISION)) - torch.log(self.width.double())
        blocks = torch.log((2 * REACH // self.width + 1).double())
        terms = terms - torch.where(c == ANYWHERE, blocks, 0.0)
        if self.coded is not None:
            terms = torch.where(self.coded, terms, 0.0)
        total: Tensor = terms.flatten(2).sum(-1)
        return total

    def encode(self, stack: Stack, z: Tensor, order: Order) -> None:
        """Push z, (1, batch, *event), for popping in that order."""
        parts = self._parts(z)
        if order == "coarse first":
            self._push_fine(stack, parts)
            self._push_coarse(stack, parts)
        else:
            self._push_coarse(stack, parts)
            self._push_fine(stack, parts)

    def decode(self, stack: Stack, order: Order) -> Tensor:
        """Pop z, (1, batch, *event).

        Raises:
            Ambiguous: ``encode`` would not push the bits that were popped.
        """
        width = self._chosen(self.width)
        if order == "coarse first":
            c, block = self._pop_coarse(stack)
            r = stack.pop_uniform(width)
        else:
            r = stack.pop_uniform(width)
            c, block = self._pop_coarse(stack)
        near = self._chosen(self.m) + (c - BINS // 2) * width + r
        k = np.where(c == ANYWHERE, block * width + r - REACH, near)
        if np.any((c == ANYWHERE) & self._in_a_bin(k)):
            raise Ambiguous
        return self._settled(self._whole(k))

    def _in_a_bin(self, k: Array) -> Array:
        """Whether coded points lie in a bin and not beyond them all."""
        place = (k - self._chosen(self.m)) // self._chosen(self.width) + BINS // 2
        inside: Array = (place >= 0) & (place < BINS)
        return inside

    def _push_coarse(self, stack: Stack, parts: Parts) -> None:
        c, block, _ = (self._chosen(part) for part in parts)
        far = c == ANYWHERE
        if far.any():
            stack.push_uniform(block[far], self._blocks()[far])
        stack.push_table(c, table())

    def _pop_coarse(self, stack: Stack) -> tuple[Array, Array]:
        blocks = self._blocks()
        c = stack.pop_table(len(blocks), table()).astype(np.int64)
        far, block = c == ANYWHERE, np.zeros_like(blocks)
        if far.any():
            block[far] = stack.pop_uniform(blocks[far])
        return c, block

    def _push_fine(self, stack: Stack, parts: Parts) -> None:
        stack.push_uniform(self._chosen(parts[2]), self._chosen(self.width))

    def _blocks(self) -> Array:
        """Number of blocks of a bin's width within reach."""
        blocks: Array = 2 * REACH // self._chosen(self.width) + 1
        return blocks

    def _whole(self, k: Array) -> Tensor:
        """All latents, from the coded ones."""
        found = torch.from_numpy(k)
        if self.coded is None:
            return found.view(self.m.shape)
        whole: Tensor = self.m.clone()
        whole[:, :, self.coded] = found.view(*self.m.shape[:2], -1)
        return whole

    def _k(self, c: Tensor, r: Tensor) -> Tensor:
        k: Tensor = self.m + (c - BINS // 2) * self.width + r
        return k

    def _settled(self, k: Tensor) -> Tensor:
        """Points of the grid as z; latents that are not coded have their location."""
        return _units(k if self.coded is None else torch.where(self.coded, k, self.m))

    def _parts(self, z: Tensor) -> Parts:
        """(c, block if it is far, place within bin or block), int64."""
        k = torch.round(z.double() * POINTS).long()
        c = torch.div(k - self.m, self.width, rounding_mode="floor") + BINS // 2
        near = (c >= 0) & (c < BINS)
        r = torch.where(near, k - self.m - (c - BINS // 2) * self.width, (k + REACH) % self.width)
        return torch.where(near, c, ANYWHERE), (k + REACH) // self.width, r

    def _chosen(self, values: Tensor) -> Array:
        """The coded values, as one vector."""
        if self.coded is not None:
            values = values[:, :, self.coded]
        flat: Array = values.flatten().numpy()
        return flat

    def expand(self, batch_shape: Size, _instance: object = None) -> GridNormal:
        shape = (*batch_shape, *self.event_shape)
        return GridNormal(self.m.expand(shape), self.width.expand(shape), self.coded)


def _units(k: Tensor) -> Tensor:
    """Points of the grid as z, float32, exact."""
    z: Tensor = k.float() / POINTS
    return z
