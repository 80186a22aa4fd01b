"""Properties of formulas: charges against all combinations, and known compounds."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pytest

from lowerbound.applications.design.quantities import FORMULA_PROPERTIES, formula_values
from lowerbound.data.sciences.formulas import CHARGES, ELEMENTS, is_balanced, read_formula
from lowerbound.errors import OptionError


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
