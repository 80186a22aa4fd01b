"""Real features with Gaussian error: p(x | z) = prod_j N(x_j; mu_j(z), sigma_j^2)."""

from __future__ import annotations

from torch import Tensor

from lowerbound.classical.self_masking import SelfMasking
from lowerbound.likelihoods.base import LIKELIHOODS, LocationScale
from lowerbound.likelihoods.gaussian_emission import GaussianEmission
from lowerbound.likelihoods.self_masked import Curves, gaussian_cells


@LIKELIHOODS.register("gaussian")
class Gaussian(LocationScale):
    r"""Gaussian error with a standard deviation that is fixed, learned, or learned per feature.

    With ``scale="fixed"`` and sigma = tau, -log p(x | z) is the squared error over 2 tau^2 plus a
    constant.
    """

    def forward(self, parameters: Tensor) -> GaussianEmission:
        (loc,) = self.split(parameters)
        return gaussian_cells(loc, self.scale(), self.curves)

    def explain_missing(self, missingness: str) -> None:
        self.missingness = missingness
        self.curves = Curves(self.event_shape[0], missingness)

    def start_curves(self, curves: SelfMasking) -> None:
        """Set the initial curves, those of the columns of x."""
        assert self.curves is not None
        self.curves.start_from(curves)

    def initialize(self, x: Tensor) -> None:
        self.scale.set(x.float().std(0, correction=0))
