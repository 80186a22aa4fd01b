"""Numbers as people write them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from lowerbound.data.columns.notation import (
    Notation,
    decimal_mark,
    is_number,
    likeliest,
    recognized,
)

NOTATIONS = [
    Notation(decimal, group, before, after)
    for decimal, group in (
        (".", ""),
        (".", ","),
        (",", "."),
        (",", " "),
        (".", "'"),
        (",", "\u202f"),
    )
    for before, after in (("", ""), ("$", ""), ("\u20ac ", ""), ("", " \u20ac"), ("", "%"))
]


def cells(*texts: object) -> pd.Series:
    return pd.Series(texts, dtype=object)


@settings(max_examples=300)
@given(
    notation=st.sampled_from(NOTATIONS),
    values=st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=9),
)
def test_texts_and_numbers_are_inverse(notation: Notation, values: list[int]) -> None:
    """In hundredths, which have two decimals."""
    hundredths = np.array(values) / 100
    exact = Notation(notation.decimal, notation.thousands, notation.before, notation.after, 2)
    texts = exact.texts(hundredths)
    np.testing.assert_allclose(exact.numbers(cells(*texts)), hundredths, rtol=1e-14)
    assert all(map(is_number, texts))


@pytest.mark.parametrize("notation", NOTATIONS, ids=str)
def test_each_is_recognized(notation: Notation) -> None:
    """Where numbers differ in their size and have two decimals, one reading is left."""
    exact = Notation(notation.decimal, notation.thousands, notation.before, notation.after, 2)
    values = np.array([0.25, 12.5, 999.99, 1234.5, 1234567.89])
    found = recognized(cells(*exact.texts(values)))
    assert found[0] == exact
    np.testing.assert_allclose(found[0].numbers(cells(*exact.texts(values))), values)


@pytest.mark.parametrize(
    "texts",
    [
        ["192.168.100.200", "192.168.100.201"],
        ["12.05.2024", "13.05.2024"],
        ["AB12", "AB13"],
        ["10:30", "11:30"],
        ["1,2,3", "1"],
        ["2024-01-02"],
        ["12,34,567", "1,00,000"],
        ["12%", "0.12"],
        ["5 kg", "6 kg"],
        ["$"],
        [""],
        ["1..5"],
        ["1 2"],
        ["\uff11\uff12", "\uff13\uff14"],
        ["--5", "3"],
        ["3", "+-0.5"],
        ["(-0.47)", "0.93"],
        ["-$-3", "$5"],
    ],
)
def test_codes_are_no_numbers(texts: list[str]) -> None:
    assert recognized(cells(*texts)) == ()


@pytest.mark.parametrize("space", ["\u00a0", "\u202f"])
def test_a_space_that_does_not_break_is_before_a_symbol(space: str) -> None:
    """As office programs write it in many countries."""
    series = cells(f"5{space}\u20ac", f"1{space}234,50{space}\u20ac")
    np.testing.assert_array_equal(recognized(series)[0].numbers(series), [5, 1234.5])


def test_signs_and_brackets() -> None:
    series = cells("-$1,234.50", "$-3.00", "($2.00)", "\u22125.25", None, "+1.00", 7, "x")
    found = Notation(".", ",", "$", decimals=2).numbers(series)
    np.testing.assert_array_equal(found, [-1234.5, -3, -2, -5.25, np.nan, 1, 7, np.nan])
    assert recognized(cells("$-3.00", "-$1.50", "($2.00)")) == (Notation(before="$", decimals=2),)


def test_a_cell_with_two_signs_is_no_number() -> None:
    series = cells("--5", "+-0.5", "(-0.47)", "-$-3", "3")
    np.testing.assert_array_equal(Notation().numbers(series), [np.nan] * 4 + [3])
    np.testing.assert_array_equal(Notation(before="$").numbers(series), [np.nan] * 4 + [3])


def test_two_readings_of_a_mark() -> None:
    """1,234 is a thousand where a comma is between cells, unless another column says otherwise."""
    doubtful, commas = cells("1,234", "2,345"), cells("1,5", "2,25")
    found = recognized(doubtful)
    assert [(one.decimal, one.thousands) for one in found] == [(".", ","), (",", "")]
    assert decimal_mark([doubtful]) == "."
    assert decimal_mark([doubtful], grouped=False) == ","
    assert decimal_mark([doubtful, commas]) == ","
    assert decimal_mark([cells("a", "b"), cells("1", "2")], grouped=False) == "."
    chosen = likeliest(found, ",")
    assert chosen is not None
    assert chosen.thousands == ""
    assert likeliest((), ",") is None


def test_all_digits_of_unrounded_numbers_are_written() -> None:
    assert Notation(",", ".", "", " %", 1).texts([1234.56789, -0.5, math.nan, 3.0], False) == [
        "1.234,56789 %",
        "-0,5 %",
        "",
        "3,0 %",
    ]


def test_most_columns_that_are_sure_vote_for_the_decimal_mark() -> None:
    commas, points = ["1,5", "22,75"], ["1.5", "22.75", "3.0"]
    each = {mark: [pd.Series(cells)] for mark, cells in ((",", commas), (".", points))}
    for many, few in ((",", "."), (".", ",")):
        assert decimal_mark([*each[few], *(3 * each[many])]) == many
        assert decimal_mark([*(3 * each[many]), *each[few]]) == many
