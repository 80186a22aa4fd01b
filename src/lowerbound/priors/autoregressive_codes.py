"""A causal transformer as prior over codes: an exact density, drawn code by code.

It gives the logits of each code from those before and above it.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.config import construct
from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.networks.causal_transformer import CausalTransformer, KeyValues
from lowerbound.networks.initialization import QUIET, linear
from lowerbound.networks.prompts import prompt_embedding
from lowerbound.priors.attributes import attribute_completion, read
from lowerbound.priors.base import PriorTerms
from lowerbound.priors.codes import CODE_PRIORS, CodePrior
from lowerbound.priors.sequential_codes import (
    Conditionals,
    SequentialCodes,
    SequentialDistribution,
    Step,
)

FEATURES = 32  # numbers of a code's vector that are used, after a rotation to principal axes
NUMBERS = 32  # of a code's embedding
FREE = 0.1  # standard deviation of positions at the start
SLOW = 0.2  # factor of the part of an embedding that no vector determines: Adam changes it slowly
REACH = {1: (-2, -1, 0, 1, 2), 2: (-1, 0, 1)}  # steps to the neighbors along each axis
BEFORE = 4  # codes before a place that enter it directly, of a map of one axis
WIDTHS = ((128, 32), (4096, 64), (1 << 40, 96))  # width by places times K, up to the first number
PER_HEAD = 32  # channels of a head of attention


class CodeLookup(nn.Module, ABC):
    """Embeddings of codes."""

    @property
    @abstractmethod
    def table(self) -> Tensor:
        """The embeddings, (codes, numbers)."""


class CodeEmbedding(CodeLookup):
    """A vector for each code: one of its own, plus a linear map of the codebook's vector.

    Codes with similar vectors start with similar embeddings, so few rows suffice.

    Args:
        codes: K.
        numbers: of each embedding.
        outside: whether there is one more embedding, K, for a place outside the map.
    """

    features: Tensor

    def __init__(self, codes: int, numbers: int, *, outside: bool) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.randn(codes + outside, numbers))
        self.project = linear(FEATURES + 1, numbers, bias=False)
        self.register_buffer("features", torch.zeros(codes + outside, FEATURES + 1))

    @property
    def table(self) -> Tensor:
        table: Tensor = SLOW * self.free + self.project(self.features)
        return table

    @torch.no_grad()
    def know(self, features: Tensor) -> None:
        """Take features of the codes, (codes, FEATURES + 1)."""
        self.features[: len(features)] = features.to(self.features)


class CodeHead(nn.Module):
    """Logits of K codes, the inner products with their embeddings.

    Args:
        width: of the numbers that they depend on.
        codes: K.
    """

    def __init__(self, width: int, codes: int) -> None:
        super().__init__()
        self.narrow = linear(width, NUMBERS, QUIET)
        self.codes = CodeEmbedding(codes, NUMBERS, outside=False)
        self.bias = nn.Parameter(torch.zeros(codes))

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(self.narrow(tokens) / math.sqrt(NUMBERS), self.codes.table, self.bias)


class CodeNetwork(nn.Module):
    r"""Logits of p(z_i | z_{<i}, codes above, prompt), i in raster order.

    ::

        neighbors before i ─embed─> map ┐
        codes above, around i ─embed─> map ┼─ + position i + prompt ─> causal blocks ─> logits of z_i
        ...                             ┘

    Args:
        shape: places of the map.
        codes: K of every codebook.
        above: places of the codebooks whose codes are known.
        vocabulary: of prompts; empty: no prompt.
        width, depth, heads, dropout: of the blocks.
    """  # noqa: E501

    before: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: int,
        above: Sequence[tuple[int, ...]],
        vocabulary: PromptVocabulary,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.outside = codes
        self.register_buffer("before", neighbors_before(shape), persistent=False)
        around = [neighbors_around(shape, each) for each in above]
        self.around = [f"around_{level}" for level in range(len(above))]
        for name, table in zip(self.around, around, strict=True):
            self.register_buffer(name, table, persistent=False)
        self.own = CodeEmbedding(codes, NUMBERS, outside=True)
        self.above = nn.ModuleList(CodeEmbedding(codes, NUMBERS, outside=True) for _ in above)
        parts = 1 + len(above)
        self.enter = linear(self.before.shape[1] * NUMBERS, width, parts**-0.5)
        self.look = nn.ModuleList(
            linear(table.shape[1] * NUMBERS, width, parts**-0.5, bias=False) for table in around
        )
        self.positions = nn.Parameter(torch.randn(math.prod(shape), width) * FREE)
        self.prompt = prompt_embedding(vocabulary, width)
        self.body = CausalTransformer(width, depth, heads, dropout)
        self.head = CodeHead(width, codes)

    def context(self, above: Sequence[Tensor], prompt: Tensor | None = None) -> Tensor:
        """What every place is given beside the codes before it, (rows, places, width).

        Args:
            above: codes of each codebook above, (rows, its places).
            prompt: (rows, codes).
        """
        total = self.positions.unsqueeze(0)
        for codes, name, embed, look in zip(above, self.around, self.above, self.look, strict=True):
            assert isinstance(embed, CodeLookup)
            total = total + look(self._embedded(codes, self.get_buffer(name), embed.table))
        if self.prompt is not None:
            prompt = self.prompt.unknown(1) if prompt is None else prompt
            total = total + self.prompt(prompt).unsqueeze(1)
        return total

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        """Logits of all places, (rows, places, K), of codes z, (rows, places)."""
        entered: Tensor = self.enter(self._embedded(z, self.before, self.own.table))
        logits: Tensor = self.head(self.body(entered + context))
        return logits

    def step(self, z: Tensor, context: Tensor, place: int, cache: list[KeyValues]) -> Tensor:
        """Logits of one place, (rows, K), after those before it.

        Args:
            z: codes, (rows, places); those from ``place`` on are not read.
            context: as of ``context``.
            place: the place; places come one after the other.
            cache: from ``body.empty_cache``; it is extended.
        """
        before = self.before[place : place + 1]
        entered = self.enter(self._embedded(z, before, self.own.table))
        token = (entered + context[:, place : place + 1]).expand(len(z), -1, -1)
        logits: Tensor = self.head(self.body(token, cache))[:, 0]
        return logits

    def _embedded(self, codes: Tensor, neighbors: Tensor, table: Tensor) -> Tensor:
        """Embeddings of the neighbors of each place, (rows, places, neighbors * NUMBERS)."""
        padded = F.pad(codes, (0, 1), value=self.outside)
        return F.embedding(padded[:, neighbors], table).flatten(2)

    @torch.no_grad()
    def start(self, shares: Tensor) -> None:
        """Start at shares of the codes, (K,), whatever is known."""
        self.head.bias.copy_(shares.log())

    def know(self, vectors: Sequence[Tensor]) -> None:
        """Take the vectors of the codes above and of its own, last, (K, dim) each."""
        *above, own = principal(vectors)
        for embed, features in zip(self.above, above, strict=True):
            assert isinstance(embed, CodeEmbedding)
            embed.know(features)
        self.own.know(own)
        self.head.codes.know(own)


def neighbors_around(shape: tuple[int, ...], above: tuple[int, ...]) -> Tensor:
    """Places of a map above that are near each place, (places, neighbors).

    A place is aligned with the place above at the same share of each axis. A neighbor outside the
    map above has the number of its places.
    """
    near = _aligned(shape, above)
    return torch.stack([_numbered(near + step, above) for step in _steps(len(above))], 1)


def neighbors_before(shape: tuple[int, ...]) -> Tensor:
    """The neighbors of each place that come before it in raster order, (places, neighbors)."""
    near = _aligned(shape, shape)
    if len(shape) == 1:
        steps = [torch.tensor([-step]) for step in range(1, BEFORE + 1)]
    else:
        steps = [step for step in _steps(len(shape)) if tuple(step.tolist()) < (0,) * len(shape)]
    return torch.stack([_numbered(near + step, shape) for step in steps], 1)


def principal(vectors: Sequence[Tensor]) -> list[Tensor]:
    """Features of codes from their vectors, (K, dim) each to (K, FEATURES + 1).

    The vectors are rotated to the principal axes of all codebooks together, and scaled to variance
    one in each codebook; their squared length is the last feature.
    """
    together = torch.cat([each.detach().cpu().double() for each in vectors])
    _, _, axes = torch.linalg.svd(together - together.mean(0), full_matrices=False)
    found = []
    for each in vectors:
        turned = (each.detach().cpu().double() @ axes[:FEATURES].T)[:, :FEATURES]
        turned = (turned - turned.mean(0)) / turned.std(0).pow(2).sum().sqrt().clamp_min(1e-12)
        squared = turned.square().sum(1, keepdim=True)
        wide = F.pad(turned, (0, FEATURES - turned.shape[1])) * math.sqrt(FEATURES)
        found.append(torch.cat((wide, squared - squared.mean()), 1).float())
    return found


def _steps(axes: int) -> list[Tensor]:
    reach = REACH.get(axes, REACH[2])
    return [torch.tensor(step) for step in itertools.product(reach, repeat=axes)]


def _aligned(shape: tuple[int, ...], above: tuple[int, ...]) -> Tensor:
    """The place above at each place, (places, axes)."""
    sides = [torch.arange(n) * a // n for n, a in zip(shape, above, strict=True)]
    return torch.cartesian_prod(*sides).reshape(-1, len(shape))


def _numbered(places: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Places (n, axes) as numbers in raster order; those outside get the number of places."""
    number = torch.zeros(len(places), dtype=torch.long)
    inside = torch.ones(len(places), dtype=torch.bool)
    for axis, size in enumerate(shape):
        number = number * size + places[:, axis]
        inside &= (places[:, axis] >= 0) & (places[:, axis] < size)
    return torch.where(inside, number, math.prod(shape))


@CODE_PRIORS.register("autoregressive")
class AutoregressiveCodes(SequentialCodes):
    r"""p(z) = prod_i p(z_i | z_{<i}, codes above, prompt), i in raster order.

    Each place sees the codes before it, and all codes of the codebooks above at its own place and
    near it.

    Args:
        shape: places of the map.
        codes: K.
        above: places of the codebooks above, coarse to fine.
        width: numbers per token; sized from places and K unless given.
        depth: blocks.
        heads: of each attention; one per 32 of the width unless given.
        dropout: share of numbers that are left out in training.
        fields: of a conditional prior, the values of each field of the prompt by name.
        words: of a prior with captions, the vocabulary.
        book: as of a diffusion prior.
        hide_prompt: share of the rows that are trained without a prompt.
        hide_fields: share of the other rows that are trained with some fields or words unknown.
        completes: as of a diffusion prior.

    Sources: van den Oord et al. 2017 and Razavi et al. 2019 (a prior over codes after the model);
    Vaswani et al. 2017.

    Raises:
        OptionError: a size is below 1, or the heads do not divide the width.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: int,
        above: Sequence[tuple[int, ...]] = (),
        *,
        width: int | None = None,
        depth: int = 2,
        heads: int | None = None,
        dropout: float = 0.2,
        fields: Mapping[str, Sequence[str]] | None = None,
        words: Sequence[str] = (),
        book: Mapping[str, Any] | None = None,
        hide_prompt: float = 0.1,
        hide_fields: float = 0.5,
        completes: bool = False,
    ) -> None:
        super().__init__(shape, codes)
        self.above = tuple(map(tuple, above))
        width = width or width_of(math.prod(shape) * codes)
        heads = heads or max(1, width // PER_HEAD)
        if min(width, depth, heads) < 1:
            raise OptionError("width, depth and heads are at least 1")
        if width % heads:
            raise OptionError(f"{heads} heads do not divide a width of {width}")
        if not 0.0 <= dropout < 1.0:
            raise OptionError(f"dropout is a share below 1, not {dropout}")
        self.vocabulary = PromptVocabulary(dict(fields or {}), tuple(words), book or {})
        self.hide_prompt, self.hide_fields = hide_prompt, hide_fields
        # one for all codebooks
        self.completion = None if above else attribute_completion(self.vocabulary, completes)
        self.network = CodeNetwork(
            tuple(shape), codes, self.above, self.vocabulary, width, depth, heads, dropout
        )

    @classmethod
    def build(
        cls,
        shape: tuple[int, ...],
        codes: int,
        above: Sequence[tuple[int, ...]],
        options: Mapping[str, Any],
    ) -> CodePrior:
        prior: CodePrior = construct(cls, shape, codes, above, options=options)
        return prior

    def given(
        self, above: Sequence[Tensor] = (), prompt: Tensor | None = None
    ) -> SequentialDistribution:
        """p(z | codes above, prompt).

        Raises:
            UnsupportedError: the prior takes no prompt, or the codes of other codebooks.
            OptionError: a prompt of other fields or values.
        """
        if len(above) != len(self.above):
            raise UnsupportedError(
                f"this prior is given the codes of {len(self.above)} codebooks above, not of "
                f"{len(above)}"
            )
        if prompt is None or self.network.prompt is None:
            return super().given(above, prompt)
        self.network.prompt.check(self.vocabulary.fields_of(prompt))
        known = read(prompt, self.vocabulary, self.completion)
        return SequentialDistribution(self, above, known, self.narrowing)

    def terms(
        self, z: Tensor, above: Sequence[Tensor] = (), prompt: Tensor | None = None
    ) -> PriorTerms:
        beside = z.new_zeros((), dtype=torch.float32)
        if prompt is not None and self.completion is not None:
            beside = self.completion.loss(prompt)
        if prompt is not None:
            prompt = self.vocabulary.fields_of(prompt)
        if self.training and prompt is not None and self.network.prompt is not None:
            prompt = self.network.prompt.hidden(prompt, self.hide_prompt, self.hide_fields)
        found = super().terms(z, above, prompt)
        return found._replace(loss=found.loss + beside)

    def conditionals(self, above: Sequence[Tensor], prompt: Tensor | None = None) -> Conditionals:
        return NetworkConditionals(self.network, self.network.context(above, prompt))

    @torch.no_grad()
    def start_from_codes(self, z: Tensor) -> None:
        counts = torch.bincount(z.flatten(), minlength=self.codes).double() + 0.5
        self.network.start(counts / counts.sum())

    def know_vectors(self, vectors: Sequence[Tensor]) -> None:
        self.network.know(vectors)


class NetworkConditionals(Conditionals):
    """Logits of a network in the context of some rows.

    Args:
        network: of one codebook.
        context: of the rows, from its ``context``.
    """

    def __init__(self, network: CodeNetwork, context: Tensor) -> None:
        self.network, self.context = network, context

    def logits(self, z: Tensor) -> Tensor:
        logits: Tensor = self.network(z, self.context)
        return logits

    def steps(self) -> Step:
        cache: list[KeyValues] = self.network.body.empty_cache()
        return lambda z, place: self.network.step(z, self.context, place, cache)


def width_of(size: int) -> int:
    """Numbers per token of a map with so many places times codes."""
    return next(width for most, width in WIDTHS if size <= most)
