"""Binary features: p(x | z) = prod_j Bernoulli(x_j; sigmoid(logit_j))."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import DataError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood
from lowerbound.trace import Emission


class BernoulliEmission(Emission):
    r"""log p(x | z) = sum_j x_j log s(l_j) + (1 - x_j) log(1 - s(l_j)), computed from logits."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:2], logits.shape[2:], validate_args=False)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if observed is not None:
            return super().log_prob(x, observed)
        return (
            -self._cross_entropy(x).flatten(2).sum(-1)
        )  # negating the sum avoids a pass over the features

    def _terms(self, x: Tensor) -> Tensor:
        return -self._cross_entropy(x)

    def _cross_entropy(self, x: Tensor) -> Tensor:
        logits, target = torch.broadcast_tensors(self.logits, x)
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return torch.bernoulli(self.mean.expand(sample_shape + self.logits.shape))


@LIKELIHOODS.register("bernoulli")
class Bernoulli(Likelihood):
    """The likelihood of binary data; grey values need another likelihood."""

    mass = True

    def forward(self, parameters: Tensor) -> BernoulliEmission:
        return BernoulliEmission(*self.split(parameters))

    def check(self, x: Tensor) -> None:
        if not bool(((x == 0) | (x == 1)).all()):
            raise DataError(
                "the Bernoulli likelihood takes values 0 and 1 only, and the data has others; "
                "binarize it (binarize='dynamic' or 'threshold') or choose another likelihood, "
                "such as 'discretized_logistic' for integer pictures or 'continuous_bernoulli'"
            )

    def initial_bias(self, x: Tensor) -> Tensor:
        return torch.logit(x.float().mean(0).clamp(0.01, 0.99))

    def linear_start(
        self, mean: Tensor, weight: Tensor, deviation: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """The first-order change of the logit around the marginal."""
        if mean.shape != weight.shape[:-1]:
            return None
        share = mean.clamp(0.05, 0.95)
        return weight / (share * (1 - share)).unsqueeze(-1), torch.logit(share)
