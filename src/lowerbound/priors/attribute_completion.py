"""The joint distribution of attributes: what a prompt leaves open is drawn before z."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts.vocabulary import PromptVocabulary
from lowerbound.errors import OptionError
from lowerbound.networks.columns.known_columns import KnownColumns
from lowerbound.networks.prompts import CaptionEmbedding
from lowerbound.priors.caption_sampler import CaptionSampler

WIDTH, LAYERS, VECTORS, CAPTION = 128, 2, 8, 64
SILENT = 0.3  # share of rows that are trained without their caption


class AttributeCompletion(nn.Module):
    r"""p(y_f | any other fields of y, a caption), for prompts that leave fields open.

    .. math:: p(z \mid y_{known}, c) = \sum_{y_{rest}} p(y_{rest} \mid y_{known}, c) \, p(z \mid y)

    A prior of z given all fields has to learn much less than one given any subset of them or a
    caption, and the fields that a prompt leaves open keep the frequencies of the training rows.

    Args:
        sizes: number of values of each field.
        words: number of words of captions; 0: there are no captions.
        sampler: makes captions from fields in training; None: the rows have captions.

    Source: Hoogeboom et al. 2022 (one step of a random order).
    """

    def __init__(
        self, sizes: Sequence[int], words: int = 0, sampler: CaptionSampler | None = None
    ) -> None:
        super().__init__()
        self.sizes, self.sampler = tuple(sizes), sampler
        features = CAPTION if words else 0
        self.caption = CaptionEmbedding(words, features) if words else None
        self.network = KnownColumns(
            self.sizes, features, sum(self.sizes), width=WIDTH, layers=LAYERS, vectors=VECTORS
        )

    def loss(self, prompt: Tensor) -> Tensor:
        """An unbiased estimate of -log p of the known fields in a random order, (rows,).

        Args:
            prompt: (rows, fields and words) long, -1 where a code is unknown.
        """
        prompt, words = self._parts(prompt)
        features = self._features(self._hidden(prompt, words))
        present = prompt != UNKNOWN
        order = torch.rand(prompt.shape, device=prompt.device).where(present, 2.0)
        rank, count = order.argsort(1).argsort(1), present.sum(1, keepdim=True)
        some = (torch.rand_like(order[:, :1]) * count).long()
        known = present & (rank < some)
        logits = self._logits(prompt, known, features)
        open_values = prompt.masked_fill(known, UNKNOWN)
        each = [
            cross_entropy(scores, values, reduction="none", ignore_index=UNKNOWN)
            for scores, values in zip(logits, open_values.unbind(1), strict=True)
        ]
        return torch.stack(each, 1).sum(1) * (count / (count - some).clamp_min(1))[:, 0]

    @torch.no_grad()
    def complete(self, prompt: Tensor) -> Tensor:
        """The fields of prompts, (rows, fields); unknown ones are drawn, one after another.

        Raises:
            OptionError: a word is out of range.
        """
        prompt, words = self._parts(prompt)
        features, prompt = self._features(words), prompt.clone()
        for field in range(len(self.sizes)):
            rows = torch.nonzero(prompt[:, field] == UNKNOWN).flatten()
            if len(rows):
                known = prompt[rows] != UNKNOWN
                logits = self._logits(prompt[rows], known, features[rows])[field]
                prompt[rows, field] = torch.multinomial(logits.softmax(1), 1)[:, 0]
        return prompt

    def _logits(self, prompt: Tensor, known: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """Of every value of each field, (rows, values)."""
        numbers = features.new_zeros(prompt.shape)
        found: Tensor = self.network(prompt.clamp_min(0), numbers, known, features)
        return torch.split(found.float(), list(self.sizes), 1)

    def _parts(self, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """Fields and words of prompts."""
        return prompt[:, : len(self.sizes)], prompt[:, len(self.sizes) :]

    def _hidden(self, prompt: Tensor, words: Tensor) -> Tensor:
        """The captions of a step of training, of which some are hidden."""
        if self.caption is None:
            return words
        if self.sampler is not None:
            return self.caption.hidden(self.sampler(prompt), SILENT, 0.0)  # says any subset already
        return self.caption.hidden(words, SILENT, 0.5)

    def _features(self, words: Tensor) -> Tensor:
        """Of captions, (rows, features)."""
        if self.caption is None:
            return self.network.first.weight.new_zeros(len(words), 0)
        self.caption.check(words)
        found: Tensor = self.caption(words if words.shape[1] else self.caption.unknown(len(words)))
        return found


def attribute_completion(
    vocabulary: PromptVocabulary, completes: bool
) -> AttributeCompletion | None:
    """The completion of prompts of that vocabulary; None if they have no fields.

    Raises:
        OptionError: captions beside fields, which only a completion can read.
    """
    if vocabulary.fields and vocabulary.words and not completes:
        raise OptionError("attributes with captions need completes=true")
    if not (completes and vocabulary.fields):
        return None
    sampler = CaptionSampler(vocabulary) if vocabulary.book else None
    return AttributeCompletion(vocabulary.sizes, len(vocabulary.words), sampler)


def read(
    prompt: Tensor, vocabulary: PromptVocabulary, completion: AttributeCompletion | None
) -> Tensor:
    """What a network is given of prompts: their fields, if there are any; a caption has been read.

    Args:
        prompt: (rows, fields and words).
        vocabulary: of the prompts.
        completion: draws the unknown fields of prompts with a caption; None: they stay unknown.

    Raises:
        OptionError: a word is out of range.
    """
    fields = vocabulary.fields_of(prompt)
    if completion is None or fields.shape == prompt.shape:
        return fields
    return completion.complete(prompt)
