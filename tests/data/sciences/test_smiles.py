"""SMILES and SELFIES: equal molecules have equal texts, and bad rows are named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lowerbound.data.sciences.smiles import canonical_smiles, molecule_or_none, read_smiles
from lowerbound.data.sequences.texts import changed_by_selfies, from_selfies, to_selfies
from lowerbound.errors import DataError, MissingExtraError
from tests.data.sciences.rows import moses_rows

pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")
pytest.importorskip("selfies", reason="pip install 'lowerbound[chem]'")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OCO", "C(O)O"),
        ("C1=CC=CC=C1", "c1ccccc1"),
        ("CCO ethanol", "OCC"),
        ("  OCC\n", "C(O)C"),
        ("C1.C1", "CC"),  # the dot separates two halves of one ring bond
    ],
)
def test_notations_of_one_molecule_are_equal(one: str, other: str) -> None:
    assert canonical_smiles(one) == canonical_smiles(other)


def test_mirror_images_and_isotopes_differ() -> None:
    forms = ["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O", "NC(C)C(=O)O", "NC([13CH3])C(=O)O"]
    assert len({canonical_smiles(form) for form in forms}) == len(forms)


REFUSED = {
    "": "empty",
    "   ": "empty",
    "C(": "is not SMILES",
    "smiles": "is not SMILES",
    "C(C)(C)(C)(C)C": "valence for atom # 0 C, 5",
    "c1cccc1": "kekulize",
    "[Na+].[Cl-]": "2 separate fragments",
    "C*": "attachment point",
    "[2*]C": "attachment point",
    "[#0]C": "attachment point",
    "CC\x00O": "characters",
    "C" * 2001: "2,001 characters, more than 2,000",
}


@pytest.mark.parametrize("text", [*REFUSED, None, float("nan"), 3])
def test_what_is_not_a_molecule_is_refused_with_its_reason(
    text: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=REFUSED.get(text, "is not text")):
        canonical_smiles(text)
    assert molecule_or_none(text) is None
    assert capfd.readouterr() == ("", "")  # RDKit's own log is silent


def test_the_first_bad_row_is_named() -> None:
    with pytest.raises(DataError, match=r"row 2, counted from 0, is not a molecule: 'C\(' is not"):
        read_smiles(["CC", "CO", "C(", "CC*"])
    with pytest.raises(DataError, match=r"row 4, counted from 2,"):
        read_smiles(["CC", "CO", "C("], first=2)
    with pytest.raises(DataError, match="empty"):
        read_smiles([])


def test_skipping_is_advised_only_where_it_is_possible() -> None:
    with pytest.raises(DataError, match=r"row 99, .* \(on_error='skip' leaves such rows out\)$"):
        read_smiles(["CC"] * 99 + ["C("])
    with pytest.raises(DataError, match=r"row 98, .*: correct the row$"):
        read_smiles(["CC"] * 98 + ["C("])


def test_skipped_rows_are_counted_and_named() -> None:
    texts = ["CC", "OC"] * 150
    texts[7] = "C("
    with pytest.warns(UserWarning, match=r"1 of 300 rows .* row 7, .* 'C\(' is not SMILES"):
        found = read_smiles(texts, on_error="skip")
    assert found.rows == (*range(7), *range(8, 300))
    assert found.smiles[:2] == ("CC", "CO")
    assert found.duplicates == 297
    assert list(found.skipped) == [7]


def test_more_than_one_percent_is_too_many_to_skip() -> None:
    texts = ["CC"] * 98 + ["C(", ""]
    with pytest.raises(DataError, match=r"2 of 100 rows .* rows 98, 99, .* At most 0.01"):
        read_smiles(texts, on_error="skip")
    with pytest.warns(UserWarning, match="2 of 100"):
        assert len(read_smiles(texts, on_error="skip", most_skipped=0.02).smiles) == 98
    with pytest.raises(DataError, match="2 of 2 rows"):
        read_smiles(["C(", ""], on_error="skip", most_skipped=1.0)


@pytest.mark.parametrize("rows", [1000, pytest.param(5000, marks=pytest.mark.long)])
def test_selfies_keep_the_molecules_of_moses(shared_data: Path, rows: int) -> None:
    assert changed_by_selfies(moses_rows(shared_data, rows)) == {}


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("esol", []), ("freesolv", []), pytest.param("lipo", [1646], marks=pytest.mark.long)],
)
@pytest.mark.filterwarnings("ignore:1 of 4,200 rows")
def test_selfies_keep_the_molecules_of_molecule_net(
    shared_data: Path, name: str, left_out: list[int]
) -> None:
    texts = pd.read_csv(shared_data / f"molnet_{name}.csv").smiles.tolist()
    found = read_smiles(texts, on_error="skip")
    assert list(found.skipped) == left_out  # a hydrate
    assert changed_by_selfies(found.smiles) == {}


def test_a_molecule_that_selfies_cannot_write_is_listed() -> None:
    changed = changed_by_selfies(["CC", "CI(=O)=O"])
    assert list(changed) == [1]
    assert "cannot be written as SELFIES" in changed[1]


def test_selfies_without_atoms_or_with_unknown_symbols_are_refused() -> None:
    assert from_selfies(to_selfies("C(O)O")) == "OCO"
    for text, reason in {"": "no atoms", "[nop]": "no atoms", "[Foo]": "invalid symbol"}.items():
        with pytest.raises(DataError, match=reason):
            from_selfies(text)


@pytest.mark.parametrize("library", ["rdkit", "selfies"])
def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lowerbound\[chem\]'"):
        to_selfies("CC")


def test_one_text_is_not_a_list_of_its_letters() -> None:
    with pytest.raises(DataError, match=r"a list of SMILES, such as \['CCO'\]"):
        read_smiles("CCO")
