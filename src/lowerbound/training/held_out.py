r"""Validation: the bound on held-out rows, and the weights with the best bound.

Noise is keyed by row content and the bits of dynamic binarization are fixed. Therefore a difference
between two validations depends only on the weights, and ``lowerbound.evaluation`` computes the same
number for the same rows, samples and seed.

What the latents of held-out rows carry, measured during the passes of a validation.

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

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal

from lowerbound import processes
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.divergence import unit_kl
from lowerbound.distributions.gaussian_mixture import ACTIVE, mutual_information
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import (
    NoiseSource,
    PlainNormal,
    base_normal,
    seeded,
)
from lowerbound.errors import counted
from lowerbound.models.base import DRAW, Model
from lowerbound.objectives.base import Objective
from lowerbound.objectives.importance_weighted import ReweightedDraw
from lowerbound.trace import Batch, Choose, Draw, Step, Trace
from lowerbound.training.feed import Feed
from lowerbound.training.reporter import Record

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


SEED = 0
SHARE_OF_TIME = 0.05
FEWEST_UPDATES_BETWEEN = 50
LONGEST_EPOCH = 1_000


class HeldOutBound(NamedTuple):
    """The mean of the objective's value, and of what the weights are judged by."""

    value: float
    joint: float


class HeldOut:
    """Rows that are scored and not trained on. Of several processes, each scores a part of them.

    Args:
        dataset: the rows.
        device: of the model.
        dtype: of its parameters.
        rows: largest size of a batch.
    """

    def __init__(
        self, dataset: Dataset, device: torch.device, dtype: torch.dtype, rows: int
    ) -> None:
        if dataset.schema.binarize != "none":
            dataset = dataset.binarized()
        self.total, self.rows = len(dataset), rows
        self.divided = 1 < processes.count() <= self.total
        if self.divided:
            dataset = dataset.subset(processes.part(torch.arange(self.total)))
        self.feed = Feed(dataset, device, dtype)
        # hashing a row takes as long as scoring it, so it is done once
        self.keys = torch.cat([row_keys(batch.filled, SEED) for batch in self._batches()])

    def __len__(self) -> int:
        return len(self.feed)

    def bound(
        self, model: Model, objective: Objective, watch: LatentWatch | None = None
    ) -> HeldOutBound:
        """Means over all rows, nats per row in model units.

        Args:
            model, objective: to validate.
            watch: is given the first pass of each batch, if the objective passes it through the
                model.
        """
        value = joint = 0.0
        # noise that cannot be keyed has the same seed each time
        with (
            seeded(SEED),
            torch.no_grad(),
            evaluating(model, objective),
            keyed_draws(model, self.keys),
            watched(model) as traces,
        ):
            for batch in self._batches():
                found = objective(model, batch)
                value += float(found.value.double().sum())
                judged = found.value if found.joint is None else found.joint
                joint += float(judged.double().sum())
                if watch is not None and traces:
                    watch.add(traces[0])
                traces.clear()
        if self.divided:
            value, joint = self._added(value, joint)
            if watch is not None:
                watch.add_up(self.rows)
        return HeldOutBound(value / self.total, joint / self.total)

    def _added(self, *sums: float) -> list[float]:
        """The sums over the rows of all processes."""
        total = torch.tensor(sums, dtype=torch.float64)
        processes.add_up([total])
        return [float(each) for each in total]

    def _batches(self) -> Iterator[Batch]:
        for start in range(0, len(self), self.rows):
            yield self.feed.batch(torch.arange(start, min(start + self.rows, len(self))))


def updates_between(rows: int, held_out: int, batch_size: int, slow: bool = False) -> int:
    """Updates from one record (and validation) to the next.

    A forward pass takes a third of the time of an update. If a validation of V rows follows
    20 V / 3 trained rows, validation takes about a twentieth of the time. There is one record per
    epoch if an epoch is neither too short nor too long.

    Args:
        rows: training rows.
        held_out: validation rows.
        batch_size: training rows per update.
        slow: validation is in float32 and training in bf16, so that a row of validation takes as
            long as a row of training.
    """
    cost = 1.0 if slow else 1 / 3
    affordable = math.ceil(cost * held_out / SHARE_OF_TIME / batch_size)
    epoch = math.ceil(rows / batch_size)
    watchable = epoch if epoch <= LONGEST_EPOCH else LONGEST_EPOCH // 2
    return max(affordable, FEWEST_UPDATES_BETWEEN, watchable)


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Context in evaluation mode; each submodule's mode is restored afterwards."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def keyed_draws(model: Model, keys: Tensor) -> Iterator[None]:
    """Context in which the model's draws for a row depend only on the row's key.

    Args:
        model: whose draws are keyed.
        keys: one per row of the data set, (rows,), indexed by ``Batch.ids``.
    """

    def keyed(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        batch, choose = (*inputs, DRAW)[:2]
        return batch, with_noise(choose, KeyedNoise(keys[batch.ids], SEED))

    hook = model.register_forward_pre_hook(keyed)
    try:
        yield
    finally:
        hook.remove()


def with_noise(choose: Choose, noise: NoiseSource) -> Choose:
    """The same draws from another source; a choice without draws is unchanged."""
    draws = choose.draw if isinstance(choose, ReweightedDraw) else choose
    return replace(draws, noise=noise) if isinstance(draws, Draw) else choose


class Best:
    """Keeps the weights of the highest held-out bound.

    Args:
        patience: validations without gain before training stops; 0: never.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.bound = -math.inf
        self.update: int | None = None
        self.without_gain = 0
        self.provisional = False
        self.weights: dict[str, Tensor] = {}

    @property
    def exhausted(self) -> bool:
        """Whether training should stop."""
        return bool(self.patience) and self.without_gain >= self.patience

    def consider(self, bound: float, update: int, model: nn.Module, newest: bool = False) -> None:
        """Keep the model's weights if the bound is the highest so far, or in any case.

        Args:
            bound: of these weights on the held-out rows.
            update: number of the update.
            model: with the weights.
            newest: keep them in any case, and only until the next call.
        """
        self.without_gain += 1
        if newest or self.provisional or bound > self.bound:
            self.bound = -math.inf if math.isnan(bound) else bound
            self.update, self.without_gain = update, 0
            self.weights = {name: value.clone() for name, value in model.state_dict().items()}
        self.provisional = newest

    def apply(self, model: nn.Module) -> None:
        """Set the model's weights to the best ones, if there are any."""
        if self.weights:
            model.load_state_dict(self.weights)

    def to_mapping(self) -> dict[str, Any]:
        """JSON values, without the weights."""
        return {
            "bound": self.bound if math.isfinite(self.bound) else None,
            "update": self.update,
            "without_gain": self.without_gain,
            "provisional": self.provisional,
        }

    def restore(self, mapping: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Restore the values of ``to_mapping``, and the weights."""
        self.update, self.without_gain = mapping["update"], mapping["without_gain"]
        self.bound = -math.inf if mapping["bound"] is None else mapping["bound"]
        self.provisional = mapping.get("provisional", False)  # older checkpoints have none
        self.weights = dict(weights)
