"""A small table with a column of every kind, cells missing, for tests of what takes any data."""

from __future__ import annotations

import numpy as np
import pandas as pd

KINDS = {"real": "real", "size": "positive", "n": "count", "paid": "mixed", "grade": "ordinal"}


def mixed_frame(rows: int = 40, missing: float = 0.1, seed: int = 0) -> pd.DataFrame:
    """Columns that hang together, of kinds that ``KINDS`` says and two that are found."""
    random = np.random.default_rng(seed)
    z = random.normal(size=rows)
    frame = pd.DataFrame(
        {
            "real": 3 * z + random.normal(size=rows),
            "size": np.exp(z + 0.3 * random.normal(size=rows)),
            "n": random.poisson(np.exp(0.5 * z + 1)),
            "paid": np.where(random.random(rows) < 0.4, 0.0, 5 + z),
            "grade": np.clip(np.rint(2 * z + 5), 1, 9),
            "sure": np.where(z + random.normal(size=rows) > 0, "yes", "no"),
            "color": random.choice(["red", "green", "blue"], rows),
        }
    )
    return frame.mask(random.random(frame.shape) < missing)
