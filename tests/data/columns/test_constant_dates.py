"""A column of one date is left out of the model, and comes back as it was."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lowerbound.data import Schema, load, to_frame
from lowerbound.data.sequences.event_layout import time_column
from lowerbound.data.tables.completion import completed_frame, hidden_cells

ROWS = 40
DAY = pd.Timestamp("2023-12-31")
COLUMNS: dict[str, Any] = {
    "day": "31.12.2023",
    "day first or not": "5/3/2024",
    "time": "2023-12-31 10:05:03",
    "offset": "2023-12-31T10:00:00.5+02:00",
    "date": date(2023, 12, 31),
    "timestamp": DAY,
    "zone": DAY.tz_localize("Europe/Vienna"),
    "period": pd.Period("2023-12", "M"),
}


def table(cell: Any, gaps: bool = False) -> pd.DataFrame:
    days = pd.Series([cell] * ROWS)
    if gaps:
        days[::7] = None
    return pd.DataFrame({"day": days, "size": np.random.default_rng(0).normal(size=ROWS)})


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.filterwarnings("ignore:column 'day'. its dates fit")
def test_one_date_is_constant(name: str, gaps: bool) -> None:
    frame = table(COLUMNS[name], gaps)
    with pytest.warns(UserWarning, match="no variation in column 'day'"):
        data = load(frame, missing="model")
    assert (data.schema.columns[0].kind, data.x.shape[1]) == ("constant", 1)
    schema = Schema.from_mapping(data.schema.to_mapping())
    made = to_frame(schema, data.x)["day"]
    if name == "offset":  # fractions have six digits
        made, frame["day"] = (pd.to_datetime(each, utc=True) for each in (made, frame["day"]))
    assert made.dtype == frame["day"].dtype
    assert (made == frame["day"])[frame["day"].notna()].all()
    answers = schema.decode(data.x)
    filled = completed_frame(frame, schema, answers, hidden_cells(frame, data), exact=True)
    assert (pd.isna(filled["day"]).sum(), filled["day"].nunique()) == (0, 1)


@pytest.mark.filterwarnings("ignore:no variation")
def test_another_date_is_named() -> None:
    schema = load(table("31.12.2023")).schema
    with pytest.warns(UserWarning, match="column 'day' did not vary when the model was fitted"):
        load(table("01.01.2024"), schema=schema)
    later = pd.Series(["31.12.2023", "01.01.2024"], name="day")
    assert schema.columns[0].rules.unseen(later).tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[ns, Europe/Vienna]", "period[M]"])
def test_no_date_stays_no_date(dtype: str) -> None:
    frame = table(None).astype({"day": dtype})
    with pytest.warns(UserWarning, match="no value in column 'day'"):
        data = load(frame, missing="model")
    made = to_frame(data.schema, data.x)["day"]
    assert made.isna().all()
    assert made.dtype == dtype


@pytest.mark.parametrize("name", ["day", "timestamp"])
def test_events_of_one_day_have_times(name: str) -> None:
    assert time_column(table(COLUMNS[name])["day"], None, True).column.kind == "datetime"
