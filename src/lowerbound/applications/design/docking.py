"""Affinity of molecules to a receptor, by docking with AutoDock Vina.

A molecule is embedded in three dimensions by RDKit (ETKDG, then MMFF) in the protonation state of
its SMILES, prepared by Meeko, and docked in a box of the receptor. The affinity is Vina's score of
the best pose, in kcal/mol: an estimate, and no measurement.

Source: Eberhardt et al. 2021, AutoDock Vina 1.2.0; receptors and boxes: Garcia-Ortegon et al. 2022,
DOCKSTRING.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound import untrusted
from lowerbound.data.arrays import Array
from lowerbound.data.sciences.smiles import chemistry, molecule_or_none, quiet
from lowerbound.errors import DataError, MissingLibraryError, OptionError, unknown

EXHAUSTIVENESS = 8  # Vina's own default
FAILURES = (
    ValueError,
    RuntimeError,
    TypeError,
)  # of the libraries, for molecules they cannot treat
AXES = "xyz"
PACKAGES = "vina meeko gemmi dockstring"  # no extra of ours, because Meeko's licence is LGPL


class Docking:
    """A function from SMILES to affinities in kcal/mol, the lower the better.

    Args:
        receptor: name of a receptor of dockstring, such as DRD2, or a file NAME.pdbqt beside
            NAME.txt, which gives the box as lines ``center_x = 9.25`` and ``size_x = 30`` (in
            angstrom; x, y and z).
        exhaustiveness: number of independent searches for each molecule.
        seed: of the starting conformation and the searches.
        cores: number of processor cores; 0: all.

    Raises:
        OptionError: the receptor is unknown, or the exhaustiveness is not positive.
        DataError: the receptor's files cannot be read.
        MissingLibraryError: a library is not installed.
    """

    def __init__(
        self,
        receptor: str,
        *,
        exhaustiveness: int = EXHAUSTIVENESS,
        seed: int = 1,
        cores: int = 0,
    ) -> None:
        if exhaustiveness < 1:
            raise OptionError(
                f"docking needs an exhaustiveness of at least 1, not {exhaustiveness}"
            )
        self.exhaustiveness, self.seed = exhaustiveness, seed
        structure, box = _files(receptor)
        self._meeko = _library("meeko", "Meeko")
        numbers = _box(box)
        cores = min(cores or os.cpu_count() or 1, exhaustiveness)  # more would be idle
        self._vina = _library("vina", "Vina").Vina(cpu=cores, seed=seed, verbosity=0)
        try:
            self._vina.set_receptor(str(structure))
            self._vina.compute_vina_maps(
                center=[numbers[f"center_{axis}"] for axis in AXES],
                box_size=[numbers[f"size_{axis}"] for axis in AXES],
            )
        except FAILURES as error:
            raise DataError(f"{structure}: {error}") from error

    def __call__(self, smiles: Sequence[str]) -> Array:
        """Affinities, (molecules,); NaN for texts that are no molecule or cannot be docked."""
        return np.array([self._affinity(text) for text in smiles], dtype=np.float64)

    def _affinity(self, text: str) -> float:
        with quiet():
            molecule = molecule_or_none(text)
            ligand = None if molecule is None else self._prepared(molecule)
        if ligand is None:
            return float("nan")
        try:
            self._vina.set_ligand_from_string(ligand)
            self._vina.dock(exhaustiveness=self.exhaustiveness, n_poses=1)
            return float(self._vina.energies(n_poses=1)[0][0])
        except FAILURES:
            return float("nan")

    def _prepared(self, molecule: Any) -> str | None:
        """PDBQT of a conformation; None if there is none."""
        embedding = chemistry("Chem.AllChem")
        try:
            full = chemistry().AddHs(molecule)
            if embedding.EmbedMolecule(full, randomSeed=self.seed) != 0:
                return None
            embedding.MMFFOptimizeMolecule(full)
            (setup,) = self._meeko.MoleculePreparation().prepare(full)
            text, good, _ = self._meeko.PDBQTWriterLegacy.write_string(setup)
        except FAILURES:
            return None
        return str(text) if good else None


def _library(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingLibraryError(name, PACKAGES) from error


def _files(receptor: str) -> tuple[Path, Path]:
    """(structure, box) of a receptor."""
    path = Path(receptor).expanduser()
    if path.suffix == ".pdbqt":
        for needed in (path, path.with_suffix(".txt")):
            if not needed.is_file():
                raise DataError(f"{needed} is not there: docking needs NAME.pdbqt and NAME.txt")
        return path, path.with_suffix(".txt")
    spec = find_spec("dockstring")  # importing it would also need Open Babel
    if spec is None or spec.origin is None:
        raise MissingLibraryError("dockstring", PACKAGES)
    folder = Path(spec.origin).parent / "resources" / "targets"
    names = [found.name.removesuffix("_target.pdbqt") for found in folder.glob("*_target.pdbqt")]
    if receptor not in names:
        raise unknown("receptor", receptor, names)
    return folder / f"{receptor}_target.pdbqt", folder / f"{receptor}_conf.txt"


def _box(path: Path) -> dict[str, float]:
    """Center and size of the box.

    Raises:
        DataError: the file does not give them.
    """
    found: dict[str, float] = {}
    for line in untrusted.text(path, DataError).splitlines():
        name, equals, value = line.partition("=")
        try:
            found |= {name.strip(): float(value)} if equals else {}
        except ValueError:
            raise DataError(f"{path}: {line.strip()!r} is not NAME = NUMBER") from None
    missing = [f"{what}_{axis}" for what in ("center", "size") for axis in AXES]
    if missing := [name for name in missing if name not in found]:
        raise DataError(f"{path} does not give {', '.join(missing)}")
    return found
