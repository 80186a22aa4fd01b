"""Captions made from attributes: a template, and one of several phrases for each value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import untrusted
from lowerbound.config import from_mapping
from lowerbound.data.arrays import listed
from lowerbound.data.prompts.vocabulary import PromptVocabulary, learn_words
from lowerbound.errors import DataError, LowerboundError, OptionError, unknown

BEFORE, AFTER = PLACES = ("{before}", "{after}")
AFTER_THE_NOUN = ("with", "without", "in", "wearing")  # first words of phrases
TEMPLATES = ("{before} one {after}",)


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
