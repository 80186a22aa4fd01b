"""A network for each column of a table, which sees any subset of the other columns of a row."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.initialization import linear
from lowerbound.networks.matrix_products import AffineMap, affine

SPREAD = 0.3  # of the initial vectors; rare codes, which training hardly reaches, stay alike


class KnownColumns(nn.Module):
    """Codes of columns, a mask of those that are known, and features, to numbers.

    ::

        [ vector of each code | number | known ] (columns), features
            ──> linear ──> residual blocks ──> hidden ──> linear, zero at the start ──> outputs

    Vectors and numbers of hidden columns are zero.

    Args:
        counts: number of codes of each column.
        features: numbers beside the columns.
        outputs: numbers that it returns.
        width: of the hidden layers.
        layers: residual blocks.
        vectors: length of the vector of a code.
    """

    offset: Tensor

    def __init__(
        self,
        counts: Sequence[int],
        features: int,
        outputs: int,
        *,
        width: int,
        layers: int,
        vectors: int,
    ) -> None:
        super().__init__()
        offset = torch.tensor([0, *counts]).cumsum(0)[:-1]
        self.register_buffer("offset", offset, persistent=False)
        self.vectors = nn.Embedding(sum(counts), vectors)
        self.first = AffineMap(len(counts) * (vectors + 2) + features, width)
        self.blocks = nn.ModuleList(KnownColumnsBlock(width) for _ in range(layers))
        self.last = linear(width, outputs, gain=0.0)

    def forward(self, codes: Tensor, numbers: Tensor, known: Tensor, features: Tensor) -> Tensor:
        """The outputs, (rows, outputs), from ``hidden``."""
        outputs: Tensor = self.last(self.hidden(codes, numbers, known, features))
        return outputs

    def hidden(self, codes: Tensor, numbers: Tensor, known: Tensor, features: Tensor) -> Tensor:
        """The last hidden layer, (rows, width).

        Args:
            codes: long, (rows, columns).
            numbers: (rows, columns).
            known: mask, (rows, columns).
            features: (rows, features).
        """
        mask = known.to(features.dtype).unsqueeze(-1)
        vectors = self.vectors(codes + self.offset).to(features.dtype)
        seen = torch.cat((vectors, numbers.unsqueeze(-1), torch.ones_like(mask)), -1) * mask
        h: Tensor = self.first(torch.cat((seen.flatten(1), features), 1))
        for block in self.blocks:
            h = block(h)
        return F.silu(h)

    def some(self, hidden: Tensor, outputs: slice) -> Tensor:
        """Some of the outputs, from ``hidden``."""
        return affine(hidden, self.last.weight[outputs], self.last.bias[outputs])


class KnownColumnsBlock(nn.Module):
    """h + B silu(A norm(h)), where B starts at zero.

    Args:
        width: of h; the layer between has twice as many units.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = AffineMap(width, 2 * width)
        self.narrow = linear(2 * width, width, gain=0.0)

    def forward(self, h: Tensor) -> Tensor:
        added: Tensor = self.narrow(F.silu(self.wide(self.norm(h))))
        return h + added


class ColumnNetworks(nn.Module):
    r"""What the known columns and the features say about each column.

    Each column i adds a vector to a sum, and column j has residual blocks of its own:

    .. math:: h_j = t_j + C f + \sum_{i \in known(j)} A_i \, [v_i(x_i), number_i, 1]
    .. math:: output_j = B_j \, silu(blocks_j(h_j))

    ``known(j)`` is arbitrary, so one pass returns every conditional of the chain rule in any order
    of the columns. B starts at zero.

    Args:
        counts: number of codes of each column.
        features: numbers f beside the columns.
        outputs: the part of the outputs that belongs to each column, one after another.
        width: of h.
        layers: residual blocks of each column.
        vectors: length of the vector v of a code.

    Source: Uria et al. 2014 (sums of hidden layers over the columns seen so far).
    """

    offset: Tensor

    def __init__(
        self,
        counts: Sequence[int],
        features: int,
        outputs: Sequence[slice],
        *,
        width: int,
        layers: int,
        vectors: int,
    ) -> None:
        super().__init__()
        columns = len(counts)
        offset = torch.tensor([0, *counts]).cumsum(0)[:-1]
        self.register_buffer("offset", offset, persistent=False)
        self.outputs = list(outputs)
        self.vectors = nn.Embedding(sum(counts), vectors)
        nn.init.normal_(self.vectors.weight, std=SPREAD)
        spread = 1 / math.sqrt(columns * (vectors + 2))
        self.maps = nn.Parameter(spread * torch.randn(columns, vectors + 2, width))
        self.targets = nn.Parameter(0.1 * torch.randn(columns, width))
        self.features = linear(features, width, bias=False)
        self.blocks = nn.ModuleList(ColumnNetworksBlock(columns, width) for _ in range(layers))
        self.last = linear(width, self.outputs[-1].stop, gain=0.0)

    def forward(self, codes: Tensor, numbers: Tensor, known: Tensor, features: Tensor) -> Tensor:
        """The outputs of all columns, (rows, outputs).

        Args:
            codes: long, (rows, columns).
            numbers: (rows, columns).
            known: whether column j sees column i, (rows or 1, columns j, columns i).
            features: (rows, features).
        """
        mask = known.to(features.dtype).expand(codes.shape[0], -1, -1)
        seen = torch.bmm(mask, self.added(codes, numbers, features.dtype).transpose(0, 1))
        h = (seen + self.targets + self.features(features).unsqueeze(1)).transpose(0, 1)
        for block in self.blocks:
            h = block(h)
        sizes = [part.stop - part.start for part in self.outputs]
        weights, biases = self.last.weight.split(sizes), self.last.bias.split(sizes)
        each = zip(F.silu(h).unbind(0), weights, biases, strict=True)
        return torch.cat([affine(*parts) for parts in each], 1)

    def added(self, codes: Tensor, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """What each column adds to the sum, (columns, rows, width)."""
        return torch.bmm(self._inputs(codes, numbers, self.offset, dtype), self.maps)

    def added_by(self, column: int, codes: Tensor, numbers: Tensor, dtype: torch.dtype) -> Tensor:
        """What one column adds, (rows, width), from its codes and numbers, (rows,)."""
        offset = self.offset[column]
        inputs = self._inputs(codes.unsqueeze(1), numbers.unsqueeze(1), offset, dtype)
        return inputs[0] @ self.maps[column]

    def of(self, column: int, seen: Tensor) -> Tensor:
        """The outputs of one column, (rows, its outputs).

        Args:
            column: its place.
            seen: the sum over the columns that it sees, and C f, (rows, width).
        """
        h = (seen + self.targets[column]).unsqueeze(0)
        for block in self.blocks:
            assert isinstance(block, ColumnNetworksBlock)
            h = block(h, slice(column, column + 1))
        part = self.outputs[column]
        return affine(F.silu(h[0]), self.last.weight[part], self.last.bias[part])

    def _inputs(self, codes: Tensor, numbers: Tensor, offset: Tensor, dtype: torch.dtype) -> Tensor:
        """[vector | number | 1] of each cell, (columns, rows, vectors + 2)."""
        vectors = self.vectors((codes + offset).mT).to(dtype)
        beside = numbers.mT.to(dtype).unsqueeze(-1)
        return torch.cat((vectors, beside, torch.ones_like(beside)), -1)


class ColumnNetworksBlock(nn.Module):
    """h_j + B_j silu(A_j norm(h_j)) of each column j, where B starts at zero.

    Args:
        columns: number of columns.
        width: of h; the layer between has twice as many units.
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Parameter(torch.randn(columns, width, 2 * width) / math.sqrt(3 * width))
        self.bias = nn.Parameter(torch.zeros(columns, 1, 2 * width))
        self.narrow = nn.Parameter(torch.zeros(columns, 2 * width, width))

    def forward(self, h: Tensor, columns: slice = slice(None)) -> Tensor:
        """The next h, (columns, rows, width), of some columns."""
        wide = torch.baddbmm(self.bias[columns], self.norm(h), self.wide[columns])
        return torch.baddbmm(h, F.silu(wide), self.narrow[columns])
