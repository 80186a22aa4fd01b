"""The vocabulary of prompts: the values of named fields, and the words of captions."""

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
CAPTIONS = "captions"  # among the names of what a prompt may hold
SHOWN = 10  # known words in the message about another one
NEGATIONS = frozenset(("no", "not", "without"))


@dataclass(frozen=True)
class PromptVocabulary:
    """What prompts may contain; a prior stores it among its options.

    A prompt is a row of codes: one for each field, and then one for each word of a caption. Words
    may be missing at the end.

    Attributes:
        fields: the values of each field by name, in the order of their codes.
        words: the words of captions, in the order of their codes.
        book: of captions that are made from the fields, ``to_mapping`` of a ``PhraseBook``.
    """

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    words: Sequence[str] = ()
    book: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> PromptVocabulary:
        """The vocabulary among the options of a prior; empty if its prior takes no prompt."""
        fields = {name: tuple(values) for name, values in (options.get("fields") or {}).items()}
        return cls(fields, tuple(options.get("words") or ()), dict(options.get("book") or {}))

    def __bool__(self) -> bool:
        return bool(self.fields or self.words)

    @property
    def options(self) -> dict[str, Any]:
        """The vocabulary as options of a prior; none if it is empty."""
        fields = {name: list(values) for name, values in self.fields.items()}
        options = {"fields": fields, "words": list(self.words), "book": dict(self.book)}
        return {name: value for name, value in options.items() if value}

    @property
    def names(self) -> tuple[str, ...]:
        """What a prompt may hold: the names of fields, and "captions"."""
        return (*self.fields, *((CAPTIONS,) if self.words else ()))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each field."""
        return tuple(len(values) for values in self.fields.values())

    def prompt(self, values: Mapping[str, Any], text: str = "") -> Tensor:
        """The prompt with these values by field and the words of a caption, (1, codes) long.

        Raises:
            OptionError: as ``given`` and ``caption``.
        """
        if not text:
            return self.given(values)
        found = self.caption(text)
        if values:
            found[:, : len(self.fields)] = self.given(values)
        return found

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
        """The prompt with these words, (1, fields and words) long; no field is known.

        Raises:
            OptionError: the prior takes no captions, or a word is unknown; the message suggests the
                nearest word.
        """
        return self.captions([text])

    def captions(self, texts: Sequence[str]) -> Tensor:
        """The prompts of several captions, (rows, fields and most words) long.

        The fields are unknown, and -1 stands after the last word.
        """
        self._require(bool(self.words), CAPTIONS, "--captions")
        index = {word: code for code, word in enumerate(self.words)}
        rows = [[self._word(index, word) for word in words_of(text)] for text in texts]
        first = len(self.fields)
        prompt = torch.full((len(rows), first + max([1, *map(len, rows)])), UNKNOWN)
        for row, codes in enumerate(rows):
            prompt[row, first : first + len(codes)] = torch.tensor(codes, dtype=torch.long)
        return prompt

    def values(self, prompt: Tensor) -> dict[str, str]:
        """The known values by field of one prompt, (codes,)."""
        codes = prompt[: len(self.fields)].tolist()
        pairs = zip(self.fields.items(), codes, strict=True)
        return {name: values[code] for (name, values), code in pairs if code != UNKNOWN}

    def fields_of(self, prompt: Tensor) -> Tensor:
        """Prompts without their captions, (rows, fields); captions alone stay."""
        return prompt[:, : len(self.fields)] if self.fields else prompt

    def text(self, prompt: Tensor) -> str:
        """The known words of one prompt, (codes,)."""
        codes = prompt[len(self.fields) :].tolist()
        return " ".join(self.words[code] for code in codes if code != UNKNOWN)

    def _word(self, index: Mapping[str, int], word: str) -> int:
        if word not in index:
            place = "in config.json of the model folder"
            raise unknown("word of a prompt", word, self.words, SHOWN, place)
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
