"""Small tables whose rows come from one source, for audits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lowerbound.data.arrays import Array
from lowerbound.evaluation.samples.column_judge import CodedColumns


def people(rows: int, seed: int) -> Any:
    """Two related numbers, one with zeros, a class that depends on them, and rare cities."""
    rng = np.random.default_rng(seed)
    size = rng.normal(170.0, 10.0, rows)
    weight = 0.5 * size - 15 + 4 * rng.normal(size=rows)
    city = rng.choice(["Bern", "Basel", "Genf", "Chur"], rows, p=[0.6, 0.3, 0.08, 0.02])
    return pd.DataFrame(
        {
            "size": size,
            "weight": weight,
            "income": np.where(rng.random(rows) < 0.5, 0.0, np.exp(rng.normal(size=rows))),
            "city": city,
            "kind": np.where(size + 8 * rng.normal(size=rows) > 172, "tall", "short"),
        }
    )


def parts(rows: int = 300, seed: int = 0) -> tuple[Any, Any, Any]:
    """Training rows, a holdout and fresh rows."""
    whole = people(3 * rows, seed)
    first, second, third = (whole.iloc[i * rows : (i + 1) * rows] for i in range(3))
    return tuple(part.reset_index(drop=True) for part in (first, second, third))  # type: ignore[return-value]


def coordinates(real: Any, *frames: Any) -> list[Array]:
    """The coordinates of some tables."""
    codes = CodedColumns.learn(real)
    return [codes.coordinates(codes.encode(frame))[0] for frame in frames]


def noisy(rows: Any, count: int, seed: int) -> Any:
    """A synthesizer that memorizes: training rows with a little noise on the numbers."""
    rng = np.random.default_rng(seed)
    drawn = rows.iloc[rng.permutation(len(rows))[:count]].reset_index(drop=True)
    return drawn.assign(size=drawn["size"] + 0.01 * rng.normal(size=len(drawn)))


def fresh(rows: Any, count: int, seed: int) -> Any:
    """A synthesizer that knows the source and ignores the training rows."""
    return people(count, 1000 + seed)
