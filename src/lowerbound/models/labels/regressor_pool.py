r"""Classical regressors beside the network of q(y | x), and the weights of all of them.

.. math::
    q(y \mid x) = N(\mu, c^2 \sigma^2), \quad \mu = \sum_k w_k \mu_k, \quad
    \sigma^2 = \sum_k w_k (f_k^2 \sigma_k^2 + \mu_k^2) - \mu^2

mean and variance of the mixture of the members' Gaussians, with a factor f for the deviation of
each and a factor c for that of all. The members are the network, which holds ridge regression, a
Gaussian process and boosted trees. ``regressor_fits`` fits them; before, q(y | x) is the network's
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from lowerbound.classical.boosted_trees import BoostedTrees
from lowerbound.classical.gaussian_process import GaussianProcess
from lowerbound.models.labels.member_pool import MemberPool, of_columns


class RegressorPool(MemberPool):
    """A Gaussian process and boosted trees beside a network.

    Args:
        features, further: F, numbers of a row that the members see; see the base class.

    Attributes:
        weights: of the network, the Gaussian process and the trees, (3,); (0,) before the fit.
        factors: f, of the members' deviations, (3,).
        widening: c.
        shift, scale: what the members see is (x - shift) / scale, (F,) each.
    """

    EMPTY: ClassVar[Mapping[str, Tensor]] = {
        "weights": torch.zeros(0, dtype=torch.float64),
        "factors": torch.zeros(0, dtype=torch.float64),
        "widening": torch.ones((), dtype=torch.float64),
        "shift": torch.zeros(0, dtype=torch.float64),
        "scale": torch.zeros(0, dtype=torch.float64),
    }
    factors: Tensor
    widening: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, features: int, further: int = 0) -> None:
        super().__init__(features, further)
        self.process = GaussianProcess()
        self.trees = BoostedTrees()

    def empty(self) -> Self:
        return type(self)(self.features, self.further)

    def forward(self, network: Tensor, x: Tensor) -> Tensor:
        """Mean and deviation of q(y | x), (rows, 2), of the type and on the device of ``network``.

        Args:
            network: its mean and deviation, (rows, 2).
            x: what the members see, (rows, F).
        """
        each = torch.stack([network.double().cpu(), *self.member_answers(x.double().cpu())])
        mean, deviation = moments(scaled(each, self.factors), self.weights)
        return torch.stack((mean, self.widening * deviation), 1).to(network)

    def member_answers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation by the Gaussian process and the trees, (rows, 2) each. The trees have
        one deviation for all rows, which is 1 before its factor.

        Args:
            x: (rows, F), float64.
        """
        x = (x[:, : len(self.shift)] - self.shift) / self.scale
        trees = self.trees.of_batch(x).squeeze(1)
        return torch.stack(self.process(x), 1), with_unit_deviation(trees)

    def fits(self, state_dict: Mapping[str, Tensor], prefix: str) -> bool:
        process = state_dict.get(f"{prefix}process.rows")
        roots = state_dict.get(f"{prefix}trees.roots")
        if process is None or roots is None:
            return False
        return (
            self.weights.shape == self.factors.shape == (3,)
            and self.widening.shape == ()
            and self.shift.shape == self.scale.shape == process.shape[1:]
            and self.sees(self.shift.numel())
            and roots.shape[:1] == (1,)
            and of_columns(state_dict, f"{prefix}trees.", self.shift.numel())
        )


def with_unit_deviation(mean: Tensor) -> Tensor:
    """Answers (rows, 2) of these means, and 1 as every deviation."""
    return torch.stack((mean, torch.ones_like(mean)), 1)


def scaled(each: Tensor, factors: Tensor) -> Tensor:
    """Answers (members, rows, 2) with the deviations multiplied by the members' factors."""
    return torch.stack((each[..., 0], each[..., 1] * factors.unsqueeze(1)), -1)


def moments(each: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the mixture of Gaussians, (rows,) each.

    Args:
        each: the members' means and deviations, (members, rows, 2).
        weights: (members,).
    """
    mean = weights @ each[..., 0]
    variance = weights @ (each[..., 1].square() + (each[..., 0] - mean).square())
    return mean, variance.sqrt()
