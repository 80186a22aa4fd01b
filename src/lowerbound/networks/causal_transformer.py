"""Networks of one token after another, given features of every place.

A token is a code, an integer below ``levels``. A hidden token has the code ``levels``.

A Transformer whose tokens see themselves and those before; a cache adds one at a time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowerbound.networks.base import attention_heads
from lowerbound.networks.frame_maps import GatedRecurrentUnit
from lowerbound.networks.initialization import QUIET, linear
from lowerbound.networks.tokens import VECTOR


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


class TokenDecoder(nn.Module, ABC):
    """Logits of each token given features of every place and the tokens before it.

    Args:
        levels: number of tokens.
        features: numbers of a place.
        width: numbers of the output of ``states``.
    """

    def __init__(self, levels: int, features: int, width: int) -> None:
        super().__init__()
        self.levels = levels
        self.vectors = nn.Embedding(levels + 2, VECTOR)  # hidden, and before the first
        self.head = linear(width, levels, 0.0)

    def forward(self, codes: Tensor, features: Tensor) -> Tensor:
        """Logits of the places of the codes, (rows, length, levels).

        Args:
            codes: (rows, length), ``levels`` where hidden; that of the last place is not read.
            features: of all places, (rows, places, features).
        """
        before = torch.full_like(codes[:, :1], self.levels + 1)
        vectors = self.vectors(torch.cat([before, codes[:, :-1]], 1))
        logits: Tensor = self.head(self.states(vectors, features))
        return logits

    @abstractmethod
    def states(self, vectors: Tensor, features: Tensor) -> Tensor:
        """The states of the first places, (rows, length, width).

        Args:
            vectors: of the token before each of these places, (rows, length, VECTOR).
            features: of all places, (rows, places, features).
        """

    @abstractmethod
    def drawing(self, features: Tensor) -> TokenByToken:
        """A state that goes from token to token.

        Args:
            features: (rows, places, features).
        """


def inputs_of(vectors: Tensor, features: Tensor) -> Tensor:
    """The vectors of the first places with the features of these, (rows, length, numbers)."""
    return torch.cat([vectors, features[:, : vectors.shape[1]]], 2)


class TokenByToken(ABC):
    """Rows whose tokens are drawn one after another.

    Args:
        decoder: the network.
        features: (rows, places, features).
    """

    def __init__(self, decoder: TokenDecoder, features: Tensor) -> None:
        self.decoder, self.features = decoder, features
        self.last = torch.full_like(features[:, 0, 0], decoder.levels + 1, dtype=torch.long)

    def logits(self, place: int) -> Tensor:
        """Logits of a place, (rows, levels); places come one after another."""
        inputs = torch.cat([self.decoder.vectors(self.last), self.features[:, place]], 1)
        logits: Tensor = self.decoder.head(self.step(inputs))
        return logits

    @abstractmethod
    def step(self, inputs: Tensor) -> Tensor:
        """The state of the next place, (rows, width)."""

    @abstractmethod
    def keep(self, rows: Tensor | slice) -> None:
        """Go on with these rows, which may repeat."""

    def put(self, codes: Tensor, rows: Tensor | slice) -> None:
        """Take the tokens of the place, (rows,), and go on with some of the rows."""
        self.last, self.features = codes[rows], self.features[rows]
        self.keep(rows)


class RecurrentDecoder(TokenDecoder):
    """A gated recurrent unit; its first state comes from the mean of the features.

    Source: Bowman et al. 2016.
    """

    def __init__(self, levels: int, features: int, width: int) -> None:
        super().__init__(levels, features, width)
        self.begin = linear(features, width)
        self.recurrent = GatedRecurrentUnit(VECTOR + features, width)

    def states(self, vectors: Tensor, features: Tensor) -> Tensor:
        states: Tensor = self.recurrent(inputs_of(vectors, features), self.beginning(features))
        return states

    def beginning(self, features: Tensor) -> Tensor:
        """The state before the first token, (rows, width)."""
        return torch.tanh(self.begin(features.mean(1)))

    def drawing(self, features: Tensor) -> _RecurrentDrawing:
        return _RecurrentDrawing(self, features)


class _RecurrentDrawing(TokenByToken):
    def __init__(self, decoder: RecurrentDecoder, features: Tensor) -> None:
        super().__init__(decoder, features)
        self.recurrent, self.state = decoder.recurrent, decoder.beginning(features)

    def step(self, inputs: Tensor) -> Tensor:
        self.state = self.recurrent.step(inputs, self.state)
        return self.state

    def keep(self, rows: Tensor | slice) -> None:
        self.state = self.state[rows]


class AttendingDecoder(TokenDecoder):
    """A causal Transformer with learned positions.

    Args:
        levels, features, width: as of ``TokenDecoder``.
        places: of a row.
        depth: blocks.
        dropout: share of the numbers of each branch that are left out in training.
    """

    def __init__(
        self, levels: int, features: int, width: int, *, places: int, depth: int, dropout: float
    ) -> None:
        super().__init__(levels, features, width)
        self.enter = linear(VECTOR + features, width)
        self.positions = nn.Parameter(torch.randn(places, width) * QUIET)
        self.body = CausalTransformer(width, depth, attention_heads(width), dropout)

    def states(self, vectors: Tensor, features: Tensor) -> Tensor:
        tokens = self.enter(inputs_of(vectors, features))
        states: Tensor = self.body(tokens + self.positions[: tokens.shape[1]])
        return states

    def drawing(self, features: Tensor) -> _AttendingDrawing:
        return _AttendingDrawing(self, features)


class _AttendingDrawing(TokenByToken):
    def __init__(self, decoder: AttendingDecoder, features: Tensor) -> None:
        super().__init__(decoder, features)
        self.network, self.cache, self.place = decoder, decoder.body.empty_cache(), 0

    def step(self, inputs: Tensor) -> Tensor:
        token = self.network.enter(inputs) + self.network.positions[self.place]
        self.place += 1
        states: Tensor = self.network.body(token.unsqueeze(1), self.cache)
        return states[:, 0]

    def keep(self, rows: Tensor | slice) -> None:
        self.cache = [_kept(seen, rows) for seen in self.cache]


def _kept(seen: KeyValues, rows: Tensor | slice) -> KeyValues:
    if seen.found is None:
        return seen
    key, value = seen.found
    return KeyValues((key[rows], value[rows]))


def usual_features(levels: int) -> int:
    """Numbers of a place that the decoder of z returns by default."""
    return min(64, 16 * math.ceil(math.log2(levels) / 2))
