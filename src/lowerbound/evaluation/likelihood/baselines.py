r"""A model's held-out score beside two simple models of the same training rows.

Independent columns: every column (pixel, token) has its marginal distribution, in the family of the
model's likelihood,

.. math:: \log p_\text{ind}(x) = \sum_j \log p_j(x_j)

PCA: probabilistic PCA with as many numbers in a code as the model, and at most half as many as
training rows: with as many directions as rows, no variance is left for its noise. It is compared in
nats if that is possible: its density N(mu, W W^T + sigma^2 I) with that of a model of real numbers,
and for levels its dequantized bound with a probability mass,

.. math:: \log P(k) \ge \mathbb{E}_u[\log p(x_k + u)] + D \log h, \quad u \sim U(-h/2, h/2)^D

with the distance h of two levels. Elsewhere (zeros and ones, columns of several kinds, missing
cells) it is compared in the share of the variance that a reconstruction keeps, over the same cells.

There a row becomes numbers: its numeric cells, a missing one as the training mean, and a column of
levels as indicators divided by the root of the level's share (Escofier 1979; Pages 2004).

Gain of a model over the marginal of each column, in nats.

.. math:: g_j = \mathbb{E}_q[\log p(x_j \mid z)] - \log p_j(x_j)

per observed cell; p_j is the column's marginal in the family of its likelihood. The sum over the
columns minus the rate is the gain of the bound over independent columns. If the gain of a column
is zero, the code ignores it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal
from torch.nn.functional import one_hot

from lowerbound.classical.factor_analysis import principal_components
from lowerbound.data.dataset import Dataset
from lowerbound.errors import UnsupportedError
from lowerbound.inference.estimate import Estimate, Skipped
from lowerbound.inference.passes import MEMORY, ChunkPlan, collected, keyed_draw
from lowerbound.inference.reconstruction import squared_distance, squared_errors
from lowerbound.inference.scores import Scores
from lowerbound.likelihoods.base import marginal_nats, marginal_terms
from lowerbound.models.base import Model
from lowerbound.trace import Batch

DRAWS = 16
IGNORED = 0.01  # nats per cell; smaller gains are noise


@dataclass(frozen=True)
class ColumnShares:
    """Mean nats per observed cell of each column, in the data's own units; higher is better.

    Attributes:
        names: names of the columns.
        nats: E_q[log p(x_j | z)].
        marginal: log p_j(x_j) by the column's marginal.
    """

    names: tuple[str, ...]
    nats: tuple[float, ...]
    marginal: tuple[float, ...]

    @property
    def gains(self) -> tuple[float, ...]:
        """g_j of each column."""
        return tuple(a - b for a, b in zip(self.nats, self.marginal, strict=True))

    @property
    def ignored(self) -> tuple[str, ...]:
        """The columns on which the code has no information."""
        return tuple(n for n, gain in zip(self.names, self.gains, strict=True) if gain < IGNORED)


def column_shares(
    model: Model, dataset: Dataset, *, seed: int = 0, memory: int = MEMORY
) -> ColumnShares:
    """The gains of the columns on held-out rows.

    Raises:
        UnsupportedError: the rows have no columns, or the likelihood no marginal of each.
    """
    names = [column.name for column in dataset.schema.modeled]
    likelihood = model.declared_likelihood if names else None
    if likelihood is None:
        raise UnsupportedError("only rows of columns have shares of columns")
    plan = ChunkPlan.of(model, dataset, DRAWS, memory)

    def seen_terms(_: slice, batch: Batch) -> tuple[Tensor, ...]:
        emission = model(batch, keyed_draw(batch, DRAWS, seed)).likelihood
        assert batch.x is not None
        seen = torch.ones_like(batch.x) if batch.observed is None else batch.observed
        # a likelihood may also model why a cell is missing: no share of the observed cells
        terms = emission.terms(batch.x, batch.observed).double().mean(0) * seen
        slopes = dataset.schema.log_slopes(batch.x, model.mass, batch.observed).to(terms) * seen
        return tuple(part.sum(0, keepdim=True) for part in (terms, slopes, seen.double()))

    total, slopes, count = (
        part.sum(0) for part in collected(model, dataset, plan.rows, seen_terms)
    )
    count = count.clamp_min(1)
    units = slopes / count  # that convert from model units
    marginal = marginal_nats(likelihood, dataset).to(units) + units
    return ColumnShares(
        tuple(names), tuple((total / count + units).tolist()), tuple(marginal.tolist())
    )


NATS, VARIANCE = "nats per row", "of the variance"
INDEPENDENT = "independent columns"
MOST_VALUES = 20_000_000  # of the training rows that a baseline is fitted to
CODE = 32  # numbers in the code of PCA if the model's own are not known
FLOOR = 1e-8  # least variance of PCA in a direction, as for the model PCA


@dataclass(frozen=True)
class RowNumbers:
    """How rows become numbers, learned from training rows.

    Attributes:
        numeric: the cells without levels, (cells,) bool.
        means: of the numeric cells, float64.
        scales: divisors of the numeric cells: 1 where model units have a distance, else the
            standard deviation.
        shares: of each other cell, the share of each of its levels.
    """

    numeric: Tensor
    means: Tensor
    scales: Tensor
    shares: tuple[Tensor, ...]

    @classmethod
    def of(cls, training: Dataset) -> RowNumbers:
        """Learn means, scales and shares of levels."""
        schema = training.schema
        numeric = schema.metric.flatten()
        if schema.modeled:
            numeric = torch.tensor([not column.levels for column in schema.modeled])
        x, seen = _cells(training)
        count = seen.sum(0).clamp_min(1)
        means = (x * seen).sum(0) / count
        spread = (torch.where(seen, x - means, 0.0).square().sum(0) / count).sqrt()
        scales = torch.where(schema.metric.flatten() | (spread == 0), 1.0, spread)
        shares = tuple(
            torch.bincount(x[seen[:, cell], cell].long(), minlength=1).double() / count[cell]
            for cell in (~numeric).nonzero().flatten().tolist()
        )
        return cls(numeric, means[numeric], scales[numeric], shares)

    def __call__(self, dataset: Dataset) -> Tensor:
        """(rows, numbers) float64, the numeric cells first."""
        x, seen = _cells(dataset)
        filled = torch.where(seen[:, self.numeric], x[:, self.numeric], self.means)
        codes, known = x[:, ~self.numeric].long(), seen[:, ~self.numeric]
        indicators = [
            _indicators(codes[:, place], known[:, place], share)
            for place, share in enumerate(self.shares)
        ]
        return torch.cat([filled / self.scales, *indicators], 1)


def linear_errors(training: Dataset, dataset: Dataset, size: int) -> Tensor:
    """Squared error of each row through ``size`` components of the training rows, (rows,).

    It is the sum over the observed cells whose values have a distance.
    """
    numbers = RowNumbers.of(training)
    found = principal_components(numbers(training), size)
    centered = numbers(dataset) - found.mean
    lost = centered - centered @ found.directions @ found.directions.T
    cells = dataset.comparable.flatten(1)[:, numbers.numeric]
    return torch.where(cells, lost[:, : len(numbers.means)], 0.0).square().sum(1)


def _cells(dataset: Dataset) -> tuple[Tensor, Tensor]:
    batch = dataset.all()
    return batch.filled.double().flatten(1), dataset.mask.flatten(1)


def _indicators(codes: Tensor, known: Tensor, share: Tensor) -> Tensor:
    """Scaled indicators of one column; a missing cell, and a new level, has none."""
    usual = known & (codes >= 0) & (codes < len(share))
    marks = one_hot(torch.where(usual, codes, 0), len(share)).double()
    return torch.where(usual.unsqueeze(1), marks / share.clamp_min(1e-12).sqrt(), 0.0)


@dataclass(frozen=True)
class Margin:
    """A model and a baseline in one measure, on the same rows; higher is better.

    Attributes:
        name: of the baseline.
        unit: NATS or VARIANCE.
        model: the model's value.
        baseline: the baseline's value.
        difference: model minus baseline, paired over the rows.
    """

    name: str
    unit: str
    model: float
    baseline: float
    difference: Estimate


@dataclass(frozen=True)
class Baselines:
    """A model beside the baselines; Skipped where one does not apply."""

    independent: Margin | Skipped
    pca: Margin | Skipped

    @property
    def margins(self) -> tuple[Margin, ...]:
        """Those that were measured."""
        return tuple(each for each in (self.independent, self.pca) if isinstance(each, Margin))


def baselines(
    model: Model, training: Dataset | Skipped, held_out: Dataset, scores: Scores | Skipped
) -> Baselines:
    """Compare a model with both baselines.

    Args:
        model: the fitted model.
        training: the rows that it was fitted to; Skipped: why there are none.
        held_out: the rows that ``scores`` are of.
        scores: of the model; Skipped if it has no likelihood.
    """
    if held_out.schema.data_kind.grouped:
        none = Skipped(
            "a history has no fixed number of values, which PCA and independent columns need"
        )
        return Baselines(none, none)
    if isinstance(training, Skipped):
        return Baselines(training, training)
    fitted_to = training.thinned(max(2, MOST_VALUES // training.schema.dimension))
    return Baselines(
        _attempted(lambda: _independent(model, fitted_to, held_out, scores)),
        _attempted(lambda: _pca(model, fitted_to, held_out, scores)),
    )


def _attempted(measure: Callable[[], Margin]) -> Margin | Skipped:
    try:
        return measure()
    except UnsupportedError as error:
        return Skipped(str(error))


def _independent(
    model: Model, training: Dataset, held_out: Dataset, scores: Scores | Skipped
) -> Margin:
    likelihood = model.declared_likelihood
    if isinstance(scores, Skipped) or likelihood is None:
        raise UnsupportedError("the model has no likelihood to compare with independent columns")
    if scores.protocol.conditional:
        raise UnsupportedError("the model knows the condition of a row, and the marginals do not")
    terms = marginal_terms(likelihood, training, held_out).flatten(1).sum(1)
    return _in_nats(INDEPENDENT, scores, terms + held_out.log_jacobian(model.mass))


def _in_nats(name: str, scores: Scores, baseline: Tensor) -> Margin:
    own = scores.bound if scores.log_marginal is None else scores.log_marginal
    return Margin(
        name, NATS, float(own.mean()), float(baseline.mean()), Estimate.of(own - baseline)
    )


def _pca(model: Model, training: Dataset, held_out: Dataset, scores: Scores | Skipped) -> Margin:
    schema = training.schema
    if not list(model.parameters()):
        raise UnsupportedError("the model is solved in closed form, as PCA is")
    if not bool(schema.metric.any()):
        raise UnsupportedError("no value of a row is a number, so PCA has nothing to fit")
    if training.condition is not None or schema.condition is not None:
        raise UnsupportedError("the model knows the condition of a row, and PCA does not")
    spaced = model.mass and schema.gaussian and (schema.levels or 0) > 2 and not schema.binary
    plain = schema.gaussian and not model.mass
    if isinstance(scores, Scores) and (spaced or plain) and training.observed is None:
        x, rows = (part.all().filled.double().flatten(1) for part in (training, held_out))
        size = _code_size(model, x.shape[1], len(x))
        step = 1 / held_out.schema.top_code if model.mass else 0.0
        noise = torch.Generator().manual_seed(scores.protocol.seed)
        x, rows = (
            part + step * (torch.rand(part.shape, generator=noise, dtype=part.dtype) - 0.5)
            for part in (x, rows)
        )
        found = principal_components(x, size)
        rest = found.rest.clamp_min(FLOOR)
        density = LowRankMultivariateNormal(found.mean, found.weight(rest), rest.expand(x.shape[1]))
        nats: Tensor = density.log_prob(rows)
        nats = nats + (x.shape[1] * math.log(step) if step else held_out.log_jacobian(False))
        return _in_nats(_named(size), scores, nats)
    features = RowNumbers.of(training)(training.thinned(1)).shape[1]
    size = _code_size(model, features, len(training))
    cells = held_out.comparable
    total = float(squared_distance(held_out.all().filled, cells)) / len(held_out)
    if not total:
        raise UnsupportedError("the rows have no variance, so no share of it is explained")
    own = squared_errors(model, held_out).flatten(1).sum(1) / total
    other = linear_errors(training, held_out, size) / total
    kept, kept_by_pca = 1 - float(own.mean()), 1 - float(other.mean())
    return Margin(_named(size), VARIANCE, kept, kept_by_pca, Estimate.of(other - own))


def _code_size(model: Model, features: int, rows: int) -> int:
    """Numbers in PCA's code: those of the model, and at most half as many as the training rows."""
    own = getattr(model, "latent_dim", None)
    size = own if isinstance(own, int) and own > 0 else CODE
    size = min(size, max(rows // 2, 1))
    if size >= features:
        raise UnsupportedError(
            f"a code of {size} numbers holds all {features} numbers of a row, so PCA loses nothing"
        )
    return size


def _named(size: int) -> str:
    return f"PCA of {size} numbers"
