"""A protected table has no value of few people, and what its rows fulfill still holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.config import from_mapping, to_mapping
from lowerbound.data.protection.identity import FRESH
from lowerbound.data.protection.protect import ProtectionOptions, protected_table
from lowerbound.data.protection.record import DETAIL, Protection
from lowerbound.errors import DataError, ModelFolderError, OptionError
from tests.data.protection.people import TEXT, drawn_rare, people, rare_values


def protect(frame: pd.DataFrame, **options: Any) -> tuple[pd.DataFrame, Protection]:
    table = protected_table(frame, ProtectionOptions(**options))
    return table.frame, table.record


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return people()


@pytest.fixture(scope="module")
def made(frame: pd.DataFrame) -> tuple[pd.DataFrame, Protection]:
    return protect(frame)


def test_no_rare_value_stays(frame: pd.DataFrame, made: tuple[pd.DataFrame, Protection]) -> None:
    rows, _ = made
    assert drawn_rare(rows, frame) == {}
    for name in TEXT:
        counts = rows[name].value_counts()
        assert (counts[counts > 0] >= 10).all(), name
    assert "astronaut" not in rows["job"].cat.categories
    assert rows["remark"].isna().all()
    assert set(rows["phone"]) == {FRESH}


def test_what_rows_fulfill_still_holds(made: tuple[pd.DataFrame, Protection]) -> None:
    rows, _ = made
    np.testing.assert_allclose(rows["total"], rows["net"] + rows["tax"], atol=1e-9)
    assert (rows["start"] <= rows["end"]).all()
    assert rows.groupby("town")["country"].nunique().max() == 1


def test_rare_towns_become_towns_of_the_same_country(
    frame: pd.DataFrame, made: tuple[pd.DataFrame, Protection]
) -> None:
    assert made[0]["country"].equals(frame["country"])
    assert made[0]["town"].notna().all()


def test_numbers_and_dates_are_bounded(
    frame: pd.DataFrame, made: tuple[pd.DataFrame, Protection]
) -> None:
    for name in ("age", "net", "tax", "start"):
        for ends in (frame[name].nlargest(9), frame[name].nsmallest(9)):
            counts = frame[name].isin(ends).sum()
            if counts < 10:
                assert not made[0][name].isin(ends).any(), name


def test_the_record(frame: pd.DataFrame, made: tuple[pd.DataFrame, Protection]) -> None:
    record = made[1]
    assert (record.least_people, record.entities, record.entity) == (10, 600, "")
    roles = {each.name: each.role for each in record.columns}
    assert roles["name"] == roles["mail"] == roles["patient_id"] == "identifier"
    assert (roles["remark"], roles["town"], roles["net"]) == ("free text", "level", "number")
    assert roles["start"] == "date"
    by_name = {each.name: each for each in record.columns}
    assert by_name["town"].values == len(rare_values(frame, "town"))
    assert by_name["town"].cells == frame["town"].isin(rare_values(frame, "town")).sum()
    assert "'other' in place of rare levels" in by_name["group"].how
    assert record.people_column == "patient_id"
    assert "--entity patient_id" in record.sentences[0]
    assert from_mapping(Protection, to_mapping(record)) == record


def test_entities_are_counted(frame: pd.DataFrame) -> None:
    """A town of many rows of one person is rare."""
    some = frame.copy()
    some.loc[some.index[:40], ["town", "patient_id"]] = ["Lonely", 7]
    assert "Lonely" in set(protect(some)[0]["town"])
    rows, record = protect(some, entity="patient_id")
    assert "Lonely" not in set(rows["town"].dropna())
    assert record.entities == some["patient_id"].nunique()


def test_unprotected_tables_stay_as_they_are(frame: pd.DataFrame) -> None:
    rows, record = protect(frame, least_people=1)
    pd.testing.assert_frame_equal(rows, frame)
    assert "not protected" in record.sentences[0]


def test_a_column_without_frequent_levels_is_left_empty() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"town": draw.permutation([f"t{n % 50}" for n in range(200)])})
    frame["size"] = draw.normal(size=200)
    rows, record = protect(frame)
    assert rows["town"].isna().all()
    assert "left empty" in {each.name: each.how for each in record.columns}["town"]


def test_declared_combinations_are_of_enough_people() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"a": draw.choice(list("xy"), 300), "b": draw.choice(list("uv"), 300)})
    frame.loc[:4, ["a", "b"]] = ["x", "w"]
    frame.loc[5:200, "b"] = np.where(frame.loc[5:200, "a"] == "x", "u", "v")
    frame["size"] = draw.normal(size=300)
    frame.loc[201:, "b"] = np.where(frame.loc[201:, "a"] == "x", "u", "v")
    frame.loc[10:13, "b"] = "v"
    rows, _ = protect(frame, combinations=[("a", "b")])
    assert rows.groupby(["a", "b"]).size().min() >= 10


def test_declared_levels_lose_rare_ones(frame: pd.DataFrame) -> None:
    levels = sorted(frame["town"].unique())
    found = protected_table(
        frame, ProtectionOptions(kinds={"town": {"kind": "categorical", "levels": levels}})
    )
    hint = found.kinds["town"]
    assert not isinstance(hint, str)
    assert not set(hint["levels"]) & rare_values(frame, "town")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"least_people": 0}, "at least 1"),
        ({"entity": "patient"}, "unknown column 'patient'.*patient_id"),
        ({"least_people": 1_000}, "has 600 rows, and no value is drawn that fewer than 1,000"),
    ],
)
def test_what_is_refused(frame: pd.DataFrame, options: dict[str, object], words: str) -> None:
    with pytest.raises((DataError, OptionError), match=words):
        protect(frame, **options)


def test_nothing_left() -> None:
    frame = pd.DataFrame({"mail": [f"a{n}@b.org" for n in range(50)]})
    with pytest.raises(DataError, match="identifies rows or is free text"):
        protect(frame)


def test_no_number_of_one_person_becomes_that_of_many_similar_rows() -> None:
    draw = np.random.default_rng(0)
    net = draw.lognormal(5, 1, 1000).round(2)
    tax = (0.19 * net).round(2)
    frame = pd.DataFrame({"net": net, "tax": tax, "gross": (net + tax).round(2)})
    gross = protect(frame)[0]["gross"].value_counts()
    single = gross.index.isin(frame["gross"])
    assert gross[single].max() < 5  # rows, from which on a histogram may draw a number exactly


@pytest.mark.parametrize("present", [5, 600])
def test_fresh_identifiers_have_no_word_of_one_person(present: int) -> None:
    person = np.repeat(np.arange(50), 12)
    code = [f"{'QZX' if who in (0, 7) else 'AB'}-{place:06d}" for place, who in enumerate(person)]
    some = np.arange(600) < present
    frame = pd.DataFrame({"person": person, "order_id": code, "x": person % 2})
    frame["order_id"] = frame["order_id"].where(some, None)
    found = protected_table(
        frame, ProtectionOptions(entity="person", kinds={"order_id": "identifier"})
    )
    assert not any("QZX" in cell for cell in found.fresh["order_id"].fresh(0, 2000))


@pytest.mark.parametrize("record", [7, {"columns": [{"name": "a"}]}, {"columns": 3}, {"k": 1}])
def test_a_record_that_somebody_changed_is_refused(record: object) -> None:
    with pytest.raises((ModelFolderError, OptionError)):
        Protection.of({DETAIL: record})


def test_names_of_people_with_several_rows_are_fresh_and_the_note_names_the_flag() -> None:
    names = [f"Anna {chr(65 + n % 26)}{chr(97 + n // 26)}lo" for n in range(50)]
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"name": np.repeat(names, 12), "group": draw.choice(["a", "b"], 600)})
    found = protected_table(frame, ProtectionOptions())
    assert set(found.frame["name"]) == {FRESH}
    assert found.record.sentences[0].endswith("give --entity name")
    made = found.fresh["name"].fresh(0, 600)
    assert not set(made) & set(names)
    assert 40 <= len(set(made)) <= 60
    declared = protected_table(frame, ProtectionOptions(kinds={"name": "categorical"}))
    assert set(declared.frame["name"]) == set(names)


def test_a_placeholder_among_mails_suggests_no_entity() -> None:
    mails = ["none@none.com" if n % 2 else f"p{n}@mail.com" for n in range(300)]
    frame = pd.DataFrame({"mail": mails, "group": ["a", "b", "c"] * 100})
    assert not protected_table(frame, ProtectionOptions()).record.people_column


def test_amounts_with_a_currency_are_numbers_and_durations_are_written_so() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": [f"EUR {value:.2f}" for value in draw.normal(100, 20, 300)],
            "stay": pd.to_timedelta(draw.integers(1, 90_000, 300), "s"),
        }
    )
    notes = {each.name: each for each in protected_table(frame, ProtectionOptions()).record.columns}
    assert notes["amount"].role == "number"
    assert "1 days 0" in notes["stay"].how


def test_decimals_of_arrow_stay_decimals() -> None:
    import pyarrow as pa

    kind = pd.ArrowDtype(pa.decimal128(10, 2))
    cents = np.random.default_rng(0).integers(1, 90_000, 300)
    cells = pd.array([Decimal(int(value)) / 100 for value in cents], dtype=kind)
    frame = pd.DataFrame({"price": cells, "group": ["a", "b", "c"] * 100})
    assert protected_table(frame, ProtectionOptions()).frame["price"].dtype == kind


def test_rare_levels_beside_a_level_for_others_become_this_one() -> None:
    """Also where no level at all is frequent, and the column would be empty without it."""
    rng = np.random.default_rng(0)
    group = np.array([*(f"g{number}" for number in range(12)), "other"])[np.arange(104) % 13]
    for name, kept in (("other", {"other"}), ("more", set())):
        levels = pd.Series(np.where(group == "other", name, group), dtype="category")
        rows, _ = protect(pd.DataFrame({"group": levels, "size": rng.normal(size=104).round(1)}))
        assert set(rows["group"].dropna()) == kept
