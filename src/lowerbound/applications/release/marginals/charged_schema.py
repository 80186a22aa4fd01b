"""The budget of a fit whose schema was measured from the same rows, and what mechanisms take of it.

They satisfy zero-concentrated differential privacy (Bun & Steinke 2016). A count table with
Gaussian noise of deviation s satisfies 1 / (2 s^2), because one row changes one cell by one. The
exponential mechanism at epsilon_0 satisfies epsilon_0^2 / 8 (Cesar & Rogers 2021). The rho of
several mechanisms add.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.training.private.declarations import SchemaRecord
from lowerbound.training.private.record import ReleaseRecord

ROUNDING = 1e-9  # so that the epsilon of this rho does not exceed the given one by rounding


def delta_of(rho: float, epsilon: float) -> float:
    r"""The delta of rho at epsilon (Canonne, Kamath & Steinke 2020, corollary 13).

    .. math:: \min_{a > 1} \frac{e^{(a - 1)(a \rho - \epsilon)}}{a - 1} (1 - 1/a)^a
    """

    def log_delta(log_excess: float) -> float:
        a = 1 + math.exp(log_excess)
        return (a - 1) * (a * rho - epsilon) - math.log(a - 1) + a * math.log1p(-1 / a)

    found = minimize_scalar(log_delta, bounds=(-12, 14), method="bounded", options={"xatol": 1e-9})
    return min(1.0, math.exp(min(0.0, float(found.fun))))


def epsilon_of(rho: float, delta: float) -> float:
    """The smallest epsilon that rho gives at delta, rounded up."""
    if not rho > 0:
        raise OptionError(f"a mechanism with rho {rho:g} has no noise or no measurement")
    low, high = 0.0, rho + 2 * math.sqrt(rho * math.log(1 / delta))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(rho, middle) > delta else (low, middle)
    return high


def rho_for(epsilon: float, delta: float) -> float:
    """The largest rho whose epsilon at delta is at most ``epsilon``, rounded down.

    Raises:
        OptionError: epsilon or delta is out of range.
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise OptionError(f"epsilon must be positive and finite, not {epsilon!r}")
    if not 0 < delta < 1:
        raise OptionError(f"delta must be above 0 and below 1, not {delta!r}")
    low, high = 0.0, epsilon
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of(middle, epsilon) <= delta else (low, middle)
    return low * (1 - ROUNDING)


def chosen(scores: Array, epsilon_0: float, uniform: float) -> int:
    """The exponential mechanism for scores of sensitivity one: an index with probability
    proportional to exp(epsilon_0 score / 2)."""
    logits = epsilon_0 * np.asarray(scores, dtype=np.float64) / 2
    weights = np.exp(logits - logits.max())
    return int(np.searchsorted(weights.cumsum(), uniform * weights.sum(), side="right"))


def rho_left(epsilon: float, delta: float, measured: SchemaRecord | None) -> float:
    """The rho of (epsilon, delta), less that of a measured schema.

    The rho of both add, and hold except with the probability ``threshold_delta`` (Bun & Steinke
    2016, section 8). This leaves more than a difference of the epsilons would.

    Raises:
        OptionError: epsilon or delta is out of range, or nothing is left.
    """
    if measured is None:
        return rho_for(epsilon, delta)
    if epsilon > 0 and not delta > measured.threshold_delta:
        raise measured.exhausted(epsilon, delta)
    rho = rho_for(epsilon, delta - measured.threshold_delta) - measured.rho
    if not rho > 0:
        raise measured.exhausted(epsilon, delta)
    return rho * (1 - ROUNDING)


def with_schema(record: ReleaseRecord, measured: SchemaRecord | None, public: str) -> ReleaseRecord:
    """The record of a fit and of its schema together.

    Args:
        record: of the fit alone.
        measured: what the schema has spent; None: nothing.
        public: where the declarations come from, in words.
    """
    if measured is None:
        return record
    assert record.rho is not None
    rho = record.rho + measured.rho
    return replace(
        record,
        mechanism=f"{record.mechanism} (rho {record.rho:.4g}), and a measured schema (rho "
        f"{measured.rho:.4g})",
        epsilon=epsilon_of(rho, record.delta - measured.threshold_delta),
        rho=rho,
        charged=(measured.charged,),
        public=measured.public(public),
    )
