r"""p(x | z) in whole numbers: all probabilities come from tables, not from floating point.

Bits are coded with the probability that a table gives for their logit. Levels k = 0 .. n - 1 are
coded as the bits of k, the highest first, each with its probability given the bits before,

.. math:: P(k \ge \text{mid} \mid \text{lo} \le k < \text{hi})
    = \frac{G(\text{hi}) - G(\text{mid})}{G(\text{hi}) - G(\text{lo})},

from a cumulative distribution G in whole numbers: one division, which IEEE 754 defines.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from lowerbound.applications.compression.stack import PRECISION, Stack
from lowerbound.data.arrays import Array
from lowerbound.errors import UnsupportedError
from lowerbound.likelihoods.base import Likelihood, positive_scale
from lowerbound.likelihoods.categorical import from_code, to_code
from lowerbound.likelihoods.discretized_logistic import DiscretizedLogistic
from lowerbound.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from lowerbound.trace import Emission

TOTAL = 1 << PRECISION
LOGITS_PER_UNIT, MOST_LOGIT = 32, 16


class CodedEmission(Emission, abstract=True):
    """An emission with methods to push and pop rows."""

    @abstractmethod
    def encode(self, stack: Stack, x: Tensor) -> None:
        """Push x, (batch, *event), model units; the emission has one sample."""

    @abstractmethod
    def decode(self, stack: Stack) -> Tensor:
        """Pop x, (batch, *event)."""


class CodedBits(CodedEmission):
    """Bits at probabilities of a one of ``ones`` / 2 ** 24, (samples, batch, *event)."""

    def __init__(self, ones: Tensor) -> None:
        self.ones = ones
        super().__init__(ones.shape[:2], ones.shape[2:], validate_args=False)

    def _terms(self, x: Tensor) -> Tensor:
        ones = self.ones.double()
        return torch.log(torch.where(x > 0.5, ones, TOTAL - ones) / TOTAL)

    @property
    def mean(self) -> Tensor:
        return self.ones.float() / TOTAL

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return torch.bernoulli(self.mean.expand(sample_shape + self.ones.shape))

    def encode(self, stack: Stack, x: Tensor) -> None:
        stack.push_bits(x.flatten().numpy(), self._probabilities())

    def decode(self, stack: Stack) -> Tensor:
        bits = torch.from_numpy(stack.pop_bits(self._probabilities()))
        return bits.view(self.ones.shape[1:]).float()

    def _probabilities(self) -> Array:
        flat: Array = self.ones.flatten().numpy() / float(TOTAL)
        return flat


class CodedBernoulli(nn.Module):
    """Replaces the Bernoulli likelihood."""

    ones: Tensor
    mass = True
    levels = 2

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.event_shape = likelihood.event_shape
        entries = torch.arange(-MOST_LOGIT * LOGITS_PER_UNIT, MOST_LOGIT * LOGITS_PER_UNIT + 1)
        chance = torch.sigmoid(entries.double() / LOGITS_PER_UNIT)
        self.register_buffer("ones", torch.round(chance * TOTAL).clamp(1, TOTAL - 1).int())

    def forward(self, parameters: Tensor) -> CodedBits:
        limit = MOST_LOGIT * LOGITS_PER_UNIT
        entry = torch.round(parameters * LOGITS_PER_UNIT).clamp(-limit, limit).long() + limit
        return CodedBits(self.ones[entry])


CUMULATIVE_BITS = 30
EDGES_PER_UNIT, MOST_EDGE = 64, 20  # standard logistic's table, interpolated linearly
FRACTION = 1 << 10
LEVEL_FLOOR = 1 << 6  # of 2 ** 30: least mass of a level, for any output of the network
SUBLEVELS = 64  # locations per level
SCALES_PER_UNIT, MOST_SCALE = 64, 20
SHARPNESS_BITS = 16
WEIGHT_ONE = 1 << 20


class CodedLevels(CodedEmission):
    """Levels under a mixture of K discretized logistics.

    Args:
        loc: location in units of 1/64 level, int64 (samples, batch, *event, K).
        sharpness: 2 ** 16 divided by the scale in levels, int64, same shape.
        weights: weights of the components, int64 below 2 ** 21, same shape; need not be normalized.
        cumulative: table of the standard logistic, 30 bits.
        levels: number of levels.
    """

    def __init__(
        self, loc: Tensor, sharpness: Tensor, weights: Tensor, cumulative: Tensor, levels: int
    ) -> None:
        self.loc, self.sharpness, self.weights = loc, sharpness, weights
        self.cumulative, self.levels = cumulative, levels
        super().__init__(loc.shape[:2], loc.shape[2:-1], validate_args=False)

    def below(self, edge: Tensor) -> Tensor:
        """G: 2 ** 30 times P(k < edge) in whole numbers, for edges 0 .. levels."""
        one = 1 << CUMULATIVE_BITS
        inside = self._share_below(edge.unsqueeze(-1))
        if self.loc.shape[-1] > 1:
            mixed = (inside * self.weights).sum(-1)
            inside = torch.div(mixed, self.weights.sum(-1), rounding_mode="floor")
        else:
            inside = inside.squeeze(-1)
        return torch.where(edge <= 0, 0, torch.where(edge >= self.levels, one, inside))

    def _share_below(self, edge: Tensor) -> Tensor:
        """The same of each component, (samples, batch, *event, K)."""
        distance = edge * SUBLEVELS - SUBLEVELS // 2 - self.loc
        # in 2 ** -22 deviations; then in table entries and 1024ths between two entries
        standard = distance * self.sharpness
        step = SUBLEVELS * (1 << SHARPNESS_BITS) // (EDGES_PER_UNIT * FRACTION)
        limit = MOST_EDGE * EDGES_PER_UNIT * FRACTION
        place = torch.div(standard, step, rounding_mode="floor").clamp(-limit, limit - 1) + limit
        entry, fraction = place // FRACTION, place % FRACTION
        first = self.cumulative[entry]
        share = first + (self.cumulative[entry + 1] - first) * fraction // FRACTION
        room = (1 << CUMULATIVE_BITS) - self.levels * LEVEL_FLOOR
        return (share * room >> CUMULATIVE_BITS) + edge * LEVEL_FLOOR

    def _terms(self, x: Tensor) -> Tensor:
        code = to_code(x, self.levels).long()
        mass = self.below(code + 1) - self.below(code)
        return torch.log(mass.double() / (1 << CUMULATIVE_BITS))

    @property
    def mean(self) -> Tensor:
        shares = self.weights.float() / self.weights.sum(-1, keepdim=True)
        levels = (self.loc.float() / SUBLEVELS).clamp(0, self.levels - 1)
        return from_code((shares * levels).sum(-1), self.levels)

    @property
    def variance(self) -> Tensor:
        raise _only_codes()

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        raise _only_codes()

    def encode(self, stack: Stack, x: Tensor) -> None:
        code = to_code(x, self.levels).long().unsqueeze(0)
        lo, decisions = torch.zeros_like(code), []
        for half in self._halves():
            upper = code >= lo + half
            decisions.append((upper.flatten().numpy(), self._upper_share(lo, half)))
            lo = torch.where(upper, lo + half, lo)
        for upper_half, share in reversed(decisions):
            stack.push_bits(upper_half, share)

    def decode(self, stack: Stack) -> Tensor:
        lo = torch.zeros_like(self.loc[..., 0])
        for half in self._halves():
            upper = torch.from_numpy(stack.pop_bits(self._upper_share(lo, half)))
            lo = lo + half * upper.view(lo.shape).long()
        return from_code(lo[0].clamp(0, self.levels - 1).float(), self.levels)

    def _halves(self) -> list[int]:
        bits = (self.levels - 1).bit_length()
        return [1 << bit for bit in reversed(range(bits))]

    def _upper_share(self, lo: Tensor, half: int) -> Array:
        """P(k >= lo + half | lo <= k < lo + 2 half), float64."""
        low, middle, high = (self.below(lo + side * half) for side in (0, 1, 2))
        upper, all_of_it = (high - middle).double(), (high - low).clamp_min(1).double()
        flat: Array = (upper / all_of_it).flatten().numpy()
        return flat


class CodedLogistics(nn.Module):
    """Replaces the discretized logistic likelihood, or a mixture of them with one channel.

    Raises:
        UnsupportedError: the mixture is over colors.
    """

    cumulative: Tensor
    sharpness: Tensor
    exponentials: Tensor
    mass = True

    def __init__(self, likelihood: DiscretizedLogistic | DiscretizedLogisticMixture) -> None:
        super().__init__()
        self.event_shape, self.levels = likelihood.event_shape, likelihood.levels
        self.mixture = isinstance(likelihood, DiscretizedLogisticMixture)
        self.numbers = likelihood.numbers  # parameters per number of a row
        if isinstance(likelihood, DiscretizedLogisticMixture) and likelihood.channels > 1:
            raise UnsupportedError(
                "discretized_logistic_mixture over colors has no exact form yet; fit with "
                "--likelihood discretized_logistic"
            )
        reach = MOST_EDGE * EDGES_PER_UNIT
        edges = torch.arange(-reach, reach + 1).double() / EDGES_PER_UNIT
        cumulative = torch.round(torch.sigmoid(edges) * (1 << CUMULATIVE_BITS))
        self.register_buffer("cumulative", cumulative.long())
        sharpness = torch.round((1 << SHARPNESS_BITS) / (_scales(likelihood) * (self.levels - 1)))
        self.register_buffer("sharpness", sharpness.clamp(1, 1 << 24).long())
        steps = torch.arange(MOST_LOGIT * LOGITS_PER_UNIT + 1).double() / LOGITS_PER_UNIT
        exponentials = torch.round(torch.exp(-steps) * WEIGHT_ONE).clamp_min(1)
        self.register_buffer("exponentials", exponentials.long())

    def forward(self, parameters: Tensor) -> CodedLevels:
        loc, raw, logits = self._split(parameters)
        reach = 4 * self.levels * SUBLEVELS
        whole = torch.round(loc * ((self.levels - 1) * SUBLEVELS)).clamp(-reach, reach).long()
        if raw is None:
            sharpness = self.sharpness.unsqueeze(-1).expand_as(whole)
        else:
            limit = MOST_SCALE * SCALES_PER_UNIT
            entry = torch.round(raw * SCALES_PER_UNIT).clamp(-limit, limit).long() + limit
            sharpness = self.sharpness[entry]
        weights = self._weights(whole if logits is None else logits, logits is None)
        return CodedLevels(whole, sharpness, weights, self.cumulative, self.levels)

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Locations, raw scales and logits, (samples, batch, *event, K)."""
        if not self.mixture:
            numbers = [part.unsqueeze(-1) for part in parameters.chunk(self.numbers, 2)]
            return numbers[0], numbers[1] if self.numbers == 2 else None, None
        rows = parameters.shape[:2]
        logits, loc, raw = (
            part.movedim(2, -1).reshape(*rows, *self.event_shape, -1)
            for part in parameters.reshape(*rows, 3, self.numbers // 3, -1).unbind(2)
        )
        return loc, raw, logits

    def _weights(self, logits: Tensor, equal: bool) -> Tensor:
        if equal:
            return torch.ones_like(logits)
        below = (logits.amax(-1, keepdim=True) - logits) * LOGITS_PER_UNIT
        return self.exponentials[torch.round(below).clamp_max(len(self.exponentials) - 1).long()]


def _scales(likelihood: DiscretizedLogistic | DiscretizedLogisticMixture) -> Tensor:
    """Scales of the table's entries, or of each number if they belong to the likelihood."""
    if isinstance(likelihood, DiscretizedLogistic) and likelihood.scale is not None:
        own: Tensor = likelihood.scale().detach().double()
        return own.expand(likelihood.event_shape)
    entries = torch.arange(-MOST_SCALE * SCALES_PER_UNIT, MOST_SCALE * SCALES_PER_UNIT + 1)
    return positive_scale(entries.double() / SCALES_PER_UNIT, likelihood.floor)


def _only_codes() -> UnsupportedError:
    return UnsupportedError("an exported model only codes: use the model that it came from")
