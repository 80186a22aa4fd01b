"""Fresh cells: of the format of the given ones, none of them, and repeated as often."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lowerbound.data.columns.identifiers import IdentifierFormat
from lowerbound.data.protection.identity import FreshCells, pool_of
from lowerbound.errors import OptionError
from tests.data.protection.people import people

DRAW = np.random.default_rng(0)


def lower(words: np.ndarray) -> set[str]:
    return {str(word).lower() for word in words}


@pytest.mark.parametrize(
    ("column", "format"),
    [
        ("name", r"[A-Z][a-z]+ [A-Z][a-z]+"),
        ("mail", r"[a-z]+\d+@(web\.de|example\.org)"),
        ("phone", r"\+49 \d\d \d{6}"),
    ],
)
def test_formats(column: str, format: str) -> None:
    given = people(1_500)[column].dropna().unique().astype(str)
    fresh = IdentifierFormat.of(given, 10).fresh(0, 3_000)
    assert all(re.fullmatch(format, word) for word in fresh), fresh[:5]
    assert len(set(fresh)) == 3_000
    assert not lower(fresh) & lower(given)
    if column != "phone":
        lengths = [{len(word) for word in words} for words in (given, fresh)]
        assert len(lengths[1]) >= 3
        assert max(lengths[1]) <= max(lengths[0]) + 3


@pytest.mark.parametrize("letters", ["aeinmt", "абвгдежзик"])
def test_short_words_are_none_of_the_given_ones(letters: str) -> None:
    given = np.unique(["".join(DRAW.choice(list(letters), 3)).capitalize() for _ in range(200)])
    fresh = IdentifierFormat.of(given, 10).fresh(0, 2_000)
    assert not lower(fresh) & lower(given)
    assert len(set(fresh)) == 2_000


def test_numbers_that_do_not_count_up_have_lengths_and_no_given_one() -> None:
    given = DRAW.choice(10**7, 500, replace=False)
    fresh = IdentifierFormat.of(given, 10).fresh(0, 5_000)
    assert fresh.dtype == given.dtype
    assert not set(fresh) & set(given)
    assert {len(str(number)) for number in fresh} >= {6, 7}


def test_the_largest_number_is_not_told() -> None:
    form = IdentifierFormat.of(np.arange(4_000, 4_713), 10)
    assert form.fresh(0, 2).tolist() == [4800, 4801]


@pytest.mark.parametrize(("distinct", "cells"), [(570, 1_000), (300, 1_000), (10, 1_000)])
def test_repeats(distinct: int, cells: int) -> None:
    form = IdentifierFormat.of(np.arange(5_000), 10)
    fresh = FreshCells(form, "int64", pool_of(distinct, cells), cells)
    for first in (0, cells):
        assert len(set(fresh.fresh(first, cells))) == pytest.approx(distinct, rel=0.05)
    assert fresh.fresh(7, 5).tolist() == fresh.fresh(0, 12)[7:].tolist()
    assert pool_of(cells, cells) == 0


@pytest.mark.parametrize("stored", [{"pool": -1}, {"pool": 2**63}, {"rows": 0}, {"rows": 2**63}])
def test_stored_numbers_are_bounded(stored: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="fresh cells need a pool"):
        FreshCells(**stored)  # type: ignore[arg-type]
