"""A network that sees some columns of a row, and what it then says about the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.networks.initialization import linear
from lowerbound.networks.processor.matrix_products import AffineMap, affine


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
