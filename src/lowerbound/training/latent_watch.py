r"""What the latents of held-out rows carry, measured during the passes of a validation.

- active units: numbers of a latent with

  .. math:: \mathrm{Var}_x(\mathbb{E}_q[z_j]) > 0.01 \quad\text{and}\quad
            \mathbb{E}_x[\mathrm{KL}_j] > 0.01\ \text{nats}

  The second condition applies if the KL of a unit has a closed form (Burda et al. 2016, appendix C,
  have the first; a unit that only follows a learned prior fails the second).
- mutual information I(x; z) under q, estimated within a batch, which is too small on average
  and at most the logarithm of the rows of the batch: see ``mutual_information``. Only a model with
  one latent has this reading: with several, the prior of a latent depends on those above.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal

from lowerbound import processes
from lowerbound.distributions.aggregate import ACTIVE, mutual_information
from lowerbound.distributions.divergence import unit_kl
from lowerbound.distributions.reparameterization import PlainNormal, base_normal
from lowerbound.errors import counted
from lowerbound.trace import Step, Trace
from lowerbound.training.history import Record

UNITS, INFORMATION = "active units", "mutual information"
POOL = 256  # draws in the estimate of I(x; z); more would take too long for small models
LEAST_RATE = 0.1  # nats; latents with less are collapsed


class LatentWatch:
    """Sums over batches, from which the readings are made."""

    def __init__(self) -> None:
        self._levels: dict[int, UnitSums] = {}
        self._first: Step | None = None  # of the first batch, if there is one latent

    @torch.no_grad()
    def add(self, trace: Trace) -> None:
        """Add the pass of a batch; latents that are not Gaussian are left out."""
        for level, step in enumerate(trace.steps):
            mean = mean_of(step.posterior)
            if mean is not None:
                self._levels.setdefault(level, UnitSums()).add(mean, step)
        if self._first is None and len(trace.steps) == 1 and self._levels:
            self._first = trace.steps[0]

    def add_up(self, rows: int) -> None:
        """Sum over the rows of all processes.

        Args:
            rows: of a batch of one process: as many enter the mutual information.
        """
        if self._first is not None:
            self._first = _of_all(self._first, rows)
        for level in sorted(self._levels):
            self._levels[level].add_up()

    def readings(self) -> dict[str, tuple[float, ...]]:
        """Active units and all units, summed over latents, and the mutual information."""
        if not self._levels:
            return {}
        levels = list(self._levels.values())
        active, units = sum(one.active for one in levels), sum(one.units for one in levels)
        found: dict[str, tuple[float, ...]] = {UNITS: (active, units)}
        information = None if self._first is None else _information(self._first)
        if information is not None:
            found[INFORMATION] = (max(information, 0.0),)
        return found


@contextmanager
def watched(model: nn.Module) -> Iterator[list[Trace]]:
    """Context in which the traces of the model's passes are appended to the list."""
    traces: list[Trace] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Trace):
            traces.append(output)

    hook = model.register_forward_hook(keep)
    try:
        yield traces
    finally:
        hook.remove()


class UnitSums:
    """Sums over rows for each number of one latent."""

    def __init__(self) -> None:
        self.rows = 0
        self._mean: Tensor | float = 0.0
        self._square: Tensor | float = 0.0
        self._rate: Tensor | float | None = 0.0

    def add(self, mean: Tensor, step: Step) -> None:
        """Add posterior means (rows, units) and the rates of the units."""
        rows = step.z.shape[1]
        mean = mean.expand(rows, -1).double()
        self.rows += rows
        self._mean = self._mean + mean.sum(0)
        self._square = self._square + mean.square().sum(0)
        rates = unit_kl(step.posterior, step.prior) if step.posterior is not None else None
        if rates is None or self._rate is None:
            self._rate = None
        else:
            self._rate = self._rate + rates.mean((0, 1)).flatten().double() * rows

    def add_up(self) -> None:
        """Sum over the rows of all processes."""
        sums = [torch.as_tensor(self._mean), torch.as_tensor(self._square)]
        if self._rate is not None:
            sums.append(torch.as_tensor(self._rate))
        rows = sums[0].new_full((1,), self.rows)
        processes.add_up([rows, *sums])
        self.rows = int(rows)

    @property
    def units(self) -> int:
        """The numbers of the latent."""
        return torch.as_tensor(self._mean).numel()

    @property
    def active(self) -> int:
        """How many of them are active."""
        mean = torch.as_tensor(self._mean) / self.rows
        chosen = torch.as_tensor(self._square) / self.rows - mean.square() > ACTIVE
        if self._rate is not None:
            chosen &= torch.as_tensor(self._rate) / self.rows > ACTIVE
        return int(chosen.sum())


def mean_of(posterior: Distribution | None) -> Tensor | None:
    """E_q[z] of each row for the first draw of the latents above, (rows | 1, units).

    None if the posterior is not Gaussian.
    """
    base = None if posterior is None else base_normal(posterior)
    if base is not None:
        return base.loc[0].flatten(1)
    return posterior.loc[0] if isinstance(posterior, MultivariateNormal) else None


def collapse_message(record: Record, *, needed: bool = True) -> str:
    """A warning with the numbers if the latents carry nothing, else an empty text.

    Args:
        record: of the weights to keep.
        needed: whether rows are drawn by the latents alone. Columns that are drawn one after
            another need them less, and explain each other in many tables.
    """
    rate = sum(record.rates)
    if UNITS not in record.readings:
        return ""
    active, units = record.readings[UNITS]
    if active and not rate < LEAST_RATE:
        return ""
    numbers = f"the rate is {rate:.2g} nats per row"
    if not active:
        numbers += f", and 0 of {counted(round(units), 'unit')} are active on the held-out rows"
    if not needed:
        return (
            f"z says almost nothing about a row ({numbers}): columns are drawn one after another, "
            "and explain each other. Drawn rows need no more, but codes of rows say nothing"
        )
    return (
        f"warning: the latents have collapsed: {numbers}, so z says almost nothing about a row. "
        "Fit again with --set objective.warm_up=0.5, --set objective.cycles=4 or "
        "--set objective.free_bits=2, a lower objective.beta, or --objective target_rate"
    )


def _of_all(step: Step, rows: int) -> Step:
    """A Gaussian latent of the first rows of all processes, in the order of the data."""

    def gathered(values: Tensor) -> Tensor:
        return processes.gathered(values[0])[:rows].unsqueeze(0)

    posterior: Distribution | None = None
    base = None if step.posterior is None else base_normal(step.posterior)
    if base is not None:
        loc, scale = gathered(base.loc), gathered(base.scale.expand_as(base.loc))
        posterior = Independent(PlainNormal(loc, scale), loc.dim() - 2, validate_args=False)
    elif isinstance(step.posterior, MultivariateNormal):
        loc, tril = gathered(step.posterior.loc), gathered(step.posterior.scale_tril)
        posterior = MultivariateNormal(loc, scale_tril=tril, validate_args=False)
    return replace(step, z=gathered(step.z), posterior=posterior)


def _information(step: Step) -> float | None:
    """The estimate from draws of the first rows of the batch; None if it has only one row."""
    posterior, rows = step.posterior, step.z.shape[1]
    if posterior is None or rows < 2 or posterior.batch_shape != (1, rows):
        return None
    return mutual_information(posterior, step.z[0, :POOL])
