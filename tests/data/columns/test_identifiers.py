"""Fresh identifiers have the format of the given ones, and are none of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.columns.identifiers import ApartIdentifiers, IdentifierFormat
from lowerbound.errors import OptionError


@pytest.mark.parametrize(
    ("given", "fresh"),
    [
        ([3, 17, 5], [18, 19, 20]),
        (["00003", "00117"], ["00118", "00119", "00120"]),
        (["C-7", "C-12"], ["C-13", "C-14", "C-15"]),
        (["C-07", "C-99"], ["C-100", "C-101", "C-102"]),
    ],
)
def test_numbered(given: list[object], fresh: list[object]) -> None:
    form = IdentifierFormat.of(np.array(given))
    assert form.fresh(0, 3).tolist() == fresh
    assert form.fresh(1, 2).tolist() == fresh[1:]
    assert from_mapping(IdentifierFormat, to_mapping(form)) == form


def test_others_have_the_characters_of_each_place() -> None:
    random = np.random.default_rng(0)
    given = np.array([f"AB-{random.bytes(4).hex()}-{random.integers(10)}" for _ in range(300)])
    form = IdentifierFormat.of(given)
    fresh = form.fresh(0, 500)
    assert all(re.fullmatch(r"AB-[0-9a-f]{8}-[0-9]", word) for word in fresh)
    assert len(set(fresh)) == 500
    assert not set(fresh) & set(given)
    assert form.fresh(100, 5).tolist() == fresh[100:105].tolist()


def test_short_codes_are_fresh_and_distinct_until_the_format_is_used_up() -> None:
    random = np.random.default_rng(0)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    given = np.unique(["".join(letters[random.integers(26, size=3)]) for _ in range(3_000)])
    form = IdentifierFormat.of(given)
    fresh = form.fresh(0, 5_000).tolist()
    assert len(set(fresh)) == 5_000
    assert not set(fresh) & set(given)
    assert re.fullmatch(r"[A-Z]{3}", fresh[0])
    assert re.fullmatch(r"[A-Z]{3}\d+", fresh[-1])


@pytest.mark.parametrize("seed", range(5))
def test_longer_ones_are_no_given_ones_of_another_length(seed: int) -> None:
    """Three characters are used up; a fresh A12 and the number 7 must not make a given A127."""
    pool = [f"{letter}{digit}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for digit in range(130)]
    given = np.random.default_rng(seed).choice(pool, 298, replace=False)
    fresh = IdentifierFormat.of(given).fresh(0, 20_000).tolist()
    assert len(set(fresh)) == 20_000
    assert not set(fresh) & set(given)


@pytest.mark.parametrize("given", [[3, 17], ["C-07", "C-12"], ["ab9f", "07cc", "e1d2"]])
def test_apart_ones_leave_out_others_and_continue_from_any_number(given: list[object]) -> None:
    form = IdentifierFormat.of(np.array(given))
    fresh = form.fresh(0, 40).tolist()
    others = [str(fresh[number]) for number in (0, 1, 5, 20)]
    left = [word for word in fresh if str(word) not in others]
    apart = ApartIdentifiers(form, others)
    assert apart.fresh(0, 30).tolist() == left[:30]
    assert apart.fresh(3, 4).tolist() == left[3:7]
    assert ApartIdentifiers(form, others).fresh(10, 20).tolist() == left[10:30]
    assert apart.fresh(2, 0).tolist() == []


def test_given_ones_have_the_type_of_fresh_ones() -> None:
    whole = IdentifierFormat.of(np.array([3, 7]))
    assert whole.typed(np.array(["12", "-5"])).tolist() == [12, -5]
    assert whole.typed(np.array(["12", "b"])).tolist() == ["12", "b"]
    assert IdentifierFormat.of(np.array(["7"], dtype=object)).typed(np.array(["12"])) == ["12"]


def test_long_texts_have_fresh_ones_too() -> None:
    """So many are possible that no float can express their number."""
    random = np.random.default_rng(0)
    letters = np.array([*"abcdefghij klmnopqrstuvwxyz"])
    given = np.array(["".join(random.choice(letters, 400)) for _ in range(40)])
    fresh = IdentifierFormat.of(given).fresh(0, 60)
    assert len({*fresh, *given}) == 100
    assert {len(word) for word in fresh} == {400}


@pytest.mark.parametrize(
    "stored",
    [
        {"width": 3 * 10**9},
        {"width": -1},
        {"first": 10**30},
        {"dtype": "st"},
        {"dtype": "float64"},
        {"dtype": "int64", "patterns": [{"places": ["ab"]}]},
        {"patterns": [{"places": ["01"]}] * 65},
        {"patterns": [{"places": [""]}]},
        {"patterns": [{"places": ["01"], "end": 2}]},
        {"patterns": [{"places": ["01"], "step": 0}]},
        {"patterns": [{"places": ["01"], "step": 10**30}]},
        {"patterns": [{"places": ["01"], "remainder": 1}]},
        {"patterns": [{"places": ["01"], "share": -1}]},
        {"patterns": [{"places": ["01"] * 70_000}]},
    ],
)
def test_stored_sizes_and_numbers_are_bounded(stored: dict[str, object]) -> None:
    with pytest.raises(OptionError) as raised:
        from_mapping(IdentifierFormat, stored)
    assert len(str(raised.value)) < 500
