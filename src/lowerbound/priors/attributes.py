"""The joint distribution of attributes: what a prompt leaves open is drawn before z.

What nothing else says of a row's attributes is read from its latent. Captions of attributes are
made anew in each step of training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy

from lowerbound.config import from_mapping
from lowerbound.data.labels import UNKNOWN
from lowerbound.data.vocabulary import AFTER, BEFORE, PLACES, PhraseBook, PromptVocabulary, words_of
from lowerbound.errors import OptionError
from lowerbound.networks.columns import KnownColumns
from lowerbound.networks.prompts import CaptionEmbedding

READER_WIDTH, DROPOUT = 256, 0.2
MOST_SIDE = 8  # of maps, which are averaged to it
BEFORE_NOUN, WITH, OTHER = range(3)  # places of phrases in a caption, in their order
WIDTH, LAYERS, VECTORS, CAPTION = 128, 2, 8, 64
SILENT = 0.3  # share of rows that are trained without their caption


class AttributeReader(nn.Module):
    r"""p(y_f | z) of every field f, each by itself.

    .. math:: \log p(y_f = k \mid z) = W_f h + b_f - \log Z, \qquad h = f(f(x)), \;
        x = (z - m) / s

    with two hidden layers f, and dropout in training.

    Args:
        sizes: number of values of each field.
        shape: of a latent, (numbers,) or (channels, height, width).
    """

    def __init__(self, sizes: Sequence[int], shape: Sequence[int]) -> None:
        super().__init__()
        self.sizes, self.shape = tuple(sizes), tuple(shape)
        self.reduced = (self.shape[0], *(min(side, MOST_SIDE) for side in self.shape[1:]))
        numbers = int(torch.tensor(self.reduced).prod())
        self.layers = nn.Sequential(
            nn.Linear(numbers, READER_WIDTH),
            nn.SiLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(READER_WIDTH, READER_WIDTH),
            nn.SiLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(READER_WIDTH, sum(self.sizes)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of the values of each field, (rows, values), of standardized latents."""
        if len(self.shape) == 3 and self.reduced != self.shape:
            _, height, width = self.reduced
            x = F.adaptive_avg_pool2d(x.unflatten(1, self.shape), (height, width)).flatten(1)
        return torch.split(self.layers(x).float(), list(self.sizes), 1)

    def loss(self, x: Tensor, prompt: Tensor) -> Tensor:
        """-log p of the known fields, summed, (rows,), of standardized latents and fields."""
        each = [
            F.cross_entropy(logits, codes, reduction="none", ignore_index=UNKNOWN)
            for logits, codes in zip(self(x), prompt.unbind(1), strict=True)
        ]
        return torch.stack(each).sum(0)

    @torch.no_grad()
    def read(self, x: Tensor, prompt: Tensor) -> Tensor:
        """The fields of prompts, (rows, fields); unknown ones get their likeliest value."""
        likeliest = torch.stack([logits.argmax(1) for logits in self(x)], 1)
        return torch.where(prompt == UNKNOWN, likeliest, prompt)


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
