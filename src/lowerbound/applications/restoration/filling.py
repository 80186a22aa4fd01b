r"""Missing cells from observed ones: importance-weighted means, and draws.

With z_k ~ q(z | x_o) and w_k = p(x_o, z_k) / q(z_k | x_o), normalized over K draws,

.. math::
    \mathbb{E}[x_m \mid x_o] \approx \sum_k \bar w_k \, \mathbb{E}[x_m \mid z_k], \qquad
    x_m \sim p(x_m \mid z_k), \; k \sim \bar w

The second is a draw of multiple imputation, exact as K grows. A row without observed cells gets the
mean under the prior. An autoencoder has one code with weight one, so it gives its decoder's output.
The mean of a linear model is that of p(x | z) at the mean of its exact posterior, without draws.
A cell that other columns of its row determine has that value (``lowerbound.data.dependencies``).
Source: Mattei & Frellsen 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.restoration.column_trees import (
    ColumnTrees,
    Expectation,
    Parts,
    TreeAnswers,
    expectation,
)
from lowerbound.applications.restoration.requests import SAMPLES
from lowerbound.data.arrays import Array, check_numbers
from lowerbound.data.columns.values import value_quantiles
from lowerbound.data.dataset import Dataset
from lowerbound.data.dependencies.determined import determined, in_agreement
from lowerbound.data.schema import Schema
from lowerbound.distributions.keyed_noise import KeyedNoise, Occurrences, row_keys
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import OptionError
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    Footprint,
    Progress,
    batches,
    dry_run,
    evaluation_mode,
    first_row,
)
from lowerbound.inference.reconstruction import MEAN_COST
from lowerbound.inference.table_draws import Antithetic, Resampled
from lowerbound.models.base import Model
from lowerbound.models.powers import HasNoisyPosterior
from lowerbound.networks.processor import in_precision
from lowerbound.objectives.base import require_exact_densities
from lowerbound.trace import Batch, Draw, Emission, Given, Mean
from lowerbound.training.randomness import stream_seed

DRAWS = 200  # of each row; the shares of 90% intervals are then accurate to two percent
CELLS = 4_000_000  # drawn at once: 32 MB


@dataclass(frozen=True, eq=False)
class Imputation:
    """Rows with their missing cells filled, in the data's units and layout, float64.

    Columns with levels contain codes. Observed cells contain the observed values up to the rounding
    of model units; callers with the original rows restore them.

    Attributes:
        mean: E[x_m | x_o], (rows, ...), which may be fractions of whole numbers; for levels the
            most probable one, for ordered levels the one nearest to the mean.
        draws: completed rows with valid values, (draws, rows, ...), or None.
        effective_sample_size: of the K weights of each row, (rows,); K for a complete row.
        incomplete: indices of the rows with a missing cell.
        parts: the model's numbers and probabilities in these rows, without the trees; 0 in others.
    """

    mean: Array
    draws: Array | None
    effective_sample_size: Tensor
    incomplete: Tensor
    parts: Parts | None = None


def impute(
    model: Model,
    dataset: Dataset,
    *,
    samples: int = SAMPLES,
    draws: int = 0,
    seed: int = 0,
    memory: int = MEMORY,
    trees: ColumnTrees | None = None,
    parts: bool = False,
    progress: Progress | None = None,
    first: int = 0,
    joint: bool = True,
) -> Imputation:
    """Fill the missing cells of every row.

    The noise of a row's latents is keyed by its content, in pairs eps and -eps, so its mean depends
    neither on the other rows nor on the chunks. Draws of equal rows have noise of their own.
    float64 data uses a float64 copy of the model.

    Args:
        model: preferably trained with missing cells.
        dataset: rows with ``observed``; without it all rows are complete and returned unchanged.
        samples: K.
        draws: number of completed data sets to draw.
        seed: of the draws.
        memory: working memory in bytes; it limits the chunks for every K.
        trees: of the columns, pooled with the model; None: the model alone.
        parts: whether to return the model's numbers by column.
        progress: called with (rows done, rows to impute) after each chunk.
        first: number of the first row in a table that is imputed part by part, so that each part
            has its own noise of the draws.
        joint: whether the trees' cells of a draw belong together; see ``TreeAnswers.pooled_draws``.

    Raises:
        OptionError: samples or memory are not positive, or draws are negative.
        UnsupportedError: a density is not exact, so there are no weights; or pixels depend on each
            other given z.
    """
    if draws < 0:
        raise OptionError(f"draws must be 0 or more, not {draws}")
    model = in_precision(model, dataset.x.dtype)
    row = first_row(dataset, model)
    footprint = dry_run(model, row)
    everything = torch.ones_like(row.filled, dtype=torch.bool)
    with torch.inference_mode():
        likelihood = footprint.trace.likelihood.given(row.filled, everything)
    if footprint.trace.steps:
        require_exact_densities(footprint.trace, "imputation")
    else:
        samples = 1
    expected = expectation(dataset.schema, likelihood)
    plan = ChunkPlan.within(memory, _widened(footprint, expected, dataset.schema), samples)
    found, equal_rows = _Found.of(dataset, samples, draws, parts), Occurrences(first)
    waiting = dataset.subset(found.incomplete)
    with evaluation_mode(model), seeded(_seed_of(seed, first)):
        for part, batch in batches(waiting, model, plan.rows):
            keys = row_keys(batch.filled, seed)
            own = equal_rows.apart(keys) if draws else keys
            if isinstance(model, HasNoisyPosterior):
                resampled = _exact(model, batch, expected, samples, draws, own, seed)
            else:
                resampled = Resampled(own, draws, seed)
                _weigh(resampled, model, batch, expected, plan, samples, keys)
            rows = found.incomplete[part]
            answers = found.put_means(rows, expected, resampled, trees)
            for start in range(0, draws, plan.samples):
                some = slice(start, min(start + plan.samples, draws))
                drawn = _drawn(model, batch, resampled, some)
                found.put_draws(rows, some, drawn, resampled, answers, joint)
            if progress is not None:
                progress(part.stop, len(waiting))
    return found.imputation()


def _seed_of(seed: int, first: int) -> int:
    """The seed of the noise of p(x | z) of the rows from ``first`` on."""
    return stream_seed(seed, f"imputation from row {first}") if first else seed


def _weigh(
    resampled: Resampled,
    model: Model,
    batch: Batch,
    expected: Expectation,
    plan: ChunkPlan,
    samples: int,
    keys: Tensor,
) -> None:
    """K draws of some rows' latents, weighted, averaged and resampled chunk by chunk."""
    assert batch.x is not None
    assert batch.observed is not None
    for first, count in plan.parts(samples):
        trace = model(batch, Draw(count, Antithetic(keys, resampled.seed, first)))
        values = expected.given(trace.likelihood.given(batch.filled, batch.observed))
        log_weights = trace.log_weights(batch.x, batch.observed)
        latents = [step.z.expand(count, *step.z.shape[1:]) for step in trace.steps]
        resampled.add(log_weights, values, latents)


def _exact(
    model: Model,
    batch: Batch,
    expected: Expectation,
    samples: int,
    draws: int,
    keys: Tensor,
    seed: int,
) -> Resampled:
    """The mean of a linear model, and draws of some rows' latents from their exact posterior."""
    assert batch.observed is not None
    likelihood = model(batch, Mean()).likelihood.given(batch.filled, batch.observed)
    drawn = model(batch, Draw(draws, KeyedNoise(keys, seed))).steps if draws else ()
    latents = [step.z for step in drawn]
    return Resampled.exact(keys, expected.given(likelihood)[0], latents, samples)


def _drawn(model: Model, batch: Batch, resampled: Resampled, some: slice) -> Tensor:
    """x ~ p(x | z) at the resampled latents, model units, (draws, batch, *event)."""
    assert batch.observed is not None
    if resampled.latents:
        given: Emission = model(batch, Given([z[some] for z in resampled.latents])).likelihood
        return given.complete(batch.filled, batch.observed)
    emission: Emission = model(batch).likelihood
    draws = some.stop - some.start
    return emission.complete(batch.filled, batch.observed, (draws,)).squeeze(1)


def _widened(footprint: Footprint, expected: Expectation, schema: Schema) -> Footprint:
    """The footprint plus the memory of the averaged numbers."""
    width = footprint.width + 2 * expected.width
    grey = schema.levels is not None and not schema.binary
    return replace(footprint, width=width * (MEAN_COST if grey else 1))


@dataclass(frozen=True, eq=False)
class _Found:
    """The rows, filled chunk by chunk."""

    dataset: Dataset
    incomplete: Tensor
    mean: Array
    draws: Array | None
    effective_sample_size: Tensor
    parts: dict[int, Array] | None
    determined: Array | None

    @classmethod
    def of(cls, dataset: Dataset, samples: int, draws: int, parts: bool) -> _Found:
        units = dataset.schema.units(dataset.x.cpu())
        given = dataset.schema.for_other_rows.decode(units).astype(np.float64)
        drawn = np.repeat(given[None], draws, 0) if draws else None
        complete = torch.full((len(dataset),), float(samples), dtype=torch.float64)
        own: dict[int, Array] | None = {} if parts else None
        found = determined(dataset)
        return cls(dataset, _incomplete(dataset), given, drawn, complete, own, found)

    def put_means(
        self, rows: Tensor, expected: Expectation, resampled: Resampled, trees: ColumnTrees | None
    ) -> TreeAnswers | None:
        """Fill the cells of some rows by their means; also the trees' answers for these cells."""
        assert resampled.mean is not None
        hidden, place = self._hidden(rows), rows.cpu().numpy()
        filled = np.where(hidden, expected.answer(resampled.mean), self.mean[place])
        filled = self._looked_up(filled, hidden, place)
        parts = {} if trees is None and self.parts is None else expected.parts(resampled.mean)
        answers = None
        for _ in range(0 if trees is None else trees.passes):
            assert trees is not None
            answers = trees.answers(filled, self._open(hidden, place))
            filled = self._looked_up(answers.pooled_means(parts, filled), hidden, place)
        if self.parts is not None:
            for column, own in parts.items():
                empty = np.zeros((len(self.dataset), own.shape[1]))
                self.parts.setdefault(column, empty)[place] = own
        self.mean[place] = self._agreeing(filled, hidden, place, rounded=False)
        self.effective_sample_size[rows.cpu()] = resampled.effective_sample_size.cpu()
        return answers

    def put_draws(
        self,
        rows: Tensor,
        some: slice,
        x: Tensor,
        resampled: Resampled,
        answers: TreeAnswers | None,
        joint: bool,
    ) -> None:
        assert self.draws is not None
        place = rows.cpu().numpy()
        check_numbers(x)
        drawn = self.dataset.schema.decode(x.cpu(), rounded=True).astype(np.float64)
        hidden = self._hidden(rows)
        drawn = self._looked_up(drawn, hidden, place)
        if answers is not None:
            keys, seed = resampled.keys, resampled.seed
            drawn = answers.pooled_draws(drawn, keys, seed, some.start, joint)
        drawn = self._agreeing(drawn, hidden, place, rounded=True)
        self.draws[some, place] = np.where(hidden, drawn, self.draws[some, place])

    def _open(self, hidden: Array, place: Array) -> Array:
        """Mask of the hidden cells that no other column determines."""
        return hidden if self.determined is None else hidden & np.isnan(self.determined[place])

    def _looked_up(self, filled: Array, hidden: Array, place: Array) -> Array:
        """Filled rows, (..., rows, columns), with the values that other columns determine."""
        if self.determined is None:
            return filled
        found = self.determined[place]
        return np.where(hidden & np.isfinite(found), found, filled)

    def _agreeing(self, filled: Array, hidden: Array, place: Array, rounded: bool) -> Array:
        """Filled rows, (..., rows, columns), that fulfill the formulas; see ``in_agreement``."""
        if self.determined is None:
            return filled
        flat = filled.reshape(-1, filled.shape[-1])
        open_ = np.tile(self._open(hidden, place), (len(flat) // len(place), 1))
        return in_agreement(self.dataset.schema, flat, open_, rounded).reshape(filled.shape)

    def _hidden(self, rows: Tensor) -> Array:
        """Mask of the hidden cells of some rows, in the data's layout."""
        assert self.dataset.observed is not None
        hidden = ~self.dataset.observed[rows].cpu().numpy()
        return self.dataset.schema.data_kind.laid_out(self.dataset.schema, hidden)

    def imputation(self) -> Imputation:
        return Imputation(
            self.mean, self.draws, self.effective_sample_size, self.incomplete, self.parts
        )


def _incomplete(dataset: Dataset) -> Tensor:
    """Indices of the rows with a hidden cell."""
    if dataset.observed is None:
        return torch.zeros(0, dtype=torch.long, device=dataset.x.device)
    return torch.nonzero(~dataset.observed.flatten(1).all(1)).flatten()


def imputed_quantiles(
    model: Model,
    dataset: Dataset,
    shares: Sequence[float] | Array,
    *,
    samples: int = SAMPLES,
    draws: int = DRAWS,
    seed: int = 0,
    trees: ColumnTrees | None = None,
) -> Array:
    """Quantiles of p(x_m | x_o) in the data's units, (shares, rows, ...).

    For a column of whole numbers or ordered levels, the quantiles are values of the column. For
    unordered levels, every quantile is the most probable level.

    Args:
        model, dataset, samples, seed, trees: as for ``impute``.
        shares: between 0 and 1; of a table, also those of each column, (shares, columns).
        draws: number of draws of each row.

    Raises:
        OptionError: no draws.
    """

    def found(draws: Array, rows: slice) -> Array:
        return quantiles(draws, dataset.schema, shares)

    return summarized_draws(
        model, dataset, found, samples=samples, draws=draws, seed=seed, trees=trees
    )


def summarized_draws(
    model: Model,
    dataset: Dataset,
    summary: Callable[[Array, slice], Array],
    *,
    samples: int = SAMPLES,
    draws: int = DRAWS,
    seed: int = 0,
    trees: ColumnTrees | None = None,
) -> Array:
    """What ``summary`` makes of the draws of blocks of rows, (numbers, rows, ...).

    Args:
        model, dataset, samples, draws, seed, trees: as for ``imputed_quantiles``.
        summary: of the draws in the data's units, (draws, rows, ...), and the place of the rows.

    Raises:
        OptionError: no draws.
    """
    if draws < 1:
        raise OptionError(f"draws must be at least 1, not {draws}")
    found, start = [], 0
    for imputation in _blocks(model, dataset, samples, draws, seed, trees):
        assert imputation.draws is not None
        end = start + imputation.draws.shape[1]
        found.append(summary(imputation.draws, slice(start, end)))
        start = end
    return np.concatenate(found, 1)


def quantiles(draws: Array, schema: Schema, shares: Sequence[float] | Array) -> Array:
    """Quantiles of draws in the data's units, (draws, rows, ...), for each cell."""
    if not schema.columns:
        return value_quantiles(draws, shares, schema.levels is not None)
    count = len(schema.columns)
    each_share = np.broadcast_to(np.reshape(shares, (len(shares), -1)), (len(shares), count))
    each = [
        value_quantiles(draws[..., i], each_share[:, i], whole=True)
        if schema.binary
        else column.rules.quantiles(draws[..., i], each_share[:, i])
        for i, column in enumerate(schema.columns)
    ]
    return np.stack(each, -1)


def _blocks(
    model: Model,
    dataset: Dataset,
    samples: int,
    draws: int,
    seed: int,
    trees: ColumnTrees | None,
) -> Iterator[Imputation]:
    rows = max(1, CELLS // (draws * dataset.schema.dimension))
    for start in range(0, len(dataset), rows):
        block = dataset.subset(torch.arange(start, min(start + rows, len(dataset))))
        yield impute(
            model, block, samples=samples, draws=draws, seed=seed, trees=trees, joint=False
        )
