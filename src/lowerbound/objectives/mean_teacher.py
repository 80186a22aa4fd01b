"""Loss terms that train q(y | x): perturbed labeled rows, and a mean teacher for the others.

The perturbations are random changes of rows that do not change their class.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.data.schema import Schema
from lowerbound.errors import OptionError
from lowerbound.models.powers import HasLabel
from lowerbound.objectives.base import Bound, over_samples
from lowerbound.objectives.elbo import ELBO
from lowerbound.trace import Batch, Choose, Trace

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset

LABELED = 64  # labeled rows per update, besides those of the batch
ROWS = 4_096  # rows of one pass before the first update
MEMORY = 1 / 15  # share of the run over which the teacher's weights are averaged
RAMP = 0.3  # share of the run over which the teacher's weight rises from 0


class Perturbation:
    """Add noise to real numbers, swap cells with levels between rows, and move pictures a little.

    Args:
        schema: the rows' schema.
        deviation: standard deviation of x over all rows and features, the unit of the noise.
        noise: standard deviation of the noise in that unit; half of it is the share of cells with
            levels that are taken from another row.
        augmentation: strength of the rotation, shift, zoom and shear of pictures: 1 is at most 0.2
            radians, 7 % of a side, 10 % and 15 %; 0: none, if classes depend on position or
            direction.
    """

    def __init__(self, schema: Schema, deviation: float, noise: float, augmentation: float) -> None:
        self.metric = schema.metric
        self.smooth = bool(self.metric.all())
        self.deviation, self.noise = deviation, noise
        self.kind, self.augmentation = schema.data_kind, augmentation

    def __call__(self, x: Tensor) -> Tensor:
        """Perturb x, (rows, *event), with torch's global random state."""
        if self.augmentation:
            x = self.kind.augmented(x, self.augmentation)
        if not self.noise:
            return x
        noisy = x + self.noise * self.deviation * torch.randn_like(x)
        if self.smooth:
            return noisy
        others = x[torch.randperm(len(x), device=x.device)]
        swap = torch.rand_like(x) < self.noise / 2
        return torch.where(self.metric.to(x.device), noisy, torch.where(swap, others, x))


class MeanTeacher(ELBO):
    """A bound plus terms that train q(y | x) with labels and with its own averaged weights.

    Args:
        samples: draws of the continuous latents per row.
        share: weight of these terms, in nats of the bound per nat.
        consistency: weight of the teacher's term among them.
        noise: of perturbed rows, in standard deviations; see ``Perturbation``.
        augmentation: strength of the augmentation of perturbed pictures, 0 to 1.
        bound: False: the loss has these terms alone, and the value of a row is 0.
    """

    uses_labels: ClassVar[bool] = True
    steady = False  # each batch has its own number of rows without a label

    averaged: Tensor
    labeled_x: Tensor | None
    labeled_observed: Tensor | None
    labeled_label: Tensor | None
    teacher: nn.Module | None

    def __init__(
        self,
        samples: int,
        share: float,
        consistency: float,
        noise: float,
        augmentation: float,
        bound: bool,
    ) -> None:
        super().__init__(samples=samples)
        if not bound and not share:
            raise OptionError(
                "a weight of 0 of the labels with bound=False leaves nothing to train"
            )
        if noise < 0:
            raise OptionError(f"noise must not be negative, and is {noise}")
        if consistency < 0 or not 0 <= augmentation <= 1:
            raise OptionError(
                "consistency is 0 or more and augmentation 0 to 1, not "
                f"{consistency} and {augmentation}"
            )
        self.share, self.consistency = share, consistency
        self.noise, self.augmentation = noise, augmentation
        self.bounded = bound
        self.perturb: Perturbation | None = None
        for name in ("labeled_x", "labeled_observed", "labeled_label"):
            self.register_buffer(name, None, persistent=False)  # a resumed run makes it again
        self.register_module("teacher", None)
        self.register_buffer("averaged", torch.zeros(()))  # share of the run that the teacher saw
        self._student: list[nn.Module] = []  # in a list, because its parameters are the model's

    @property
    def label_options(self) -> Mapping[str, Any]:
        return {"bound": False} if self.share else {}

    def gather(self, model: HasLabel, dataset: Dataset, known: Tensor, label: Tensor) -> None:
        """Gather the labeled rows, and set up perturbation and teacher.

        Args:
            known: indices of the labeled rows.
            label: the labels of these rows.
        """
        rows = dataset.batch(known)
        self.labeled_x, self.labeled_observed = rows.x, rows.observed
        self.labeled_label = label
        self.perturb = Perturbation(
            dataset.schema, _deviation(dataset), self.noise, self.augmentation
        )
        if self.share and self.consistency:
            self.teacher = copy.deepcopy(model.labeler).requires_grad_(False)
            self._student = [model.labeler]

    @torch.no_grad()
    def after_update(self, bound: Bound) -> None:
        """Update the teacher's weights, the moving average of the student's."""
        if self.teacher is None:
            return
        weight = ((self.progress - self.averaged) / MEMORY).clamp(0.0, 1.0)
        self.averaged.copy_(self.progress)
        student = self._student[0]
        for own, other in zip(self.teacher.parameters(), student.parameters(), strict=True):
            own.lerp_(other, weight.to(own))

    @property
    def fading(self) -> Tensor:
        """From 1 to 0 over the run."""
        return 1 - self.progress

    @property
    def rising(self) -> Tensor:
        """From 0 to 1 over the first part of the run."""
        return (self.progress / RAMP).clamp_max(1.0)

    def labeled(self, batch: Batch) -> tuple[Batch, Tensor]:
        """A draw of labeled rows, or all of them if they are few, and their labels."""
        assert self.labeled_x is not None
        assert self.labeled_label is not None
        count = len(self.labeled_label)
        index = torch.arange(count) if count <= LABELED else torch.randperm(count)[:LABELED]
        index = index.to(self.labeled_label.device)
        assert batch.x is not None
        rows = Batch(self.labeled_x, self.labeled_observed).rows(index).to(batch.x.dtype)
        return rows, self.labeled_label[index]

    def perturbed(self, rows: Batch) -> Batch:
        """The rows after a perturbation."""
        assert self.perturb is not None
        return replace(rows, x=self.perturb(rows.filled))


@dataclass(frozen=True)
class KnownLabels:
    """Use the label for the first latent if it is known; ``rest`` decides everything else.

    Attributes:
        label: (batch, label_dim), NaN where unknown; None: unknown for every row.
        rest: decides the other latents.
    """

    label: Tensor | None
    rest: Choose

    def __call__(
        self, level: int, posterior: Distribution | None, prior: Distribution | None
    ) -> Tensor:
        if level or self.label is None:
            return self.rest(level, posterior, prior)
        given = self.label.unsqueeze(0)
        if not bool(given.isnan().any()):
            return given
        z = self.rest(level, posterior, prior)
        return torch.where(given.isnan(), z, given.to(z))

    def log_weights(self, trace: Trace) -> Tensor | float:
        return self.rest.log_weights(trace)


def nothing(batch: Batch) -> Bound:
    """The bound that is left out: every value is 0."""
    assert batch.x is not None
    zero = batch.x.new_zeros(len(batch))
    return Bound(zero, zero, zero.new_zeros(1, len(batch)), zero.sum())


def surprise(trace: Trace, rows: int) -> Tensor:
    """-log p(y) of the label of a pass, (rows,)."""
    first = trace.steps[0]
    return -over_samples(first.prior.log_prob(first.z)).expand(rows)


def _deviation(dataset: Dataset) -> float:
    """Standard deviation over the first rows of the values without levels."""
    batch = dataset.batch(torch.arange(min(ROWS, len(dataset)), device=dataset.x.device))
    metric = dataset.schema.metric.to(batch.filled.device)
    if not bool(metric.any()):
        return 1.0
    return float(batch.filled[:, metric].double().std(correction=0))
