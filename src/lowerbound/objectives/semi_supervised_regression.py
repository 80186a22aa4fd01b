"""The bound on rows, some with a regression target, and the terms that train the regressor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lowerbound.config import renamed_keywords
from lowerbound.distributions.divergence import closed_form_kl
from lowerbound.errors import DataError, OptionError
from lowerbound.models.base import Model
from lowerbound.models.powers import Regresses
from lowerbound.objectives.base import Bound
from lowerbound.objectives.mean_teacher import KnownLabels, MeanTeacher, nothing, surprise
from lowerbound.parts import OBJECTIVES
from lowerbound.trace import Batch, Trace

if TYPE_CHECKING:  # a name for annotations: numpy need not wait for it
    from lowerbound.data.dataset import Dataset


@OBJECTIVES.register("semi_supervised_regression")
@renamed_keywords(moves="augmentation")
class MeanTeacherRegression(MeanTeacher):
    r"""The bound of M2 with a number as label, which is drawn from q(y | x) if it is unknown:

    .. math::
        L(x, y) &= \mathbb{E}_{q(z \mid x, y)}[\log p(x \mid y, z)] + \log p(y)
            - KL(q(z \mid x, y) \,\|\, p(z)) \le \log p(x, y) \\
        U(x) &= \mathbb{E}_{q(y \mid x)}[L(x, y) - \log p(y)] - KL(q(y \mid x) \,\|\, p(y))
            \le \log p(x)

    The value of a row is L(x, y) if its label y, standardized, is known, else U(x). The loss is

    .. math:: -\text{mean value} + w\,(C + c\,T)

    with two terms that are not in the bound. C is -log q(y | x) of the labels on perturbed labeled
    rows. T is the KL from the teacher's prediction for a row without a label to the regressor's
    prediction for the perturbed row (Tarvainen & Valpola 2017). With w = 0 the loss is the bound
    alone. For a model without such a label, the objective is the ELBO.

    Args:
        samples: draws of the latents per row.
        regressor: w, in nats of the bound per nat of -log q(y | x).
        consistency: c.
        noise: of perturbed rows, in standard deviations; see ``Perturbation``.
        augmentation: strength for perturbed pictures, 0 to 1. Above 0, small rotations, shifts,
            zooms and shears must not change the label.
        bound: False: the loss has no bound and trains q(y | x) alone; the value of a row is 0.
    """

    def __init__(
        self,
        *,
        samples: int = 1,
        regressor: float = 50.0,
        consistency: float = 1.0,
        noise: float = 0.3,
        augmentation: float = 0.0,
        bound: bool = True,
    ) -> None:
        super().__init__(samples, regressor, consistency, noise, augmentation, bound)
        if not bound and not regressor:
            raise OptionError("regressor=0 with bound=False leaves nothing to train: set one")
        if regressor < 0:
            raise OptionError(f"regressor must not be negative, and is {regressor}")

    def prepare(self, model: Model, dataset: Dataset) -> None:
        """Gather the labeled rows, and set up the teacher.

        Raises:
            DataError: no row has a label.
        """
        super().prepare(model, dataset)
        if not isinstance(model, Regresses) or model.label_is_fitted:
            return
        target = dataset.target
        if target is None or bool(target.isnan().all()):
            raise DataError("no row has a label: label some rows, or fit a vae")
        known = torch.nonzero(~target.isnan()).flatten()
        self.gather(model, dataset, known, target[known])

    def forward(self, model: Model, batch: Batch) -> Bound:
        if not isinstance(model, Regresses):
            return super().forward(model, batch)
        bound = self.bound_of(model, batch) if self.bounded else nothing(batch)
        if not (self.share and self.training and self.labeled_label is not None):
            return bound
        return replace(bound, loss=bound.loss + self.share * self.lesson(model, batch))

    def bound_of(self, model: Regresses, batch: Batch) -> Bound:
        """The bound of every row: of its label if it is known, else of a draw from q(y | x)."""
        assert isinstance(model, Model)
        known = None if batch.target is None else batch.target.unsqueeze(1)
        return self.bound(model(batch, KnownLabels(known, self.choose)), batch)

    def split(self, trace: Trace, batch: Batch) -> tuple[Tensor, Tensor]:
        """As in ``ELBO``; the rate of a known label is -log p(y)."""
        likelihood, rates = super().split(trace, batch)
        if batch.target is None:
            return likelihood, rates
        of_label = torch.where(batch.target.isnan(), rates[0], surprise(trace, len(batch)))
        return likelihood, torch.cat([of_label.unsqueeze(0), rates[1:]])

    def lesson(self, model: Regresses, batch: Batch) -> Tensor:
        """C + c T, nats."""
        labeled, target = self.labeled(batch)
        said = model.target_posterior(self.perturbed(labeled))
        loss = -said.log_prob(target.reshape(1, -1, 1).to(said.mean)).mean()
        if self.teacher is None or batch.target is None:
            return loss
        hidden = batch.target.isnan()
        if not bool(hidden.any()):
            return loss
        rows = batch.rows(hidden)
        with torch.no_grad():
            expected = model.target_posterior(rows, self.teacher)
        apart = closed_form_kl(expected, model.target_posterior(self.perturbed(rows)))
        assert apart is not None
        return loss + self.consistency * self.rising * apart.mean()
