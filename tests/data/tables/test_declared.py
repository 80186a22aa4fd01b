"""A schema from declarations has the declared ranges and categories, whatever the rows are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.tables.declared import declared_schema
from lowerbound.errors import DataError, OptionError

COLUMNS: dict[str, dict[str, Any]] = {
    "age": {"kind": "count", "low": 0, "high": 99},
    "height": {"kind": "real", "low": 1.2, "high": 2.2},
    "share": {"kind": "bounded", "low": 0.0, "high": 1.0},
    "spent": {"kind": "mixed", "low": 0, "high": 900, "atom": 0},
    "town": {"kind": "categorical", "levels": ["A", "B", "C"], "missing": True},
    "class": {"levels": ["no", "yes"]},
}


def test_declared_ranges_and_categories_are_those_of_the_schema() -> None:
    schema = declared_schema(COLUMNS, "class")
    columns = {column.name: column for column in schema.columns}
    assert {name: column.kind for name, column in columns.items()} == {
        name: said["kind"] for name, said in COLUMNS.items() if "kind" in said
    }
    assert columns["town"].levels == ("A", "B", "C")
    assert columns["spent"].atom == 0
    assert schema.class_names == ("no", "yes")
    height = columns["height"]
    assert height.shift == pytest.approx(1.7, abs=1e-3)  # uniform on the range
    assert height.scale == pytest.approx(1 / np.sqrt(12), rel=1e-2)


def test_rows_are_read_with_it_without_a_change() -> None:
    schema = declared_schema(COLUMNS, "class")
    frame = pd.DataFrame(
        {
            "age": [30, 41],
            "height": [1.75, 1.62],
            "share": [0.25, 0.5],
            "spent": [0, 130],
            "town": ["B", None],
            "class": ["yes", "no"],
        }
    )
    found = load(frame, schema=schema)
    assert found.schema == schema
    assert found.label is not None
    assert found.label.tolist() == [1, 0]
    assert found.observed is not None
    assert not found.observed[1, 4]
    again = schema.decode(found.all().filled)
    np.testing.assert_allclose(again[:, 1].astype(float), frame["height"], atol=1e-6)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"kind": "real", "low": 0}, "'high' is missing"),
        ({"kind": "real", "low": 0, "high": 1, "lwo": 2}, "unknown field: 'lwo'"),
        ({"kind": "categorical", "levels": list(range(2_001))}, "more than 2,000 levels"),
        ({"kind": "categorical", "levels": ["a", "b" * 1_001]}, "more than 1,000 characters"),
        ({"kind": "categorical", "levels": []}, "no levels"),
        ({"levels": ["F", "F", "M"]}, "column 'a' has the levels F more than once"),
        ({"levels": [1, "1"]}, "column 'a' has the levels 1 more than once"),
        ({"levels": ["F", "M"], "missing": "yes"}, "\"missing\": 'yes'; write true or false"),
        ({"low": 0, "high": 9, "whole": 1}, '"whole": 1; write true or false'),
    ],
)
def test_incomplete_declarations_are_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        declared_schema({"a": said, "b": COLUMNS["age"]})


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OptionError, match="unknown kind of column 'a': 'reel'"):
        declared_schema({"a": {"kind": "reel", "low": 0, "high": 1}})
