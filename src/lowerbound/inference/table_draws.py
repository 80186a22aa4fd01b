r"""Synthetic rows in blocks: new ones, and given ones with their other columns drawn.

New rows are z ~ p(z), x ~ p(x | z). Rows with given columns are

.. math:: z \sim q(z \mid x_o) \text{ resampled by } p(x_o, z) / q(z \mid x_o), \qquad
    x_m \sim p(x_m \mid z, x_o)

so they are conditioned on what is given; no row is drawn and rejected. Each block has a seed of its
own, so a row depends on the seed and on its number only, not on how many rows are drawn with it.

Resampling is self-normalized importance sampling, in one pass over chunks of samples. With weights
w_k of draws k = 1 .. K of each row,

.. math:: \mathbb{E}[f] \approx \sum_k \bar w_k f_k, \quad \bar w_k = w_k / \sum_j w_j

and sampling-importance-resampling draws k with probability \bar w_k (Rubin 1987). For each row only
the log of the sum of its weights, the weighted mean, and one reservoir per draw are kept. A new
chunk enters a reservoir with its share of the sum, so memory does not depend on K.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.inference.passes import as_taken, evaluation_mode, placed
from lowerbound.inference.restrictions import Restrictions
from lowerbound.inference.table_choices import RowChooser
from lowerbound.likelihoods.columns.group import ChoosesValues
from lowerbound.models.base import Model
from lowerbound.models.powers import Imagines, require
from lowerbound.objectives.base import require_exact_densities
from lowerbound.trace import Batch, Draw, Emission, Given
from lowerbound.training.randomness import stream_seed

BLOCK = 1024  # rows with one seed
ROUNDS = 10  # in which a row is drawn, until it fulfills every formula
SAMPLES, MOST_SAMPLES = 16, 256  # latents from which those of a given row are resampled
MOST_SEEDS = 2**31  # keyed noise multiplies its seed in 64 bits
FEW_ROWS = 16  # fewer rows in a block have the larger number


@dataclass(frozen=True)
class Antithetic:
    """Keyed noise in pairs, eps and -eps, so linear functions of it average to zero exactly.

    Attributes:
        keys: one per row, (batch,).
        seed: of the draws.
        first_sample: index of the first sample of this chunk among all K.
    """

    keys: Tensor
    seed: int = 0
    first_sample: int = 0

    def normal(self, shape: Sequence[int], like: Tensor, level: int) -> Tensor:
        """Standard normal noise, (samples, batch, ...)."""
        sample = torch.arange(shape[0], device=like.device) + self.first_sample
        pair = sample // 2 - self.first_sample // 2
        noise = KeyedNoise(self.keys, self.seed, self.first_sample // 2)
        half = noise.normal((int(pair[-1]) + 1, *shape[1:]), like, level)
        sign = (1 - 2 * (sample % 2)).to(like.dtype)
        return half[pair] * sign.reshape(-1, *[1] * (len(shape) - 1))


class Resampled:
    """Weighted averages over chunks of samples, and latents resampled by their weights.

    Args:
        keys: one per row, (batch,), that equal rows do not share, or their draws would be equal.
        draws: number of latents to draw for each row.
        seed: of the choices.
    """

    def __init__(self, keys: Tensor, draws: int, seed: int) -> None:
        self.keys, self.draws, self.seed = keys, draws, seed
        self.log_total = torch.full(keys.shape, -math.inf, dtype=torch.float64, device=keys.device)
        self.log_squares = self.log_total.clone()
        self.mean: Tensor | None = None
        self.latents: tuple[Tensor, ...] = ()
        self._chunks = 0

    @classmethod
    def exact(
        cls, keys: Tensor, mean: Tensor, latents: Sequence[Tensor], samples: int
    ) -> Resampled:
        """A known mean, (batch, width), and draws of equal weights, as by ``samples`` of them."""
        found = cls(keys, 0, 0)
        found.mean, found.latents = mean, tuple(latents)
        found.log_total = torch.full_like(found.log_total, math.log(samples))
        found.log_squares = found.log_total.clone()
        return found

    def add(self, log_weights: Tensor, values: Tensor, latents: Sequence[Tensor]) -> None:
        """Add a chunk.

        Args:
            log_weights: (samples, batch).
            values: to average, (samples, batch, width).
            latents: to draw from, (samples, batch, ...) each.
        """
        log_weights = log_weights.double()
        log_sum = torch.logsumexp(log_weights, 0)
        total = torch.logaddexp(self.log_total, log_sum)
        entering = torch.exp(log_sum - total)  # the chunk's share of all weights so far
        within = torch.softmax(log_weights, 0)
        mean = torch.einsum("kb,kbw->bw", within.to(values.dtype), values).double()
        if self.mean is not None:
            mean = torch.lerp(self.mean, mean, entering.unsqueeze(1))
        if self.draws:
            self._draw(within, entering, latents)
        squares = torch.logsumexp(2 * log_weights, 0)
        self.mean, self.log_total = mean, total
        self.log_squares = torch.logaddexp(self.log_squares, squares)

    @property
    def effective_sample_size(self) -> Tensor:
        """(sum w)^2 / sum w^2 of each row, (batch,)."""
        return torch.exp(2 * self.log_total - self.log_squares)

    def _draw(self, within: Tensor, entering: Tensor, latents: Sequence[Tensor]) -> None:
        """Update the reservoirs with this chunk's latents, (draws, batch, ...)."""
        chance, enters = self._uniform()
        below = within.cumsum(0).T.contiguous()
        index = torch.searchsorted(below, chance.T.contiguous()).T
        index = index.clamp_max(len(within) - 1)  # rounding may leave the sum below one
        # z, (samples, batch, ...), at the samples of ``index``, (draws, batch)
        chosen = [z[index, torch.arange(z.shape[1], device=z.device)] for z in latents]
        if self.latents:
            new = enters < entering
            chosen = [
                torch.where(new.reshape(*new.shape, *[1] * (z.dim() - 2)), z, old)
                for z, old in zip(chosen, self.latents, strict=True)
            ]
        self.latents = tuple(chosen)

    def _uniform(self) -> tuple[Tensor, Tensor]:
        """Two numbers in (0, 1) for each draw and row, different for every chunk."""
        self._chunks += 1
        like = self.log_total
        shape = (self.draws, len(self.keys), 2)
        # levels from 0 up belong to the latents
        noise = KeyedNoise(self.keys, self.seed).normal(shape, like, -self._chunks)
        first, second = torch.special.ndtr(noise).unbind(-1)
        return first, second


@runtime_checkable
class DrawsByColumn(Protocol):
    """An emission whose columns are drawn one after another."""

    def chosen(self, x: Tensor, observed: Tensor, chooser: ChoosesValues) -> Tensor:
        """Rows whose hidden columns ``chooser`` draws."""


@dataclass(frozen=True, eq=False)
class GivenCells:
    """Rows of which some cells are given.

    Attributes:
        dataset: the rows; hidden cells are not observed.
        values: in original units, (rows, modeled columns), NaN where unknown.
        known: which cells are given, (rows, modeled columns).
    """

    dataset: Dataset
    values: Array
    known: Array

    def __len__(self) -> int:
        return len(self.values)

    def named(self, row: int) -> str:
        """The given cells of a row in a message; a single row has no number."""
        return "the given cells" if len(self) == 1 else f"the given cells of row {row}"

    def rows(self, numbers: Array) -> GivenCells:
        """Some of the rows, which may repeat."""
        index = torch.from_numpy(numbers)
        return GivenCells(self.dataset.subset(index), self.values[numbers], self.known[numbers])


def new_block(model: Model, restrictions: Restrictions, block: int, *, seed: int = 0) -> Array:
    """``BLOCK`` new rows, (rows, modeled columns) in original units, NaN where missing.

    Args:
        model: one with a prior.
        restrictions: of the table.
        block: its number, from 0.
        seed: of the draws.

    Raises:
        UnsupportedError: the model has no prior, or columns restrict each other and its likelihood
            does not draw column by column.
    """
    imagines = require(model, Imagines, "be sampled")

    def drawn(numbers: Array, round: int) -> tuple[Array, Array]:
        emission = imagines.imagine(placed(Batch(), model), Draw(len(numbers))).likelihood
        return _restricted(model, emission, restrictions)

    with seeded(stream_seed(seed, f"block {block} of synthetic rows")), _using(model):
        return _fulfilling(drawn, BLOCK)[0]


def completed_block(
    model: Model,
    restrictions: Restrictions,
    given: GivenCells,
    block: int,
    rows: int,
    *,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Rows that have given cells, (rows, modeled columns): row i those of given row i modulo their
    number; and which fulfill every formula and lookup, as far as these cells leave a choice.

    Args:
        model: with exact densities, trained with missing cells.
        restrictions: of the table.
        given: rows with some cells.
        block: number of the block, from 0.
        rows: number of its rows, at most ``BLOCK``.
        seed: of the draws.

    Raises:
        UnsupportedError: a density is not exact, or columns restrict each other and the likelihood
            does not draw column by column.
    """
    place = stream_seed(seed, f"block {block} of completed rows") % MOST_SEEDS

    def drawn(numbers: Array, round: int) -> tuple[Array, Array]:
        own = (place + round) % MOST_SEEDS
        if len(given) == 1:
            return _completed(model, restrictions, given, len(numbers), own)
        some = given.rows((block * BLOCK + numbers) % len(given))
        return _completed(model, restrictions, some, 1, own)

    with seeded(place), _using(model):
        # always a whole block, so that a row does not depend on how many are drawn
        found, right = _fulfilling(drawn, BLOCK)
        return found[:rows], right[:rows]


def _fulfilling(
    drawn: Callable[[Array, int], tuple[Array, Array]], rows: int
) -> tuple[Array, Array]:
    """Rows of which those that do not fulfill every formula are drawn again, a few times; and which
    fulfill them.

    Args:
        drawn: some rows by their numbers and the number of the draw, and which fulfill them.
        rows: their number.
    """
    values, right = drawn(np.arange(rows), 0)
    for round in range(1, ROUNDS):
        wrong = np.flatnonzero(~right)
        if not len(wrong):
            break
        again, fulfill = drawn(wrong, round)
        values[wrong[fulfill]], right[wrong[fulfill]] = again[fulfill], True
    return values, right


def _using(model: Model) -> AbstractContextManager[None]:
    return evaluation_mode(model, gradients=True)


@torch.no_grad()
def _restricted(
    model: Model, emission: Emission, restrictions: Restrictions
) -> tuple[Array, Array]:
    """New rows of the samples of an emission, and which fulfill the formulas."""
    rows, width = emission.batch_shape.numel(), len(restrictions.columns)
    nothing = np.full((rows, width), np.nan)
    chooser = RowChooser(restrictions, nothing, np.zeros((rows, width), dtype=bool))
    if isinstance(emission, DrawsByColumn):
        x = as_taken(torch.zeros(emission.batch_shape[1], width), model)
        emission.chosen(x, torch.zeros_like(x, dtype=torch.bool), chooser)
        return chooser.finished()
    return _settled(model, emission.sample().flatten(0, 1), chooser)


@torch.no_grad()
def _completed(
    model: Model, restrictions: Restrictions, given: GivenCells, draws: int, seed: int
) -> tuple[Array, Array]:
    """Rows with given cells, (draws * given rows, modeled columns), and which fulfill the
    formulas."""
    known = torch.from_numpy(given.known)
    rows = given.dataset.batch(torch.arange(len(given)))
    # hidden cells are unknown, which is not the same as missing
    batch = placed(replace(rows, observed=known, withheld=~known), model)
    observed = batch.observed
    assert observed is not None
    emission = model(batch, Given(_latents(model, batch, draws, seed))).likelihood
    chooser = RowChooser(
        restrictions, np.tile(given.values, (draws, 1)), np.tile(given.known, (draws, 1))
    )
    if isinstance(emission, DrawsByColumn):
        emission.chosen(batch.filled, observed, chooser)
        return chooser.finished()
    drawn = emission.complete(batch.filled, observed).flatten(0, 1)
    return _settled(model, drawn, chooser)


def _latents(model: Model, batch: Batch, draws: int, seed: int) -> list[Tensor]:
    """z | x_o by sampling-importance-resampling, (draws, rows, ...) each."""
    assert batch.x is not None
    count = MOST_SAMPLES if len(batch) < FEW_ROWS else SAMPLES
    # keyed by the number of the row, so that equal rows have different latents
    keys = row_keys(torch.arange(len(batch), device=batch.x.device).unsqueeze(1), seed)
    trace = model(batch, Draw(count, Antithetic(keys, seed, 0)))
    require_exact_densities(trace, "drawing rows with given columns")
    log_weights = trace.log_weights(batch.x, batch.observed)
    latents = [step.z.expand(count, *step.z.shape[1:]) for step in trace.steps]
    resampled = Resampled(keys, draws, seed)
    resampled.add(log_weights, torch.zeros(*log_weights.shape, 1), latents)
    return list(resampled.latents)


def _settled(model: Model, x: Tensor, chooser: RowChooser) -> tuple[Array, Array]:
    """Drawn rows in original units, corrected by the model, and which fulfill the formulas."""
    restrictions = chooser.restrictions
    if restrictions.constrained:
        raise UnsupportedError(
            "this model draws all columns at once, so it cannot fulfill constraints between "
            "columns; fit one with lowerbound synthesizer"
        )
    if model.correction is not None:
        x = model.correction(
            x,
            torch.from_numpy(chooser.known),
            complete=restrictions.complete,
            mapped=restrictions.mapped,
        )
    for place in range(x.shape[1]):
        chooser.settle(place, x[:, place])
    return chooser.finished()
