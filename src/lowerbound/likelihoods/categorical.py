"""Features with a few unordered levels: p(x | z) = prod_j softmax(l_j)[x_j]."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.likelihoods.base import LIKELIHOODS, at_least_float32
from lowerbound.likelihoods.levels import LevelsLikelihood, from_code, to_code
from lowerbound.trace import Emission


class CategoricalEmission(Emission):
    r"""log p(x) = l_k - log sum_j exp(l_j) at the code k of x, per feature.

    Args:
        logits: (samples, batch, levels, *event).
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        self.levels = logits.shape[2]
        super().__init__(logits.shape[:2], logits.shape[3:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(x.shape, self.batch_shape + self.event_shape)
        code = to_code(x, self.levels).long().expand(shape).unsqueeze(2)
        log_probabilities = torch.log_softmax(self.logits, 2)
        each_row = log_probabilities.expand(*shape[:2], self.levels, *shape[2:])
        return each_row.gather(2, code).squeeze(2)

    @property
    def probabilities(self) -> Tensor:
        """Probability of each level, (samples, batch, *event, levels)."""
        return torch.softmax(self.logits, 2).movedim(2, -1)

    @property
    def mean(self) -> Tensor:
        return self.probabilities @ self._values()

    @property
    def variance(self) -> Tensor:
        # around the mean, because the difference of two raw moments may be negative
        distance = self._values() - self.mean.unsqueeze(-1)
        return (self.probabilities * distance.square()).sum(-1)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        logits = self.logits.expand(sample_shape + self.logits.shape)
        # Gumbel trick: the arg-max of logits plus -log of exponential noise is a categorical draw
        noise = -torch.empty_like(logits).exponential_().log()
        code = (logits + noise).argmax(len(sample_shape) + 2)
        return from_code(code.to(self.logits.dtype), self.levels)

    def _values(self) -> Tensor:
        like = self.logits
        return torch.linspace(0, 1, self.levels, dtype=like.dtype, device=like.device)


@LIKELIHOODS.register("categorical")
class Categorical(LevelsLikelihood):
    """One free probability per level, for a few levels without an order.

    The decoder returns ``levels`` logits per feature, level-major. For 256 grey values, a
    discretized logistic is better.
    """

    @property
    def numbers(self) -> int:
        return self.levels

    def forward(self, parameters: Tensor) -> CategoricalEmission:
        logits = at_least_float32(parameters).unflatten(2, (self.levels, -1))
        return CategoricalEmission(logits)

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log frequencies, with one added to each count."""
        code = to_code(x.float(), self.levels)
        counts = torch.stack([(code == level).sum(0) + 1 for level in range(self.levels)])
        frequencies = counts.float() / (len(x) + self.levels)
        return torch.log(frequencies).flatten(0, 1)
