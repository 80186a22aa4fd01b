"""Formulas that nearly all rows fulfill: the errors of a few rows do not hide them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.dependencies.determined import (
    Dependencies,
    determined,
    formulas_beside_errors,
    with_dependencies,
)
from lowerbound.data.dependencies.formula_search import found_formulas
from lowerbound.data.dependencies.formulas import Formula

ROWS = 1_000


def orders() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.gamma(2, 30, (ROWS, 3)).round(2), columns=["net", "tax", "other"])
    frame["total"] = (frame["net"] + frame["tax"]).round(2)
    frame["cents"] = (100 * frame["other"]).round()
    return frame


def found(frame: pd.DataFrame, strict: bool = False) -> tuple[Formula, ...]:
    schema = load(frame, kinds="infer").schema
    values = np.stack([each.rules.read(frame[each.name]) for each in schema.modeled], 1)
    return (found_formulas if strict else formulas_beside_errors)(schema.modeled, values)


@pytest.mark.parametrize(("errors", "expected"), [(0, 0), (1, 1), (5, 5), (12, None)])
def test_a_few_errors_hide_no_formula(errors: int, expected: int | None) -> None:
    frame = orders()
    wrong = np.random.default_rng(1).choice(ROWS, errors, replace=False)
    frame.loc[wrong, "total"] += 7.0
    by_columns = {frozenset(each.columns): each for each in found(frame)}
    assert by_columns[frozenset(["other", "cents"])].errors == 0
    total = by_columns.get(frozenset(["net", "tax", "total"]))
    assert (None if total is None else total.errors) == expected
    strict = {frozenset(each.columns) for each in found(frame, strict=True)}
    assert (frozenset(["net", "tax", "total"]) in strict) == (errors == 0)
    if total is not None and errors:
        rows = "1 row breaks it" if errors == 1 else f"{errors} rows break it"
        assert total.summary_with_errors == f"{total.summary} ({rows})"


def test_a_cell_follows_from_a_formula_with_errors() -> None:
    frame = orders()
    frame.loc[3, "total"] += 7.0
    frame.loc[8, "tax"] = np.nan
    dataset = with_dependencies(load(frame, kinds="infer", missing="model"))
    sentences = Dependencies.of(dataset.schema).summaries
    assert [each for each in sentences if "(1 row breaks it)" in each]
    cells = determined(dataset)
    assert cells is not None
    assert cells[8, 1] == pytest.approx(orders().loc[8, "tax"], abs=1e-9)
    assert np.isfinite(cells).sum() == 1


def test_a_column_that_is_known_where_the_others_are_enough_is_no_source() -> None:
    """The area has a third part in some rows, in which the column of tiles is missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(40, 400, (ROWS, 2)), columns=["first", "second"])
    third = np.where(np.arange(ROWS) % 25 == 0, rng.integers(20, 90, ROWS), 0)
    frame["area"] = frame["first"] + frame["second"] + third
    frame["tiles"] = np.where(third > 0, np.nan, rng.normal(50, 20, ROWS).round(1))
    schema = load(frame, kinds="infer", missing="model").schema
    values = np.stack([each.rules.read(frame[each.name]) for each in schema.modeled], 1)
    assert found_formulas(schema.modeled, values) == ()
