"""Columns that identify people are recognized, and others are not taken for them."""

from __future__ import annotations

from time import process_time

import numpy as np
import pandas as pd
import pytest

from lowerbound.data.protection import identity
from lowerbound.data.protection.identity import identifying
from tests.data.protection.people import people

DRAW = np.random.default_rng(0)
WORDS = np.array([f"Wort{n}" for n in range(400)])
CODES = DRAW.integers(10**5, 10**6, 300)


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("name", "names of people"),
        ("mail", "e-mail addresses"),
        ("phone", "phone numbers"),
        ("patient_id", "numbers of people (ids)"),
        ("remark", "free text"),
        ("town", None),
        ("country", None),
        ("age", None),
        ("net", None),
        ("start", None),
        ("job", None),
    ],
)
def test_columns_of_people(column: str, what: str | None) -> None:
    found = identifying(column, people()[column])
    assert (found and found.what) == what
    assert found is None or found.role == ("free text" if what == "free text" else "identifier")


@pytest.mark.parametrize("name", ["Vorname", "firstName", "NOM", "apellidos", "Фамилия", "姓名"])
def test_names_in_several_languages(name: str) -> None:
    cells = pd.Series(DRAW.choice([word + "a" for word in WORDS], 800))
    assert identifying(name, cells.str.replace(r"\d", "x", regex=True)) is None  # one word
    letters = cells.map(lambda cell: "".join(chr(97 + int(d)) for d in cell if d.isdigit()) + "o")
    found = identifying(name, letters)
    assert found is not None
    assert found.what == "names of people"


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("species", WORDS),
        ("product_name", WORDS),
        ("country", WORDS[:50]),
        ("store_id", np.arange(12)),
        ("zip", CODES),
        ("name", np.array(["red", "green", "blue"])),
        ("visit", np.array(["2020-01-02", "2021-05-06", "1999-12-31"])),
        ("price", np.round(DRAW.gamma(2, 10, 300), 2)),
        ("flag", np.array([True, False])),
    ],
)
def test_columns_of_things(name: str, cells: np.ndarray) -> None:
    assert identifying(name, pd.Series(DRAW.choice(cells, 1_000))) is None


PEOPLE = [f"Anna {chr(65 + n % 26)}{chr(97 + n // 26)}lo" for n in range(50)]


@pytest.mark.parametrize(
    ("name", "cells", "what"),
    [
        ("name", PEOPLE, "names of people"),
        ("customer", PEOPLE, "names of people"),
        ("employee_name", PEOPLE[:5], "names of people"),
        ("first_name", [each.split()[1] for each in PEOPLE], "names of people"),
        ("mail", [f"p{n}@mail.com" for n in range(8)], "e-mail addresses"),
        ("phone", [f"030 {4711 * n}" for n in range(30, 60)], "phone numbers"),
        ("customer_id", list(range(1000, 1050)), "numbers of people (ids)"),
        ("id", list(range(1000, 1050)), "numbers of people (ids)"),
        ("address", [f"Ring {n}" for n in range(30)], "addresses"),
        ("location_id", list(range(50)), None),
        ("student", ["no", "yes"], None),
        ("currency_code", ["EUR", "USD", "GBP"], None),
    ],
)
@pytest.mark.parametrize("rows_each", [12, 200])
def test_people_are_recognized_however_often_each_repeats(
    name: str, cells: list[object], what: str | None, rows_each: int
) -> None:
    found = identifying(name, pd.Series(np.repeat(cells, rows_each)))
    assert (found and found.what) == what


def test_empty_columns_identify_nobody() -> None:
    assert identifying("name", pd.Series([None, None])) is None
    assert identifying("name", pd.Series(["?", ""])) is None


def test_streets_in_long_cells_take_time_in_proportion_to_their_length() -> None:
    begun = process_time()
    assert identity._STREET.fullmatch("via " + "1" * 2_000 + "\n") is None
    assert identity._STREET.fullmatch("via Roma 12, Milano")
    assert process_time() - begun < 1
