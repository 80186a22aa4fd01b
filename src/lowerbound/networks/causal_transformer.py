"""A Transformer whose tokens see themselves and those before; a cache adds one at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowerbound.networks.initialization import linear


@dataclass
class KeyValues:
    """Keys and values of the tokens that one attention layer has seen, (rows, heads, tokens, d)."""

    found: tuple[Tensor, Tensor] | None = None

    def extended(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append those of new tokens; return those of all tokens."""
        if self.found is not None:
            key, value = torch.cat((self.found[0], key), 2), torch.cat((self.found[1], value), 2)
        self.found = key, value
        return self.found


class CausalSoftmax(nn.Module):
    r"""softmax(Q K^T / sqrt(d)) V, where a query sees the keys up to its own.

    The queries are those of the last tokens: (rows, heads, new tokens, d) of (rows, heads, tokens,
    d).
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = (query / math.sqrt(query.shape[3])) @ key.transpose(2, 3)
        later = ~seen_by(query.shape[2], key.shape[2], query.device)
        return torch.softmax(scores.masked_fill(later, -math.inf), 3) @ value


def seen_by(queries: int, keys: int, device: torch.device) -> Tensor:
    """Which key each of the last queries sees, (queries, keys) bool."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


class CausalAttention(nn.Module):
    """Self-attention of each head, (rows, tokens, width) to the same.

    Args:
        width: numbers per token.
        heads: divides ``width``.
        scale: of the initial weights of the last map.
    """

    def __init__(self, width: int, heads: int, scale: float) -> None:
        super().__init__()
        self.heads = heads
        self.project = linear(width, 3 * width)
        self.mix: nn.Module = CausalSoftmax()
        self.merge = linear(width, width, scale)

    def forward(self, tokens: Tensor, seen: KeyValues | None = None) -> Tensor:
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.project(tokens).chunk(3, 2)
        )
        if seen is not None:
            key, value = seen.extended(key, value)
        merged: Tensor = self.merge(self.mix(query, key, value).transpose(1, 2).flatten(2))
        return merged


class CausalTransformerBlock(nn.Module):
    """t + A(N(t)), then t + M(N(t)): A attention, M a two-layer perceptron, N layer norm."""

    def __init__(self, width: int, heads: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attend = CausalAttention(width, heads, scale)
        self.think = nn.Sequential(
            nn.LayerNorm(width),
            linear(width, 4 * width),
            nn.ReLU(),
            linear(4 * width, width, scale),
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, seen: KeyValues | None = None) -> Tensor:
        tokens = tokens + self.drop(self.attend(self.before(tokens), seen))
        changed: Tensor = tokens + self.drop(self.think(tokens))
        return changed


class CausalTransformer(nn.Module):
    """Pre-norm blocks and the layer norm that ends them; token i depends on tokens 1 to i.

    Args:
        width: numbers per token.
        depth: blocks.
        heads: of each attention; divides ``width``.
        dropout: share of the numbers of each residual branch that are left out in training.

    Sources: Vaswani et al. 2017; Radford et al. 2019 (norms first, residual branches start smaller
    by 1/sqrt(2 * depth)).
    """

    def __init__(self, width: int, depth: int, heads: int, dropout: float) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(2 * max(depth, 1))
        blocks = [CausalTransformerBlock(width, heads, dropout, scale) for _ in range(depth)]
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(blocks)
        self.end = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, cache: list[KeyValues] | None = None) -> Tensor:
        """(rows, tokens, width) to the same.

        Args:
            tokens: all of them; with a cache, those after the tokens that it has seen.
            cache: from ``empty_cache``; it is extended.
        """
        tokens = self.drop(tokens)
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, None if cache is None else cache[index])
        ended: Tensor = self.end(tokens)
        return ended

    def empty_cache(self) -> list[KeyValues]:
        """A cache that has seen no token."""
        return [KeyValues() for _ in self.blocks]
