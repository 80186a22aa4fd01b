"""Captions of attributes, made anew in each step of training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lowerbound.data.labels import UNKNOWN
from lowerbound.data.prompts.captions import AFTER, BEFORE, PhraseBook
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
    starts: Tensor
    spoken: Tensor

    def __init__(self, vocabulary: PromptVocabulary) -> None:
        super().__init__()
        book = PhraseBook.of(vocabulary.book)
        index = {word: code for code, word in enumerate(vocabulary.words)}
        named = [(f, v) for f, values in vocabulary.fields.items() for v in values]
        lists = [book.phrases[f][v] if f in book.phrases else [""] for f, v in named]
        sizes = torch.tensor(vocabulary.sizes)
        codes = [[[index[w] for w in words_of(phrase)] for phrase in one] for one in lists]
        templates = [_parts(text) for text in book.templates]
        parts = [[[index[w] for w in words_of(part)] for part in one] for one in templates]
        tables = {
            "phrases": _padded(codes),
            "counts": torch.tensor([len(one) for one in lists]),
            "places": _padded([[[_place(phrase)] for phrase in one] for one in lists])[..., 0],
            "templates": _padded(parts),
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
        before = (place == BEFORE_NOUN).gather(1, order)[..., None]
        text = self.templates[
            torch.randint(len(self.templates), (len(prompt),), device=value.device)
        ]
        parts = [
            text[:, 0],
            words.masked_fill(~before, UNKNOWN).flatten(1),
            text[:, 1],
            words.masked_fill(before, UNKNOWN).flatten(1),
            text[:, 2],
        ]
        return torch.cat(parts, 1)

    def _subset(self, known: Tensor) -> Tensor:
        """Some of the known fields: a share that is uniform over (0, 1), and at least one."""
        chance = torch.rand(known.shape, device=known.device)
        said = known & (chance < torch.rand(len(known), 1, device=known.device))
        one = torch.zeros_like(known).scatter(
            1, chance.masked_fill(~known, 2).argmin(1)[:, None], 1
        )
        return torch.where(said.any(1, keepdim=True), said, one & known)


def _parts(template: str) -> tuple[str, str, str]:
    """What stands before, between and after the phrases."""
    first, rest = template.split(BEFORE)
    return first, *rest.split(AFTER)  # type: ignore[return-value]


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
