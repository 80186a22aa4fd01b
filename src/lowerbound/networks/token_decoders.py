"""Networks of one token after another, given features of every place.

A token is a code, an integer below ``levels``. A hidden token has the code ``levels``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lowerbound.networks.base import attention_heads
from lowerbound.networks.causal_transformer import CausalTransformer, KeyValues
from lowerbound.networks.initialization import QUIET, linear
from lowerbound.networks.recurrence import GatedRecurrentUnit
from lowerbound.networks.tokens import VECTOR


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
