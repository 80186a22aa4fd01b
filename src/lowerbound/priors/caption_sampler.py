"""Captions of attributes, made anew in each step of training."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowerbound.config import from_mapping
from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts.captions import AFTER, BEFORE, PLACES, PhraseBook
from lowerbound.data.prompts.vocabulary import PromptVocabulary, words_of

BEFORE_NOUN, WITH, OTHER = range(3)  # places of phrases in a caption, in their order


class CaptionSampler(nn.Module):
    """Attributes to captions in the phrases of a book, as codes of words.

    A caption says a random subset of the known attributes, as ``PhraseBook.caption`` writes it. A
    row has another caption in each step of training, so that no caption can be memorized.

    Args:
        vocabulary: of the attributes and the words, with a book.
    """

    phrases: Tensor
    counts: Tensor
    places: Tensor
    templates: Tensor
    turned: Tensor
    starts: Tensor
    spoken: Tensor

    def __init__(self, vocabulary: PromptVocabulary) -> None:
        super().__init__()
        book = from_mapping(PhraseBook, vocabulary.book)
        index = {word: code for code, word in enumerate(vocabulary.words)}
        named = [(f, v) for f, values in vocabulary.fields.items() for v in values]
        lists = [book.phrases[f][v] if f in book.phrases else [""] for f, v in named]
        sizes = torch.tensor(vocabulary.sizes)
        codes = [[[index[w] for w in words_of(phrase)] for phrase in one] for one in lists]
        templates = [re.split("|".join(map(re.escape, PLACES)), text) for text in book.templates]
        parts = [[[index[w] for w in words_of(part)] for part in one] for one in templates]
        turned = [text.index(AFTER) < text.index(BEFORE) for text in book.templates]
        tables = {
            "phrases": _padded(codes),
            "counts": torch.tensor([len(one) for one in lists]),
            "places": _padded([[[_place(phrase)] for phrase in one] for one in lists])[..., 0],
            "templates": _padded(parts),
            "turned": torch.tensor(turned),  # the phrases after the noun come first
            "starts": sizes.cumsum(0) - sizes,
            "spoken": torch.tensor([name in book.phrases for name in vocabulary.fields]),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    @torch.no_grad()
    def forward(self, prompt: Tensor) -> Tensor:
        """A caption of each row, (rows, places of words) long, -1 where there is no word.

        Args:
            prompt: attributes, (rows, fields) long, -1 where unknown.
        """
        said = self._subset((prompt != UNKNOWN) & self.spoken)
        value = prompt.clamp_min(0) + self.starts
        choice = (torch.rand(value.shape, device=value.device) * self.counts[value]).long()
        words = self.phrases[value, choice].masked_fill(~said[..., None], UNKNOWN)
        place = self.places[value, choice]
        order = (place + torch.rand(place.shape, device=place.device)).argsort(1)
        words = words.gather(1, order[..., None].expand_as(words))
        template = torch.randint(len(self.templates), (len(prompt),), device=value.device)
        before = (place == BEFORE_NOUN).gather(1, order)
        first = (before != self.turned[template, None])[..., None]
        start, middle, end = self.templates[template].unbind(1)
        one = words.masked_fill(~first, UNKNOWN).flatten(1)
        other = words.masked_fill(first, UNKNOWN).flatten(1)
        return torch.cat([start, one, middle, other, end], 1)

    def _subset(self, known: Tensor) -> Tensor:
        """Some of the known fields: a share that is uniform over (0, 1), and at least one."""
        chance = torch.rand(known.shape, device=known.device)
        said = known & (chance < torch.rand(len(known), 1, device=known.device))
        one = torch.zeros_like(known).scatter(
            1, chance.masked_fill(~known, 2).argmin(1)[:, None], 1
        )
        return torch.where(said.any(1, keepdim=True), said, one & known)


def _place(phrase: str) -> int:
    if not PhraseBook.follows(phrase):
        return BEFORE_NOUN
    return WITH if phrase.startswith("with ") else OTHER


def _padded(codes: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Lists of lists of codes as one table, -1 where there is none."""
    shape = len(codes), max(map(len, codes)), max(1, *(len(c) for one in codes for c in one))
    table = torch.full(shape, UNKNOWN)
    for i, one in enumerate(codes):
        for j, row in enumerate(one):
            table[i, j, : len(row)] = torch.tensor(row, dtype=torch.long)
    return table
