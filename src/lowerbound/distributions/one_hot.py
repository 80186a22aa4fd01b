r"""One-hot codes whose gradient goes straight through the draw.

.. math::
    p = (1 - u)\,\mathrm{softmax}(l) + u / K, \qquad
    z = \mathrm{onehot}(k) + p - \mathrm{sg}(p), \quad k \sim p

Forward, z is exactly one-hot. Backward, its gradient is that of p, the Jacobian of a softmax
(Bengio et al. 2013); it is biased, and its variance is low. The uniform part u keeps every class
possible, so that no rate is infinite (Hafner et al. 2023).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lowerbound.distributions.reparameterization import PushedCodes, Reparameterized, Size

UNIFORM = 0.01  # of Hafner et al. 2023
_LEAST = 1e-6  # keeps log(-log(u)) finite in float32


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
