"""log p(z) of latents that a prior was not trained on, under this prior and the one before."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import UnsupportedError
from lowerbound.models import LearnsPrior, Model
from lowerbound.models.learned_prior import density_of_prior

ROWS_AT_ONCE = 256
MOST_ROWS = 2_000


def compared(
    former: LearnsPrior, made: LearnsPrior, latents: Dataset | None, draws: int, seed: int
) -> dict[str, Any]:
    """The fields of ``PriorFit`` that compare two priors on the same held-out latents.

    Args:
        former: the model with the prior that it had before.
        made: the model with the new prior.
        latents: the held-out rows, (rows, draws * numbers); None: there are none.
        draws: latents of each row.
        seed: of the estimates where a density is a bound.
    """
    kinds = {"density": density_of_prior(made), "former_density": density_of_prior(former)}
    if latents is None:
        return kinds
    rows = latents.thinned(MOST_ROWS)
    after, before = (_log_prior(model, rows, draws, seed) for model in (made, former))
    spread = float((after - before).std()) / math.sqrt(len(rows)) if len(rows) > 1 else None
    means = {"validation": float(after.mean()), "former": float(before.mean()), "error": spread}
    return {**kinds, **means, "held_out": len(rows)}


@torch.no_grad()
def _log_prior(model: LearnsPrior, latents: Dataset, draws: int, seed: int) -> Tensor:
    """Mean of log p(z) over the draws of each row, or of unbiased estimates of a bound on it,
    (rows,), float64."""
    assert isinstance(model, Model)
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    model.eval()
    found = []
    with seeded(seed):
        for part in torch.arange(len(latents)).split(ROWS_AT_ONCE):
            batch = latents.batch(part)
            z = batch.filled.to(device).unflatten(1, (draws, -1))
            each = [_terms(model, z[:, number], batch.prompt) for number in range(draws)]
            found.append(torch.stack(each).mean(0))
    return torch.cat(found)


def _terms(model: LearnsPrior, z: Tensor, prompt: Tensor | None) -> Tensor:
    try:
        return model.prior_terms(z, prompt).log_prob.double().cpu()
    except UnsupportedError:
        if prompt is None:
            raise
        return _terms(model, z, None)  # the former prior takes no prompt
