"""Features with levels, p(x | z) = prod_j softmax(l_j)[x_j], and parts of a whole.

Levels are a few unordered ones, or integers of a known number, such as the 256 grey values of a
picture: in model units the level k is x = k / (levels - 1) in [0, 1], and the probability mass is
over the codes k. Parts of a whole are counts of N atoms, drawn with the decoder's probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lowerbound.errors import DataError, OptionError
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood, at_least_float32
from lowerbound.trace import Emission

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

TINY = 1e-30  # in place of the probability of an empty set, whose count is zero


class LevelsLikelihood(Likelihood):
    """A probability mass over the levels 0 .. levels - 1 of each feature.

    Args:
        event_shape: shape of a row.
        levels: number of levels of a feature; ``from_schema`` uses that of the schema.
    """

    mass = True

    def __init__(self, event_shape: tuple[int, ...], *, levels: int = 256) -> None:
        super().__init__(event_shape)
        if levels < 2:
            raise OptionError(f"levels must be at least 2, not {levels}")
        self.levels = levels

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        """Build the likelihood over the schema's levels.

        Raises:
            DataError: the data are real numbers, which have no levels.
        """
        if schema.levels is None and "levels" not in options:
            raise DataError(
                f"the {cls.__name__} likelihood is for integers with a known number of levels, "
                "such as uint8 pictures, but this data has real numbers; choose another, such as "
                "'gaussian', or pass the integers themselves"
            )
        levels = 2 if schema.binary else schema.levels  # the model sees binarized values as bits
        return super().from_schema(schema, {"levels": levels, **options})

    def check(self, x: Tensor) -> None:
        code = x.double() * (self.levels - 1)
        whole = (code - torch.round(code)).abs() < 0.01  # float32 error of 65536 levels: 0.004
        if not bool((whole & (x >= 0) & (x <= 1)).all()):
            raise DataError(
                f"the {type(self).__name__} likelihood takes {self.levels} equally spaced levels "
                "only, and the data has values between or outside them; choose 'gaussian' or "
                "'continuous_bernoulli', or set levels to the number the data has"
            )


def scale_floor(share: float, levels: int) -> float:
    """The smallest scale in model units, from a fraction of the distance between two levels.

    Raises:
        OptionError: the fraction is not positive.
    """
    if share <= 0:
        raise OptionError(f"floor must be positive, not {share}")
    return share / (levels - 1)


def to_code(x: Tensor, levels: int) -> Tensor:
    """Convert model units in [0, 1] to codes 0 .. levels - 1, integers of floating-point type."""
    return torch.round(x * (levels - 1)).clamp(0, levels - 1)


def from_code(code: Tensor, levels: int) -> Tensor:
    """Convert codes 0 .. levels - 1 to model units in [0, 1]."""
    return code / (levels - 1)


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
