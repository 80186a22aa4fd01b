"""Fresh identifiers, in the format of given ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Annotated, Protocol

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import numpy_type
from lowerbound.data.columns.text.word_patterns import GOLDEN, MOST_PATTERNS, Pattern, patterns_of
from lowerbound.data.columns.values import name as level_name
from lowerbound.errors import OptionError

_NUMBERED = re.compile(r"(\D*)([0-9]{1,17})")
SPARSE = 100  # numbers per identifier in their range, from which on they do not count up
MOST_DIGITS = 18  # of a whole number of 64 bits
LARGEST = 2**65  # number from which fresh ones count; given ones have at most 64 bits
FEWEST_WORDS = 3  # identifiers that have a word which fresh ones may have
CYCLE = 128  # neighbors in which each pattern has its share


@dataclass(frozen=True)
class IdentifierFormat:
    """The format of identifiers, from which fresh ones are made; it holds none of the given ones.

    Identifiers that do not count up have one of several patterns (``word_patterns``). The
    fresh ones differ from all given ones, because their numbers have a remainder that no given one
    has.

    Attributes:
        prefix: of numbered identifiers, such as "C-" of C-0017.
        width: digits of their numbers, with leading zeros; 0: as many as the number has. Of whole
            numbers with patterns, the most digits.
        first: the number of the first fresh one, above those of all given ones.
        dtype: "str", or numpy's name of whole numbers.
        places, step, remainder: of the only pattern in older model folders.
        separator: between a word and the number by which words become longer when all are used up;
            no given one has it, unless all have the same length, when it is empty.
        patterns: of identifiers that are not numbered.

    Raises:
        OptionError: a size or a number is none that identifiers have.
    """

    prefix: str = ""
    width: int = 0
    first: int = 0
    dtype: Annotated[str, numpy_type] = "str"
    places: tuple[str, ...] = ()
    step: int = 1
    remainder: int = 0
    separator: str = ""
    patterns: tuple[Pattern, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.width <= MOST_DIGITS or abs(self.first) > LARGEST:
            raise OptionError(
                f"identifiers have numbers of 64 bits and 0 to {MOST_DIGITS} digits, not "
                f"{self.width} digits from {self.first:.3g}"
            )
        if self.dtype != "str" and np.dtype(self.dtype).kind not in "iu":
            raise OptionError(f"identifiers are text or whole numbers, not {self.dtype}")
        whole = self.dtype != "str" and self._patterns
        digits = {place for pattern in self._patterns for place in pattern.places if whole}
        if not all(place.isdecimal() for place in digits) or len(self.patterns) > MOST_PATTERNS:
            raise OptionError(
                f"identifiers have at most {MOST_PATTERNS} patterns, whole numbers those of digits"
            )

    @classmethod
    def of(cls, values: Array, least: int = 1, people: Array | None = None) -> IdentifierFormat:
        """The format of distinct identifiers: whole numbers or text.

        Args:
            values: the identifiers.
            least: people that have a word, such as a domain, if fresh ones may have it.
            people: one who has each identifier; None: each is of another.
        """
        people = np.arange(len(values)) if people is None else people
        whole = values.dtype.kind in "iu"
        if whole and int(values.min()) < 0:
            return cls(first=int(values.max()) + 1, dtype=str(values.dtype))
        words = [str(value) for value in values]
        found = [_NUMBERED.fullmatch(word) for word in words]
        numbered = [match for match in found if match is not None]
        shared = whole or len(np.unique(people)) >= least  # a prefix, if there is one
        if len(numbered) == len(words) and len({match[1] for match in numbered}) == 1 and shared:
            digits = [match[2] for match in numbered]
            numbers = [int(text) for text in digits]
            if max(numbers) - min(numbers) < SPARSE * len(words):
                first = _round_above(max(numbers)) if least > 1 else 1 + max(numbers)
                padded = any(text[0] == "0" and len(text) > 1 for text in digits)
                width = max(map(len, digits)) if padded else 0
                if whole:
                    return cls(first=first, dtype=str(values.dtype))
                return cls(numbered[0][1], width, first)
        if whole and max(map(len, words)) > MOST_DIGITS:
            return cls(first=int(values.max()) + 1, dtype=str(values.dtype))
        patterns = patterns_of(words, max(least, FEWEST_WORDS), people.tolist())
        alike: dict[int, list[str]] = {}
        for word in words:
            alike.setdefault(len(word), []).append(word)
        fresh = tuple(each.unlike(alike.get(len(each.places), [])) for each in patterns)
        if whole:
            return cls("", max(map(len, words)), 0, str(values.dtype), patterns=fresh)
        one_length = len({len(word) for word in words}) == 1
        separator = "" if one_length else _unused_character(words)
        return cls(separator=separator, patterns=fresh)

    def fresh(self, first: int, count: int) -> Array:
        """``count`` identifiers from number ``first`` on, (count,); the same for the same number.

        They differ from each other and from all given ones. Numbered ones continue above the
        largest given one. Others become longer when the format has no more.
        """
        return self.at(range(first, first + count))

    def at(self, numbers: Iterable[int]) -> Array:
        """The identifiers of some numbers."""
        each = (self.first + number for number in numbers)
        words = list(map(self._patterned if self._patterns else self._numbered, each))
        if self.dtype != "str":
            return np.array([int(word) for word in words], dtype=self.dtype)
        return np.array(words, dtype=object)

    def typed(self, names: Array) -> Array:
        """Given identifiers in the type of the fresh ones: whole numbers if all of them are."""
        if self.dtype == "str":
            return names
        words = [str(name) for name in names]
        whole = all(word.removeprefix("-").isdecimal() for word in words)
        return np.array([int(word) for word in words]) if whole else names

    def _numbered(self, number: int) -> str:
        return f"{self.prefix}{number:0{self.width}d}"

    @cached_property
    def _patterns(self) -> tuple[Pattern, ...]:
        if self.places and not self.patterns:
            return (Pattern(self.places, self.step, self.remainder, share=0),)
        return self.patterns

    @cached_property
    def _cycle(self) -> list[tuple[Pattern, int, int]]:
        """The patterns of ``CYCLE`` neighbors, each with its place among its kind and their
        number."""
        shares = np.array([max(1, each.share) for each in self._patterns], dtype=np.float64)
        upto = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])
        # multiples of the golden section are evenly spread, also over each pattern's part
        level = (np.arange(CYCLE) + 0.5) * GOLDEN % 1
        own = np.searchsorted(upto, level, side="right") - 1
        counts = np.bincount(own, minlength=len(shares))
        before = [int((own[:place] == kind).sum()) for place, kind in enumerate(own)]
        return [
            (self._patterns[kind], place, int(counts[kind]))
            for kind, place in zip(own.tolist(), before, strict=True)
        ]

    def _patterned(self, number: int) -> str:
        round, place = divmod(number, CYCLE)
        pattern, own, count = self._cycle[place]
        index = round * count + own
        if self.dtype != "str" and index >= pattern.size:
            return str(10**self.width + number)  # longer than all given ones
        return pattern.word(index, self.separator)


class MakesFresh(Protocol):
    """Makes fresh identifiers by their numbers."""

    def fresh(self, first: int, count: int) -> Array:
        """Those from number ``first`` on, (count,)."""


@dataclass(eq=False)
class ApartIdentifiers:
    """Fresh identifiers that differ from others, which rows have besides them.

    Args:
        form: of the identifiers.
        others: names of the others.
    """

    form: MakesFresh
    others: Collection[str]
    _skipped: list[int] = field(default_factory=list)
    _checked: int = 0

    def fresh(self, first: int, count: int) -> Array:
        """As ``IdentifierFormat.fresh``; numbers of the others are left out."""
        while self._checked < (stop := first + count + len(self._skipped)):
            made = self.form.fresh(self._checked, stop - self._checked)
            taken = [number for number, one in enumerate(made) if level_name(one) in self.others]
            self._skipped += [self._checked + number for number in taken]
            self._checked = stop
        skipped = np.array(self._skipped, dtype=np.int64)
        places = np.arange(first, first + count)
        # before the number that is skipped i-th there are that number - i others
        numbers = places + np.searchsorted(skipped - np.arange(len(skipped)), places, side="right")
        if not count:
            return self.form.fresh(first, 0)
        made = self.form.fresh(int(numbers[0]), int(np.ptp(numbers)) + 1)
        return np.asarray(made[numbers - numbers[0]])


def _unused_character(words: Sequence[str]) -> str:
    """A character that no word has."""
    used = set("".join(words))
    return next(each for each in chain("-_.:/", map(chr, range(33, 2**16))) if each not in used)


def _round_above(number: int) -> int:
    """A number of two digits and zeros above a number, which does not tell it."""
    unit: int = 10 ** max(1, len(str(number)) - 2)
    return (number // unit + 1) * unit
