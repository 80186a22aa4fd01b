"""The optional libraries of chemistry, imported when they are first used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lowerbound.errors import MissingExtraError


def chemistry(module: str = "Chem") -> Any:
    """A module of RDKit by its name below ``rdkit``.

    Raises:
        MissingExtraError: RDKit is not installed.
    """
    try:
        return import_module(f"rdkit.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError("RDKit", "chem") from error


def selfies_library() -> Any:
    """The library ``selfies``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("selfies")
    except ModuleNotFoundError as error:
        raise MissingExtraError("selfies", "chem") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what RDKit writes to the standard error, which the caller reports by itself."""
    with chemistry("rdBase").BlockLogs():
        yield
