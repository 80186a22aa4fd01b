"""Fresh names of entities, in the format of given ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array

_NUMBERED = re.compile(r"(\D*)(\d{1,17})")
_CLASSES = ("0123456789", "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class IdentifierFormat:
    """The format of identifiers, from which fresh ones are made; it holds none of the given ones.

    Attributes:
        prefix: of numbered identifiers, such as "C-" of C-0017.
        width: digits of their numbers, with leading zeros; 0: as many as the number has.
        first: the number of the first fresh one, above those of all given ones.
        dtype: "str", or numpy's name of whole numbers.
        places: of identifiers that are not numbered, the characters that each place may have.
    """

    prefix: str = ""
    width: int = 0
    first: int = 0
    dtype: str = "str"
    places: tuple[str, ...] = ()

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
        return cls(places=_places(words))

    def fresh(self, first: int, count: int) -> Any:
        """``count`` identifiers from number ``first`` on, (count,); the same for the same number.

        Numbered ones differ from each other and from all given ones. Others are drawn from the
        characters of each place.
        """
        numbers = range(self.first + first, self.first + first + count)
        if self.dtype != "str":
            return np.array(numbers, dtype=self.dtype)
        make = self._drawn if self.places else self._numbered
        return np.array([make(number) for number in numbers], dtype=object)

    def _numbered(self, number: int) -> str:
        return f"{self.prefix}{number:0{self.width}d}"

    def _drawn(self, number: int) -> str:
        digest = hashlib.shake_256(f"identifier {number}".encode()).digest(4 * len(self.places))
        parts = np.frombuffer(digest, dtype="<u4").tolist()
        return "".join(
            place[part % len(place)] for place, part in zip(self.places, parts, strict=True)
        )


def _places(words: Sequence[str]) -> tuple[str, ...]:
    """The characters of each place of the words of the most frequent length."""
    lengths = [len(word) for word in words]
    common = max(sorted(set(lengths)), key=lengths.count)
    columns = zip(*(word for word in words if len(word) == common), strict=True)
    return tuple(_characters(set(column)) for column in columns)


def _characters(found: set[str]) -> str:
    """The smallest known class that holds the characters; a single character stays."""
    if len(found) == 1:
        return found.pop()
    classes = (*_CLASSES, _LETTERS, _LETTERS + _CLASSES[0], _LETTERS + _LETTERS.upper())
    return next(
        (each for each in classes if found <= set(each)),
        "".join(sorted(found | set(_LETTERS + _CLASSES[0]))),
    )
