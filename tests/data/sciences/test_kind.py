"""Compositions as a kind of data: rows of fractions, from a table or a list, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound import VAE
from lowerbound.data import Formulas, Schema, load
from lowerbound.errors import DataError
from tests.cli.conftest import Run, run

__all__ = ["run"]

TEXTS = ["GaAs", "AsGa", "Al0.3Ga0.7As", "InP", "ZnSe", "Cd0.2Hg0.8Te", "Ga2O3", "In0.5Ga0.5P"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "gaps.csv"
    frame = pd.DataFrame(
        {"no": range(48), "name": TEXTS * 6, "metal": ["no", "yes"] * 24, "gap": 1.5}
    )
    frame.to_csv(path, index=False)
    return path


def test_rows_are_fractions_and_come_back_as_formulas(table: Path) -> None:
    data = load(table, formula="name", label="metal")
    elements = data.schema.data_kind.feature_names(data.schema)
    assert elements == ["O", "Al", "P", "Zn", "Ga", "As", "Se", "Cd", "In", "Te", "Hg"]
    x = data.all().filled
    assert x.sum(-1).tolist() == pytest.approx([1] * 48, abs=1e-6)
    assert x[0].tolist() == x[1].tolist()  # GaAs, AsGa
    expected = {"Al": 0.15, "Ga": 0.35, "As": 0.5}
    assert x[2].tolist() == pytest.approx([expected.get(element, 0) for element in elements])
    formulas = data.schema.decode(x)
    assert formulas[:3].tolist() == ["GaAs", "GaAs", "Al3Ga7As10"]
    assert formulas[5] == "CdHg4Te5"
    assert data.ids is not None
    assert data.ids[:2] == ("GaAs", "AsGa")
    assert data.schema.class_names == ("no", "yes")
    assert data.schema.left_out == ("no", "gap")
    again = Schema.from_mapping(data.schema.to_mapping())
    assert load(table, schema=again).x.equal(data.x)


def test_a_list_and_a_table_give_the_same_rows(table: Path) -> None:
    data = load(table, formula="name")
    assert load(Formulas(TEXTS * 6), schema=data.schema).x.equal(data.x)
    fractions = data.schema.decode(data.all().filled, rounded=False)
    assert np.abs(fractions.sum(-1) - 1).max() < 1e-12
    assert data.schema.pack(fractions)[0].equal(data.x)
    with pytest.raises(DataError, match="must sum to 1; rows 1, 2, counted from 0"):
        data.schema.pack(np.stack([fractions[0], fractions[1] / 2, -fractions[2]]))


def test_noise_is_decoded_to_fractions_that_sum_to_one(table: Path) -> None:
    schema = load(table, formula="name").schema
    noisy = torch.rand(5, 3, 11) - 0.3
    found = schema.decode(noisy, rounded=False)
    assert found.min() >= 0
    assert np.abs(found.sum(-1) - 1).max() < 1e-6
    assert schema.decode(noisy).shape == (5, 3)


def test_thirds_are_read_back_as_whole_numbers() -> None:
    data = load(Formulas(["H2O", "Al2O3", "LiCoO2", "YBa2Cu3O7"]))
    found = data.schema.decode(data.all().filled).tolist()
    assert found == ["H2O", "Al2O3", "LiCoO2", "Ba2YCu3O7"]


BAD = {
    "C(": "row 2, counted from 0, cannot be read: 'C\\(': a bracket is not closed",
    "Xx": "no element 'Xx'; the nearest symbol is 'Xe'",
    "Ga-1": "amounts must be positive",
    "Ga0": "the amount 0 of Ga is not positive",
    "": "the formula is empty",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_formulas_are_named(text: str) -> None:
    with pytest.raises(DataError, match=BAD[text]):
        load(Formulas(["GaAs", "InP", text]))


def test_bad_rows_are_left_out_up_to_one_percent() -> None:
    texts = ["GaAs", "InP"] * 100
    texts[7] = "Ga("
    label = np.arange(200) % 3
    with pytest.warns(UserWarning, match=r"1 of 200 rows .* row 7, counted from 0; the first"):
        data = load(Formulas(texts), on_error="skip", label=label)
    assert data.label is not None
    assert data.label[6:9].tolist() == [0, 2, 0]
    with pytest.raises(DataError, match=r"1 of 20 rows .* At most 1 %"):
        load(Formulas(texts[:20]), on_error="skip")
    with pytest.raises(DataError, match=r"row 7, counted from 0, .*\(on_error='skip' leaves"):
        load(Formulas(texts))
    with pytest.raises(DataError, match=r"row 7, counted from 0, .*: correct the row$"):
        load(Formulas(texts[:20]))


def test_elements_that_the_model_has_not_seen_are_named() -> None:
    schema = load(Formulas(["GaAs", "InP"])).schema
    with pytest.raises(DataError, match=r"row 1, .* 'AlAs' has Al, which the model was not fitted"):
        load(Formulas(["GaAs", "AlAs"]), schema=schema)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"formula": "nam"}, "no column 'nam' of formulas; did you mean 'name'"),
        ({"formula": "name", "label": "name"}, "holds the formulas, so it cannot be the label"),
        ({"formula": "name", "label": "metl"}, "no column 'metl' for the label; did you mean"),
        ({"formula": "no"}, "row 0, counted from 0, cannot be read: 0 is not text"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    table: Path, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        load(table, **options)


def test_nothing_to_model_is_said() -> None:
    with pytest.raises(DataError, match="there are no formulas"):
        load(Formulas([]))
    with pytest.raises(DataError, match="all compositions are of one element, Si"):
        load(Formulas(["Si", "Si2"]))
    with pytest.raises(DataError, match="the table is empty: 0 rows"):
        load(pd.DataFrame({"name": [], "gap": []}), formula="name")


@pytest.mark.slow
def test_a_fitted_model_decodes_formulas() -> None:
    vae = VAE(latent_dim=2, epochs=1500, random_state=0).fit(Formulas(TEXTS * 8))
    found = vae.inverse_transform(vae.transform(Formulas(TEXTS)))
    assert np.abs(found.sum(-1) - 1).max() < 1e-6
    given = load(Formulas(TEXTS), schema=vae.fitted_.schema).all().filled.numpy()
    assert np.abs(found - given).max() < 0.1
    drawn = vae.sample(4)
    assert drawn.shape == (4,)
    load(Formulas(drawn.tolist()), schema=vae.fitted_.schema)  # formulas that can be read again


@pytest.mark.slow
def test_commands_take_and_write_formulas(table: Path, tmp_path: Path, run: Run) -> None:
    model = tmp_path / "model"
    fitted = run("fit", table, "--formula", "name", "-o", model, "--epochs", "3")
    assert fitted.code == 0, fitted.err
    assert run("evaluate", model, table).code == 0
    out = tmp_path / "rows.csv"
    assert run("sample", model, "-n", "5", "-o", out).code == 0
    assert list(pd.read_csv(out).columns) == ["name"]
    load(out, schema=load(table, formula="name").schema)
    pairs = tmp_path / "pairs.csv"
    assert run("reconstruct", model, table, "-o", pairs).code == 0
    found = pd.read_csv(pairs)
    assert found.formula[:3].tolist() == ["GaAs", "GaAs", "Al3Ga7As10"]
    assert list(found.columns) == ["formula", "reconstruction"]
    noisy = run("denoise", model, table, "-o", tmp_path / "clean.csv")
    assert (noisy.code, "holds formulas, which are exact" in noisy.err) == (2, True)
    gaps = run("fit", table, "--formula", "name", "--missing", "model", "-o", tmp_path / "m")
    assert (gaps.code, "no missing parts" in gaps.err) == (2, True)
    assert run("encode", model, table, "-o", tmp_path / "codes.csv").code == 0
