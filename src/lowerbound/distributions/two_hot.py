r"""A number as a distribution over fixed, exponentially spaced values.

.. math::
    b_i = \mathrm{symexp}(c_i), \quad c_i \text{ evenly spaced on } [-C, C], \qquad
    \mathrm{symexp}(c) = \mathrm{sign}(c)\,(e^{|c|} - 1)

A target between two values is shared between them so that its mean is exact ("two-hot"). Large and
small numbers then have gradients of one size, and several modes are possible (Hafner et al. 2023).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.distributions import Distribution

VALUES = 127
LARGEST = 12.0  # C: numbers up to 160,000


def symlog(x: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), the inverse of symexp."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp(|x|) - 1)."""
    return torch.sign(x) * torch.expm1(x.abs())


@cache
def values_of(count: int, largest: float, device: torch.device) -> Tensor:
    """The values b, (count,), in rising order."""
    return symexp(torch.linspace(-largest, largest, count, device=device))


class TwoHot(Distribution):
    """Probabilities of fixed values, of an empty event shape.

    Args:
        logits: (..., values).
        largest: C, symlog of the largest value.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention

    def __init__(self, logits: Tensor, largest: float = LARGEST) -> None:
        self.logits, self.largest = logits.float(), largest
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def values(self) -> Tensor:
        """The values, (values,)."""
        return values_of(self.logits.shape[-1], self.largest, self.logits.device)

    @property
    def mean(self) -> Tensor:
        """The expected value.

        Opposite values are summed first, so that large ones cancel exactly.
        """
        probs, middle = torch.softmax(self.logits, -1), self.logits.shape[-1] // 2
        return (probs - probs.flip(-1))[..., -middle:] @ self.values[-middle:]

    @property
    def variance(self) -> Tensor:
        return torch.softmax(self.logits, -1) @ self.values.square() - self.mean.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the cross-entropy to the two-hot of ``value``, nats; beyond the ends, the end."""
        log_probs, values = torch.log_softmax(self.logits, -1), self.values
        within = value.clamp(float(values[0]), float(values[-1])).contiguous()
        above = torch.searchsorted(values, within).clamp(1, len(values) - 1)
        low, high = values[above - 1], values[above]
        share = (within - low) / (high - low)
        below_, above_ = (
            log_probs.gather(-1, index.unsqueeze(-1)).squeeze(-1) for index in (above - 1, above)
        )
        return (1 - share) * below_ + share * above_
