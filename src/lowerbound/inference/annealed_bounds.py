r"""Bidirectional Monte Carlo: a bound on the error of annealed importance sampling.

For a row simulated from the model, z ~ p(z), x ~ p(x | z), the latent is an exact draw from the
posterior p(z | x). Annealing backwards from it estimates 1 / p(x) without bias, so minus the log of
that estimate is on average an upper bound on log p(x). Annealing forwards gives the lower bound.
The gap between them bounds the error of either. Source: Grosse et al. 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.inference.annealing import AnnealedChains, AnnealingOptions, checked
from lowerbound.inference.estimate import Estimate
from lowerbound.inference.passes import (
    MEMORY,
    ChunkPlan,
    Progress,
    batches,
    evaluation_mode,
)
from lowerbound.models.base import Model
from lowerbound.networks.processor import in_precision
from lowerbound.trace import Batch

SIMULATED_AT_ONCE = 16  # a fixed number, so that the rows do not depend on memory


@dataclass(frozen=True)
class Bracket:
    """Two bounds on log p(x) of rows simulated from the model, (rows,), nats; float64.

    Attributes:
        lower: from chains that start at the encoder's proposal.
        upper: from chains that start at the latent that generated the row.
        acceptance: mean acceptance probability of the transitions, (rows,).
    """

    lower: Tensor
    upper: Tensor
    acceptance: Tensor

    @property
    def gap(self) -> Estimate:
        """Difference of the bounds, nats per row; on average it bounds the error of either."""
        return Estimate.of(self.upper - self.lower)


def bracket(
    model: Model,
    dataset: Dataset,
    options: AnnealingOptions | None = None,
    *,
    memory: int = 8 * MEMORY,
    progress: Progress | None = None,
) -> Bracket:
    """Both bounds on as many rows simulated from the model as ``dataset`` has.

    A conditional model gets the conditions of the rows of ``dataset``; their values are not used.

    Args:
        model: as for ``anneal``.
        dataset: sets the number of rows and their conditions.
        options: as for ``anneal``.
        memory: working memory in bytes.
        progress: called with (rows done, rows) after each chunk.

    Raises:
        UnsupportedError: as for ``anneal``.
    """
    options = options or AnnealingOptions()
    model = in_precision(model, dataset.x.dtype)
    footprint = checked(model, dataset)
    plan = ChunkPlan.within(memory, footprint, options.chains)
    lower, upper, acceptance = [], [], []
    count = math.log(options.chains)
    with evaluation_mode(model, gradients=True):
        made, latents = simulate(model, dataset, options.seed)
        for start in range(0, len(made), plan.rows):
            rows = slice(start, min(start + plan.rows, len(made)))
            chains = AnnealedChains(model, made.rows(rows), footprint.trace, options)
            forward = chains.forward(plan.samples)
            backward = chains.backward(latents[:, rows], plan.samples)
            lower.append(torch.logsumexp(forward.log_weights, 0) - count)
            upper.append(count - torch.logsumexp(backward.log_weights, 0))
            acceptance.append(torch.cat([forward.acceptance, backward.acceptance]).mean(0))
            if progress is not None:
                progress(rows.stop, len(made))
    units = dataset.schema.log_jacobian(made.filled.cpu(), model.mass, made.observed)
    return Bracket(torch.cat(lower) + units, torch.cat(upper) + units, torch.cat(acceptance))


@torch.no_grad()
def simulate(model: Model, dataset: Dataset, seed: int) -> tuple[Batch, Tensor]:
    """As many rows drawn from the model as ``dataset`` has, and their latents, (1, rows, numbers).

    Args:
        model: in evaluation mode.
        dataset: sets the number of rows and their conditions.
        seed: of the draws.
    """
    rows, latents, conditions = [], [], []
    with seeded(seed):
        for _, real in batches(dataset, model, SIMULATED_AT_ONCE):
            trace = model(Batch(condition=real.condition, count=len(real)))
            rows.append(trace.likelihood.sample()[0].expand(len(real), *real.filled.shape[1:]))
            latents.append(trace.latents())
            conditions += [] if real.condition is None else [real.condition]
    condition = torch.cat(conditions) if conditions else None
    return Batch.drawn(torch.cat(rows), condition), torch.cat(latents, 1)
