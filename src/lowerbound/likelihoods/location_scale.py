"""Real features around a location: what Gaussian, Laplace and Student-t error have in common."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from lowerbound.likelihoods.base import LearnedScale, Likelihood


class LocationScale(Likelihood):
    r"""p(x | z) = prod_j f((x_j - loc_j(z)) / sigma_j) / sigma_j.

    The decoder owes the location; the scale is a parameter of the likelihood. (A scale that the
    decoder gives per cell grows sharp without bound on cells it can copy.)

    Args:
        event_shape: shape of a row.
        scale: "fixed", "global" (one is learned: Rybkin et al. 2021) or "feature" (one each).
        tau: the scale where fixed, where it starts otherwise; model units.
        floor: the smallest scale that can be learned, model units.
    """

    mass = False

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        scale: Literal["fixed", "global", "feature"] = "global",
        tau: float = 1.0,
        floor: float = 1e-3,
    ) -> None:
        super().__init__(event_shape)
        self.scale = LearnedScale(scale, self.event_shape, tau, floor)

    def initial_bias(self, x: Tensor) -> Tensor:
        """The mean of each feature."""
        return x.float().mean(0)
