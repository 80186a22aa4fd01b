"""Fresh identifiers, in the format of given ones."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.values import EXACT, name as level_name

_NUMBERED = re.compile(r"(\D*)(\d{1,17})")
_CLASSES = ("0123456789", "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
GOLDEN = 0.6180339887498949
_SHARES = (8, 6, 4, 3, 2, 1)  # given identifiers per remainder, from the most to the fewest


@dataclass(frozen=True)
class IdentifierFormat:
    """The format of identifiers, from which fresh ones are made; it holds none of the given ones.

    Identifiers that are not numbered are numbers in a mixed radix, one digit for each place. The
    fresh ones have a remainder that no given one has, so that they differ from all given ones.

    Attributes:
        prefix: of numbered identifiers, such as "C-" of C-0017.
        width: digits of their numbers, with leading zeros; 0: as many as the number has.
        first: the number of the first fresh one, above those of all given ones.
        dtype: "str", or numpy's name of whole numbers.
        places: of identifiers that are not numbered, the characters that each place may have.
        step, remainder: fresh ones are ``remainder`` modulo ``step`` in the mixed radix.
        separator: between the places and the number that longer ones end with; no given one has it,
            unless all have the same length, when it is empty.
    """

    prefix: str = ""
    width: int = 0
    first: int = 0
    dtype: str = "str"
    places: tuple[str, ...] = ()
    step: int = 1
    remainder: int = 0
    separator: str = ""

    @classmethod
    def of(cls, values: Array) -> IdentifierFormat:
        """The format of distinct identifiers: whole numbers or text."""
        if values.dtype.kind in "iu":
            return cls(first=int(values.max()) + 1, dtype=str(values.dtype))
        words = [str(value) for value in values]
        found = [_NUMBERED.fullmatch(word) for word in words]
        numbered = [match for match in found if match is not None]
        if len(numbered) == len(words) and len({match[1] for match in numbered}) == 1:
            digits = [match[2] for match in numbered]
            padded = any(text[0] == "0" and len(text) > 1 for text in digits)
            width = max(map(len, digits)) if padded else 0
            return cls(numbered[0][1], width, 1 + max(map(int, digits)))
        common = _most_frequent_length(words)
        places = _places(common)
        separator = "" if len(common) == len(words) else _unused_character(words)
        return cls("", 0, 0, "str", places, *_free_remainder(common, places), separator)

    def fresh(self, first: int, count: int) -> Array:
        """``count`` identifiers from number ``first`` on, (count,); the same for the same number.

        They differ from each other and from all given ones. Whole numbers and numbered ones
        continue above the largest given one. Others become longer when the format has no more.
        """
        numbers = range(self.first + first, self.first + first + count)
        if self.dtype != "str":
            return np.array(numbers, dtype=self.dtype)
        words = self._spread(numbers) if self.places else map(self._numbered, numbers)
        return np.array(list(words), dtype=object)

    def typed(self, names: Array) -> Array:
        """Given identifiers in the type of the fresh ones: whole numbers if all of them are."""
        if self.dtype == "str":
            return names
        words = [str(name) for name in names]
        whole = all(word.removeprefix("-").isdecimal() for word in words)
        return np.array([int(word) for word in words]) if whole else names

    def _numbered(self, number: int) -> str:
        return f"{self.prefix}{number:0{self.width}d}"

    def _spread(self, numbers: range) -> Iterator[str]:
        """The identifiers of the remainder in an order that visits each once."""
        size = math.prod(len(place) for place in self.places)
        count = max(1, (size - self.remainder + self.step - 1) // self.step)
        factor = _coprime(count)
        for number in numbers:
            again, place = divmod(number, count)
            rank = self.remainder + self.step * (factor * (place + 1) % count)
            yield self._word(rank) + (f"{self.separator}{again}" if again else "")

    def _word(self, rank: int) -> str:
        """The word of a number in the mixed radix of the places."""
        digits = []
        for place in reversed(self.places):
            rank, digit = divmod(rank, len(place))
            digits.append(place[digit])
        return "".join(reversed(digits))


@dataclass(eq=False)
class ApartIdentifiers:
    """Fresh identifiers that differ from others, which rows have besides them.

    Args:
        form: of the identifiers.
        others: names of the others.
    """

    form: IdentifierFormat
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


def _most_frequent_length(words: Sequence[str]) -> list[str]:
    """The words of the most frequent length."""
    lengths = [len(word) for word in words]
    common = max(sorted(set(lengths)), key=lengths.count)
    return [word for word in words if len(word) == common]


def _unused_character(words: Sequence[str]) -> str:
    """A character that no word has."""
    used = set("".join(words))
    return next(each for each in chain("-_.:/", map(chr, range(33, 2**16))) if each not in used)


def _places(words: Sequence[str]) -> tuple[str, ...]:
    """The characters of each place."""
    return tuple(_characters(set(column)) for column in zip(*words, strict=True))


def _characters(found: set[str]) -> str:
    """The smallest known class that holds the characters; a single character stays."""
    if len(found) == 1:
        return found.pop()
    classes = (*_CLASSES, _LETTERS, _LETTERS + _CLASSES[0], _LETTERS + _LETTERS.upper())
    return next(
        (each for each in classes if found <= set(each)),
        "".join(sorted(found | set(_LETTERS + _CLASSES[0]))),
    )


def _free_remainder(words: Sequence[str], places: Sequence[str]) -> tuple[int, int]:
    """(step, remainder): a remainder that no word has, of the smallest step that has one."""
    index = [{character: code for code, character in enumerate(place)} for place in places]
    ranks = []
    for word in words:
        rank = 0
        for code, place, character in zip(index, places, word, strict=True):
            rank = rank * len(place) + code[character]
        ranks.append(rank)
    for share in _SHARES:
        step = len(words) // share + 1
        free = set(range(step)) - {rank % step for rank in ranks}
        if free:
            return step, min(free, key=lambda rest: (rest * _coprime(step) % step, rest))
    raise AssertionError("more words than remainders")  # the last step exceeds their number


def _coprime(size: int) -> int:
    """A number near the golden section of ``size`` that has no factor in common with it."""
    # floats express no larger one
    near = int(size * GOLDEN) if size < EXACT else size * round(GOLDEN * EXACT) // EXACT
    factor = max(1, near)
    while math.gcd(factor, size) > 1:
        factor += 1
    return factor
