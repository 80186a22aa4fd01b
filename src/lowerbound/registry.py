"""Registries, which map names to classes.

Interfaces look a name up once; other code uses objects only. Tests, command line and docs iterate
over the registries, so a new part takes one file and one line. A registry that lists its parts
keeps that order, and imports the module of a part when it is looked up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from lowerbound.errors import unknown

T = TypeVar("T")
Item = TypeVar("Item")


class Registry(Generic[T]):
    """An ordered map from names to parts of one family, such as the likelihoods.

    Args:
        kind: what a part is, for messages.
        package: that contains the modules of ``listed``.
        listed: names in their order, each with the module that registers it; further parts come
            after them, as they are registered.

    >>> PRIORS = Registry[type]("prior")
    >>> @PRIORS.register("standard_normal")
    ... class StandardNormal: ...
    >>> PRIORS["standard_normal"].__name__
    'StandardNormal'
    """

    def __init__(
        self, kind: str, package: str = "", listed: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self._modules = {name: f"{package}.{module}" for name, module in (listed or {}).items()}
        self._parts: dict[str, T] = {}
        self._given: dict[str, T] = {}

    def register(self, name: str) -> Callable[[Item], Item]:
        """Decorator that registers a part under ``name``.

        Raises:
            KeyError: ``name`` is registered already.
        """

        def add(part: Item) -> Item:
            module = getattr(part, "__module__", None)
            if name in self._parts or self._modules.get(name, module) != module:
                raise KeyError(f"{self.kind} {name!r} is registered twice")
            self._parts[name] = part  # type: ignore[assignment]
            return part

        return add

    def give(self, name: str, part: T) -> None:
        """Make a part known that a caller gave as an object; lists of names leave it out."""
        self._given[name] = part

    def after(self, *words: str) -> Iterable[str]:
        """These words, then every name, including names that are registered later."""
        return _Names(words, self)

    def lists(self, name: str) -> bool:
        """Whether the part of that name is listed, so that it need not have been imported."""
        return name in self._modules

    def __getitem__(self, name: str) -> T:
        """The part of that name.

        Raises:
            OptionError: the name is not registered; the message suggests the nearest one.
        """
        if name not in self:
            raise unknown(self.kind, name, self)
        if name not in self._parts and name in self._modules:
            import_module(self._modules[name])
        return self._parts[name] if name in self._parts else self._given[name]

    def __contains__(self, name: object) -> bool:
        known = (self._modules, self._parts, self._given)
        return isinstance(name, str) and any(name in names for names in known)

    def __iter__(self) -> Iterator[str]:
        return iter({**self._modules, **self._parts})

    def __len__(self) -> int:
        return len(self._modules.keys() | self._parts.keys())


def public_names(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package that imports names at first use.

    Args:
        package: ``__name__`` of the package, which repeats its names for type checkers.
        names: module, relative to the package if it starts with a dot: its names, with spaces.

    >>> get, _, every = public_names("lowerbound", {".registry": "Registry public_names"})
    >>> get("Registry") is Registry, every
    (True, ['Registry', 'public_names'])
    """
    module_of = {name: module for module, listed in names.items() for name in listed.split()}

    def get(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(module_of[name], package), name)
        setattr(sys.modules[package], name, value)  # the next use does not come here
        return value

    return get, lambda: list(module_of), list(module_of)


@dataclass(frozen=True)
class _Names:
    """Words, and the names of a registry at the time of reading."""

    words: tuple[str, ...]
    parts: Iterable[str]

    def __iter__(self) -> Iterator[str]:
        yield from self.words
        yield from self.parts
