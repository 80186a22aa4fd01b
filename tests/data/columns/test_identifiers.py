"""Fresh identifiers have the format of the given ones, and are none of them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.columns.identifiers import IdentifierFormat


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


def test_given_ones_have_the_type_of_fresh_ones() -> None:
    whole = IdentifierFormat.of(np.array([3, 7]))
    assert whole.typed(np.array(["12", "-5"])).tolist() == [12, -5]
    assert whole.typed(np.array(["12", "b"])).tolist() == ["12", "b"]
    assert IdentifierFormat.of(np.array(["7"], dtype=object)).typed(np.array(["12"])) == ["12"]
