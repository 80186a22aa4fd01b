"""Tokenizers: a text as a list of tokens, and back."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from lowerbound.data.molecules.library import selfies_library
from lowerbound.data.molecules.selfies import to_selfies
from lowerbound.errors import DataError
from lowerbound.registry import Registry

# an atom in brackets, an atom of the organic subset, a bond, a branch, a ring
SMILES = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFI]|[bcnops]|%\d{2}|\d|[()=#$:/\\.~@*+\-]")
END = 0  # the code that ends a row; those of tokens follow
WORD = re.compile(r"\s*\S+|\s+$")


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
