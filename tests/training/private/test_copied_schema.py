"""What is copied from rows: nothing that fewer than k of them have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.release.marginals.model import fit_marginals
from lowerbound.errors import DataError, OptionError
from lowerbound.training.private.copied_schema import (
    DIGITS,
    _ends,
    declarations_of,
    identifying_levels,
    refuse_identifying,
)
from lowerbound.training.private.declarations import Declarations

ROWS = 400


def towns(counts: dict[str, int]) -> pd.DataFrame:
    cells = [town for town, count in counts.items() for _ in range(count)]
    return pd.DataFrame({"town": cells})


def numbers(values: Any) -> dict[str, Any]:
    return dict(declarations_of(pd.DataFrame({"x": values})).columns["x"])


@pytest.mark.parametrize(
    ("rare", "said"),
    [
        ({"C": 9}, {"kind": "binary", "levels": ["A", "B"]}),
        ({"C": 9, "D": 1}, {"kind": "binary", "levels": ["A", "B"], "missing": True}),
        ({"C": 10}, {"kind": "categorical", "levels": ["A", "B", "C"]}),
    ],
)
def test_a_level_of_fewer_rows_is_not_copied(rare: dict[str, int], said: dict[str, Any]) -> None:
    frame = towns({"B": 200, "A": 100, **rare})
    found = declarations_of(frame)
    assert found.columns["town"] == said
    cells = found.admitted(frame)["town"]
    shown = set(cells.dropna())
    assert shown == set(said["levels"])
    assert cells.isna().sum() == (sum(rare.values()) if "missing" in said else 0)
    hidden = {level: count for level, count in rare.items() if count < 10}
    record = found.copied
    assert record is not None
    assert [(each.values, each.cells) for each in record.columns] == (
        [(len(hidden), sum(hidden.values()))] if hidden else []
    )


def test_a_range_ends_at_the_k_th_value_and_at_no_value_of_one_row() -> None:
    values = np.random.default_rng(0).lognormal(10, 1, ROWS)
    ordered = np.sort(values)
    for least in (2, 10, 50):
        said = declarations_of(pd.DataFrame({"x": values}), least).columns["x"]
        low, high = said["low"], said["high"]
        assert ordered[least - 1] <= low <= ordered[least - 1] + (high - low) / 50
        assert ordered[-least] - (high - low) / 50 <= high <= ordered[-least]
        assert not {low, high} & set(values)
    exact = declarations_of(pd.DataFrame({"x": values}), 1).columns["x"]
    assert (exact["low"], exact["high"]) == (ordered[0], ordered[-1])


def test_a_round_number_of_one_row_is_no_end() -> None:
    values = np.r_[
        np.random.default_rng(0).uniform(50, 120, 300), 185.0, np.full(9, 200.0) + np.arange(9)
    ]
    said = numbers(values)
    assert 120 < said["high"] < 185
    assert not {said["low"], said["high"]} & set(values)


def test_an_end_that_many_rows_have_stays() -> None:
    said = numbers(np.r_[np.full(20, 37), np.arange(1_000, 9_000, 20), np.full(20, 12_345)])
    assert (said["low"], said["high"], said["whole"]) == (37, 12_345, True)


def test_the_fractions_of_few_rows_and_a_rare_atom_are_not_copied() -> None:
    whole = np.arange(300) % 60
    assert numbers(np.r_[whole, 7.5])["whole"] is True
    assert numbers(np.r_[whole, np.full(10, 7.5)])["whole"] is False
    assert "atom" not in numbers(np.r_[np.arange(1, 60) * 100, np.zeros(9)])
    assert numbers(np.r_[np.arange(1, 60) * 100, np.zeros(10)])["atom"] == 0


def test_dates_end_at_the_k_th_day() -> None:
    days = pd.date_range("1950-01-01", periods=ROWS, freq="31D")
    said = declarations_of(pd.DataFrame({"born": days}), 5).columns["born"]
    assert days[4] <= pd.Timestamp(said["low"]) <= days[4] + pd.Timedelta(days=200)
    assert days[-5] - pd.Timedelta(days=200) <= pd.Timestamp(said["high"]) <= days[-5]


def test_columns_without_a_shared_value_are_left_out_and_said() -> None:
    frame = towns({f"T{n}": 6 for n in range(50)}).assign(
        sex=["f", "m", "f"] * 100, few=[None] * 300
    )
    frame.loc[:12, "few"] = np.arange(13.0)
    found = declarations_of(frame)
    assert list(found.columns) == ["sex"]
    record = found.copied
    assert record is not None
    assert [(each.name, each.values, each.cells) for each in record.columns] == [
        ("town", 50, 300),
        ("few", 13, 13),
    ]
    with pytest.raises(DataError, match="none is left"):
        declarations_of(frame[["town"]])


def test_every_drawn_value_is_one_that_k_rows_have() -> None:
    draw = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "town": draw.zipf(1.6, 2_000).clip(max=300).astype(str),
            "paid": np.round(draw.lognormal(9, 1, 2_000), 2),
            "sex": draw.choice(["f", "m"], 2_000),
        }
    )
    frame["town"] = "T" + frame["town"]
    model = fit_marginals(frame, declarations_of(frame), 2.0, target="sex")
    made = model.sample(5_000)
    frequent = frame["town"].value_counts()
    assert set(made["town"].dropna()) <= set(frequent[frequent >= 10].index)
    ordered = np.sort(frame["paid"])
    assert ordered[9] <= made["paid"].min()
    assert made["paid"].max() <= ordered[-10]
    record = model.release
    assert set(record.copied) == {"town", "paid", "sex"}
    assert "is no differential privacy" in record.not_claimed[0]
    assert "  - sex: 2 levels: f, m" in list(record.lines())
    again = type(model).from_mapping(model.to_mapping())
    assert again.release == record


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ([f"p{n}@example.org" for n in range(ROWS)], "e-mail addresses"),
        ([f"She has seen the doctor {n} times for her back" for n in range(ROWS)], "free text"),
        ([f"K{n * 7919 % 10_007:05d}" for n in range(ROWS)], "values that name rows"),
        (np.arange(ROWS) + 1, "values that name rows"),
    ],
)
def test_columns_that_identify_are_refused_by_name(cells: Any, what: str) -> None:
    frame = pd.DataFrame({"a b": cells, "sex": ["f", "m"] * (ROWS // 2)})
    with pytest.raises(DataError, match=f"column 'a b' has {what}.*--leave-out 'a b'"):
        declarations_of(frame)
    with pytest.raises(DataError, match=what):
        refuse_identifying(frame, "this is refused")
    assert list(declarations_of(frame, leave_out=["a b"]).columns) == ["sex"]
    with pytest.raises(OptionError, match="did you mean 'sex'"):
        declarations_of(frame, leave_out=["sxe"])


def test_declared_levels_of_people_are_named() -> None:
    mails = [f"p{n}@example.org" for n in range(30)]
    said = identifying_levels(Declarations({"m": {"levels": mails}, "s": {"levels": ["f", "m"]}}))
    assert len(said) == 1
    assert "30 declared levels of column 'm' are e-mail addresses" in said[0]


@pytest.mark.parametrize("sign", [1, -1])
def test_ends_that_people_share_move_inwards_and_never_outwards(sign: int) -> None:
    """By enumeration of the decimals: no end is beyond the k-th value from it."""
    for seed in range(20):
        values = sign * np.random.default_rng(seed).gamma(2.0, 700.0, 300)
        ends = _ends(values, 5, whole=False)
        assert ends is not None
        ordered = np.sort(values)
        width = ordered[-5] - ordered[4]
        step = 10.0 ** (math.floor(math.log10(width)) - DIGITS)
        for end, kth in ((ends[0], ordered[4]), (-ends[1], -ordered[-5])):
            assert 0 <= end - kth <= 1.000001 * step
            assert abs(end / step - round(end / step)) < 1e-6
