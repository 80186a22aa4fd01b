"""The vocabulary of prompts: the values of named fields, and the words of captions.

Captions are made from attributes, by a template and one of several phrases for each value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound import untrusted
from lowerbound.config import from_mapping
from lowerbound.data.arrays import listed
from lowerbound.data.labels import UNKNOWN
from lowerbound.errors import DataError, LowerboundError, OptionError, unknown

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SILENT = frozenset("a an the and of who that is has with wearing in on to".split())  # noqa: SIM905
CAPTIONS = "captions"  # among the names of what a prompt may hold
SHOWN = 10  # known words in the message about another one
NEGATIONS = frozenset(("no", "not", "without"))
BEFORE, AFTER = PLACES = ("{before}", "{after}")
AFTER_THE_NOUN = ("with", "without", "in", "wearing")  # first words of phrases
TEMPLATES = ("{before} one {after}",)


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


@dataclass(frozen=True)
class PhraseBook:
    """Words for attributes, which a person can read and edit as JSON.

    A phrase that begins with "with", "without", "in" or "wearing" stands after the noun, every
    other one before it.

    Attributes:
        templates: captions with the places {before} and {after}.
        phrases: by field and value, phrases that say the same. A field without phrases is not part
            of a caption.
    """

    templates: tuple[str, ...] = TEMPLATES
    phrases: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> PhraseBook:
        """Read a book from a JSON file.

        Raises:
            DataError: it is no JSON file, or has no such form.
        """
        try:
            values = untrusted.read_mapping(path, DataError)
            with untrusted.guarded(str(path), DataError):
                return from_mapping(cls, values).checked()
        except (OSError, LowerboundError) as error:
            raise DataError(
                f"{path} is no file of phrases: {error}; it is JSON such as "
                '{"templates": ["a {before} face {after}"], '
                '"phrases": {"mouth": {"smile": ["smiling", "happy"]}}}'
            ) from error

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its captions, sorted."""
        phrases = [p for values in self.phrases.values() for one in values.values() for p in one]
        templates = [text.replace(BEFORE, " ").replace(AFTER, " ") for text in self.templates]
        return tuple(learn_words([*phrases, *templates]).words)

    @staticmethod
    def follows(phrase: str) -> bool:
        """Whether a phrase stands after the noun."""
        return phrase.partition(" ")[0] in AFTER_THE_NOUN

    @classmethod
    def of_names(cls, vocabulary: PromptVocabulary) -> PhraseBook:
        """The phrase "with VALUE FIELD" for each value of each field: "with red hair color"."""
        return cls(
            phrases={
                name: {value: [f"with {_words(value)} {_words(name)}"] for value in values}
                for name, values in vocabulary.fields.items()
            }
        )

    def checked(self) -> PhraseBook:
        """The book, if it has templates with both places, and phrases for each value.

        Raises:
            OptionError: it has not.
        """
        if not self.templates or any(text.count(p) != 1 for text in self.templates for p in PLACES):
            raise OptionError(f"each template needs {BEFORE} and {AFTER} once")
        for name, values in self.phrases.items():
            for value, phrases in values.items():
                if not phrases or not all(isinstance(phrase, str) for phrase in phrases):
                    raise OptionError(f"the value {value!r} of {name} needs a list of phrases")
        if not self.phrases:
            raise OptionError("there are no phrases")
        return self

    def fits(self, vocabulary: PromptVocabulary) -> PhraseBook:
        """The book, if every value of its fields has a phrase.

        Raises:
            OptionError: a field or value of the book is unknown, or a value has no phrase.
        """
        for name, values in self.phrases.items():
            if name not in vocabulary.fields:
                raise unknown("attribute of the phrases:", name, vocabulary.fields)
            for value in values:
                if value not in vocabulary.fields[name]:
                    raise unknown(
                        f"value of {name} in the phrases:", value, vocabulary.fields[name]
                    )
        lacking = [
            f"{name}={value}"
            for name, values in self.phrases.items()
            for value in vocabulary.fields[name]
            if value not in values
        ]
        if lacking:
            raise OptionError(f"the phrases have none for {listed(lacking)}")
        return self

    def caption(self, values: Mapping[str, str], random: np.random.Generator) -> str:
        """A caption that says all of these values, in random order and words."""
        said = [
            str(random.choice(self.phrases[name][value]))
            for name, value in values.items()
            if name in self.phrases
        ]
        random.shuffle(said)
        after = [phrase for phrase in said if self.follows(phrase)]
        before = [phrase for phrase in said if phrase not in after]
        text = str(random.choice(self.templates))
        text = text.replace(BEFORE, ", ".join(before)).replace(AFTER, _listed(after))
        return " ".join(text.split())


def _words(name: str) -> str:
    """A name as words: "red_hair" as "red hair"."""
    return " ".join(name.replace("_", " ").split())


def _listed(phrases: Sequence[str]) -> str:
    """Phrases in one list; those that begin with "with" share it: "with A and B, without C"."""
    having = [phrase for phrase in phrases if phrase.startswith("with ")]
    others = [phrase for phrase in phrases if phrase not in having]
    first = f"with {' and '.join(phrase.removeprefix('with ') for phrase in having)}"
    return ", ".join([first, *others] if having else others)
