"""What trains a prior on latents, after the model."""

from __future__ import annotations

import torch

from lowerbound.models import Model
from lowerbound.models.learned_prior import LearnedPrior
from lowerbound.objectives import Bound, Objective
from lowerbound.trace import Batch


class LatentLikelihood(Objective):
    r"""E_q[log p(z)] over draws z ~ q(z | x), the only term of the ELBO that the prior enters.

    A batch holds several draws of each row side by side, (batch, draws * numbers). Each visit takes
    one of them at random; outside training the first counts.

    Args:
        draws: of each row.
        prior: name and options of the prior, so that a checkpoint of another is not continued.
    """

    def __init__(self, *, draws: int = 1, prior: str = "") -> None:
        super().__init__()
        self.draws = draws
        self.prior = prior

    def forward(self, model: Model, batch: Batch) -> Bound:
        assert isinstance(model, LearnedPrior)
        draws = batch.filled.unflatten(1, (self.draws, -1))
        rows = torch.arange(len(draws), device=draws.device)
        visit = torch.randint(self.draws, rows.shape, device=draws.device) if self.training else 0
        log_prob, loss = model.terms(draws[rows, visit], batch.prompt)
        value = log_prob.detach()
        return Bound(value, -value, value.new_zeros(0, len(value)), loss.mean())
