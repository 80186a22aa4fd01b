"""Properties, similarity and drawings of molecules against RDKit in a fresh process and by hand."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowerbound.data.sciences.molecules import PROPERTIES, KnownMolecules, property_values
from lowerbound.data.sciences.smiles import molecule_grid
from lowerbound.errors import DataError, OptionError
from tests.data.sciences.rows import moses_rows

pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")

# An own process, which knows nothing of the package: text in, RDKit's values out.
FRESH = """
import json, os, sys
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Crippen, Descriptors
sys.path.append(os.path.join(RDConfig.RDContribDir, "SA_Score"))
import sascorer
rows = []
for text in json.load(sys.stdin):
    m = Chem.MolFromSmiles(text)
    ring = max([len(r) for r in Chem.GetSymmSSSR(m)] + [6]) - 6
    logp, sa = Crippen.MolLogP(m), sascorer.calculateScore(m)
    size = [Descriptors.MolWt(m), m.GetNumHeavyAtoms()]
    rows.append([QED.qed(m), logp, sa, *size, logp - sa - ring])
print(json.dumps(rows))
"""
NAMES = ["qed", "logp", "sa", "weight", "heavy_atoms", "penalized_logp"]


def test_values_equal_those_of_a_fresh_process(shared_data: Path) -> None:
    texts = [*moses_rows(shared_data, 100), "C1CCCCCCCC1", "C" * 40]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FRESH],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    found = property_values(NAMES, texts)
    assert list(found) == NAMES == list(PROPERTIES)
    difference = np.column_stack(list(found.values())) - np.array(json.loads(run.stdout))
    assert np.abs(difference).max() < 1e-9


def test_penalized_logp_of_alkanes_grows_without_end() -> None:
    ladder = {20: 6.98, 38: 13.88, 50: 18.34, 60: 22.01, 74: 27.10, 81: 29.63}
    found = property_values("penalized_logp", ["C" * length for length in ladder])
    assert found["penalized_logp"] == pytest.approx(list(ladder.values()), abs=0.005)


def test_known_values() -> None:
    found = property_values(["weight", "heavy_atoms"], ["O", "OC(=O)c1ccccc1OC(C)=O"])
    assert found["weight"] == pytest.approx([18.015, 180.159], abs=2e-3)
    assert found["heavy_atoms"].tolist() == [1, 13]


def test_what_is_not_a_molecule_has_no_value(capfd: pytest.CaptureFixture[str]) -> None:
    found = property_values(NAMES, ["CCO", "", "C(", "[Na+].[Cl-]", None, "C*"])
    for values in found.values():
        assert np.isnan(values).tolist() == [False, *[True] * 5]
    assert capfd.readouterr().err == ""


def test_an_unknown_property_suggests_the_nearest() -> None:
    with pytest.raises(OptionError, match="did you mean 'logp'"):
        property_values("logP", ["C"])


def test_every_property_has_a_description_of_one_line() -> None:
    for name in PROPERTIES:
        assert PROPERTIES[name].description.count("\n") == 0 < len(PROPERTIES[name].description)


def test_similarity_is_the_share_of_common_bits() -> None:
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator

    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    texts = ["CCO", "CCN", "c1ccccc1O"]
    bits = [set(make.GetFingerprint(Chem.MolFromSmiles(text)).GetOnBits()) for text in texts]
    expected = [[len(a & b) / len(a | b) for b in bits] for a in bits]
    known = KnownMolecules(texts)
    found = known.similarities([*texts, "C("])
    assert found[:3] == pytest.approx(np.array(expected), abs=1e-12)
    assert np.isnan(found[3]).all()


def test_the_nearest_molecule_is_found_in_any_notation() -> None:
    known = KnownMolecules(["CCN", "CCO", "c1ccccc1O"])
    index, similarity = known.nearest(["OCC", "Oc1ccccc1", "", "CCCCN"])
    assert index.tolist() == [1, 2, -1, 0]
    assert similarity[:2].tolist() == [1.0, 1.0]
    assert np.isnan(similarity[2])
    assert 0 < similarity[3] < 1
    with pytest.raises(DataError, match="row 1 of the known molecules"):
        KnownMolecules(["C", "C("])
    with pytest.raises(DataError, match="no known molecules"):
        KnownMolecules([])


def test_a_grid_has_a_cell_for_every_molecule() -> None:
    picture = Image.open(io.BytesIO(molecule_grid(["CCO", "C(", "c1ccccc1"], columns=2)))
    assert picture.size == (2 * 260, 2 * 220)
    dark = np.asarray(picture.convert("L")) < 250
    cells = [dark[:220, :260], dark[:220, 260:], dark[220:, :260], dark[220:, 260:]]
    assert [cell.any() for cell in cells] == [True, True, True, False]
    blank = np.asarray(Image.open(io.BytesIO(molecule_grid(["C( name"], ["caption"]))))
    assert not np.array_equal(blank, np.asarray(Image.open(io.BytesIO(molecule_grid(["C("])))))


@pytest.mark.parametrize("call", [([], None, 5), (["C"], ["a", "b"], 5), (["C"], None, 0)])
def test_a_grid_needs_molecules_captions_and_columns(
    call: tuple[list[str], list[str] | None, int],
) -> None:
    with pytest.raises(OptionError, match="a grid needs molecules"):
        molecule_grid(call[0], call[1], columns=call[2])
