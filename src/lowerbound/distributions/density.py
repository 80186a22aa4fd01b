"""Kinds of densities: whether ``log_prob`` is exact, a lower bound, or undefined."""

from __future__ import annotations

from typing import Literal

from torch.distributions import Distribution, Independent

Density = Literal["exact", "bound", "none"]


def density_of(distribution: Distribution) -> Density:
    """The kind of the density, which the distribution declares by its attribute ``density``.

    "exact": log p. "bound": a lower bound on log p, or a random estimate whose mean is one. Sums of
    it bound the ELBO, but the mean of its exponential is not a bound, so it cannot be used in
    importance weights. "none": there is no ``log_prob``. Torch's distributions are exact.
    """
    declared: Density | None = getattr(distribution, "density", None)
    if declared is None and isinstance(distribution, Independent):
        return density_of(distribution.base_dist)
    return declared or "exact"
