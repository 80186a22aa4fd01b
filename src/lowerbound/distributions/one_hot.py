r"""Policies and world models: one-hot codes, numbers as two-hot codes, and actions.

The gradient of a one-hot code goes straight through the draw:

.. math::
    p = (1 - u)\,\mathrm{softmax}(l) + u / K, \qquad
    z = \mathrm{onehot}(k) + p - \mathrm{sg}(p), \quad k \sim p

Forward, z is exactly one-hot. Backward, its gradient is that of p, the Jacobian of a softmax
(Bengio et al. 2013); it is biased, and its variance is low. The uniform part u keeps every class
possible, so that no rate is infinite (Hafner et al. 2023).

A two-hot code is a number as a distribution over fixed, exponentially spaced values:

.. math::
    b_i = \mathrm{symexp}(c_i), \quad c_i \text{ evenly spaced on } [-C, C], \qquad
    \mathrm{symexp}(c) = \mathrm{sign}(c)\,(e^{|c|} - 1)

A target between two values is shared between them so that its mean is exact ("two-hot"). Large and
small numbers then have gradients of one size, and several modes are possible (Hafner et al. 2023).

A policy is a distribution over actions that are classes, or numbers in [-1, 1].
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import (
    PushedCodes,
    Reparameterized,
    Size,
    diagonal_normal,
)

VALUES = 127
LARGEST = 12.0  # C: numbers up to 160,000
UNIFORM = 0.01  # of Hafner et al. 2023
_LEAST = 1e-6  # keeps log(-log(u)) finite in float32
DEVIATIONS = (0.1, 1.0)  # lowest and highest of a number


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


class OneHotCodes(Reparameterized, PushedCodes):
    """Independent groups of classes, each one-hot, of event shape (groups, classes).

    Args:
        logits: l, (samples | 1, batch | 1, groups, classes).
        uniform: u, the share of the uniform distribution, from 0 up to 1.
    """

    smooth = False

    def __init__(self, logits: Tensor, uniform: float = UNIFORM) -> None:
        self.logits, self.uniform = logits, uniform
        probs = torch.softmax(logits.float(), -1)
        self.probs = (1 - uniform) * probs + uniform / logits.shape[-1] if uniform else probs
        super().__init__(logits.shape[:-2], logits.shape[-2:], validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) of one-hot z, (samples, batch), nats."""
        return (z * self.log_probs).sum((-2, -1))

    def push(self, noise: Tensor) -> Tensor:
        """The class with the highest log p + Gumbel noise, one-hot, with the gradient of p."""
        uniform = torch.special.ndtr(noise).clamp(_LEAST, 1 - _LEAST)
        return self._code(self.log_probs.detach() - torch.log(-torch.log(uniform)))

    def frozen(self) -> OneHotCodes:
        return OneHotCodes(self.logits.detach(), self.uniform)

    def tempered(self, temperature: float) -> OneHotCodes:
        logits = self.log_probs
        if temperature == 0:
            colder = F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits).log()
        else:
            colder = logits / temperature
        tempered = OneHotCodes(colder, 0.0)
        tempered._batch_shape = self._batch_shape
        return tempered

    def kl(self, prior: OneHotCodes) -> Tensor:
        """KL(self || prior), (samples | 1, batch), nats."""
        ratio = self.log_probs - prior.log_probs
        # a class of probability zero adds nothing to value and gradient, but 0 * -inf is NaN
        return (self.probs * torch.where(self.probs > 0, ratio, 0.0)).sum((-2, -1))

    @property
    def log_probs(self) -> Tensor:
        """log p of each class."""
        return self.probs.log() if self.uniform else torch.log_softmax(self.logits.float(), -1)

    @property
    def mode(self) -> Tensor:
        """The likeliest code, with the gradient of p."""
        return self._code(self.probs.detach())

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    @property
    def like(self) -> Tensor:
        return self.probs

    def _code(self, scores: Tensor) -> Tensor:
        code = F.one_hot(scores.argmax(-1), scores.shape[-1]).to(self.probs.dtype)
        return code + (self.probs - self.probs.detach())

    def _push_fresh_noise(self, sample_shape: Size) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = torch.rand_like(self.probs.expand(shape)).clamp(_LEAST, 1 - _LEAST)
        return self._code(self.log_probs.detach() - torch.log(-torch.log(uniform)))


class Policy(Protocol):
    """A distribution over actions (..., numbers)."""

    def rsample(self) -> Tensor:
        """An action; gradients pass from it to the parameters."""

    def log_prob(self, action: Tensor) -> Tensor:
        """log p(action), (...), nats."""

    @property
    def mode(self) -> Tensor:
        """The likeliest action."""

    @property
    def entropy(self) -> Tensor:
        """(...), nats."""


class ClassPolicy:
    """A class, as one-hot, with a straight-through gradient.

    Args:
        logits: (..., classes).
    """

    def __init__(self, logits: Tensor) -> None:
        self._codes = OneHotCodes(logits.unsqueeze(-2))

    def rsample(self) -> Tensor:
        return self._codes.rsample().squeeze(-2)

    def log_prob(self, action: Tensor) -> Tensor:
        return self._codes.log_prob(action.unsqueeze(-2))

    @property
    def mode(self) -> Tensor:
        return self._codes.mode.squeeze(-2)

    @property
    def entropy(self) -> Tensor:
        probs = self._codes.probs.squeeze(-2)
        return -(probs * probs.log()).sum(-1)


class NumberPolicy:
    """Independent Gaussians, mu = tanh(m), cut to [-1, 1] by the environment (Hafner et al. 2023).

    Args:
        numbers: m and the raw deviations side by side, (..., 2 * actions).
    """

    def __init__(self, numbers: Tensor) -> None:
        mean, raw = numbers.float().chunk(2, -1)
        low, high = DEVIATIONS
        self._scale = low + (high - low) * torch.sigmoid(raw + 2.0)
        self._normal = diagonal_normal(torch.tanh(mean), self._scale)

    def rsample(self) -> Tensor:
        drawn: Tensor = self._normal.rsample()
        return drawn

    def log_prob(self, action: Tensor) -> Tensor:
        found: Tensor = self._normal.log_prob(action)
        return found

    @property
    def mode(self) -> Tensor:
        mean: Tensor = self._normal.mean
        return mean

    @property
    def entropy(self) -> Tensor:
        found: Tensor = self._normal.entropy()
        return found


def uniform_actions(rows: int, numbers: int, classes: int, noise: torch.Generator) -> Tensor:
    """Random actions, (rows, numbers): one-hot classes, or numbers in [-1, 1]."""
    if classes:
        drawn = torch.randint(classes, (rows,), generator=noise)
        return F.one_hot(drawn, classes).float()
    return 2 * torch.rand(rows, numbers, generator=noise) - 1
