r"""Bits-back coding: code rows by a fitted model at the length of its bound.

To push x, latents are popped from the bits on the stack. Then x is pushed given the latents, and
they are pushed under the prior. The stack grows by

.. math:: -\log_2 p(x \mid z) - \log_2 p(z) + \log_2 q(z \mid x)

bits, on average the negative evidence lower bound. Popping gives x, which gives q(z | x),
and pushing the latents under it restores the stack. The module does not depend on a model's
kind: the traversal is its own ``forward``, and ``choose`` pops or replays.

The bits on the stack must supply the latents' bits, and at first the stack is empty, so the first
row pops its latents from a seed. By the plan of a stream the first rows use fewer levels of
latents, the coarsest, and pay more bits for their numbers. Each row makes the stack higher. Later
rows are pushed in groups, because networks are fast on many rows; the size of a group is a share of
the rows before it.

Sources: Townsend et al. 2019 (with ANS); Kingma et al. 2019 (Markov chains, Bit-Swap).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.applications.compression import varint
from lowerbound.applications.compression.emissions import CodedEmission
from lowerbound.applications.compression.grid_normal import Ambiguous, GridNormal, Order
from lowerbound.applications.compression.stack import WORD, Stack, from_bytes, seed_words, to_bytes
from lowerbound.data.arrays import Array
from lowerbound.errors import BitstreamError, UnsupportedError
from lowerbound.models.base import Model
from lowerbound.models.powers import Chains
from lowerbound.trace import Batch, Emission, Trace, proposer

MOST_TOGETHER = 64  # rows per group
MOST_DIVISOR = 12  # as a power of two
ALL = 1 << 30  # levels
SEED_BITS = 24  # per latent, more than any can take
LEAST_SEED = 2  # words, as many as the coder's own state
LEAST_BITS = 64  # that must remain on the stack after popping latents
FEW_ROWS = 64  # at most, for trying both plans
MARGIN = 1.25  # bits reserved for the next row, relative to the first row
POSTERIOR: Order = "coarse first"
PRIOR: Order = "fine first"
CodingProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class RowGroup:
    """Rows that are pushed together, and their number of levels of latents, the coarsest first."""

    rows: slice
    levels: int = ALL

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class StackPlan:
    """The settings that a decoder needs besides the payload.

    Attributes:
        seed: number of words at the start of a stream.
        divisor: a group has at most (rows before it) / 2 ** divisor rows.
        ramp: number of first rows without latents, with one level, with two, ...
    """

    seed: int
    divisor: int
    ramp: tuple[int, ...] = ()

    def groups(self, rows: int) -> Iterator[RowGroup]:
        """The groups of ``rows`` rows, in the order of pushing."""
        for starts, levels in self._runs(rows):
            yield from (_group(start, starts.step, levels, rows) for start in starts)

    def groups_back(self, rows: int) -> Iterator[RowGroup]:
        """The groups in the order of popping; memory does not depend on ``rows``."""
        for starts, levels in reversed(list(self._runs(rows))):
            yield from (_group(start, starts.step, levels, rows) for start in reversed(starts))

    def _runs(self, rows: int) -> Iterator[tuple[range, int]]:
        """Starts of groups of one size, and their levels; a few dozen for any number of rows."""
        start = 0
        for levels, count in enumerate(self.ramp):
            yield range(start, min(start + count, rows)), levels
            start += count
        while start < rows:
            size = max(1, min(start >> self.divisor, MOST_TOGETHER))
            more = rows if size == MOST_TOGETHER else (size + 1) << self.divisor
            starts = range(start, min(more, rows), size)
            yield starts, ALL
            start = starts[-1] + size

    def beyond(self, other: StackPlan) -> StackPlan:
        """A plan that uses less of the stack than either: smaller groups, a longer ramp."""
        ramp = tuple(max(pair) for pair in zip_longest(self.ramp, other.ramp, fillvalue=0))
        seed, divisor = max(self.seed, other.seed), max(self.divisor, other.divisor)
        return StackPlan(seed + 1, divisor + 1, ramp)

    def to_bytes(self) -> bytes:
        """As varints."""
        return b"".join(map(varint.encode, (self.seed, self.divisor, *self.ramp)))


def _group(start: int, size: int, levels: int, rows: int) -> RowGroup:
    return RowGroup(slice(start, min(start + size, rows)), levels)


Planner = Callable[[Model, Tensor, float, int], StackPlan]


class Underflow(Exception):
    """The stack has too few bits for the latents of a group."""


@dataclass
class Pop:
    """Choose latents by popping them, and record their distributions in that order.

    Latents below the uppermost ``levels`` have the prior's expected value.
    """

    stack: Stack
    levels: int = ALL
    popped: list[tuple[GridNormal, Tensor]] = field(default_factory=list)

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        source = _grid(proposer(posterior, prior))
        if level >= self.levels:
            return _expected(prior, source)
        z = source.decode(self.stack, POSTERIOR if posterior is not None else PRIOR)
        if self.stack.bits < LEAST_BITS:
            raise Underflow
        self.popped.append((source, z))
        return z

    def log_weights(self, trace: Trace) -> float:
        return 0.0


@dataclass
class Replay:
    """Choose given latents, and record the posterior of each, in the order of the traversal."""

    latents: Sequence[Tensor]
    levels: int = ALL
    proposals: list[tuple[GridNormal, Tensor]] = field(default_factory=list)

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        if level >= self.levels:
            return _expected(prior, _grid(proposer(posterior, prior)))
        z = self.latents[level]
        self.proposals.append((_grid(proposer(posterior, prior)), z))
        return z

    def log_weights(self, trace: Trace) -> float:
        return 0.0


@dataclass(kw_only=True)
class Swap(Pop):
    """Pop the latents of a chain from the bottom up, and push each as soon as possible.

    The stack then supplies the bits of at most one latent at a time (Kingma et al. 2019).
    """

    model: Chains
    batch: Batch

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        if self.popped:
            self.push_below(level)
        return super().__call__(level, posterior, prior)

    def push_below(self, level: int) -> None:
        """Push what is below the last popped latent, at ``level`` + 1."""
        above = self.popped[-1][1]
        if len(self.popped) == 1:
            emission = self.model.decode(above)
            _coded(emission).encode(self.stack, self.batch.filled)
        else:
            below = self.popped[-2][1]
            _grid(self.model.prior_at(level + 2, above)).encode(self.stack, below, PRIOR)


@torch.no_grad()
def push_rows(model: Model, batch: Batch, stack: Stack, levels: int = ALL) -> None:
    """Push the rows of a batch together, with the uppermost ``levels`` levels of latents."""
    if isinstance(model, Chains):
        swap = Swap(stack, model=model, batch=batch)
        steps = model(batch, swap).steps[:1]
        swap.push_below(-1)
    else:
        trace = model(batch, Pop(stack, levels))
        steps = trace.steps[:levels]
        _coded(trace.likelihood).encode(stack, batch.filled)
    for step in reversed(steps):
        _grid(step.prior.expand(torch.Size(step.z.shape[:2]))).encode(stack, step.z, PRIOR)


@torch.no_grad()
def pop_rows(model: Model, rows: int, stack: Stack, levels: int = ALL) -> Tensor:
    """Pop ``rows`` rows, (rows, *event), that were pushed with ``levels`` levels."""
    if isinstance(model, Chains):
        # pop from the top down; each latent is pushed back once the latent below it is known
        above: Tensor | None = None
        for level in range(model.levels):
            prior = _grid(model.prior_at(level, above))
            if above is None:
                prior = prior.expand(torch.Size((1, rows)))
            z = prior.decode(stack, PRIOR)
            if above is not None:
                _grid(model.posterior_above(level - 1, z)).encode(stack, above, POSTERIOR)
            above = z
        assert above is not None
        x = _coded(model.decode(above)).decode(stack)
        _grid(model.encode(Batch(x))).encode(stack, above, POSTERIOR)
        return x
    pop = Pop(stack, levels)
    trace = model.imagine(Batch(count=rows), pop)  # type: ignore[operator]
    x = _coded(trace.likelihood).decode(stack)
    replay = Replay([z for _, z in pop.popped], levels)
    model(Batch(x), replay)
    for posterior, z in reversed(replay.proposals):
        posterior.encode(stack, z, POSTERIOR)
    return x


@dataclass(frozen=True)
class Stream:
    """Rows as bits.

    Attributes:
        payload: little-endian words.
        checksum: CRC-32 of the decoded symbols.
        plan: the plan of pushing.
    """

    payload: bytes
    checksum: int
    plan: StackPlan

    def __len__(self) -> int:
        return len(self.payload)


def encode_rows(
    model: Model, x: Tensor, plan: StackPlan | None = None, progress: CodingProgress | None = None
) -> Stream:
    """Rows in model units, (rows, *event), as one stream.

    Args:
        model: in whole numbers.
        x: the rows, on the likelihood's levels.
        plan: initial plan; None: found automatically.
        progress: called with (rows done, bits so far).

    Raises:
        UnsupportedError: latents take so many more bits than rows that no plan works.
    """
    found = _encoded(model, x, first_plan, plan, progress)
    if plan is not None or len(x) > FEW_ROWS:
        return found
    return min(found, _encoded(model, x, paying_plan, None, progress), key=len)


def _encoded(
    model: Model,
    x: Tensor,
    planned: Planner,
    plan: StackPlan | None,
    progress: CodingProgress | None,
) -> Stream:
    """Encode by ``plan``, or by the first plan that works, each using less of the stack.

    Ambiguous latents become others with a longer start.
    """
    more = 0  # words at the start
    for tries in range(1, MOST_DIVISOR):
        try:
            if plan is None or tries > 1:
                found = planned(model, x, MARGIN**tries, more)
                plan = found if plan is None else plan.beyond(found)
            payload = _pushed(model, x, plan, progress)
            return Stream(payload, zlib.crc32(symbols(model, x)), plan)
        except Underflow:
            continue
        except Ambiguous:
            more += 1
    raise UnsupportedError(
        "this model's latents take far more bits than its rows, so they cannot be coded"
    )


def first_plan(model: Model, x: Tensor, margin: float, more: int = 0) -> StackPlan:
    """Plan in which first rows use fewer levels, so that the stack always has enough bits, and
    ``more`` words than needed are at the start.

    A chain's rows always have all levels.
    """
    if isinstance(model, Chains):
        return paying_plan(model, x, margin, more)
    lent = [bits * margin for bits in lent_bits(model, x[:1], more)]
    stack = Stack(seed_words(LEAST_SEED + more))
    ramp = [0] * len(lent)
    levels, row = 0, 0
    while row < len(x):
        while levels < len(lent) and lent[levels] + LEAST_BITS <= stack.bits:
            levels += 1
        if levels == len(lent):
            break
        push_rows(model, Batch(x[row : row + 1]), stack, levels)
        ramp[levels] += 1
        row += 1
    while ramp and not ramp[-1]:
        ramp.pop()
    return StackPlan(LEAST_SEED + more, 1, tuple(ramp))


def paying_plan(model: Model, x: Tensor, margin: float, more: int = 0) -> StackPlan:
    """Plan with all levels for all rows; a seed supplies the bits of the first row's latents."""
    needed = int(max(lent_bits(model, x[:1], more)) * margin) // WORD
    return StackPlan(LEAST_SEED + 1 + needed + more, 1)


@torch.no_grad()
def lent_bits(model: Model, x: Tensor, more: int = 0) -> list[int]:
    """Bits that the latents of rows pop: of the uppermost level, the two uppermost, ..."""
    latents: int = model.latent_dim  # type: ignore[assignment]
    stack = Stack(seed_words(-(-len(x) * latents * SEED_BITS // 32) + 4 + more))
    before, found = stack.bits, []

    def pop(level: int, posterior: Distribution | None, prior: Distribution | None) -> Tensor:
        z = _grid(proposer(posterior, prior)).decode(stack, POSTERIOR)
        found.append(before - stack.bits)
        return z

    model(Batch(x), pop)
    return found


def _pushed(model: Model, x: Tensor, plan: StackPlan, progress: CodingProgress | None) -> bytes:
    stack = Stack(seed_words(plan.seed))
    for group in plan.groups(len(x)):
        push_rows(model, Batch(x[group.rows]), stack, group.levels)
        if progress is not None:
            progress(group.rows.stop, stack.bits)
    return to_bytes(stack.words())


def decode_rows(
    model: Model, payload: bytes, rows: int, plan: StackPlan, progress: CodingProgress | None = None
) -> Tensor:
    """The rows of a stream, (rows, *event), model units.

    Raises:
        BitstreamError: the seed does not remain after decoding, so another model wrote the stream.
    """
    stack = Stack(from_bytes(payload))
    parts: list[Tensor] = []
    for group in plan.groups_back(rows):
        try:
            parts.append(pop_rows(model, group.size, stack, group.levels))
        except Ambiguous:  # no latent is written so
            raise _another_stream() from None
        if stack.bits < WORD * (plan.seed - 1):
            raise _another_stream()
        if progress is not None:
            progress(rows - group.rows.start, stack.bits)
    if not np.array_equal(stack.words(), seed_words(plan.seed)):
        raise _another_stream()
    return torch.cat(parts[::-1])


def _another_stream() -> BitstreamError:
    return BitstreamError(
        "the bits below the decoded rows are not the start of a stream: the file was written with "
        "another model, or is damaged"
    )


def levels_of(model: Model) -> int:
    """Number of levels per value that a model in whole numbers codes."""
    return int(model.likelihood.levels)  # type: ignore[union-attr, arg-type]


def symbols(model: Model, x: Tensor) -> bytes:
    """Rows as their levels, 16 bits each, little-endian."""
    codes: Array = torch.round(x.double() * (levels_of(model) - 1)).numpy().astype("<u2")
    return codes.tobytes()


def _grid(distribution: Distribution) -> GridNormal:
    assert isinstance(distribution, GridNormal), "the model is not in whole numbers"
    return distribution


def _coded(emission: Emission) -> CodedEmission:
    assert isinstance(emission, CodedEmission), "the model is not in whole numbers"
    return emission


def _expected(prior: Distribution | None, source: GridNormal) -> Tensor:
    """The prior's expected latent, for as many rows as ``source`` has."""
    assert prior is not None, "a chain's priors are not known when its latents are decided"
    return prior.mean.expand(source.batch_shape + source.event_shape)
