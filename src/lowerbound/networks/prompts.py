"""Embeddings of prompts: what a conditional prior knows of a row before any data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.errors import OptionError
from lowerbound.networks.matrix_products import AffineMap

UNKNOWN = -1
WORD_NUMBERS = 64


class PromptEmbedding(nn.Module, ABC):
    """Prompts (rows, codes) long to numbers (rows, width); -1 is an unknown code."""

    def forward(self, prompt: Tensor) -> Tensor:
        """The embedding of each prompt, (rows, width).

        Raises:
            OptionError: a prompt has another number of fields.
        """
        self._check_fields(prompt)
        return self._embedded(prompt)

    @abstractmethod
    def _embedded(self, prompt: Tensor) -> Tensor:
        """The embedding of prompts with the right number of fields."""

    @abstractmethod
    def check(self, prompt: Tensor) -> None:
        """Refuse prompts of other fields or values.

        Raises:
            OptionError: a row has another number of fields, or a code is out of range.
        """

    @abstractmethod
    def unknown(self, rows: int) -> Tensor:
        """The prompt of which nothing is known, (rows, codes)."""

    def _check_fields(self, prompt: Tensor) -> None:
        """Refuse prompts with another number of fields."""

    def hidden(self, prompt: Tensor, whole: float, some: float) -> Tensor:
        """The prompt with codes hidden at random, as training of a guided prior needs it.

        Args:
            prompt: (rows, codes).
            whole: share of the rows whose whole prompt is hidden (Ho & Salimans 2022).
            some: share of the other rows that hide each code independently, at a rate that is
                uniform over (0, 1), so that every subset of the fields or words is seen.
        """
        rows, device = len(prompt), prompt.device
        each = torch.rand(prompt.shape, device=device) < torch.rand(rows, 1, device=device)
        hide = each & (torch.rand(rows, 1, device=device) < some)
        hide |= torch.rand(rows, 1, device=device) < whole
        return prompt.masked_fill(hide, UNKNOWN)


class AttributeEmbedding(PromptEmbedding):
    r"""The sum of one learned vector for each field's value.

    .. math:: c = \sum_f E_f[v_f + 1]

    An unknown field has a vector of its own, E_f[0].

    Args:
        sizes: how many values each field has.
        width: numbers of the embedding.
    """

    starts: Tensor

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        rows = torch.tensor(self.sizes) + 1
        self.register_buffer("starts", rows.cumsum(0) - rows, persistent=False)
        self.table = nn.Embedding(int(rows.sum()), width)
        nn.init.normal_(self.table.weight, std=len(self.sizes) ** -0.5)

    def _embedded(self, prompt: Tensor) -> Tensor:
        total: Tensor = self.table(prompt + 1 + self.starts).sum(1)
        return total

    def check(self, prompt: Tensor) -> None:
        self._check_fields(prompt)
        sizes = torch.tensor(self.sizes, device=prompt.device)
        if bool(((prompt < UNKNOWN) | (prompt >= sizes)).any()):
            raise OptionError(
                f"a value of the prompt is out of range: the fields have {self.sizes} values, "
                f"counted from 0, and {UNKNOWN} is unknown"
            )

    def unknown(self, rows: int) -> Tensor:
        return torch.full((rows, len(self.sizes)), UNKNOWN, device=self.starts.device)

    def _check_fields(self, prompt: Tensor) -> None:
        if prompt.shape[1] != len(self.sizes):
            raise OptionError(
                f"the prompt has {prompt.shape[1]} fields, and the prior was trained on "
                f"{len(self.sizes)}"
            )


class CaptionEmbedding(PromptEmbedding):
    r"""The sum of one vector for each word in its context, which a bidirectional GRU reads.

    .. math:: c = W \sum_i h_i + b, \quad h = \mathrm{GRU}(E[w_1], \dots, E[w_n])

    Hidden words are skipped, and a caption without words has the embedding b. So the embedding
    depends on the known words and their order alone, and not on the length of the prompt.

    Args:
        words: how many words the vocabulary has.
        width: numbers of the embedding.
        numbers: of each word, and of each direction of the GRU.

    Source: Cho et al. 2014.
    """

    def __init__(self, words: int, width: int, numbers: int = WORD_NUMBERS) -> None:
        super().__init__()
        self.table = nn.Embedding(words, numbers)
        self.reader = nn.GRU(numbers, numbers, batch_first=True, bidirectional=True)
        self.head = AffineMap(2 * numbers, width)

    def _embedded(self, prompt: Tensor) -> Tensor:
        known = prompt != UNKNOWN
        order = known.long().argsort(stable=True, dim=1, descending=True)  # known words first
        codes, known = prompt.gather(1, order), known.gather(1, order)
        lengths = known.sum(1).clamp_min(1).cpu()
        words = pack_padded_sequence(
            self.table(codes.clamp_min(0)), lengths, batch_first=True, enforce_sorted=False
        )
        read, _ = pad_packed_sequence(
            self.reader(words)[0], batch_first=True, total_length=prompt.shape[1]
        )
        embedding: Tensor = self.head((read * known.unsqueeze(2)).sum(1))
        return embedding

    def check(self, prompt: Tensor) -> None:
        words = self.table.num_embeddings
        if bool(((prompt < UNKNOWN) | (prompt >= words)).any()):
            raise OptionError(
                f"a word of the prompt is out of range: the vocabulary has {words} words, counted "
                f"from 0, and {UNKNOWN} is unknown"
            )

    def unknown(self, rows: int) -> Tensor:
        return torch.full((rows, 1), UNKNOWN, device=self.table.weight.device)


def prompt_embedding(vocabulary: PromptVocabulary, width: int) -> PromptEmbedding | None:
    """The embedding of prompts of that vocabulary; None if it is empty.

    Of a vocabulary with fields and words it embeds the fields.
    """
    if vocabulary.fields:
        return AttributeEmbedding(vocabulary.sizes, width)
    return CaptionEmbedding(len(vocabulary.words), width) if vocabulary.words else None
