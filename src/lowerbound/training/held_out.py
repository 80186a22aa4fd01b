"""Validation: the bound on held-out rows, and the weights with the best bound.

Noise is keyed by row content and the bits of dynamic binarization are fixed. Therefore a difference
between two validations depends only on the weights, and ``lowerbound.evaluation`` computes the same
number for the same rows, samples and seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lowerbound import processes
from lowerbound.data.dataset import Dataset
from lowerbound.distributions.keyed_noise import KeyedNoise, row_keys
from lowerbound.distributions.reparameterization import NoiseSource, seeded
from lowerbound.models.base import DRAW, Model
from lowerbound.objectives.base import Objective
from lowerbound.objectives.importance_weighted import ReweightedDraw
from lowerbound.trace import Batch, Choose, Draw
from lowerbound.training.feed import Feed
from lowerbound.training.latent_watch import LatentWatch, watched

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
