"""Quality of drawn molecules, by the definitions of MOSES (Polykovskiy et al. 2020) where it has
them: valid, unique at n, novel, internal diversity, distances of properties.

One definition is stricter than in MOSES: a molecule must be one connected structure without
attachment points, so that an empty text and a salt are not valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import wasserstein_distance

from lowerbound.data.sciences.molecules import fingerprints, property_values
from lowerbound.data.sciences.smiles import canonical_smiles, chemistry
from lowerbound.errors import DataError

UNIQUE_AT = 10_000  # the first valid molecules, of which MOSES counts the different ones
DIVERSITY_BITS = 1024  # of MOSES' fingerprints
COMPARED = ("logp", "sa", "qed", "weight")  # properties whose distributions MOSES compares


@dataclass(frozen=True)
class MoleculeQuality:
    """Quality of drawn molecules; shares are from 0 to 1, NaN where there is nothing to count.

    Attributes:
        drawn: number of texts.
        valid: share of texts that are molecules.
        unique: share of different molecules among the first ``unique_at`` valid ones.
        unique_at: their number.
        novel: share of the different molecules that are not in the training data; None if the
            training data is not given.
        diversity: 1 - mean Tanimoto similarity of all pairs of valid molecules, each molecule's
            with itself included.
        distances: Wasserstein-1 distance of each property from the reference molecules, in the
            property's unit; empty without a reference.
    """

    drawn: int
    valid: float
    unique: float
    unique_at: int
    novel: float | None
    diversity: float
    distances: Mapping[str, float]

    def text(self) -> str:
        """The figures, one a line."""
        lines = [
            f"valid            {self.valid:.2%} of {self.drawn:,}",
            f"unique           {self.unique:.2%} of the first {self.unique_at:,} valid ones",
            f"diversity        {self.diversity:.3f}",
        ]
        if self.novel is not None:
            lines.insert(2, f"novel            {self.novel:.2%} of the different ones")
        lines += [f"distance {name:<8}{value:.4g}" for name, value in self.distances.items()]
        return "\n".join(lines)


def molecule_quality(
    drawn: Sequence[Any],
    *,
    training: Sequence[str] | None = None,
    reference: Sequence[str] | None = None,
    unique_at: int = UNIQUE_AT,
) -> MoleculeQuality:
    """Measure drawn molecules.

    Args:
        drawn: SMILES; a text that is not a molecule counts as not valid.
        training: SMILES of the training data, in any notation.
        reference: SMILES of unseen molecules, with whose properties those of the drawn ones are
            compared.
        unique_at: number of valid molecules among which different ones are counted.

    Raises:
        DataError: there are no texts, or a reference molecule is not valid.
        MissingExtraError: RDKit is not installed.
    """
    if not len(drawn):
        raise DataError("there are no drawn molecules to measure")
    valid = [smiles for smiles in map(_canonical, drawn) if smiles is not None]
    first = valid[:unique_at]
    return MoleculeQuality(
        drawn=len(drawn),
        valid=len(valid) / len(drawn),
        unique=_share(len(set(first)), len(first)),
        unique_at=len(first),
        novel=None if training is None else _novel(set(valid), training),
        diversity=internal_diversity(valid),
        distances={} if reference is None else property_distances(valid, reference),
    )


def internal_diversity(smiles: Sequence[Any]) -> float:
    r"""1 - mean over all ordered pairs of the Tanimoto similarity T(a, b), a = b included.

    Fingerprints are Morgan's of radius 2 and 1024 bits, as in MOSES. Texts that are not molecules
    are left out; NaN if none remains.
    """
    prints = [one for one in fingerprints(smiles, DIVERSITY_BITS) if one is not None]
    if not prints:
        return float("nan")
    compare = chemistry("DataStructs").BulkTanimotoSimilarity
    # the pairs below the diagonal, twice, and the diagonal of ones
    below = sum(sum(compare(prints[row], prints[:row])) for row in range(1, len(prints)))
    return 1.0 - (2.0 * below + len(prints)) / len(prints) ** 2


def property_distances(drawn: Sequence[Any], reference: Sequence[str]) -> dict[str, float]:
    """Wasserstein-1 distance of logp, sa, qed and weight between two sets of molecules.

    Texts in ``drawn`` that are not molecules are left out; NaN if none remains.

    Raises:
        DataError: a reference molecule is not valid, or there are none.
    """
    ours, theirs = property_values(COMPARED, drawn), property_values(COMPARED, reference)
    lacking = np.flatnonzero(np.isnan(theirs["weight"]))
    if not len(reference) or len(lacking):
        which = f"row {lacking[0]} is not a molecule" if len(lacking) else "there are none"
        raise DataError(f"reference molecules: {which}")
    found = {name: values[~np.isnan(values)] for name, values in ours.items()}
    return {
        name: float(wasserstein_distance(theirs[name], values)) if len(values) else float("nan")
        for name, values in found.items()
    }


def _canonical(text: Any) -> str | None:
    try:
        return canonical_smiles(text)
    except DataError:
        return None


def _novel(different: set[str], training: Sequence[str]) -> float:
    """Share of molecules that are not in the training data.

    A training molecule is written canonically only if its text is not itself among the molecules.
    """
    seen = different & set(training)
    rest = different - seen
    known = {_canonical(text) for text in set(training) - seen} if rest else set()
    return _share(len(rest - known), len(different))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
