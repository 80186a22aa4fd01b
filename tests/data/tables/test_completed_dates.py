"""Dates of a frame are filled in the type and the format that the frame has."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import load
from lowerbound.data.tables.completion import completed_frame, hidden_cells

DAYS = pd.Series(pd.date_range("2024-01-15", periods=60))
COLUMNS: dict[str, tuple[str, pd.Series, Any]] = {
    "text": ("datetime", DAYS.dt.strftime("%d/%m/%Y"), "14/02/2024"),
    "month by name": ("datetime", DAYS.dt.strftime("%d %b %Y"), "14 Feb 2024"),
    "whole numbers": ("datetime:%Y%m%d", DAYS.dt.strftime("%Y%m%d").astype(float), 20240214.0),
    "category": ("datetime", DAYS.dt.strftime("%d.%m.%Y").astype("category"), "14.02.2024"),
    "date objects": ("datetime", DAYS.dt.date.astype(object), date(2024, 2, 14)),
    "dates of Arrow": ("datetime", DAYS.dt.date.astype("date32[day][pyarrow]"), date(2024, 2, 14)),
    "months": ("datetime", DAYS.dt.to_period("M"), pd.Period("2024-02", "M")),
    "dates": ("datetime", DAYS, pd.Timestamp("2024-02-14")),
    "dates in a zone": (
        "datetime",
        DAYS.dt.tz_localize("Asia/Tokyo"),
        pd.Timestamp("2024-02-14", tz="Asia/Tokyo"),
    ),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_hole_gets_a_date_as_the_others_are(name: str) -> None:
    kind, full, expected = COLUMNS[name]
    frame = pd.DataFrame({"day": full, "size": np.random.default_rng(0).normal(size=60)})
    frame.loc[30, "day"] = None  # 14 February
    data = load(frame, kinds={"day": kind})
    later = pd.Timestamp("2024-02-14", tz=getattr(full.dtype, "tz", None)).timestamp() + 1000.0
    answers = np.full((60, 2), later)
    out = completed_frame(frame, data.schema, answers, hidden_cells(frame, data), exact=False)
    assert out["day"].iloc[30] == expected
    seen = frame["day"].notna()
    if name != "category":  # whose answers may be no categories of it
        assert out["day"].dtype == frame["day"].dtype
    assert out["day"][seen].tolist() == frame["day"][seen].tolist()


@pytest.mark.parametrize("name", ["text", "month by name", "category"])
def test_an_empty_column_gets_dates_as_text(name: str) -> None:
    """pandas reads a column without any cell as numbers."""
    kind, full, expected = COLUMNS[name]
    frame = pd.DataFrame({"day": full, "size": np.random.default_rng(0).normal(size=60)})
    schema = load(frame, kinds={"day": kind}, missing="model").schema
    rows = frame.head(3).assign(day=np.nan)
    later = pd.Timestamp("2024-02-14").timestamp() + 1000.0
    hidden = hidden_cells(rows, load(rows, schema=schema, missing="model"))
    out = completed_frame(rows, schema, np.full((3, 2), later), hidden, exact=True)
    assert out["day"].tolist() == [expected] * 3
