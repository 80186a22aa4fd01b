"""log p(z) of latents that a prior was not trained on, under this prior and the one before."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.models import LearnsPrior, Model
from lowerbound.models.learned_prior import density_of_prior
from lowerbound.training.held_out import evaluating

ROWS_AT_ONCE = 256
MOST_ROWS = 2_000


def compared(
    former: LearnsPrior,
    made: LearnsPrior,
    latents: Dataset | None,
    draws: int,
    seed: int,
    *,
    same_prompts: bool = True,
) -> dict[str, Any]:
    """The fields of ``PriorFit`` that compare two priors on the same held-out latents.

    Args:
        former: the model with the prior that it had before.
        made: the model with the new prior.
        latents: the held-out rows, (rows, draws * numbers); None: there are none.
        draws: latents of each row.
        seed: of the estimates where a density is a bound.
        same_prompts: whether the former prior takes the prompts of the new one; else it gets none.
    """
    kinds = {"density": density_of_prior(made), "former_density": density_of_prior(former)}
    if latents is None:
        return kinds
    rows = latents.thinned(MOST_ROWS)
    after = _log_prior(made, rows, draws, seed)
    before = _log_prior(former, rows if same_prompts else replace(rows, prompt=None), draws, seed)
    spread = float((after - before).std()) / math.sqrt(len(rows)) if len(rows) > 1 else None
    means = {"validation": float(after.mean()), "former": float(before.mean()), "error": spread}
    return {**kinds, **means, "held_out": len(rows)}


@torch.no_grad()
def _log_prior(model: LearnsPrior, latents: Dataset, draws: int, seed: int) -> Tensor:
    """Mean of log p(z) over the draws of each row, or of unbiased estimates of a bound on it,
    (rows,), float64."""
    assert isinstance(model, Model)
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    found = []
    with seeded(seed), evaluating(model):
        for part in torch.arange(len(latents)).split(ROWS_AT_ONCE):
            batch = latents.batch(part).on(device)
            z = batch.filled.unflatten(1, (draws, -1))
            each = [model.prior_terms(z[:, i], batch.prompt).log_prob for i in range(draws)]
            found.append(torch.stack(each).double().mean(0).cpu())
    return torch.cat(found)
