"""What ``log_prob`` of a distribution gives: log p itself, a lower bound on it, or nothing."""

from __future__ import annotations

from typing import Literal

from torch.distributions import Distribution, Independent

Density = Literal["exact", "bound", "none"]


def density_of(distribution: Distribution) -> Density:
    """The kind of the density, as the distribution declares it by its attribute ``density``.

    "exact": log p. "bound": a lower bound on log p, or a random estimate whose mean is one; sums
    of it bound the ELBO, but the mean of its exponential bounds nothing, so it is not for
    importance weights. "none": there is no ``log_prob``. Torch's own distributions are exact.
    """
    declared: Density | None = getattr(distribution, "density", None)
    if declared is None and isinstance(distribution, Independent):
        return density_of(distribution.base_dist)
    return declared or "exact"
