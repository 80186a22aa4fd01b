"""The exceptions of the package.

Exception
└── LowerboundError            exit code 2 on the command line
    ├── DataError              the data cannot be used as given (also a ValueError)
    │   └── NotFiniteError     values that a model computed are NaN or infinite
    ├── OptionError            an unknown name or a value out of range (also a ValueError)
    ├── UnsupportedError       the model lacks a required power (also a TypeError)
    ├── ModelFolderError       a model folder is missing, altered or too new (also a ValueError)
    ├── BitstreamError         a compressed file is damaged, or of another model (also a ValueError)
    ├── TrainingError          training cannot continue: exit code 1 (also a RuntimeError)
    └── MissingExtraError      an optional library is not installed (also an ImportError)

Every message states what is wrong, where, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LowerboundError(Exception):
    """Base of all errors that a user can fix."""


class DataError(LowerboundError, ValueError):
    """The data cannot be used as given."""


class NotFiniteError(DataError):
    """Values that a model computed are NaN or infinite."""


class OptionError(LowerboundError, ValueError):
    """An option has an unknown name or an invalid value."""


class UnsupportedError(LowerboundError, TypeError):
    """The model lacks a required power; the message names the models that have it."""


class ModelFolderError(LowerboundError, ValueError):
    """A model folder is missing, incomplete, altered or of a format that cannot be read."""


class BitstreamError(LowerboundError, ValueError):
    """A compressed file is damaged, of a format that cannot be read, or of another model."""


class TrainingError(LowerboundError, RuntimeError):
    """Training cannot continue."""


class MissingLibraryError(LowerboundError, ImportError):
    """An optional library is not installed; ``packages`` are what pip installs."""

    def __init__(self, library: str, packages: str) -> None:
        super().__init__(f"{library} is not installed; run: pip install {packages}")


class MissingExtraError(MissingLibraryError):
    """A library of an extra is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(library, f"'lowerbound[{extra}]'")


def unknown(
    kind: str, name: object, known: Iterable[str], shown: int | None = None, place: str = ""
) -> OptionError:
    """The error for a name that is not in ``known``; its message suggests the nearest name.

    Args:
        kind: what the name is of, in words.
        name: the name.
        known: all names.
        shown: number of known names in the message; None: all.
        place: where to find all of them, in words.
    """
    names = sorted(known)
    listing = ", ".join(names[:shown]) or "none"
    if shown is not None and len(names) > shown:
        listing += f" and {len(names) - shown:,} more, which are {place}"
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return OptionError(f"unknown {kind} {str(name)!r}{hint} (known: {listing})")


def counted(count: int, thing: str) -> str:
    """A number of things in a message, such as "1 episode" and "2,000 episodes"."""
    return f"{count:,} {thing}{'s' * (count != 1)}"
