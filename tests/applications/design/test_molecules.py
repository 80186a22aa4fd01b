"""Quality of drawn molecules against counts by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lowerbound.applications.design.molecules import (
    internal_diversity,
    molecule_quality,
    property_distances,
)
from lowerbound.data.sciences.molecules import KnownMolecules
from lowerbound.errors import DataError

pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")

DRAWN = ["CCO", "OCC", "CCN", "c1ccccc1", "", "C(", "[Na+].[Cl-]", "C*"]


def test_shares_by_hand() -> None:
    found = molecule_quality(DRAWN, training=["OCC", "CCCl"], reference=["CCO"])
    assert found.valid == 4 / 8
    assert (found.unique, found.unique_at) == (3 / 4, 4)  # CCO twice
    assert found.novel == 2 / 3  # ethanol is in the training data, in another notation
    assert "novel            66.67%" in found.text()


def test_unique_counts_the_first_valid_molecules_only() -> None:
    found = molecule_quality(["C(", "CCO", "CCN", "CCO"], unique_at=2)
    assert (found.unique, found.unique_at) == (1.0, 2)
    assert found.novel is None
    assert found.distances == {}


def test_diversity_is_that_of_all_pairs() -> None:
    texts = ["CCO", "CCN", "c1ccccc1O", "CCO"]
    similarity = KnownMolecules(texts).similarities(texts)
    assert internal_diversity([*texts, "C("]) == pytest.approx(1 - similarity.mean(), abs=1e-12)
    assert internal_diversity(["CCO"] * 5) == pytest.approx(0, abs=1e-12)


def test_distance_of_distributions_in_one_dimension() -> None:
    """W1 of equally many values is the mean difference of the sorted values."""
    ours, theirs = ["C", "CCC"], ["CC", "CCCCCC"]
    methylene = 14.027  # g/mol; sorted, the pairs differ by one and by three of them
    expected = np.mean([methylene, 3 * methylene])
    assert property_distances(ours, theirs)["weight"] == pytest.approx(expected, abs=2e-3)
    same = property_distances(ours, ours[::-1])
    assert list(same.values()) == [0, 0, 0, 0]
    assert list(same) == ["logp", "sa", "qed", "weight"]


def test_nothing_valid_leaves_nothing_to_count() -> None:
    found = molecule_quality(["", "C("], training=["C"], reference=["C"])
    assert found.valid == 0
    values = [found.unique, found.novel, found.diversity, *found.distances.values()]
    assert all(value is not None and math.isnan(value) for value in values)


def test_bad_references_are_named() -> None:
    with pytest.raises(DataError, match="no drawn molecules"):
        molecule_quality([])
    with pytest.raises(DataError, match="reference molecules: row 1 is not a molecule"):
        molecule_quality(["C"], reference=["C", "C("])
    with pytest.raises(DataError, match="reference molecules: there are none"):
        molecule_quality(["C"], reference=[])
