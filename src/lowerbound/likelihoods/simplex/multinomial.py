"""Parts of a whole: counts of N atoms, drawn with the decoder's probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods.base import LIKELIHOODS, at_least_float32
from lowerbound.likelihoods.levels import LevelsLikelihood, to_code
from lowerbound.trace import Emission

TINY = 1e-30  # in place of the probability of an empty set, whose count is zero


class MultinomialEmission(Emission):
    r"""log p(x) = log N! + sum_j (n_j l_j - log n_j!), l = log softmax(logits), n = N x.

    Except for the first and the last term, which do not depend on the decoder, this is -N times the
    cross-entropy of the fractions x. The features are not independent given z, because they sum to
    one. If some are hidden, their sum is known, and log p is that of the observed counts and this
    sum. What belongs to no single feature is spread evenly over the observed ones.

    Args:
        logits: (samples, batch, features).
        whole: N.
        left: number of atoms to place, (samples | 1, batch, 1); None: N, no feature is known.
    """

    def __init__(self, logits: Tensor, whole: int, left: Tensor | None = None) -> None:
        # float64, because log N! and the sum over the N atoms nearly cancel
        self.log_probabilities = torch.log_softmax(logits.double(), -1)
        self.whole, self.dtype = whole, logits.dtype
        self.left = logits.new_full((1, 1, 1), whole) if left is None else left
        super().__init__(logits.shape[:2], logits.shape[2:], validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return self._exact(x, observed).to(self.dtype)

    def log_prob(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        return self._exact(x, observed).sum(-1).to(self.dtype)

    def _exact(self, x: Tensor, observed: Tensor | None) -> Tensor:
        """The terms, float64."""
        seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        counts = to_code(torch.where(seen, x, 0.0).double(), self.whole + 1)
        counts = torch.where(seen, counts, 0.0)
        own = counts * self.log_probabilities - torch.lgamma(counts + 1)
        left = self.left.double()
        rest = left - counts.sum(-1, keepdim=True)
        hidden = torch.where(seen, 0.0, self.log_probabilities.exp()).sum(-1, keepdim=True)
        other = torch.lgamma(left + 1) - torch.lgamma(rest + 1)
        other = other + rest * hidden.clamp_min(TINY).log()
        each = own + other / seen.sum(-1, keepdim=True).clamp_min(1)
        return torch.where(seen, each, 0.0)

    def given(self, x: Tensor, observed: Tensor) -> MultinomialEmission:
        """The hidden features, which share the atoms that the observed ones leave."""
        counts = to_code(torch.where(observed, x, 0.0), self.whole + 1)
        left = (self.left - torch.where(observed, counts, 0.0).sum(-1, keepdim=True)).clamp_min(0)
        logits = self.log_probabilities.to(self.dtype)
        logits = logits.masked_fill(observed, torch.finfo(self.dtype).min / 2)
        return MultinomialEmission(logits, self.whole, left)

    @property
    def mean(self) -> Tensor:
        return self.log_probabilities.exp().to(self.dtype) * (self.left / self.whole)

    @property
    def variance(self) -> Tensor:
        probabilities = self.log_probabilities.exp().to(self.dtype)
        return probabilities * (1 - probabilities) * (self.left / self.whole**2)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        """One feature after another, each binomial in the atoms that are left."""
        shape = sample_shape + self.log_probabilities.shape
        probabilities = self.log_probabilities.exp().to(self.dtype).expand(shape)
        above = probabilities.flip(-1).cumsum(-1).flip(-1).clamp_min(TINY)
        shares = (probabilities / above).clamp(0, 1)
        left = self.left[..., 0].expand(shape[:-1]).contiguous()
        counts = []
        for share in shares[..., :-1].unbind(-1):
            counts.append(torch.binomial(left, share.contiguous()))
            left = left - counts[-1]
        return torch.stack([*counts, left], -1) / self.whole


@LIKELIHOODS.register("multinomial")
class Multinomial(LevelsLikelihood):
    r"""Fractions that sum to one, such as those of the elements of a composition.

    A row is N atoms, N = levels - 1, each of which is of kind j with probability p_j(z). Zeros need
    no special treatment, whereas a Dirichlet density is zero or infinite there. N is the precision:
    a fraction p has the standard deviation sqrt(p (1 - p) / N) given z.

    The decoder returns one logit per feature.
    """

    def __init__(self, event_shape: tuple[int, ...], *, levels: int = 256) -> None:
        super().__init__(event_shape, levels=levels)
        if len(self.event_shape) != 1:
            raise OptionError(
                "the multinomial likelihood is for rows of fractions that sum to one, not for "
                f"pictures or sequences of shape {self.event_shape}"
            )

    def forward(self, parameters: Tensor) -> MultinomialEmission:
        return MultinomialEmission(at_least_float32(parameters), self.levels - 1)

    def check(self, x: Tensor) -> None:
        super().check(x)
        codes = to_code(x.double(), self.levels).sum(-1)
        if not bool((codes == self.levels - 1).all()):
            raise DataError(
                "the multinomial likelihood takes fractions that sum to one, and the values of "
                "some rows do not; choose 'discretized_logistic' or 'categorical'"
            )

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log of the mean fractions, with one atom of each kind added to all rows together."""
        atoms = len(x) * (self.levels - 1)
        return torch.log((x.float().sum(0) * (self.levels - 1) + 1) / (atoms + x.shape[-1]))
