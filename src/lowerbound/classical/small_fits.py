"""How small models of scikit-learn are fitted: on one thread, without notes on convergence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def small_fit() -> Iterator[None]:
    """A fit by scikit-learn on few rows: one BLAS thread, and notes on convergence kept quiet.

    A pool of threads gains nothing on small matrices, and where other programs hold the cores it
    waits for them: thirty times slower was seen.
    """
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")
        yield
