r"""A distribution in whole numbers, which are the same on every machine once they are written down.

.. math:: \hat p(k) = n(k) / 2^{24}, \qquad n(k) \ge 1, \quad \textstyle\sum_k n(k) = 2^{24}
"""

from __future__ import annotations

import numpy as np

from lowerbound.coding.stack import PRECISION
from lowerbound.data.arrays import Array


def whole_shares(shares: Array) -> Array:
    """n of one distribution, (K,) int64, as near to its shares as can be."""
    wanted = np.asarray(shares, np.float64)
    free = (1 << PRECISION) - len(wanted)
    counts: Array = 1 + np.floor(wanted / wanted.sum() * free).astype(np.int64)
    likeliest = np.argsort(-wanted, kind="stable")
    counts[likeliest[: (1 << PRECISION) - counts.sum()]] += 1
    return counts
