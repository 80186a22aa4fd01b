"""``--public-schema data`` of a private fit copies nothing that few rows have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.applications.fit.preparing import PublicSchema, public_schema
from lowerbound.data.reading_flags import ReadingOptions
from lowerbound.errors import DataError, OptionError
from lowerbound.training.private.options import PrivacyOptions

ROWS = 300


@pytest.fixture
def people(tmp_path: Path) -> str:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "mail": [f"p{row}@example.org" for row in range(ROWS)],
            "town": np.where(np.arange(ROWS) < 4, "Atlantis", draw.choice(["A", "B"], ROWS)),
            "paid": np.round(draw.lognormal(8, 1, ROWS), 2),
            "rich": draw.choice(["no", "yes"], ROWS),
        }
    )
    path = tmp_path / "people.csv"
    frame.to_csv(path, index=False)
    return str(path)


def read(source: str, leave_out: tuple[str, ...] = ("mail",), **options: Any) -> PublicSchema:
    privacy = PrivacyOptions(epsilon=1.0, public_schema="data", leave_out=leave_out)
    return public_schema(source, privacy, ReadingOptions(**options))


def test_schema_rows_and_record_hold_no_rare_value(people: str) -> None:
    found = read(people, label="rich")
    assert found.schema is not None
    assert found.schema.class_names == ("no", "yes")
    town, paid = found.schema.columns
    assert town.levels == ("A", "B")
    ordered = np.sort(pd.read_csv(people)["paid"])
    assert paid.kind == "positive"
    assert paid.observed is not None
    assert ordered[9] <= paid.observed[0]
    assert paid.observed[1] <= ordered[-10]
    assert set(found.rows["town"]) == {"A", "B"}
    assert found.rows["paid"].max() == paid.observed[1]
    copied = found.privacy.copied
    assert copied is not None
    assert set(copied.columns) == {"town", "paid", "rich"}


def test_kinds_are_those_of_the_flags(people: str) -> None:
    copied = read(people, kind=("paid=real",)).privacy.copied
    assert copied is not None
    assert copied.columns["paid"]["kind"] == "real"


def test_columns_that_identify_are_refused(people: str) -> None:
    with pytest.raises(DataError, match=r"'mail' has e-mail addresses.*--leave-out mail"):
        read(people, leave_out=())
    with pytest.raises(DataError, match="label 'mail' is not among"):
        read(people, label="mail")
    with pytest.raises(OptionError, match="--leave-out is for tables"):
        read(people, entity="mail", time="paid")


def test_k_is_that_of_the_flag(people: str) -> None:
    found = read(people, least_people=4)
    assert found.schema is not None
    assert found.schema.columns[0].levels == ("A", "Atlantis", "B")
    with pytest.raises(OptionError, match="--least-people is for --entity"):
        public_schema(people, PrivacyOptions(), ReadingOptions(least_people=4))
