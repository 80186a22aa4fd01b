"""Binary features: p(x | z) = prod_j Bernoulli(x_j; sigmoid(logit_j))."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import DataError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood
from lowerbound.trace import Emission

NUMBERS_AT_ONCE = 1 << 17  # logits that stay in the cache of a core from the first step to the sum
FACTORS = 8  # numbers that are multiplied before one logarithm, which takes longer than products


class BernoulliEmission(Emission):
    r"""log p(x | z) = sum_j x_j log s(l_j) + (1 - x_j) log(1 - s(l_j)), computed from logits."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:2], logits.shape[2:], validate_args=False)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if observed is not None:
            return super().log_prob(x, observed)
        if _fast(self.logits, x):
            return _log_mass(self.logits.flatten(2), 1 - 2 * x.flatten(1))
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


def _fast(logits: Tensor, x: Tensor) -> bool:
    """Whether ``_log_mass`` applies: on the processor, without gradients, for bits in float32.

    An accelerator has one kernel for all steps, and a gradient needs what ``_log_mass`` overwrites.
    """
    return (
        not torch.is_grad_enabled()
        and logits.device.type == "cpu"
        and logits.dtype == torch.float32
        and logits.shape[1:] == x.shape
        and bool(((x == 0) | (x == 1)).all())
    )


def _log_mass(logits: Tensor, signs: Tensor) -> Tensor:
    """-sum_j log(1 + exp(s_j l_j)), where s_j is -1 if bit j is set, else 1; (samples, rows).

    Many samples at once would be written to memory and read again at each of the steps. Where exp
    or a product of FACTORS numbers overflows, the sum is that of softplus, which is slower.

    Args:
        logits: (samples, rows, features).
        signs: (rows, features).
    """
    sums, products = [], signs.shape[-1] // FACTORS
    for part in logits.split(max(1, NUMBERS_AT_ONCE // max(1, signs.numel()))):
        factors = (part * signs).exp_().add_(1)
        whole, rest = factors.tensor_split((products * FACTORS,), -1)
        found = whole.unflatten(-1, (FACTORS, products)).prod(-2).log_().sum(-1)
        found += rest.log_().sum(-1)
        if not bool((large := ~found.isfinite()).any()):
            sums.append(found)
            continue
        odds = part[large] * signs.expand(part.shape)[large]
        sums.append(found.masked_scatter(large, F.softplus(odds).sum(-1)))
    return -torch.cat(sums)


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
