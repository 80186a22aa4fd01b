"""Where a discretized logistic starts: the one that fits each feature's levels, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_ROWS = 2000  # enough to place a start
THRESHOLDS = 16
LEAST_SCALE, MOST_SCALE = 0.005, 0.5  # model units


def fit_logistic(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    r"""Location and scale of each feature in model units, (*event,) each.

    A logistic's distribution function is a line in its logit, logit F(t) = (t - mu) / s, so a line
    is fitted to the logits of the shares of rows below some thresholds, each weighted by how well
    its share is known, F (1 - F). Levels piled up at black or white only say that the line crosses
    there, so they are no trouble as they would be for a mean and a standard deviation.

    Source: Berkson 1944 (minimum chi-square for the logit).
    """
    rows = x[:MOST_ROWS].float()
    edge = torch.linspace(0, levels - 2, min(THRESHOLDS, levels - 1)).round() + 0.5
    thresholds = (edge / (levels - 1)).to(rows.device)
    # half a row is added on either side: a share of 0 or 1 has no logit
    below = torch.stack([((rows < t).sum(0) + 0.5) / (len(rows) + 1) for t in thresholds])
    weight = below * (1 - below)
    weight = weight / weight.sum(0)
    logit = torch.logit(below)
    t = thresholds.reshape(-1, *[1] * (x.dim() - 1)).expand_as(logit)
    mean_t, mean_logit = (weight * t).sum(0), (weight * logit).sum(0)
    across = (weight * (t - mean_t) * (logit - mean_logit)).sum(0)
    along = (weight * (t - mean_t).square()).sum(0)
    # a feature that never varies has slope 0; two levels have a single threshold and no slope
    slope = torch.where(along > 0, across / along, 0.0)
    scale = 1 / slope.clamp(1 / MOST_SCALE, 1 / LEAST_SCALE)
    return mean_t - scale * mean_logit, scale
