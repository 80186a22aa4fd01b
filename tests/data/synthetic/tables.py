"""A table with a column of every type that pandas has."""

from __future__ import annotations

import numpy as np
import pandas as pd


def every_type(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Rows with identifiers, dates, categories, gaps, and columns that depend on each other."""
    draw = np.random.default_rng(seed)
    day = pd.to_datetime("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D")
    minute = pd.to_timedelta(draw.integers(0, 90_000, rows), unit="min")
    age, city = draw.integers(18, 90, rows), draw.choice(list("xyzw"), rows)
    frame = pd.DataFrame(
        {
            "number": np.arange(rows) + 100,
            "code": [f"{draw.integers(1 << 62):016x}" for _ in range(rows)],
            "age": age,
            "cents": np.round(draw.gamma(2, 50, rows), 2),
            "kids": pd.array(draw.integers(0, 4, rows), dtype="Int64"),
            "grade": pd.Categorical(draw.choice(list("abc"), rows), list("cbad"), ordered=True),
            "flag": draw.random(rows) > 0.5,
            "maybe": pd.array(draw.random(rows) > 0.5, dtype="boolean"),
            "day": day,
            "moment": (pd.to_datetime("2020-01-01") + minute).tz_localize("Europe/Berlin"),
            "written": day.strftime("%d/%m/%Y"),
            "date": day.date,
            "postcode": [f"{code:05d}" for code in draw.choice([123, 4567, 99_999], rows)],
            "constant": 1.5,
            "sometimes": np.where(draw.random(rows) > 0.3, "yes", None),
            "never": np.full(rows, np.nan),
            "tenths": draw.integers(0, 1000, rows).astype("float32") / 10,
            "fives": np.where(draw.random(rows) > 0.2, draw.integers(0, 1000, rows) * 5, np.nan),
            "end": age + draw.integers(0, 5, rows),
            "city": city,
        }
    )
    frame["land"] = frame["city"].map({"x": "A", "y": "A", "z": "B", "w": "C"})
    frame.loc[draw.random(rows) < 0.1, "kids"] = pd.NA
    frame.loc[draw.random(rows) < 0.1, "grade"] = np.nan
    frame.loc[draw.random(rows) < 0.1, "day"] = pd.NaT
    return frame
