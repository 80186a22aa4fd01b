"""Tokenizers: a text as a list of tokens, and back.

In SELFIES every text of known symbols is a molecule (Krenn et al. 2020). SMILES become SELFIES and
back; whether the molecule is the same is decided by canonical isomeric SMILES, because the
notations order atoms differently.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from lowerbound.data.sciences.smiles import canonical_smiles, selfies_library
from lowerbound.errors import DataError
from lowerbound.registry import Registry

# an atom in brackets, an atom of the organic subset, a bond, a branch, a ring
SMILES = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\d{2}|\d|[()=#$:/\\.~@*+\-]")
END = 0  # the code that ends a row; those of tokens follow
WORD = re.compile(r"\s*\S+|\s+$")


def to_selfies(smiles: str) -> str:
    """The SELFIES of a molecule, which is canonicalized first.

    Raises:
        DataError: the text is not a molecule, or SELFIES cannot write it.
        MissingExtraError: RDKit or selfies is not installed.
    """
    return _encoded(canonical_smiles(smiles))


def _encoded(canonical: str) -> str:
    library = selfies_library()
    try:
        found: str = library.encoder(canonical)
    except library.EncoderError as error:
        raise DataError(
            f"{canonical!r:.60} cannot be written as SELFIES: {_line(error)}"
        ) from error
    return found


def from_selfies(text: str) -> str:
    """The canonical isomeric SMILES of a text of SELFIES symbols.

    Raises:
        DataError: a symbol is unknown, or the molecule is empty or has several fragments.
        MissingExtraError: RDKit or selfies is not installed.
    """
    library = selfies_library()
    try:
        smiles = library.decoder(text)
    except library.DecoderError as error:
        raise DataError(f"{text!r:.60} is not SELFIES: {_line(error)}") from error
    if not smiles:
        raise DataError(f"{text!r:.60} has no atoms")
    return canonical_smiles(smiles)


def changed_by_selfies(smiles: Sequence[str]) -> dict[int, str]:
    """The molecules that SELFIES does not keep: their rows, each with what becomes of it.

    Raises:
        DataError: a text is not a molecule.
        MissingExtraError: RDKit or selfies is not installed.
    """
    changed = {}
    for row, text in enumerate(smiles):
        canonical = canonical_smiles(text)
        try:
            back = from_selfies(_encoded(canonical))
        except DataError as error:
            changed[row] = str(error)
            continue
        if back != canonical:
            changed[row] = f"{canonical} becomes {back}"
    return changed


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


class Tokenizer(ABC):
    """Splits a text into tokens and joins them again.

    Attributes:
        rows: name of the texts, in messages.
        unit: name of a token, in reports.
        molecular: whether the texts are SMILES.
    """

    rows = "texts"
    molecular = False
    unit = "token"

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The tokens of a text.

        Raises:
            DataError: it is not a text of this kind; the message gives the reason.
        """

    def join(self, tokens: Sequence[str]) -> str:
        """The text of tokens."""
        return "".join(tokens)


TOKENIZERS: Registry[type[Tokenizer]] = Registry("tokenizer")


@TOKENIZERS.register("characters")
class Characters(Tokenizer):
    """Each character is a token."""

    unit = "character"

    def split(self, text: str) -> list[str]:
        return list(text)


@TOKENIZERS.register("words")
class Words(Tokenizer):
    """Each word is a token, with the space before it."""

    unit = "word"

    def split(self, text: str) -> list[str]:
        return WORD.findall(text)


@TOKENIZERS.register("smiles")
class Smiles(Tokenizer):
    """SMILES of a molecule: an atom, a bond, a branch or a number of a ring is a token.

    Source: Weininger 1988.
    """

    rows = "molecules"
    molecular = True

    def split(self, text: str) -> list[str]:
        tokens = SMILES.findall(text)
        if "".join(tokens) != text:
            raise DataError(f"{text!r} is not SMILES")
        return tokens


@TOKENIZERS.register("selfies")
class Selfies(Tokenizer):
    """SMILES of a molecule, modeled as SELFIES, of which every sequence is a valid molecule.

    ``join`` returns SMILES, so texts are SMILES on both sides. Source: Krenn et al. 2020.
    """

    rows = "molecules"
    molecular = True

    def split(self, text: str) -> list[str]:
        return list(selfies_library().split_selfies(to_selfies(text)))

    def join(self, tokens: Sequence[str]) -> str:
        return str(selfies_library().decoder("".join(tokens)))
