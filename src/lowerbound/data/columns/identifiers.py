"""Fresh identifiers, in the format of given ones: patterns of words such as names, mails and codes.

A word is a sequence of runs: letters, digits, and single other characters. A run that many words
have, such as the domain of their mails, stays. Others become any characters of their kind: digits,
or letters of the same case, consonants and vowels in turn. Words with the same runs have the same
pattern, and only patterns of several words are kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Annotated, Protocol

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import numpy_type
from lowerbound.data.columns.values import EXACT, level_name as level_name
from lowerbound.errors import OptionError

GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2: multiples are spread evenly
MOST_PATTERNS = 64
LONGEST = 1 << 16  # places of a word
MOST_UNFIT = 8  # patterns that are kept if no pattern is one of several words
ROOM = 20  # fresh words per given one, with which letters are consonants and vowels in turn
FEWEST_LETTERS = 12  # of an alphabet that is no Latin one
INVENTED = ("@", "example", ".", "org")  # the domain of mails whose own is of few people
_SHARES = (8, 6, 4, 3, 2, 1)  # given identifiers per remainder, from the most to the fewest
_RUNS = re.compile(r"[^\W\d_]+|[0-9]+|.", re.DOTALL)
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"
_CLASSES = (_DIGITS, "0123456789abcdef", "0123456789ABCDEF", _LETTERS.upper(), _LETTERS)
_NUMBERED = re.compile(r"(\D*)([0-9]{1,17})")  # a word that counts up
SPARSE = 100  # numbers per identifier in their range, from which on they do not count up
MOST_DIGITS = 18  # of a whole number of 64 bits
LARGEST = 2**65  # number from which fresh ones count; given ones have at most 64 bits
FEWEST_WORDS = 3  # identifiers that have a word which fresh ones may have
CYCLE = 128  # neighbors in which each pattern has its share


@dataclass(frozen=True)
class Pattern:
    """Fresh words of one length: a number in a mixed radix, one digit for each place.

    Attributes:
        places: the characters that each place may have.
        step, remainder: fresh words are ``remainder`` modulo ``step``; no given one is.
        share: how many of the fresh words have this pattern, in parts of their sum.
        end: place after the last one that varies, where words get longer when all are used up.

    Raises:
        OptionError: a place has no character, or a number is out of its range.
    """

    places: tuple[str, ...]
    step: int = 1
    remainder: int = 0
    share: int = 1
    end: int | None = None

    def __post_init__(self) -> None:
        end = len(self.places) if self.end is None else self.end
        if not all(self.places) or not 0 <= end <= len(self.places) <= LONGEST:
            raise OptionError(
                f"a pattern of words has 0 to {LONGEST:,} places, each of some characters, and "
                "ends at one of them"
            )
        if not 0 <= self.remainder < self.step <= EXACT or not 0 <= self.share <= EXACT:
            raise OptionError(
                f"a pattern of words has a remainder below its step, not {self.remainder:.3g} of "
                f"{self.step:.3g}, and a share of at least 0, not {self.share:.3g}"
            )

    @cached_property
    def size(self) -> int:
        """The number of fresh words."""
        every = math.prod(len(place) for place in self.places)
        return max(1, (every - self.remainder + self.step - 1) // self.step)

    @cached_property
    def factor(self) -> int:
        """Multiplies a number to the place of its word, so that neighbors differ."""
        return _coprime(self.size)

    def word(self, number: int, separator: str) -> str:
        """The word of a number; each number has another."""
        again, place = divmod(number, self.size)
        place += self.share * len(self.places)  # patterns begin with other words
        rank = self.remainder + self.step * (self.factor * (place + 1) % self.size)
        digits = []
        for characters in reversed(self.places):
            rank, digit = divmod(rank, len(characters))
            digits.append(characters[digit])
        word, end = "".join(reversed(digits)), self.end
        return f"{word[:end]}{separator}{again}{word[end:] if end else ''}" if again else word

    def spelled(self, words: Iterable[str]) -> list[int]:
        """The numbers of the words that the places can spell, upper and lower case alike."""
        index = []
        for place in self.places:
            folded = {character.lower(): code for code, character in enumerate(place)}
            exact = {character: code for code, character in enumerate(place)}
            index.append(folded | exact if len(folded) == len(place) else exact)
        ranks = []
        for word in words:
            if len(word) != len(index):
                continue
            codes = [
                own.get(character, own.get(character.lower()))
                for own, character in zip(index, word, strict=True)
            ]
            if None not in codes:
                rank = 0
                for code, own in zip(codes, self.places, strict=True):
                    rank = rank * len(own) + (code or 0)
                ranks.append(rank)
        return ranks

    def unlike(self, words: Sequence[str]) -> Pattern:
        """This pattern with a remainder that no word has, of the smallest step that has one."""
        ranks = self.spelled(words)
        for share in _SHARES:
            step = len(ranks) // share + 1
            free = set(range(step)) - {rank % step for rank in ranks}
            if free:
                rest = min(free, key=lambda each: (each * _coprime(step) % step, each))
                return replace(self, step=step, remainder=rest)
        raise AssertionError("more words than remainders")  # the last step exceeds their number


def patterns_of(words: Sequence[str], least: int, people: Sequence[int]) -> tuple[Pattern, ...]:
    """The patterns of distinct words, which no two patterns can both spell.

    Args:
        words: at least one.
        least: people that have a run, or words that have a pattern, if fresh ones may have it.
        people: one who has each word.
    """
    if _are_codes(words) and len(set(people)) >= least:
        return (_with_end(_places(words), len(words)),)
    runs = [_RUNS.findall(word) for word in words]
    usual = {run for each in runs for run in each if not run.isalnum()}
    usual |= _shared(zip(runs, people, strict=True), least)
    letters = _Letters.of(words, least)
    found = Counter(letters.places(each, usual) for each in runs)
    kept = [(places, count) for places, count in found.items() if count >= least]
    if sum(count for _, count in kept) < len(words) / 2:  # runs that stay make patterns rare
        separators = _separators(runs, least, people)
        found = Counter(letters.places(each, separators) for each in runs)
        kept = [(places, count) for places, count in found.items() if count >= least]
    kept = kept or found.most_common(MOST_UNFIT)
    best = sorted(kept, key=lambda each: -each[1])[:MOST_PATTERNS]
    return tuple(_apart([_with_end(places, count) for places, count in best]))


def _shared(runs: Iterable[tuple[Sequence[str], int]], least: int) -> set[str]:
    """The runs that at least ``least`` people have, of pairs of runs and a person."""
    pairs = {(run, person) for each, person in runs for run in each}
    return {run for run, count in Counter(run for run, _ in pairs).items() if count >= least}


def _are_codes(words: Sequence[str]) -> bool:
    """Whether words have one length, the same signs at the same places, and digits: codes."""
    signs = {tuple(c if not c.isalnum() else "" for c in word) for word in words}
    coded = sum(any(map(str.isdigit, word)) for word in words) >= len(words) / 2
    short = all(word.isascii() and word.isupper() and word.isalpha() for word in words)
    return len(signs) == 1 and "@" not in words[0] and (coded or short)


def _places(words: Sequence[str]) -> tuple[str, ...]:
    """The characters of each place of words of one length."""
    return tuple(_characters(set(column)) for column in zip(*words, strict=True))


def _characters(found: set[str]) -> str:
    """The smallest known class that holds the characters; a single character stays."""
    if len(found) == 1:
        return found.pop()
    classes = (*_CLASSES, _LETTERS + _DIGITS, _LETTERS + _LETTERS.upper())
    return next(
        (each for each in classes if found <= set(each)),
        "".join(sorted(found | set(_LETTERS + _DIGITS))),
    )


def _separators(runs: Sequence[Sequence[str]], least: int, people: Sequence[int]) -> set[str]:
    """The signs, the words that follow an @ in mails of several people, and the schemes of web
    addresses."""
    signs = {run for each in runs for run in each if not run.isalnum()}
    domains = [each[each.index("@") + 1 :] if "@" in each else [] for each in runs]
    schemes = [each[:1] if each[1:4] == [":", "/", "/"] else [] for each in runs]
    kept = (_shared(zip(each, people, strict=True), least) for each in (domains, schemes))
    return signs.union(*kept)


@dataclass(frozen=True)
class _Letters:
    """What stands for a run that is replaced.

    Attributes:
        alphabet: letters that are not Latin; "": they are.
        narrow: whether letters are consonants and vowels in turn; else all are possible.
        zero: whether a number of several digits may begin with 0.
    """

    alphabet: str
    narrow: bool
    zero: bool

    @classmethod
    def of(cls, words: Sequence[str], least: int) -> _Letters:
        counts = Counter(c.lower() for word in words for c in set(word) if c.isalpha())
        other = {c: n for c, n in counts.items() if not c.isascii()}
        alphabet = ""
        if sum(other.values()) > sum(counts.values()) / 2:
            usual = sorted(c for c, count in other.items() if count >= least)
            first, last = ord(min(other)), ord(max(other))
            every = [c for c in map(chr, range(first, last + 1)) if c.isalpha() and c == c.lower()]
            alphabet = "".join(usual if len(usual) >= FEWEST_LETTERS else every)
        longest = max(len(run) for word in words for run in _RUNS.findall(word))
        narrow = 2.0 ** min(300, 3 * longest) > ROOM * len(words)
        zero = any(re.search(r"(?<![0-9])0[0-9]", word) for word in words)
        return cls(alphabet, narrow, zero)

    def places(self, runs: Sequence[str], usual: set[str]) -> tuple[str, ...]:
        """The characters of each place of a word.

        Args:
            runs: of the word.
            usual: runs that stay. If all would, the longest one before an @ does not.
        """
        if "@" in runs and not set(runs[runs.index("@") :]) <= usual:
            runs = [*runs[: runs.index("@")], *INVENTED]
        varied = [
            place for place, run in enumerate(runs) if run not in usual and run not in INVENTED
        ]
        if not varied:
            before = runs[: runs.index("@")] if "@" in runs else runs
            varied = [max(range(len(before)), key=lambda place: len(before[place]), default=0)]
        found: list[str] = []
        for place, run in enumerate(runs):
            found += self._varied(run) if place in varied else run
        return tuple(found)

    def _varied(self, run: str) -> list[str]:
        if run[0].isdigit() and run.isascii():
            return [_DIGITS if place or self.zero else _DIGITS[1:] for place in range(len(run))]
        if not run.isalpha():
            return [_LETTERS for _ in run]
        found = []
        for place, character in enumerate(run):
            letters = self.alphabet or _LETTERS
            if self.narrow and not self.alphabet:
                letters = _VOWELS if place % 2 else _CONSONANTS
            upper = letters.upper() if character.isupper() else letters
            found.append(upper if len(upper) == len(letters) else letters)
        return found


def _with_end(places: tuple[str, ...], count: int) -> Pattern:
    varied = [place for place, characters in enumerate(places) if len(characters) > 1]
    end = varied[-1] + 1 if varied else len(places)
    return Pattern(places, share=count, end=end)


def _apart(patterns: Sequence[Pattern]) -> list[Pattern]:
    """The patterns without those characters of later ones by which two could spell one word."""
    found: list[Pattern] = []
    for pattern in patterns:
        places: list[str] | None = list(pattern.places)
        for other in found:
            if places is not None and len(other.places) == len(places):
                places = _unlike(places, other.places)
        if places is not None:
            found.append(replace(pattern, places=tuple(places)))
    return found


def _unlike(places: list[str], other: Sequence[str]) -> list[str] | None:
    """The places without another pattern's characters at one of them; None: that has all."""
    if any(set(a.lower()).isdisjoint(b.lower()) for a, b in zip(places, other, strict=True)):
        return places
    left = [
        "".join(c for c in a if c.lower() not in b.lower())
        for a, b in zip(places, other, strict=True)
    ]
    at = max(range(len(places)), key=lambda place: len(left[place]) / len(places[place]))
    if not left[at]:
        return None
    return [*places[:at], left[at], *places[at + 1 :]]


def _coprime(size: int) -> int:
    """A number near the golden section of ``size`` that has no factor in common with it."""
    # floats express no larger one
    near = int(size * GOLDEN) if size < EXACT else size * round(GOLDEN * EXACT) // EXACT
    factor = max(1, near)
    while math.gcd(factor, size) > 1:
        factor += 1
    return factor


@dataclass(frozen=True)
class IdentifierFormat:
    """The format of identifiers, from which fresh ones are made; it holds none of the given ones.

    Identifiers that do not count up have one of several patterns of words. The
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
