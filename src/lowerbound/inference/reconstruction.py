r"""The reconstruction of a row and its uncertainty, with the detail that a refiner restores.

.. math::
    \mathrm{Var}(x' \mid x) = \mathbb{E}_{q}[\mathrm{Var}(x' \mid z)]
                            + \mathrm{Var}_{q}(\mathbb{E}[x' \mid z])

The first part is the noise of p(x | z), the second the uncertainty of the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.passes import MEMORY, ChunkPlan, Progress, collected
from lowerbound.models.base import Model
from lowerbound.trace import Batch, Mean

ROWS_AT_ONCE = 256
LEVEL = 1  # of the noise; 0 is that of z
MEAN_COST = 4  # factor of memory, because a likelihood over levels sums over blocks of them


@dataclass(frozen=True, eq=False)
class RefinedRows:
    """Pictures, and their reconstructions at the mean code, (rows, *event) each.

    Attributes:
        x: input pictures.
        mean: the decoder's mean.
        drawn: a draw of the refiner given this mean; the mean itself without a refiner.
    """

    x: Tensor
    mean: Tensor
    drawn: Tensor


def reconstruct_refined(
    model: Model, dataset: Dataset, *, seed: int = 0, progress: Progress | None = None
) -> RefinedRows:
    """Reconstruct each row at its mean code, and refine it.

    The noise of a row depends on its content and the seed only, so neither order nor batch matters.
    """

    def rebuilt(_: slice, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        mean = model(batch, Mean()).likelihood.mean[0]
        if model.refiner is None:
            return batch.filled, mean, mean
        keyed = KeyedNoise(row_keys(batch.filled, seed), seed)
        noise = keyed.normal((1, *mean.shape), mean, LEVEL)[0]
        return batch.filled, mean, model.refiner.draw(mean, noise)

    return RefinedRows(*collected(model, dataset, ROWS_AT_ONCE, rebuilt, progress=progress))


@dataclass(frozen=True)
class Reconstruction:
    """x' ~ p(x' | z), z ~ q(z | x), for each row, in model units, (rows, *event).

    Attributes:
        mean: E[x' | x].
        noise: E_q[Var(x' | z)], variance of p(x | z).
        spread: Var_q(E[x' | z]), variance from the code; zero for an autoencoder.
    """

    mean: Tensor
    noise: Tensor
    spread: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of x' given x."""
        return (self.noise + self.spread).sqrt()


def reconstruct(
    model: Model, dataset: Dataset, *, samples: int = 32, seed: int = 0, memory: int = MEMORY
) -> Reconstruction:
    """Mean and variance of each row's reconstruction over ``samples`` draws of its code."""
    plan = ChunkPlan.of(model, dataset, samples, max(1, memory // MEAN_COST))

    def moments_of(_: slice, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        moments = _Moments()
        for _count, trace in plan.traces(model, batch, samples, seed):
            moments.add(trace.likelihood.mean, trace.likelihood.variance)
        return moments.result()

    mean, spread, noise = collected(model, dataset, plan.rows, moments_of)
    return Reconstruction(mean, noise, spread)


@dataclass(frozen=True)
class ReconstructionError:
    """The error of the reconstruction through the mean code; lower is better.

    Attributes:
        squared: mean squared error per value in model units, over the observed cells that have a
            distance; NaN without such cells.
        log_loss: -log p(x | z = mean code), nats per row in the data's own units; it does not bound
            -log p(x), because it lacks the rate.
        explained: 1 - squared error / squared distance from the mean row, over the same cells; NaN
            if the rows do not differ in them.
        exact: of symbols, share of the rows that are reconstructed without an error; None of other
            rows.
    """

    squared: Estimate
    log_loss: Estimate
    explained: float
    exact: float | None = None


def reconstruction_error(
    model: Model, dataset: Dataset, *, memory: int = MEMORY
) -> ReconstructionError:
    """Compare each row with its decoded mean code; for models without a bound too."""
    plan = ChunkPlan.of(model, dataset, memory=max(1, memory // MEAN_COST))
    cells = dataset.comparable.cpu()

    symbolic = dataset.schema.data_kind.symbolic

    def compared(part: slice, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        emission, x = model(batch, Mean()).likelihood, batch.filled
        here = cells if len(cells) == 1 else cells[part]
        error = x.new_zeros(x.shape, dtype=torch.float64).cpu()
        if bool(here.any()):  # else the rows need not have a mean
            error = (emission.mean[0] - x).double().square().cpu()
        elif symbolic:  # the number of wrong symbols
            error = (emission.best[0] != x).double().cpu()
            return error.flatten(1).sum(1), -emission.log_prob(x, batch.observed)[0].double(), x
        loss = -emission.log_prob(x, batch.observed)[0].double()
        return torch.where(here, error, 0.0).flatten(1).sum(1), loss, x.double()

    errors, losses, rows = collected(model, dataset, plan.rows, compared)
    counts = cells.flatten(1).sum(1).double()
    exact = float((errors == 0).double().mean()) if symbolic else None
    return ReconstructionError(
        squared=Estimate.of((errors / counts)[counts.expand(len(errors)) > 0]),
        log_loss=Estimate.of(losses - dataset.log_jacobian(model.mass)),
        explained=math.nan if symbolic else _explained(errors, squared_distance(rows, cells)),
        exact=exact,
    )


def _explained(errors: Tensor, distance: Tensor) -> float:
    """1 - sum of errors / distance; NaN if the rows are equal, so that there is no variance."""
    return float(1 - errors.sum() / distance) if float(distance) else math.nan


def squared_errors(model: Model, dataset: Dataset, *, memory: int = MEMORY) -> Tensor:
    """Squared error of each cell through the mean code, (rows, *event) float64.

    It is zero in cells that are missing or whose values have no distance.
    """
    plan = ChunkPlan.of(model, dataset, memory=max(1, memory // MEAN_COST))
    cells = dataset.comparable.cpu()

    def compared(part: slice, batch: Batch) -> tuple[Tensor]:
        here = cells if len(cells) == 1 else cells[part]
        error = (model(batch, Mean()).likelihood.mean[0] - batch.filled).double().square().cpu()
        return (torch.where(here, error, 0.0),)

    return collected(model, dataset, plan.rows, compared)[0]


def squared_distance(x: Tensor, cells: Tensor) -> Tensor:
    """Sum of squared distances of the rows from their mean row, over some cells.

    Args:
        x: (rows, *event).
        cells: mask of the cells to include, (rows | 1, *event) bool.
    """
    kept = torch.where(cells, x.double(), 0.0)
    counts = cells.expand(x.shape).sum(0).clamp_min(1)
    return torch.where(cells, kept - kept.sum(0) / counts, 0.0).square().sum()


class _Moments:
    """Running mean and variance along the first axis, and the mean of variances; float64."""

    def __init__(self) -> None:
        self.count = 0
        self.origin: Tensor | None = None

    def add(self, values: Tensor, variances: Tensor | None = None) -> None:
        """Add (draws, ...)."""
        if self.origin is None:  # differences from the first value lose less precision
            self.origin = values[0].double()
            self.sum = self.squares = self.variances = torch.zeros_like(self.origin)
        difference = values.double() - self.origin
        self.count += len(values)
        self.sum = self.sum + difference.sum(0)
        self.squares = self.squares + difference.square().sum(0)
        if variances is not None:
            self.variances = self.variances + variances.double().sum(0)

    def result(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, variance, and mean of the variances."""
        assert self.origin is not None
        shift = self.sum / self.count
        variance = (self.squares / self.count - shift.square()).clamp_min(0)
        mean_variance = self.variances / self.count
        return self.origin + shift, variance, mean_variance
