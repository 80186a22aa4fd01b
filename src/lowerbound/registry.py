"""Names that a person types, each mapped to a class in one place.

A name is looked up once, at the edge; inside there are only objects. Tests, command line and docs
iterate the registries, so a new part is one file and one import line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from lowerbound.errors import unknown

T = TypeVar("T")
Item = TypeVar("Item")


class Registry(Generic[T]):
    """An ordered map from names to parts of one family, such as the likelihoods.

    >>> PRIORS = Registry[type]("prior")
    >>> @PRIORS.register("standard_normal")
    ... class StandardNormal: ...
    >>> PRIORS["standard_normal"].__name__
    'StandardNormal'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}

    def register(self, name: str) -> Callable[[Item], Item]:
        """Decorator that files a part under ``name``; a second part of that name is a mistake."""

        def add(part: Item) -> Item:
            if name in self._parts:
                raise KeyError(f"{self.kind} {name!r} is registered twice")
            self._parts[name] = part  # type: ignore[assignment]
            return part

        return add

    def after(self, *words: str) -> Iterable[str]:
        """These words and then every name, those that are registered later too."""
        return _Names(words, self._parts)

    def __getitem__(self, name: str) -> T:
        """The part of that name.

        Raises:
            OptionError: for a name that is not registered; the nearest one is suggested.
        """
        if name not in self._parts:
            raise unknown(self.kind, name, self._parts)
        return self._parts[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


@dataclass(frozen=True)
class _Names:
    """Words, and the names of a registry at the time of reading."""

    words: tuple[str, ...]
    parts: Mapping[str, object]

    def __iter__(self) -> Iterator[str]:
        yield from self.words
        yield from self.parts
