"""The vocabulary of prompts: the values of named fields, or the words of captions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.labels import UNKNOWN
from lowerbound.errors import OptionError, unknown

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SILENT = frozenset("a an the and of who that is has with wearing in on to".split())  # noqa: SIM905
NEGATIONS = frozenset(("no", "not", "without"))


@dataclass(frozen=True)
class PromptVocabulary:
    """What prompts may contain; a prior stores it among its options.

    A prompt is a row of codes: one for each field, or one for each word of a caption.

    Attributes:
        fields: the values of each field by name, in the order of their codes.
        words: the words of captions, in the order of their codes.

    Raises:
        OptionError: it has both fields and words.
    """

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.fields and self.words:
            raise OptionError("a prior takes prompts of fields or of words, not of both")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> PromptVocabulary:
        """The vocabulary among the options of a prior; empty if its prior takes no prompt."""
        fields = {name: tuple(values) for name, values in (options.get("fields") or {}).items()}
        return cls(fields, tuple(options.get("words") or ()))

    def __bool__(self) -> bool:
        return bool(self.fields or self.words)

    @property
    def options(self) -> dict[str, Any]:
        """The vocabulary as options of a prior; none if it is empty."""
        fields = {name: list(values) for name, values in self.fields.items()}
        options = {"fields": fields, "words": list(self.words)}
        return {name: value for name, value in options.items() if value}

    @property
    def names(self) -> tuple[str, ...]:
        """What a prompt consists of: the names of fields, or "captions"."""
        return ("captions",) if self.words else tuple(self.fields)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each field."""
        return tuple(len(values) for values in self.fields.values())

    def given(self, values: Mapping[str, Any]) -> Tensor:
        """The prompt with these values by field, (1, fields) long; other fields are unknown.

        Raises:
            OptionError: the prior takes no such prompt, or a field or value is unknown; the message
                suggests the nearest name.
        """
        self._require(bool(self.fields), "attributes", "--label or --attributes")
        for name in values:
            if name not in self.fields:
                raise unknown("attribute", name, self.fields)
        codes = [self.code(name, values.get(name)) for name in self.fields]
        return torch.tensor([codes])

    def code(self, name: str, value: Any) -> int:
        """The code of a value of a field; None is unknown.

        Raises:
            OptionError: the field has no such value; the message suggests the nearest.
        """
        if value is None:
            return UNKNOWN
        if str(value) not in self.fields[name]:
            raise unknown(f"value of {name}", value, self.fields[name])
        return list(self.fields[name]).index(str(value))

    def caption(self, text: str) -> Tensor:
        """The prompt with these words, (1, words) long.

        Raises:
            OptionError: the prior takes no captions, or a word is unknown; the message suggests the
                nearest word.
        """
        return self.captions([text])

    def captions(self, texts: Sequence[str]) -> Tensor:
        """The prompts of several captions, (rows, most words) long, -1 after the last word."""
        self._require(bool(self.words), "captions", "--captions")
        index = {word: code for code, word in enumerate(self.words)}
        rows = [[self._word(index, word) for word in words_of(text)] for text in texts]
        prompt = torch.full((len(rows), max([1, *map(len, rows)])), UNKNOWN)
        for row, codes in enumerate(rows):
            prompt[row, : len(codes)] = torch.tensor(codes, dtype=torch.long)
        return prompt

    def values(self, prompt: Tensor) -> dict[str, str]:
        """The known values by field of one prompt, (fields,)."""
        pairs = zip(self.fields.items(), prompt.tolist(), strict=True)
        return {name: values[code] for (name, values), code in pairs if code != UNKNOWN}

    def text(self, prompt: Tensor) -> str:
        """The known words of one prompt, (words,)."""
        return " ".join(self.words[code] for code in prompt.tolist() if code != UNKNOWN)

    def _word(self, index: Mapping[str, int], word: str) -> int:
        if word not in index:
            raise unknown("word of a prompt", word, self.words)
        return index[word]

    def _require(self, able: bool, what: str, how: str) -> None:
        if able:
            return
        does = ""
        if self:
            does = "; it takes attributes (--given)" if self.fields else "; it takes captions"
        raise OptionError(
            f"this model's prior takes no {what}{does}: train it again with lowerbound prior {how}"
        )


def words_of(text: str) -> list[str]:
    """The words of a caption in lower case, without those that carry no information.

    A negation and its word are one word, "no-glasses": without the negation, which training may
    hide, the word would have the opposite meaning.
    """
    found: list[str] = []
    negated = False
    for word in WORD.findall(text.lower()):
        if word in NEGATIONS:
            negated = True
        elif word not in SILENT:
            found.append(f"no-{word}" if negated else word)
            negated = False
    return found


def learn_words(texts: Iterable[str]) -> PromptVocabulary:
    """The vocabulary of these captions, sorted.

    Raises:
        OptionError: there is no word.
    """
    words = sorted({word for text in texts for word in words_of(text)})
    if not words:
        raise OptionError("the captions have no words")
    return PromptVocabulary(words=tuple(words))
