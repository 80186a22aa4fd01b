"""Networks that read rows of tokens: the vectors of tokens, and encoders.

A token is a code, an integer below ``levels``. A hidden token has the code ``levels``.
"""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowerbound.config import option
from lowerbound.data.sequences.texts import END
from lowerbound.errors import OptionError
from lowerbound.networks.base import NETWORKS, Decoder, Encoder, Network, attention_heads, beside
from lowerbound.networks.frame_maps import GatedRecurrentUnit
from lowerbound.networks.initialization import QUIET, linear
from lowerbound.networks.inputs import Input
from lowerbound.networks.mlp import dense_layers
from lowerbound.networks.transformer import transformer_blocks

VECTOR = 32  # numbers of the vector of a token
SHORTCUT = 0.6  # gain of the shortcut to the code
SPAN = 5  # places that a convolution sees
FURTHER = 2  # convolutions after the first
BENT = 256  # hidden units after the convolutions
SUM_UNIT = 20  # places; sums of usual sequences then have the scale of maxima


def codes_of(x: Tensor, levels: int, observed: Tensor | None) -> Tensor:
    """Codes of model units, long; ``levels`` where hidden."""
    codes = torch.round(x * (levels - 1)).clamp(0, levels - 1).long()
    return codes if observed is None else torch.where(observed, codes, levels)


class TokenVectors(Input):
    """A learned vector for each token, and beside it whether the token is there.

    Places after the token 0, which ends a row, are zero.

    Args:
        places: of a row.
        levels: number of tokens.

    Shapes: (rows, places) to (rows, VECTOR + 1, places).
    """

    def __init__(self, places: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.shape = (VECTOR + 1, places)
        self.vectors = nn.Embedding(levels + 1, VECTOR)

    def forward(
        self, x: Tensor, observed: Tensor | None = None, missing: Tensor | None = None
    ) -> Tensor:
        codes = codes_of(x, self.levels, observed)
        vectors: Tensor = self.vectors(codes)
        ends = (codes == END).int()
        inside = (ends.cumsum(1) - ends == 0).unsqueeze(2).to(vectors.dtype)
        there = (codes < self.levels).unsqueeze(2).to(vectors.dtype)
        return (inside * torch.cat([vectors, there], 2)).transpose(1, 2)


# encoders -----------------------------------------------------------------------------------------


class SequenceNetwork(Network, ABC):
    """Networks whose encoder reads a sequence; the decoder makes the features of every place."""

    context: int

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> PlacesDecoder:
        return PlacesDecoder(latent_dim, self.context, parameter_shape, condition_dim)


@NETWORKS.register("positions")
@dataclass(frozen=True)
class Positions(SequenceNetwork):
    """Hidden layers over the tokens of all places, and convolutions beside them.

    The hidden layers learn which token is at which place, with a shortcut from the first of them to
    the code. The convolutions learn what is there at any place, such as a functional group.
    """

    hidden: tuple[int, ...] = option((1024, 512), "units of the encoder's hidden layers")
    channels: int = option(96, "channels of the encoder's convolutions; 0: it has none")
    context: int = option(512, "hidden units of the decoder")

    def __post_init__(self) -> None:
        if not self.hidden or min(*self.hidden, self.context) < 1:
            raise OptionError("give a hidden layer or more, with at least one unit each")
        if self.channels < 0:
            raise OptionError(f"channels must not be negative, and it is {self.channels}")

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> PlacesEncoder:
        sequence = as_sequence(event_shape)
        return PlacesEncoder(sequence, self.hidden, self.channels, numbers, condition_dim)


@NETWORKS.register("recurrent")
@dataclass(frozen=True)
class Recurrent(SequenceNetwork):
    """A gated recurrent unit that reads a sequence in both directions.

    Sources: Cho et al. 2014; Schuster & Paliwal 1997.
    """

    hidden: int = option(256, "units of each direction")
    context: int = option(512, "hidden units of the decoder")

    def __post_init__(self) -> None:
        if min(self.hidden, self.context) < 1:
            raise OptionError("hidden and context must be at least 1")

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> RecurrentEncoder:
        inputs, _ = as_sequence(event_shape)
        return RecurrentEncoder(inputs, self.hidden, numbers, condition_dim)


@NETWORKS.register("sequence_transformer")
@dataclass(frozen=True)
class SequenceTransformer(SequenceNetwork):
    """Self-attention among the places of a sequence.

    Source: Vaswani et al. 2017.
    """

    width: int = option(128, "numbers of each place")
    depth: int = option(3, "blocks")
    context: int = option(512, "hidden units of the decoder")

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.context) < 1:
            raise OptionError("width, depth and context must be at least 1")

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> AttendingEncoder:
        heads = attention_heads(self.width)
        blocks = transformer_blocks(self.depth, self.width, heads, 2 * self.width, "silu")
        shape = as_sequence(event_shape)
        return AttendingEncoder(shape, blocks, self.width, numbers, condition_dim)


def as_sequence(event_shape: tuple[int, ...]) -> tuple[int, int]:
    """(numbers of a place, places): a vector is a sequence of numbers, a picture one of columns."""
    return math.prod(event_shape[:-1]), event_shape[-1]


def places_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (rows, ..., places) as sequences.

    Returns:
        (rows, places, numbers), and the number of places up to the last that is not zero, (rows,),
        at least one.
    """
    numbers, places = as_sequence(tuple(x.shape[1:]))
    sequence = x.reshape(x.shape[0], numbers, places).transpose(1, 2)
    place = torch.arange(1, places + 1, device=x.device)
    return sequence, ((sequence != 0).any(2) * place).amax(1).clamp_min(1)


class PlacesEncoder(Encoder):
    """h = A x, then B h + f(h) + g(x): a linear path, hidden layers, and convolutions.

    Args:
        shape: (numbers of a place, places).
        hidden: units of A and of the layers after it.
        channels: of the convolutions; 0: there are none.
        numbers: of the posterior.
        condition_dim: numbers of the condition.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        hidden: tuple[int, ...],
        channels: int,
        numbers: int,
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.first = linear(math.prod(shape) + condition_dim, hidden[0])
        self.shortcut = linear(hidden[0], numbers, SHORTCUT, bias=False)
        self.rest = nn.Sequential(nn.SiLU(), dense_layers((*hidden, numbers), "silu"))
        self.anywhere = Anywhere(shape[0], channels, numbers) if channels else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        first = self.first(beside(x.flatten(1), condition, self.condition_dim))
        numbers: Tensor = self.shortcut(first) + self.rest(first)
        if self.anywhere is not None:
            sequence, lengths = places_of(x)
            numbers = numbers + self.anywhere(sequence.transpose(1, 2), lengths)
        return numbers


class Anywhere(nn.Module):
    """What a sequence has at any place: convolutions, then sum and maximum over the places.

    Args:
        inputs: numbers of a place.
        channels: of each convolution.
        numbers: of the posterior.
    """

    def __init__(self, inputs: int, channels: int, numbers: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, channels, SPAN, padding=SPAN // 2)
        self.further = nn.ModuleList(
            nn.Conv1d(channels, channels, SPAN, padding=SPAN // 2) for _ in range(FURTHER)
        )
        self.line = linear(2 * channels, numbers, QUIET, bias=False)
        self.bend = nn.Sequential(
            linear(2 * channels, BENT), nn.SiLU(), linear(BENT, numbers, QUIET)
        )

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(rows, inputs, places) and the lengths of the sequences, (rows,), to (rows, numbers)."""
        place = torch.arange(x.shape[2], device=x.device)
        inside = (place < lengths.unsqueeze(1)).unsqueeze(1).to(x.dtype)
        found = nn.functional.silu(self.first(x)) * inside
        for layer in self.further:
            found = found + nn.functional.silu(layer(found)) * inside
        both = torch.cat([found.sum(2) / SUM_UNIT, found.amax(2)], 1)
        numbers: Tensor = self.line(both) + self.bend(both)
        return numbers


class PlacesDecoder(Decoder):
    """A z + f(z), f a hidden layer: the parameters of every place.

    Args:
        latent_dim: numbers of z.
        hidden: units of f.
        parameter_shape: of the likelihood.
        condition_dim: numbers of the condition.
    """

    def __init__(
        self, latent_dim: int, hidden: int, parameter_shape: tuple[int, ...], condition_dim: int
    ) -> None:
        super().__init__()
        self.condition_dim, self.parameter_shape = condition_dim, tuple(parameter_shape)
        numbers, inputs = math.prod(parameter_shape), latent_dim + condition_dim
        self.shortcut = linear(inputs, numbers, QUIET, bias=False)
        self.first, self.last = linear(inputs, hidden), linear(hidden, numbers, QUIET)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        inputs = beside(z, condition, self.condition_dim)
        found = self.shortcut(inputs) + self.last(nn.functional.silu(self.first(inputs)))
        shaped: Tensor = found.unflatten(1, self.parameter_shape)
        return shaped

    @property
    def output_bias(self) -> nn.Parameter:
        return self.last.bias


class RecurrentEncoder(Encoder):
    """The mean and the maximum over places of the states of both directions, then a linear map.

    Args:
        inputs: numbers of a place.
        hidden: units of each direction.
        numbers: of the posterior.
        condition_dim: numbers of the condition.
    """

    def __init__(self, inputs: int, hidden: int, numbers: int, condition_dim: int) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.begin = nn.Parameter(torch.randn(2, hidden) * QUIET)  # states before the first place
        self.forth = GatedRecurrentUnit(inputs, hidden)
        self.back = GatedRecurrentUnit(inputs, hidden)
        self.heads = linear(4 * hidden + condition_dim, numbers, QUIET)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        places, lengths = places_of(x)
        number = torch.arange(places.shape[1], device=x.device)
        inside = (number < lengths.unsqueeze(1)).unsqueeze(2)
        backward = (lengths.unsqueeze(1) - 1 - number).clamp_min(0).unsqueeze(2)
        turned = places.gather(1, backward.expand(-1, -1, places.shape[2]))
        starts = self.begin.unsqueeze(1).expand(-1, x.shape[0], -1)
        states = torch.cat([self.forth(places, starts[0]), self.back(turned, starts[1])], 2)
        mean = torch.where(inside, states, 0.0).sum(1) / lengths.unsqueeze(1)
        most = torch.where(inside, states, -1.0).amax(1)
        features = torch.cat([mean, most], 1)
        numbers: Tensor = self.heads(beside(features, condition, self.condition_dim))
        return numbers


class AttendingEncoder(Encoder):
    """Blocks of self-attention, then a linear map of every place, as in ``TransformerEncoder``.

    Args:
        shape: (numbers of a place, places).
        blocks: (rows, places, width) to the same.
        width: numbers of a place inside the blocks.
        numbers: of the posterior.
        condition_dim: numbers of the condition.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        blocks: nn.Sequential,
        width: int,
        numbers: int,
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.enter = linear(shape[0], width)
        self.positions = nn.Parameter(torch.randn(shape[1], width) * QUIET)
        self.blocks = blocks
        self.heads = linear(shape[1] * width + condition_dim, numbers, QUIET)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        places, _ = places_of(x)
        tokens = self.blocks(self.enter(places) + self.positions)
        numbers: Tensor = self.heads(beside(tokens.flatten(1), condition, self.condition_dim))
        return numbers
