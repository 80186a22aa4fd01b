"""Fitting small models of scikit-learn: on one thread, without convergence warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def small_fit() -> Iterator[None]:
    """Context of a fit by scikit-learn on few rows: one thread, no convergence warnings.

    More threads are hardly faster on small matrices and on boosted trees of a few thousand rows.
    They wait for each other after every step, so if another program uses one of the cores, a fit
    takes many times as long (``benchmarks/busy_core.py``).
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        yield
