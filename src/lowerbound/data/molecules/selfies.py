"""SELFIES, a notation in which every text of known symbols is a molecule (Krenn et al. 2020).

SMILES become SELFIES and back; whether the molecule is the same is decided by canonical isomeric
SMILES, because the notations order atoms differently.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowerbound.data.molecules.library import selfies_library
from lowerbound.data.molecules.smiles import canonical_smiles
from lowerbound.errors import DataError


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
