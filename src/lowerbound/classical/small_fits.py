"""Fitting small models of scikit-learn: on one thread, without convergence warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def small_fit() -> Iterator[None]:
    """Context of a fit by scikit-learn on few rows: one BLAS thread, no convergence warnings.

    More threads are not faster on small matrices. If other programs use the cores, they were up to
    thirty times slower.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")
        yield
