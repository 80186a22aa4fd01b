"""Quantities of a design by name; properties of formulas against all combinations of charges."""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lowerbound.applications.design.quantities import (
    FORMULA_PROPERTIES,
    formula_values,
    further_goal,
    limit,
    quantity,
    similar,
)
from lowerbound.applications.design.rows import RowForm, row_form
from lowerbound.data import Formulas, Texts, load
from lowerbound.data.sciences.formulas import CHARGES, ELEMENTS, is_balanced, read_formula
from lowerbound.errors import DataError, OptionError

FRAME = pd.DataFrame({"height": [1.0, 2.5, 4.0], "age": [30.0, 41.0, 50.0]})


@pytest.fixture
def table() -> RowForm:
    return row_form(load(FRAME).schema)


@pytest.fixture
def molecules() -> RowForm:
    pytest.importorskip("rdkit", reason="pip install 'lowerbound[chem]'")
    return row_form(load(Texts(["CCO", "CCN", "c1ccccc1O"], "selfies")).schema)


def test_a_column_is_a_quantity(table: RowForm) -> None:
    name, function = quantity("age", table)
    assert (name, list(function(FRAME))) == ("age", [30.0, 41.0, 50.0])
    with pytest.raises(OptionError, match="unknown column 'hight'; did you mean 'height'"):
        quantity("hight", table)


def test_a_column_of_text_is_no_quantity() -> None:
    frame = FRAME.assign(sex=["male", "female", "male"], size=["1", "2", "1"])
    form = row_form(load(frame, kinds={"sex": "categorical", "size": "ordinal"}).schema)
    message = (
        r"column 'sex' holds text \('female', 'male'\), and an objective is a number for each row: "
        "choose one of the columns of numbers height, age, size, or a function in a file"
    )
    with pytest.raises(OptionError, match=message):
        quantity("sex", form)
    assert quantity("size", form)[0] == "size"


def test_a_property_is_a_quantity(molecules: RowForm) -> None:
    assert quantity("heavy_atoms", molecules)[1](["CCO"]) == [3]
    with pytest.raises(OptionError, match="did you mean 'qed'"):
        quantity("qd", molecules)


def test_formulas_have_properties() -> None:
    form = row_form(load(Formulas(["GaAs", "InP", "AlAs"])).schema)
    name, function = quantity("charge_balanced", form)
    assert (name, function(["GaAs", "AlCu"]).tolist()) == ("charge_balanced", [1, 0])
    with pytest.raises(OptionError, match="did you mean 'elements'"):
        quantity("element", form)


def test_other_rows_need_a_function(tmp_path: Path) -> None:
    form = row_form(load(["GaAs", "InP", "AlAs"], tokens="characters").schema)
    with pytest.raises(OptionError, match="for these rows give a function in a file"):
        quantity("band_gap", form)
    path = tmp_path / "score.py"
    path.write_text("def length(rows):\n    return [len(row) for row in rows]\n")
    name, function = quantity(f"{path}:length", form)
    assert (name, function(["GaAs", "InP"])) == ("length", [4, 3])
    with pytest.raises(DataError, match="has no function lenght"):
        quantity(f"{path}:lenght", form)
    with pytest.raises(DataError, match="is not a file of Python"):
        quantity(f"{tmp_path / 'other.py'}:length", form)
    path.write_text("1 / 0\n")
    with pytest.raises(DataError, match="fails with ZeroDivisionError"):
        quantity(f"{path}:length", form)


def test_further_goals(table: RowForm) -> None:
    first, second = further_goal("age:min", table), further_goal("height:max:0.5", table)
    assert (first.name, first.direction, first.weight) == ("age", "min", 1.0)
    assert (second.name, second.direction, second.weight) == ("height", "max", 0.5)
    for text in ("age", "age:low", "age:max:much", ":max", "max"):
        with pytest.raises(OptionError, match="--also takes NAME:max or NAME:min"):
            further_goal(text, table)


def test_limits(table: RowForm) -> None:
    assert (limit("age:18:65", table).low, limit("age:18:", table).high) == (18, np.inf)
    for text in ("age", "age:18", "age:low:high", "age:nan:3"):
        with pytest.raises(OptionError, match="--range takes NAME:LOW:HIGH"):
            limit(text, table)


def test_similarity(table: RowForm, molecules: RowForm) -> None:
    found = similar("CCO", 0.4, molecules)
    assert list(found.function(["OCC"])) == [1.0]
    with pytest.raises(OptionError, match="--similar-to compares molecules"):
        similar("CCO", 0.4, table)
    with pytest.raises(OptionError, match="--least is a similarity"):
        similar("CCO", 4, molecules)
    with pytest.raises(DataError, match="--similar-to C"):
        similar("C(", 0.4, molecules)


def test_molecules_are_encoded_again_as_their_canonical_smiles(molecules: RowForm) -> None:
    """Whatever tokens were decoded; rows with a token that the model lacks stay as they are."""
    schema = molecules.schema
    canonical, other = schema.units(schema.pack(["CCO", "CCN"])[0])
    assert not torch.equal(canonical, other)
    found = molecules.standard(torch.stack([other, other]), ["CCO", "BrBr"])
    assert torch.equal(found, torch.stack([canonical, other]))


@pytest.mark.parametrize(
    ("formula", "balanced"),
    [
        ("NaCl", True),
        ("GaAs", True),
        ("Al0.3Ga0.7As", True),
        ("CdHg4Te5", True),
        ("YBa2Cu3O7", False),  # mixed valences of copper
        ("TiO2", True),
        ("CaTiO3", True),
        ("Fe3O4", False),
        ("Fe2O3", True),
        ("AlCu", False),
        ("NaCl2", False),
        ("HeO", False),
    ],
)
def test_known_compounds(formula: str, balanced: bool) -> None:
    assert is_balanced(read_formula(formula)) == balanced


def test_every_combination_of_charges_is_tried() -> None:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(300):
        symbols = draw.choice(sorted(CHARGES), 3, replace=False)
        amounts = draw.integers(1, 5, 3)
        sums = [
            sum(c * int(n) for c, n in zip(charges, amounts, strict=True))
            for charges in product(*(CHARGES[symbol] for symbol in symbols))
        ]
        formula = {str(s): float(n) for s, n in zip(symbols, amounts, strict=True)}
        found.append(is_balanced(formula))
        assert found[-1] == (0 in sums)
    assert 5 < sum(found) < 295


def test_charges_are_of_elements() -> None:
    assert set(CHARGES) <= set(ELEMENTS)
    assert all(CHARGES.values())


def test_properties_by_name() -> None:
    texts = ["GaAs", "AlxGa", "Cd0.2Hg0.8Te"]
    assert formula_values("elements", texts).tolist() == pytest.approx([2, np.nan, 3], nan_ok=True)
    assert formula_values("charge_balanced", texts)[0] == 1
    assert all("\n" not in FORMULA_PROPERTIES[name].description for name in FORMULA_PROPERTIES)
    with pytest.raises(OptionError, match="did you mean 'elements'"):
        formula_values("element", texts)


def test_balance_of_many_elements_is_quick() -> None:
    several = [symbol for symbol, states in CHARGES.items() if len(states) > 1]
    began = time.process_time()
    for count in (12, 13, 45):
        amounts = dict(zip(several, np.random.default_rng(0).random(count).tolist(), strict=False))
        assert not is_balanced(amounts)
    assert time.process_time() - began < 10


def test_elements_without_atoms_do_not_count() -> None:
    amounts = {"Na": 1.0, "Cl": 1.0, **dict.fromkeys(list(CHARGES)[:60], 0.0)}
    assert is_balanced({**amounts, "Na": 1.0, "Cl": 1.0})
    assert not is_balanced({"Fe": 0.0})
