"""Small event tables for tests."""

from __future__ import annotations

import numpy as np
import pandas as pd


def visits(entities: int = 12, seed: int = 0) -> pd.DataFrame:
    """Visits with every kind of column: constants, text, cents, missing cells, and days that
    repeat."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(entities):
        sex, born = random.choice(["f", "m"]), int(random.integers(1940, 2000))
        day = pd.Timestamp("2021-01-01") + pd.Timedelta(days=int(random.integers(0, 30)))
        for _ in range(1 + number % 5):
            rows.append(
                {
                    "kind": str(random.choice(["new", "again", "lab"])),
                    "patient": f"P-{number:03d}",
                    "sex": sex,
                    "day": day.strftime("%d.%m.%Y"),
                    "born": born,
                    "cost": round(float(random.gamma(2.0, 30.0)), 2),
                    "dose": float(random.normal()),
                    "tests": int(random.poisson(2)),
                }
            )
            day += pd.Timedelta(days=int(random.integers(0, 4)))
    frame = pd.DataFrame(rows)
    frame.loc[random.random(len(frame)) < 0.3, "dose"] = np.nan
    return frame
