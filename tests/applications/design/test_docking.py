"""Docking: what is asked of the receptor's files, and affinities by Vina where it is installed."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import pytest

from lowerbound.applications.design.docking import Docking, _box, _files
from lowerbound.applications.design.quantities import quantity
from lowerbound.applications.design.rows import RowForm, row_form
from lowerbound.data import Texts, load
from lowerbound.errors import DataError, MissingLibraryError, OptionError

BOX = "center_x = 9.25\ncenter_y = 6.2\ncenter_z = -7.0\n\nsize_x = 30\nsize_y = 30\nsize_z = 32\n"


@pytest.fixture
def molecules() -> RowForm:
    pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")
    return row_form(load(Texts(["CCO", "CCN", "c1ccccc1O"], "selfies")).schema)


def installed() -> None:
    for module in ("vina", "meeko", "gemmi"):
        pytest.importorskip(module, reason="pip install vina meeko gemmi dockstring")


def test_a_box_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "box.txt"
    path.write_text(BOX)
    assert _box(path) == {
        "center_x": 9.25, "center_y": 6.2, "center_z": -7.0,
        "size_x": 30.0, "size_y": 30.0, "size_z": 32.0,
    }  # fmt: skip
    path.write_text("center_x = 1\nsize_x = 2\n")
    with pytest.raises(DataError, match="does not give center_y, center_z, size_y, size_z"):
        _box(path)
    path.write_text("center_x = left\n")
    with pytest.raises(DataError, match="'center_x = left' is not NAME = NUMBER"):
        _box(path)


def test_a_receptor_needs_its_structure_and_its_box(tmp_path: Path) -> None:
    structure = tmp_path / "protein.pdbqt"
    with pytest.raises(DataError, match=r"protein.pdbqt is not there"):
        _files(str(structure))
    structure.write_text("")
    with pytest.raises(DataError, match=r"protein.txt is not there"):
        _files(str(structure))
    (tmp_path / "protein.txt").write_text(BOX)
    assert _files(str(structure)) == (structure, tmp_path / "protein.txt")


def test_options_of_docking_are_checked(molecules: RowForm) -> None:
    with pytest.raises(OptionError, match="the exhaustiveness is a whole number, not 'high'"):
        quantity("docking:DRD2:high", molecules)
    with pytest.raises(OptionError, match="at least 1, not 0"):
        quantity("docking:DRD2:0", molecules)


def test_missing_libraries_are_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "protein.pdbqt").write_text("")
    (tmp_path / "protein.txt").write_text(BOX)
    monkeypatch.setitem(sys.modules, "meeko", None)
    with pytest.raises(MissingLibraryError, match="Meeko is not installed; run: pip install vina"):
        Docking(str(tmp_path / "protein.pdbqt"))


def test_docking_is_the_same_twice_and_with_a_copy_of_the_receptor(
    tmp_path: Path, molecules: RowForm, capfd: pytest.CaptureFixture[str]
) -> None:
    installed()
    pytest.importorskip("dockstring.resources", reason="pip install dockstring")
    name, function = quantity("docking:DRD2:1", molecules)
    texts = ["c1ccccc1O", "no molecule", "CC(=O)Oc1ccccc1C(=O)O"]
    affinities = function(texts)
    assert name == "docking_DRD2"
    assert math.isnan(affinities[1])
    assert -12 < affinities[2] < affinities[0] < -2
    structure, box = _files("DRD2")
    shutil.copy(structure, tmp_path / "mine.pdbqt")
    shutil.copy(box, tmp_path / "mine.txt")
    name, again = quantity(f"docking:{tmp_path}/mine.pdbqt:1", molecules)
    assert name == "docking_mine"
    assert again(texts[:1]) == affinities[:1]
    assert capfd.readouterr().out == ""
    with pytest.raises(OptionError, match="unknown receptor 'DRD9'; did you mean 'DRD"):
        quantity("docking:DRD9", molecules)


def test_an_unreadable_receptor_is_an_error(tmp_path: Path) -> None:
    installed()
    (tmp_path / "bad.pdbqt").write_text("this is no structure\n")
    (tmp_path / "bad.txt").write_text(BOX)
    with pytest.raises(DataError, match=r"bad.pdbqt"):
        Docking(str(tmp_path / "bad.pdbqt"))
