r"""The continuous Bernoulli: a density of grey values in [0, 1].

Binary cross-entropy on grey values is not a likelihood, because it does not integrate to one. This
is the same exponential family on [0, 1] with its normalizer (Loaiza-Ganem & Cunningham 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood
from lowerbound.trace import Emission

# Below this |h| the closed forms cancel, and above it the series are too short. At 0.3 both are
# exact to the last digits of float64, and to some 30 roundings of float32.
SERIES_BELOW = 0.3


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
