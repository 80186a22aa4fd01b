"""scikit-learn's ``random_state`` as one number."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

LIMIT = 2**31 - 1


def new_seed(random_state: Any) -> int:
    """A seed from ``random_state``.

    An integer is itself. A RandomState or Generator is drawn from, and moves on. None asks the
    operating system: numpy's global state, which scikit-learn takes then, is not touched.
    """
    if random_state is None:
        return secrets.randbelow(LIMIT)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(LIMIT))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(LIMIT))
    check_random_state(random_state)  # its own words for what is no seed
    return int(random_state)
