"""Similarity of molecules: Tanimoto's share of common bits of Morgan fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.molecules.library import chemistry, quiet
from lowerbound.data.molecules.smiles import molecule_or_none
from lowerbound.errors import DataError

RADIUS, BITS = 2, 2048  # of Morgan fingerprints


def fingerprints(smiles: Sequence[Any], bits: int = BITS) -> list[Any]:
    """RDKit's Morgan fingerprint of each molecule, radius 2; None if a text is not a molecule.

    Raises:
        MissingExtraError: RDKit is not installed.
    """
    make = chemistry("Chem.rdFingerprintGenerator").GetMorganGenerator(radius=RADIUS, fpSize=bits)
    with quiet():
        molecules = map(molecule_or_none, smiles)
        return [one and make.GetFingerprint(one) for one in molecules]


class KnownMolecules:
    """Molecules whose fingerprints are kept, to compare others with them.

    Args:
        smiles: one molecule each.

    Raises:
        DataError: a text is not a molecule, or there are none.
        MissingExtraError: RDKit is not installed.
    """

    def __init__(self, smiles: Sequence[str]) -> None:
        self.smiles = tuple(smiles)
        self.prints = fingerprints(self.smiles)
        if not self.prints or None in self.prints:
            row = self.prints.index(None) if self.prints else 0
            raise DataError(
                f"row {row} of the known molecules is not a molecule"
                if self.prints
                else "there are no known molecules to compare with"
            )

    def similarities(self, smiles: Sequence[Any]) -> Array:
        """Tanimoto similarity to every known molecule, (texts, known), 0 to 1.

        A row is NaN if its text is not a molecule.
        """
        found = np.full((len(smiles), len(self.prints)), np.nan)
        compare = chemistry("DataStructs").BulkTanimotoSimilarity
        for row, each in enumerate(fingerprints(smiles)):
            if each is not None:
                found[row] = compare(each, self.prints)
        return found

    def nearest(self, smiles: Sequence[Any]) -> tuple[Array, Array]:
        """(index of the most similar known molecule, similarity), (texts,) each.

        The index is -1 and the similarity NaN if a text is not a molecule.
        """
        index = np.full(len(smiles), -1)
        best = np.full(len(smiles), np.nan)
        compare = chemistry("DataStructs").BulkTanimotoSimilarity
        for row, each in enumerate(fingerprints(smiles)):
            if each is not None:
                similarity = np.asarray(compare(each, self.prints))
                index[row] = similarity.argmax()
                best[row] = similarity[index[row]]
        return index, best
