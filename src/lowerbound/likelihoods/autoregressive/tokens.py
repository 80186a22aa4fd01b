"""Tokens that depend on the tokens before them: p(x | z) = prod_t p(x_t | z, x_{<t})."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from lowerbound.data.sequences.texts import END
from lowerbound.errors import OptionError, UnsupportedError, unknown
from lowerbound.likelihoods.base import LIKELIHOODS, Likelihood, at_least_float32
from lowerbound.likelihoods.categorical import (
    Categorical,
    CategoricalEmission,
    LevelsLikelihood,
    from_code,
)
from lowerbound.networks.causal_transformer import (
    AttendingDecoder,
    RecurrentDecoder,
    TokenDecoder,
    usual_features,
)
from lowerbound.networks.tokens import codes_of
from lowerbound.trace import Emission

if TYPE_CHECKING:  # a name for annotations
    from lowerbound.data.schema import Schema

ROWS_AT_ONCE = 2048  # drawn side by side
Pick = Callable[[Tensor], Tensor]


class TokensEmission(Emission):
    r"""log p(x | z) = sum_t log p(x_t | z, x_{<t}), up to the token that ends a row, if any does.

    The logits of a token are the decoder's, plus a function of the decoder's features and of the
    tokens before. A hidden token is not scored, and later tokens see that it is hidden. Tokens
    after the end have probability one.

    ``mean`` and ``variance`` are those of each token if all other tokens are hidden. ``best`` is
    the likeliest row that a beam search finds; with a beam of 1 every token is the likeliest given
    those before it.

    Args:
        likelihood: the network.
        logits: of independent tokens, (samples, batch, levels, places).
        features: (samples, batch, places, features).
    """

    independent = False

    def __init__(self, likelihood: AutoregressiveTokens, logits: Tensor, features: Tensor) -> None:
        self.likelihood, self.logits, self.features = likelihood, logits, features
        shape = torch.Size(likelihood.event_shape)
        super().__init__(logits.shape[:2], shape, validate_args=False)

    def terms(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        given, x, seen = self._after(x, observed)
        return given.terms(x, seen)

    @property
    def mean(self) -> Tensor:
        return self._given(self.batch_shape).mean

    @property
    def variance(self) -> Tensor:
        return self._given(self.batch_shape).variance

    @property
    def best(self) -> Tensor:
        if self.likelihood.beam > 1:
            return self._by_parts(torch.Size(), self.likelihood.beam_search)
        return self._drawn(torch.Size(), lambda logits: logits.argmax(1))

    def _after(
        self, x: Tensor, observed: Tensor | None
    ) -> tuple[CategoricalEmission, Tensor, Tensor]:
        """(each token's distribution given those of x before it, x, the mask of scored tokens)."""
        rows = torch.broadcast_shapes(self.batch_shape, x.shape[: x.dim() - len(self.event_shape)])
        seen = self.likelihood.scored(x, observed).expand(rows + self.event_shape)
        x = torch.where(seen, x, 0.0)
        return self._given(rows, x, seen), x, seen

    def _given(
        self, rows: torch.Size, x: Tensor | None = None, seen: Tensor | None = None
    ) -> CategoricalEmission:
        """Every token's distribution given those before it; None: all are hidden."""
        places = self.likelihood.places
        logits = self.logits.expand(*rows, -1, -1)
        features = self.features.expand(*rows, -1, -1).flatten(0, 1)
        if x is None or seen is None:
            x = logits.new_zeros(1, places)
            seen = torch.zeros_like(x, dtype=torch.bool)
        added = self.likelihood.added(
            x.reshape(-1, places), seen.reshape(-1, places), features
        ).unflatten(0, rows)
        shape = (*rows, self.likelihood.levels, *self.event_shape)
        return CategoricalEmission((logits + added.transpose(2, 3)).reshape(shape))

    def likeliest(self, x: Tensor) -> Tensor:
        """The likeliest token of each place given the tokens of x before it, like x."""
        given, x, _ = self._after(x, None)
        return from_code(given.probabilities.argmax(-1).to(x.dtype), self.likelihood.levels)

    def given(self, x: Tensor, observed: Tensor) -> Emission:
        """Refused: a token given later tokens has no formula.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "hidden tokens are drawn from p(x | z), and tokens of the likelihood "
            "autoregressive_tokens also depend on each other: fit the model again with "
            "--likelihood categorical"
        )

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        return self._drawn(sample_shape, drawn_tokens)

    def _drawn(self, sample_shape: torch.Size, pick: Pick) -> Tensor:
        return self._by_parts(sample_shape, partial(self.likelihood.draw, pick=pick))

    @torch.no_grad()
    def _by_parts(
        self, sample_shape: torch.Size, make: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Rows made from (logits, features), some at once."""
        shape = sample_shape + self.batch_shape
        logits = self.logits.expand(*shape, -1, -1).reshape(-1, *self.logits.shape[2:])
        features = self.features.expand(*shape, -1, -1).reshape(-1, *self.features.shape[2:])
        parts = zip(logits.split(ROWS_AT_ONCE), features.split(ROWS_AT_ONCE), strict=True)
        drawn = torch.cat([make(*part) for part in parts])
        return drawn.view(shape + self.event_shape)


def drawn_tokens(logits: Tensor) -> Tensor:
    """A draw of each row, (rows,), from logits (rows, levels)."""
    noise = -torch.empty_like(logits).exponential_().log()
    return (logits + noise).argmax(1)


@LIKELIHOODS.register("autoregressive_tokens")
class AutoregressiveTokens(LevelsLikelihood):
    """Each token given z and the tokens before it.

    The decoder returns the logits of independent tokens and features of every place. A network
    over the tokens before adds to these logits; at the start it adds nothing, so training starts as
    that of independent tokens.

    Args:
        event_shape: (places,); other rows are read in the order of their last axis.
        levels: number of tokens.
        network: "recurrent" or "transformer".
        width: numbers of a place in the network.
        depth: blocks of the transformer.
        features: numbers of a place that the decoder of z returns; None: from the levels.
        ends: whether token 0 ends a row, and the rest of the row repeats it.
        word_dropout: share of tokens that are hidden from later tokens in training, so that the
            code has to explain them.
        dropout: share of the numbers of each branch of the transformer that are left out.
        beam: beginnings of a row that are kept side by side when its likeliest form is sought.

    Source: Bowman et al. 2016; Vaswani et al. 2017.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        levels: int = 256,
        network: Literal["recurrent", "transformer"] = "recurrent",
        width: int = 256,
        depth: int = 3,
        features: int | None = None,
        ends: bool = False,
        word_dropout: float = 0.0,
        dropout: float = 0.0,
        beam: int = 1,
    ) -> None:
        super().__init__(event_shape, levels=levels)
        if not (0 <= word_dropout < 1 and 0 <= dropout < 1):
            raise OptionError(
                f"word_dropout and dropout are shares below 1, not {word_dropout} and {dropout}"
            )
        self.ends, self.word_dropout = ends, word_dropout
        self.places = math.prod(event_shape)
        self.features = usual_features(levels) if features is None else features
        if min(self.features, width, depth, beam) < 1:
            raise OptionError("features, width, depth and beam must be at least 1")
        self.beam = beam
        self.independent = Categorical(event_shape, levels=levels)
        self.network = self._network(network, width, depth, dropout)

    def _network(self, name: str, width: int, depth: int, dropout: float) -> TokenDecoder:
        if name == "recurrent":
            return RecurrentDecoder(self.levels, self.features, width)
        if name == "transformer":
            return AttendingDecoder(
                self.levels, self.features, width, places=self.places, depth=depth, dropout=dropout
            )
        raise unknown("network of tokens", name, ("recurrent", "transformer"))

    @classmethod
    def from_schema(cls, schema: Schema, options: Mapping[str, Any]) -> Likelihood:
        ends = schema.data_kind.symbolic
        return super().from_schema(schema, {"ends": ends, **options})

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        numbers = self.levels + self.features
        return (numbers * self.event_shape[0], *self.event_shape[1:])

    def forward(self, parameters: Tensor) -> TokensEmission:
        numbers = at_least_float32(parameters).flatten(2).unflatten(2, (-1, self.places))
        logits, features = numbers.split([self.levels, self.features], 2)
        return TokensEmission(self, logits, features.transpose(2, 3))

    def initial_bias(self, x: Tensor) -> Tensor:
        """Log frequencies of the tokens of each place, and zeros for the features."""
        bias = self.independent.initial_bias(x)
        others = (self.features * self.event_shape[0], *self.event_shape[1:])
        return torch.cat([bias, bias.new_zeros(others)])

    def scored(self, x: Tensor, observed: Tensor | None) -> Tensor:
        """Which tokens are observed and not after the end, like x."""
        seen = torch.ones_like(x, dtype=torch.bool) if observed is None else observed
        if not self.ends:
            return seen
        return seen & before_end(x == END, seen)

    def added(self, x: Tensor, seen: Tensor, features: Tensor) -> Tensor:
        """What the tokens before add to the logits of each place, (rows, places, levels).

        Args:
            x, seen: (rows or 1, places); hidden cells of x are zero.
            features: (rows, places, features).
        """
        codes = self._shown(codes_of(x, self.levels, seen))
        return at_least_float32(self.network(codes.expand(len(features), -1), features))

    def _shown(self, codes: Tensor) -> Tensor:
        """The codes that later tokens see."""
        if not (self.training and self.word_dropout):
            return codes
        hidden = torch.rand(codes.shape, device=codes.device) < self.word_dropout
        return torch.where(hidden, self.levels, codes)

    @torch.no_grad()
    def draw(self, logits: Tensor, features: Tensor, pick: Pick) -> Tensor:
        """Rows of tokens, (rows, places), model units.

        Args:
            logits: of independent tokens, (rows, levels, places).
            features: (rows, places, features).
            pick: the token of each row, (rows,), from logits (rows, levels).
        """
        x = logits.new_zeros(len(logits), self.places)
        state, on = self.network.drawing(features), torch.arange(len(logits)).to(logits.device)
        for place in range(self.places):
            chosen = pick(logits[on, :, place] + at_least_float32(state.logits(place)))
            x[on, place] = from_code(chosen.to(x.dtype), self.levels)
            going = torch.nonzero(chosen != END).flatten() if self.ends else slice(None)
            state.put(chosen, going)
            on = on[going]
            if not len(on):
                break
        return x

    @torch.no_grad()
    def beam_search(self, logits: Tensor, features: Tensor) -> Tensor:
        """The likeliest rows that a beam search finds, (rows, places), model units.

        After each place the ``beam`` beginnings with the highest log p stay; an ended row stays as
        it is. The arguments are those of ``draw``.
        """
        rows, beam = len(logits), self.beam
        logits, features = (x.repeat_interleave(beam, 0) for x in (logits, features))
        state = self.network.drawing(features)
        codes = torch.zeros(len(logits), self.places, dtype=torch.long, device=logits.device)
        total = logits.new_full((rows, beam), -math.inf)
        total[:, 0] = 0.0  # all beginnings are the same, so one counts
        ended = torch.zeros_like(codes[:, 0], dtype=torch.bool)
        first = beam * torch.arange(rows, device=logits.device).unsqueeze(1)
        for place in range(self.places):
            found = logits[:, :, place] + at_least_float32(state.logits(place))
            found = found.log_softmax(1)
            found[ended] = -math.inf
            found[ended, END] = 0.0
            total, best = (
                (total.unsqueeze(2) + found.unflatten(0, (rows, beam))).flatten(1).topk(beam)
            )
            parent, token = (first + best // self.levels).flatten(), (best % self.levels).flatten()
            codes = codes[parent]
            codes[:, place] = token
            state.put(state.last, parent)
            state.put(token, slice(None))
            ended = (token == END) if self.ends else ended
            if bool(ended.all()):
                break
        return from_code(codes[first[:, 0]].to(logits.dtype), self.levels)


def before_end(end: Tensor, seen: Tensor) -> Tensor:
    """Whether no observed token before is an end, like ``end``, in the order of the last axis.

    Args:
        end: whether each token is an end.
        seen: whether it is observed.
    """
    ends = (end & seen).int()
    return ends.cumsum(-1) - ends == 0
