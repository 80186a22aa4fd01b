"""Properties of molecules as functions of text, by name, and the similarity of two.

A text that is not a molecule has the value NaN, so that one bad proposal does not stop a search.
Similarity is Tanimoto's share of common bits of Morgan fingerprints.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import spread_rows
from lowerbound.data.sciences.smiles import chemistry, molecule_or_none, quiet
from lowerbound.errors import DataError
from lowerbound.registry import Registry

RADIUS, BITS = 2, 2048  # of Morgan fingerprints
FAILURES = (ValueError, RuntimeError, ArithmeticError)  # RDKit's, for molecules it cannot treat


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


@dataclass(frozen=True)
class MolecularProperty:
    """A number that belongs to a molecule.

    Attributes:
        unit: "" if it has none.
        description: what it says, in one line.
        compute: from RDKit's molecule.
    """

    unit: str
    description: str
    compute: Callable[[Any], float]

    def of(self, molecule: Any) -> float:
        """Its value for RDKit's molecule; NaN for None, or if RDKit cannot compute it."""
        if molecule is None:
            return float("nan")
        try:
            return float(self.compute(molecule))
        except FAILURES:
            return float("nan")


PROPERTIES = Registry[MolecularProperty]("property of molecules")


def property_values(names: str | Sequence[str], smiles: Sequence[Any]) -> dict[str, Array]:
    """Properties of molecules.

    Args:
        names: of ``PROPERTIES``, one or several.
        smiles: one molecule each.

    Returns:
        name -> (molecules,) float64, NaN where the text is not a molecule.

    Raises:
        OptionError: a name is unknown; the message suggests the nearest one.
        MissingExtraError: RDKit is not installed.
    """
    chosen = {name: PROPERTIES[name] for name in ([names] if isinstance(names, str) else names)}
    found = np.full((len(smiles), len(chosen)), np.nan)
    with quiet():
        for row, text in enumerate(smiles):
            molecule = molecule_or_none(text)
            found[row] = [one.of(molecule) for one in chosen.values()]
    return dict(zip(chosen, found.T, strict=True))


def some_property_values(
    names: Sequence[str], smiles: Sequence[Any], most: int
) -> dict[str, Array]:
    """As ``property_values`` for at most ``most`` molecules, evenly spaced; NaN for the others."""
    rows = spread_rows(len(smiles), most).numpy()
    known = property_values(names, [smiles[row] for row in rows])
    found = {name: np.full(len(smiles), np.nan) for name in known}
    for name, values in known.items():
        found[name][rows] = values
    return found


def _property(
    name: str, unit: str, description: str
) -> Callable[[Callable[[Any], float]], Callable[[Any], float]]:
    def add(compute: Callable[[Any], float]) -> Callable[[Any], float]:
        PROPERTIES.register(name)(MolecularProperty(unit, description, compute))
        return compute

    return add


@_property("qed", "", "likeness to oral drugs, 0 to 1 (Bickerton et al. 2012)")
def qed(molecule: Any) -> float:
    """Quantitative estimate of drug-likeness, RDKit's default weights."""
    found: float = chemistry("Chem.QED").qed(molecule)
    return found


@_property("logp", "", "octanol-water partition, log10, estimated by Wildman and Crippen (1999)")
def logp(molecule: Any) -> float:
    """Crippen's estimate of log10 of the partition coefficient."""
    found: float = chemistry("Chem.Crippen").MolLogP(molecule)
    return found


@_property("sa", "", "difficulty of synthesis, 1 easy to 10 hard (Ertl and Schuffenhauer 2009)")
def sa(molecule: Any) -> float:
    """Synthetic accessibility by the script that RDKit ships in its Contrib folder."""
    found: float = _sascorer().calculateScore(molecule)
    return found


@_property("weight", "g/mol", "average molecular weight")
def weight(molecule: Any) -> float:
    """Molecular weight with hydrogens, of the elements' natural mixtures of isotopes."""
    found: float = chemistry("Chem.Descriptors").MolWt(molecule)
    return found


@_property("heavy_atoms", "atoms", "number of atoms other than hydrogen")
def heavy_atoms(molecule: Any) -> float:
    """Number of atoms other than hydrogen."""
    return float(molecule.GetNumHeavyAtoms())


@_property("penalized_logp", "", "logp - sa - ring penalty, raw; grows without end with a chain")
def penalized_logp(molecule: Any) -> float:
    r"""logP - SA - max(0, largest ring - 6), without the usual normalization.

    The largest ring is that of RDKit's smallest set of rings. Papers that take it from another
    cycle basis find larger rings in fused systems. Long carbon chains have the highest values, so
    that it is no objective without a limit of the length.
    """
    largest = max((len(ring) for ring in molecule.GetRingInfo().AtomRings()), default=0)
    return logp(molecule) - sa(molecule) - max(0, largest - 6)


@cache
def _sascorer() -> Any:
    """The module ``sascorer`` of RDKit's Contrib folder.

    Raises:
        DataError: this build of RDKit has no such folder.
    """
    path = Path(chemistry("RDConfig").RDContribDir) / "SA_Score" / "sascorer.py"
    spec = spec_from_file_location("rdkit_sascorer", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise DataError(f"sa needs {path}, which RDKit's wheel has: run pip install rdkit")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
