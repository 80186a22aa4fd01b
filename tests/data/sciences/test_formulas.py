"""Formulas and fractions: both ways, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from lowerbound.data.sciences.compositions import atoms_of, normalized
from lowerbound.data.sciences.formulas import ELEMENTS, formula_of, read_formula
from lowerbound.errors import DataError


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("GaAs", {"Ga": 1, "As": 1}),
        ("AsGa", {"Ga": 1, "As": 1}),
        ("Al0.3Ga0.7As", {"Al": 0.3, "Ga": 0.7, "As": 1}),
        ("Ag(W3Br7)2", {"Ag": 1, "W": 6, "Br": 14}),
        ("Ca[Fe(CN)6]2", {"Ca": 1, "Fe": 2, "C": 12, "N": 12}),
        ("CuSO4·5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4.5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("CuSO4*5H2O", {"Cu": 1, "S": 1, "O": 9, "H": 10}),
        ("MgCl2.H2O", {"Mg": 1, "Cl": 2, "O": 1, "H": 2}),
        ("NaCl.0.5H2O", {"Na": 2, "Cl": 2, "O": 1, "H": 2}),
        ("CaSO4.5H2O", {"Ca": 1, "S": 1, "O": 9, "H": 10}),
        ("C12H22O11H2O", {"C": 12, "H": 24, "O": 12}),
        ("FeO1.5", {"Fe": 2, "O": 3}),
        ("Mg0.5H2O", {"Mg": 1, "O": 2, "H": 4}),
        ("CaSO4.1/2H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("CaSO4·1/2H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("CaSO4*0.5H2O", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("CaSO4.0.5(H2O)", {"Ca": 2, "S": 2, "O": 9, "H": 2}),
        ("CdSO4.8/3H2O", {"Cd": 3, "S": 3, "O": 20, "H": 16}),
        ("CoCl2.6NH3", {"Co": 1, "Cl": 2, "N": 6, "H": 18}),
        ("Co(NH3)6.3HCl", {"Co": 1, "Cl": 3, "N": 6, "H": 21}),
        ("Al2O3.3SO3", {"Al": 2, "O": 12, "S": 3}),
        ("MgCl2.6H2O.NH3", {"Mg": 1, "Cl": 2, "O": 6, "H": 15, "N": 1}),
        ("K2O.Al2O3.6SiO2", {"K": 2, "Al": 2, "Si": 6, "O": 16}),
        ("Fe0.5Ni0.5", {"Fe": 1, "Ni": 1}),
        ("La1.85Sr0.15CuO4", {"La": 1.85, "Sr": 0.15, "Cu": 1, "O": 4}),
        ("Bi1.6Pb0.4Sr2Ca2Cu3O10", {"Bi": 1.6, "Pb": 0.4, "Sr": 2, "Ca": 2, "Cu": 3, "O": 10}),
        ("YBa2Cu3O6.9", {"Y": 1, "Ba": 2, "Cu": 3, "O": 6.9}),
        ("(NH4)2.5H0.5PW12O40", {"N": 2.5, "H": 10.5, "P": 1, "W": 12, "O": 40}),
        ("H₂O", {"H": 2, "O": 1}),
        ("Li1/3Co2/3O2", {"Li": 1 / 3, "Co": 2 / 3, "O": 2}),
        (" Ga .5 In .5 As ", {"Ga": 0.5, "In": 0.5, "As": 1}),
        ("CH3COOH", {"C": 2, "H": 4, "O": 2}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
    ],
)
def test_fractions_of_a_formula(text: str, atoms: dict[str, float]) -> None:
    total = sum(atoms.values())
    assert read_formula(text) == pytest.approx({e: n / total for e, n in atoms.items()})


REFUSED = {
    "": "empty",
    "Xx2O": "no element 'Xx'; the nearest symbol is 'Xe'",
    "gaas": "'g' at position 1; symbols of elements start with a capital",
    "AlxGa1-xAs": "'x' at position 3",
    "Ga-1As": "'-' at position 3; amounts must be positive",
    "Ga0As": "the amount 0 of Ga is not positive",
    "Ga1/0As": "the amount 1/0 of Ga is not positive",
    "Ca(OH": "a bracket is not closed",
    "CaOH)2": "a bracket closes that was not opened",
    "Ca()2": "a pair of brackets is empty",
    "2": "no element",
    "CaO.2Al2O3": "the point before 2Al2O3 may be a decimal point or separate two parts; write ·",
    "Gd2.1SO2": "the point before 1SO2 may be a decimal point",
    "FeO1.5H2O": "1.5 before H2O may count O or the water; write · between",
    "FeO0.5H2O": "0.5 before H2O may count O",
    "Na1.5(H2O)": r"1.5 before \(H2O\) may count Na",
    "CaSO40.5H2O": "40.5 before H2O may count O",
    "CaSO41.5H2O": "41.5 before H2O may count O",
    "MgSO47H2O": "47 before H2O may count O",
    "Na2CO310H2O.NH3": "310 before H2O may count O",
    "Fe(NO3)39H2O": r"39 before H2O may count \)",
    "·Ga": "no element",
    "Ca2+": r"'\+' at position 4",
    "Ga" + "9" * 400: "too large",
    "Ga" * 251: "502 characters",
}


@pytest.mark.parametrize("text", [*REFUSED, None, 3.5])
def test_what_is_not_a_formula_is_refused_with_its_reason(text: Any) -> None:
    with pytest.raises(DataError, match=REFUSED.get(text, "is not text")):
        read_formula(text)


@pytest.mark.parametrize(
    ("fractions", "formula"),
    [
        ({"As": 0.5, "Ga": 0.5}, "GaAs"),
        ({"As": 0.5004, "Ga": 0.4996}, "GaAs"),
        ({"Al": 0.15, "Ga": 0.35, "As": 0.5}, "Al3Ga7As10"),
        ({"Al": 0.1523, "Ga": 0.3477, "As": 0.5}, "Al0.305Ga0.695As"),
        ({"Ag": 1, "W": 6, "Br": 14}, "W6AgBr14"),
        ({"Pb": 17, "Cl": 18, "O": 8}, "Pb17Cl18O8"),
        ({"Pb": 0.67, "Ag": 0.27, "Ge": 0.06}, "PbAg0.403Ge0.09"),
        ({"O": 4.0, "Si": 1.0, "Zr": 1.0}, "ZrSiO4"),
        ({"Fe": 1.0, "C": 0.0}, "Fe"),
    ],
)
def test_formula_of_fractions(fractions: dict[str, float], formula: str) -> None:
    assert formula_of(fractions) == formula


def test_small_parts_are_left_out() -> None:
    dusty = {"Ga": 0.496, "As": 0.497, "O": 0.004, "C": 0.003}
    assert formula_of(dusty, least=0.005) == "GaAs"
    assert "O" in formula_of(dusty)


def test_what_has_no_formula_is_refused() -> None:
    with pytest.raises(DataError, match="amount -1 of Ga is not"):
        formula_of({"Ga": -1.0, "As": 1.0})
    with pytest.raises(DataError, match="amount nan of Ga"):
        formula_of({"Ga": math.nan})
    with pytest.raises(DataError, match="no element has a positive amount"):
        formula_of({"Ga": 0.0})
    with pytest.raises(DataError, match="the nearest symbol is 'Xe'"):
        formula_of({"Xx": 1.0})


amounts = st.dictionaries(st.sampled_from(ELEMENTS), st.floats(0.01, 1), min_size=1, max_size=6)


@pytest.mark.slow
@given(amounts)
def test_a_formula_keeps_the_fractions(parts: dict[str, float]) -> None:
    total = math.fsum(parts.values())
    back = read_formula(formula_of(parts))
    assert math.fsum(back.values()) == pytest.approx(1, abs=1e-12)
    for element, amount in parts.items():
        assert back[element] == pytest.approx(amount / total, abs=2.5e-3)


@given(st.dictionaries(st.sampled_from(ELEMENTS), st.integers(1, 6), min_size=1, max_size=6))
def test_small_whole_numbers_come_back_exactly(parts: dict[str, int]) -> None:
    text = formula_of({element: float(number) for element, number in parts.items()})
    assert read_formula(text) == pytest.approx(read_formula("".join(map(_part, parts.items()))))


def _part(pair: tuple[str, int]) -> str:
    return f"{pair[0]}{pair[1]}"


def test_whole_atoms_sum_to_the_whole_and_are_off_by_less_than_one() -> None:
    fractions = np.random.default_rng(0).dirichlet(np.full(7, 0.3), (40, 3))
    for whole in (1, 100, 1000):
        atoms = atoms_of(fractions, whole)
        assert (atoms.sum(-1) == whole).all()
        assert np.abs(atoms - whole * fractions).max() < 1
    assert atoms_of(np.array([1 / 3, 1 / 3, 1 / 3]), 100).tolist() == [34, 33, 33]


def test_normalized_fractions_sum_to_one() -> None:
    found = normalized(np.array([[2.0, -1.0, 2.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3]], atol=1e-15)
