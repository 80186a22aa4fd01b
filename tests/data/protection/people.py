"""A table of people with names, mails, phones, ids, towns, remarks, numbers and dates."""

from __future__ import annotations

import numpy as np
import pandas as pd

FIRST = ["Anna", "Berta", "Carl", "Dora", "Emil", "Fritz", "Gina", "Hans"]
SYLLABLES = ["ka", "lo", "mi", "ne", "ru", "sta", "vo", "zi"]


def people(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Rows of which many cells are those of one person; ``total = net + tax``, ``start <= end``,
    and a town determines its country."""
    draw = np.random.default_rng(seed)
    surnames = ["".join(draw.choice(SYLLABLES, 3)).capitalize() for _ in range(300)]
    towns = [*(f"City {letter}" for letter in "ABCDE"), *(f"Village {n}" for n in range(40))]
    town = draw.choice(45, rows, p=[*[0.16] * 5, *[0.2 / 40] * 40])
    first, last = draw.choice(FIRST, rows), draw.choice(surnames, rows)
    net = np.exp(draw.normal(8, 1, rows)).round(2)
    tax = np.exp(draw.normal(6, 1, rows)).round(2)
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D")
    frame = pd.DataFrame(
        {
            "name": [f"{a} {b}" for a, b in zip(first, last, strict=True)],
            "mail": [
                f"{b.lower()}{k}@{draw.choice(['web.de', f'x{k}.org'])}" for k, b in enumerate(last)
            ],
            "phone": [
                f"+49 {a} {b:06d}"
                for a, b in zip(
                    draw.choice([30, 40, 89], rows), draw.integers(0, 10**6, rows), strict=True
                )
            ],
            "patient_id": draw.choice(draw.integers(10**5, 10**7, rows // 3), rows),
            "remark": [f"patient {k} has trouble with the left knee" for k in range(rows)],
            "town": np.array(towns)[town],
            "country": np.where(np.isin(town, [0, 1, 2, *range(5, 25)]), "AT", "DE"),
            "age": draw.normal(45, 15, rows).clip(18, 95).round(),
            "net": net,
            "tax": tax,
            "total": (net + tax).round(2),
            "start": start,
            "end": start + pd.to_timedelta(draw.integers(0, 20, rows), unit="D"),
            "job": pd.Categorical(
                draw.choice(
                    ["nurse", "cook", "pilot", "astronaut"], rows, p=[0.5, 0.3, 0.195, 0.005]
                )
            ),
            "group": draw.choice(["a", "b", "other", "x"], rows, p=[0.5, 0.4, 0.09, 0.01]),
        }
    )
    frame.loc[draw.random(rows) < 0.1, ["mail", "age"]] = None
    return frame


TEXT = ["name", "mail", "phone", "patient_id", "remark", "town", "country", "job", "group"]


def rare_values(frame: pd.DataFrame, column: str, least: int = 10) -> set[str]:
    """The values of a column that fewer than ``least`` rows have, as text."""
    counts = frame[column].dropna().astype(str).value_counts()
    return set(counts[counts < least].index)


def drawn_rare(rows: pd.DataFrame, frame: pd.DataFrame) -> dict[str, int]:
    """How many cells of drawn rows have a rare value, of the columns where some have."""
    counts = {
        name: int(rows[name].dropna().astype(str).isin(rare_values(frame, name)).sum())
        for name in TEXT
        if name in rows
    }
    return {name: count for name, count in counts.items() if count}
