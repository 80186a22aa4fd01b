"""p(z) over discrete codes: each place of a latent has its own distribution over K codes.

Narrowed draws of codes are likelier and less varied than their distribution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import parts
from lowerbound.config import construct
from lowerbound.distributions.reparameterization import PushedCodes
from lowerbound.errors import OptionError
from lowerbound.priors.base import PriorTerms, refuse_prompt, refuse_vocabulary
from lowerbound.registry import Registry

DECAY = 0.99
MIXED_IN = 0.01
TALLIED = 1 << 24  # the whole number that stands for a share of 1


@dataclass(frozen=True)
class Narrowing:
    """How draws differ from p(z): likelier and less varied.

    Attributes:
        temperature: logits are divided by it; 0: always the likeliest code.
        top_k: only so many of the likeliest codes are drawn; None: all.
        top_p: only the likeliest codes that together have this probability are drawn.

    Raises:
        OptionError: a value is out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise OptionError(f"a temperature is zero or more, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise OptionError(f"top_k is a number of codes, at least 1, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is a probability above 0, at most 1, not {self.top_p}")

    def shares(self, logits: Tensor) -> Tensor:
        """Probabilities that draws have, float64, of logits (rows, K)."""
        logits = logits.double()
        if self.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).double()
        return self.kept(torch.softmax(logits / self.temperature, -1))

    def kept(self, shares: Tensor) -> Tensor:
        """Probabilities (..., K) with those of codes that are never drawn set to zero."""
        if self.top_k is None and self.top_p == 1:
            return shares
        ordered, order = shares.sort(dim=-1, descending=True, stable=True)
        if self.top_k is not None:
            ordered[..., self.top_k :] = 0.0
        before = ordered.cumsum(-1) - ordered
        dropped = before >= self.top_p * ordered.sum(-1, keepdim=True)
        return shares.masked_fill(torch.zeros_like(dropped).scatter(-1, order, dropped), 0.0)


PLAIN = Narrowing()


class CodeDistribution(PushedCodes):
    """Independent codes, batch shape (1, 1), event ``shape``.

    Args:
        log_probabilities: log p of each code at each place, (*shape, K).
        narrowing: of draws, apart from a temperature; the density is that of the model.
    """

    def __init__(self, log_probabilities: Tensor, narrowing: Narrowing = PLAIN) -> None:
        self.log_probabilities, self.narrowing = log_probabilities, narrowing
        shape = log_probabilities.shape[:-1]
        super().__init__(torch.Size((1, 1)), shape, validate_args=False)

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (samples, rows), of codes (samples, rows, *shape)."""
        table = self.log_probabilities.expand(*z.shape, -1)
        each: Tensor = table.gather(-1, z.unsqueeze(-1)).squeeze(-1)
        return each.flatten(2).sum(-1)

    @torch.no_grad()
    def push(self, noise: Tensor) -> Tensor:
        """Map standard normal noise to codes by the inverse cumulative distribution."""
        upper = self.narrowing.kept(self.log_probabilities.double().exp()).cumsum(-1)
        uniform = torch.special.ndtr(noise.double()) * upper[..., -1]
        by_place = uniform.flatten(0, 1).movedim(0, -1).contiguous()
        codes = torch.searchsorted(upper.contiguous(), by_place)
        return codes.clamp_max(upper.shape[-1] - 1).movedim(-1, 0).reshape(noise.shape)

    def tempered(self, temperature: float) -> CodeDistribution:
        logits = self.log_probabilities
        if temperature == 0:
            likeliest = nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])
            tempered = CodeDistribution(likeliest.to(logits).log(), self.narrowing)
        else:
            colder = torch.log_softmax(logits / temperature, -1)
            tempered = CodeDistribution(colder, self.narrowing)
        tempered._batch_shape = self._batch_shape
        return tempered

    @property
    def mean(self) -> Tensor:
        """The likeliest codes, (1, 1, *shape), because codes have no mean."""
        return self.log_probabilities.argmax(-1)[None, None]

    @property
    def like(self) -> Tensor:
        return self.log_probabilities[..., 0][None, None]


class CodePrior(nn.Module, ABC):
    """A module that returns p(z) over codes.

    Args:
        shape: places of the latent: (slots,), or (height, width).
        codes: K.

    Attributes:
        takes_prompts: as of ``Prior``.
        temperature, top_k, top_p: of draws, as of ``Narrowing``; plain numbers that may be set.
    """

    takes_prompts: ClassVar[bool] = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0

    def __init__(self, shape: tuple[int, ...], codes: int) -> None:
        super().__init__()
        self.shape = shape
        self.codes = codes

    @classmethod
    def build(
        cls,
        shape: tuple[int, ...],
        codes: int,
        above: Sequence[tuple[int, ...]],
        options: Mapping[str, Any],
    ) -> CodePrior:
        """The prior of one codebook with these options.

        Args:
            shape: places of its map.
            codes: K, the same for every codebook of the model.
            above: places of the codebooks whose codes are known before, coarse to fine.
            options: of this prior.

        Raises:
            OptionError: an option is unknown or has a wrong type.
        """
        refuse_vocabulary(cls, options)
        prior: CodePrior = construct(cls, shape, codes, options=options)
        return prior

    @abstractmethod
    def forward(self) -> Distribution:
        """p(z), batch shape (1, 1)."""

    def given(self, above: Sequence[Tensor] = (), prompt: Tensor | None = None) -> Distribution:
        """p(z | codes above, prompt), batch shape (1 | samples, 1 | rows).

        Args:
            above: codes of the codebooks before, (samples, rows, *their places) each.
            prompt: (rows, fields) long, -1 where a field is unknown.

        Raises:
            UnsupportedError: the prior takes no prompt.
        """
        refuse_prompt(self, prompt)
        distribution: Distribution = self()
        return distribution

    @property
    def narrowing(self) -> Narrowing:
        """How draws differ from p(z) now."""
        return Narrowing(self.temperature, self.top_k, self.top_p)

    def terms(
        self, z: Tensor, above: Sequence[Tensor] = (), prompt: Tensor | None = None
    ) -> PriorTerms:
        """What training on codes needs, of z (rows, *shape) and the codes above, alike."""
        known = [codes.unsqueeze(0) for codes in above]
        log_prob: Tensor = self.given(known, prompt).log_prob(z.unsqueeze(0))[0]
        return PriorTerms(log_prob, -log_prob)

    def start_from_codes(self, z: Tensor) -> None:
        """Start from codes of training rows, (rows, *shape), before training on codes."""

    def know_vectors(self, vectors: Sequence[Tensor]) -> None:
        """Take the vectors of codes before training: of the codebooks above and, last, of its own,
        (K, dim) each."""

    def tally(self) -> Tensor:
        """Expected counts of each code, summed over all places: whole numbers, (K,) int64.

        The result is the same on every machine, because it takes no logarithm and adds no
        fractions. The default gives every code the same count.
        """
        return torch.ones(self.codes, dtype=torch.long)

    @torch.no_grad()
    def learn(self, codes: Tensor) -> None:
        """Learn from the codes of an update's rows, (rows, *shape)."""


CODE_PRIORS: Registry[type[CodePrior]] = parts.CODE_PRIORS


@CODE_PRIORS.register("uniform")
class UniformCodes(CodePrior):
    """p(z) = K^-n: every code costs log K nats."""

    even: Tensor

    def __init__(self, shape: tuple[int, ...], codes: int) -> None:
        super().__init__(shape, codes)
        self.register_buffer("even", torch.tensor(-math.log(codes)), persistent=False)

    def forward(self) -> CodeDistribution:
        return CodeDistribution(self.even.expand(*self.shape, self.codes), self.narrowing)


@CODE_PRIORS.register("marginal")
class MarginalCodes(CodePrior):
    r"""p(z) = prod_i p_i(z_i), fitted to how often each code is chosen at each place.

    .. math:: p_i(k) = (1 - 2a) f_i(k) + a \bar f(k) + a / K, \quad a = .01

    with f_i the moving average of the shares at place i, and f-bar their mean over places. A code
    that place i has not seen recently keeps a positive probability there.
    """

    shares: Tensor

    def __init__(self, shape: tuple[int, ...], codes: int) -> None:
        super().__init__(shape, codes)
        self.register_buffer("shares", torch.full((*shape, codes), 1.0 / codes))

    def forward(self) -> CodeDistribution:
        elsewhere = self.shares.flatten(0, -2).mean(0)
        mixed = (1 - 2 * MIXED_IN) * self.shares + MIXED_IN * (elsewhere + 1.0 / self.codes)
        return CodeDistribution(torch.log(mixed / mixed.sum(-1, keepdim=True)), self.narrowing)

    def tally(self) -> Tensor:
        each = (self.shares.cpu().double() * TALLIED).round().long()
        seen = each.flatten(0, -2).sum(0)
        return 99 * seen + seen.sum() // self.codes + 1

    @torch.no_grad()
    def learn(self, codes: Tensor) -> None:
        if len(codes):
            self.shares.lerp_(self._shares_of(codes), 1 - DECAY)

    @torch.no_grad()
    def start_from_codes(self, z: Tensor) -> None:
        self.shares.copy_(self._shares_of(z))

    def _shares_of(self, codes: Tensor) -> Tensor:
        places = codes.flatten(1).T
        counts = torch.zeros(len(places), self.codes).to(self.shares)
        counts.scatter_add_(1, places, torch.ones_like(places, dtype=counts.dtype))
        return (counts / len(codes)).reshape(self.shares.shape)
