"""A causal transformer as prior over codes: an exact density, drawn code by code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lowerbound.config import construct
from lowerbound.data.prompts.vocabulary import PromptVocabulary
from lowerbound.errors import OptionError, UnsupportedError
from lowerbound.networks.causal_transformer import KeyValues
from lowerbound.priors.attribute_completion import attribute_completion, read
from lowerbound.priors.base import PriorTerms
from lowerbound.priors.code_network import CodeNetwork
from lowerbound.priors.codes import CODE_PRIORS, CodePrior
from lowerbound.priors.sequential_codes import (
    Conditionals,
    SequentialCodes,
    SequentialDistribution,
    Step,
)

WIDTHS = ((128, 32), (4096, 64), (1 << 40, 96))  # width by places times K, up to the first number
PER_HEAD = 32


@CODE_PRIORS.register("autoregressive")
class AutoregressiveCodes(SequentialCodes):
    r"""p(z) = prod_i p(z_i | z_{<i}, codes above, prompt), i in raster order.

    Each place sees the codes before it, and all codes of the codebooks above at its own place and
    near it.

    Args:
        shape: places of the map.
        codes: K.
        above: places of the codebooks above, coarse to fine.
        width: numbers per token; sized from places and K unless given.
        depth: blocks.
        heads: of each attention; one per 32 of the width unless given.
        dropout: share of numbers that are left out in training.
        fields: of a conditional prior, the values of each field of the prompt by name.
        words: of a prior with captions, the vocabulary.
        book: as of a diffusion prior.
        hide_prompt: share of the rows that are trained without a prompt.
        hide_fields: share of the other rows that are trained with some fields or words unknown.
        completes: as of a diffusion prior.

    Sources: van den Oord et al. 2017 and Razavi et al. 2019 (a prior over codes after the model);
    Vaswani et al. 2017.

    Raises:
        OptionError: a size is below 1, or the heads do not divide the width.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        codes: int,
        above: Sequence[tuple[int, ...]] = (),
        *,
        width: int | None = None,
        depth: int = 2,
        heads: int | None = None,
        dropout: float = 0.2,
        fields: Mapping[str, Sequence[str]] | None = None,
        words: Sequence[str] = (),
        book: Mapping[str, Any] | None = None,
        hide_prompt: float = 0.1,
        hide_fields: float = 0.5,
        completes: bool = False,
    ) -> None:
        super().__init__(shape, codes)
        self.above = tuple(map(tuple, above))
        width = width or width_of(math.prod(shape) * codes)
        heads = heads or max(1, width // PER_HEAD)
        if min(width, depth, heads) < 1:
            raise OptionError("width, depth and heads are at least 1")
        if width % heads:
            raise OptionError(f"{heads} heads do not divide a width of {width}")
        if not 0.0 <= dropout < 1.0:
            raise OptionError(f"dropout is a share below 1, not {dropout}")
        self.vocabulary = PromptVocabulary(dict(fields or {}), tuple(words), book or {})
        self.hide_prompt, self.hide_fields = hide_prompt, hide_fields
        # one for all codebooks
        self.completion = None if above else attribute_completion(self.vocabulary, completes)
        self.network = CodeNetwork(
            tuple(shape), codes, self.above, self.vocabulary, width, depth, heads, dropout
        )

    @classmethod
    def build(
        cls,
        shape: tuple[int, ...],
        codes: int,
        above: Sequence[tuple[int, ...]],
        options: Mapping[str, Any],
    ) -> CodePrior:
        prior: CodePrior = construct(cls, shape, codes, above, options=options)
        return prior

    def given(
        self, above: Sequence[Tensor] = (), prompt: Tensor | None = None
    ) -> SequentialDistribution:
        """p(z | codes above, prompt).

        Raises:
            UnsupportedError: the prior takes no prompt, or the codes of other codebooks.
            OptionError: a prompt of other fields or values.
        """
        if len(above) != len(self.above):
            raise UnsupportedError(
                f"this prior is given the codes of {len(self.above)} codebooks above, not of "
                f"{len(above)}"
            )
        if prompt is None or self.network.prompt is None:
            return super().given(above, prompt)
        self.network.prompt.check(self.vocabulary.fields_of(prompt))
        known = read(prompt, self.vocabulary, self.completion)
        return SequentialDistribution(self, above, known, self.narrowing)

    def terms(
        self, z: Tensor, above: Sequence[Tensor] = (), prompt: Tensor | None = None
    ) -> PriorTerms:
        beside = z.new_zeros((), dtype=torch.float32)
        if prompt is not None and self.completion is not None:
            beside = self.completion.loss(prompt)
        if prompt is not None:
            prompt = self.vocabulary.fields_of(prompt)
        if self.training and prompt is not None and self.network.prompt is not None:
            prompt = self.network.prompt.hidden(prompt, self.hide_prompt, self.hide_fields)
        found = super().terms(z, above, prompt)
        return found._replace(loss=found.loss + beside)

    def conditionals(self, above: Sequence[Tensor], prompt: Tensor | None = None) -> Conditionals:
        return NetworkConditionals(self.network, self.network.context(above, prompt))

    @torch.no_grad()
    def start_from_codes(self, z: Tensor) -> None:
        counts = torch.bincount(z.flatten(), minlength=self.codes).double() + 0.5
        self.network.start(counts / counts.sum())

    def know_vectors(self, vectors: Sequence[Tensor]) -> None:
        self.network.know(vectors)


class NetworkConditionals(Conditionals):
    """Logits of a network in the context of some rows.

    Args:
        network: of one codebook.
        context: of the rows, from its ``context``.
    """

    def __init__(self, network: CodeNetwork, context: Tensor) -> None:
        self.network, self.context = network, context

    def logits(self, z: Tensor) -> Tensor:
        logits: Tensor = self.network(z, self.context)
        return logits

    def steps(self) -> Step:
        cache: list[KeyValues] = self.network.body.empty_cache()
        return lambda z, place: self.network.step(z, self.context, place, cache)


def width_of(size: int) -> int:
    """Numbers per token of a map with so many places times codes."""
    return next(width for most, width in WIDTHS if size <= most)
