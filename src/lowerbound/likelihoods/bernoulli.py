"""Binary features, p(x | z) = prod_j Bernoulli(x_j; sigmoid(logit_j)), and grey values in [0, 1].

Binary cross-entropy on grey values is not a likelihood, because it does not integrate to one. The
continuous Bernoulli is the same exponential family on [0, 1] with its normalizer (Loaiza-Ganem &
Cunningham 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.errors import DataError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood
from lowerbound.trace import Emission

# Below this |h| the closed forms cancel, and above it the series are too short. At 0.3 both are
# exact to the last digits of float64, and to some 30 roundings of float32.
SERIES_BELOW = 0.3
NUMBERS_AT_ONCE = 1 << 17  # logits that stay in the cache of a core from the first step to the sum
FACTORS = 8  # numbers that are multiplied before one logarithm, which takes longer than products


class ContinuousBernoulliEmission(Emission):
    r"""p(x) = C(l) s(l)^x (1 - s(l))^(1 - x) on [0, 1], from the logit l = 2h.

    .. math:: \log p(x) = (x - \tfrac12)\, l - \log\frac{\sinh h}{h}

    This form of the normalizer is smooth at l = 0.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:2], logits.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        return (x - 0.5) * self.logits - log_sinh_ratio(0.5 * self.logits)

    @property
    def mean(self) -> Tensor:
        return 0.5 + 0.5 * langevin(0.5 * self.logits)

    @property
    def variance(self) -> Tensor:
        return 0.25 * langevin_slope(0.5 * self.logits)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        shape = sample_shape + self.logits.shape
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        # the inverse distribution function of a negative logit, mirrored for a positive one
        down = -self.logits.abs().clamp_min(1e-6)
        low = (torch.log1p(uniform * torch.expm1(down)) / down).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - low, low)


def log_sinh_ratio(h: Tensor) -> Tensor:
    """log(sinh(h) / h), even, zero at zero."""
    small, t, a = _by_size(h)
    q = t.square()
    series = q * (1 / 6 + q * (-1 / 180 + q * (1 / 2835 + q * (-1 / 37800 + q / 467775))))
    closed = a + torch.log(-torch.expm1(-2 * a)) - torch.log(2 * a)
    return closed + small * (series - closed)


def langevin(h: Tensor) -> Tensor:
    """L(h) = coth(h) - 1/h, odd, in (-1, 1): the slope of ``log_sinh_ratio``."""
    small, t, a = _by_size(h)
    q = t.square()
    series = t * (1 / 3 + q * (-1 / 45 + q * (2 / 945 + q * (-1 / 4725 + q * (2 / 93555)))))
    closed = torch.sign(h) * (1 / torch.tanh(a) - 1 / a)
    return closed + small * (series - closed)


def langevin_slope(h: Tensor) -> Tensor:
    """L'(h) = 1/h^2 - 1/sinh(h)^2, in (0, 1/3]."""
    small, t, a = _by_size(h)
    q = t.square()
    series = 1 / 3 + q * (-1 / 15 + q * (2 / 189 + q * (-1 / 675 + q * (2 / 10395))))
    # 1 / sinh(a)^2 = 4 e^{-2a} / (1 - e^{-2a})^2, which does not overflow
    closed = 1 / a.square() - 4 * torch.exp(-2 * a) / torch.expm1(-2 * a).square()
    return closed + small * (series - closed)


def _by_size(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mask of small h (1, else 0), h if it is small (else 0), |h| if it is not (else above 1).

    Each formula has only valid arguments, because its gradient would be NaN at others. A product
    with a mask is several times faster than torch.where, which branches per element.
    """
    small = (h.abs() < SERIES_BELOW).to(h.dtype)
    return small, h * small, h.abs() + small


def inverse_langevin(y: Tensor, updates: int = 20) -> Tensor:
    """h with L(h) = y, for |y| < 1, by Newton from Cohen's (1991) rational approximation."""
    h = y * (3 - y.square()) / (1 - y.square())
    for _ in range(updates):
        h = h - (langevin(h) - y) / langevin_slope(h)
    return h


@LIKELIHOODS.register("continuous_bernoulli")
class ContinuousBernoulli(Likelihood):
    """The likelihood of real numbers in [0, 1], such as grey values kept as floats."""

    mass = False

    def forward(self, parameters: Tensor) -> ContinuousBernoulliEmission:
        return ContinuousBernoulliEmission(*self.split(parameters))

    def check(self, x: Tensor) -> None:
        if not bool(((x >= 0) & (x <= 1)).all()):
            raise DataError(
                "the continuous Bernoulli likelihood takes values in [0, 1] only, and the data has "
                "others; scale it to [0, 1] or choose another likelihood, such as 'gaussian'"
            )

    def initial_bias(self, x: Tensor) -> Tensor:
        """The logit with the mean of each feature, which is clipped away from 0 and 1."""
        mean = x.double().mean(0).clamp(0.01, 0.99)
        return (2 * inverse_langevin(2 * mean - 1)).float()


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
