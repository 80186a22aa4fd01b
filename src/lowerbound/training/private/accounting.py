r"""Epsilon of the subsampled Gaussian mechanism, and the noise for a given epsilon.

In each update a row takes part with probability q, independently of other rows. The sum of
gradients with norms of at most C gets Gaussian noise of standard deviation sigma C. Two data sets
are neighbors if one has one row more than the other.

Two accountants of Opacus compute epsilon: RDP (Mironov et al. 2019, converted by Balle et al. 2020)
and PRV (Gopi et al. 2021, its upper bound). The larger result is the one to report. Accounting by a
central limit theorem (GDP) is not offered, because it falls below the true epsilon.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from lowerbound.errors import MissingExtraError, OptionError

Sampling = Literal["poisson", "shuffled"]

ORDERS = [1 + x / 10 for x in range(1, 100)] + [*range(11, 64), 128, 256, 512, 1024]
"""The orders of Renyi divergence: those of Opacus, and larger ones for a small epsilon."""

FEW_ORDERS = [1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 56, 63]
FEW_ORDERS += [128, 256, 512, 1024]
"""Orders for a first guess of the noise: fractions of an order take most of the time."""

MOST_TRIALS = 6  # of noise near the first guess
PRV_ERROR = 0.002  # of epsilon, relative
SMALLEST_ERROR = 5e-4  # of epsilon, absolute: smaller ones need much memory
CLOSE = 1e-3  # largest relative distance of the calibrated epsilon below the given one


@dataclass(frozen=True)
class Mechanism:
    """Updates of the subsampled Gaussian mechanism.

    Attributes:
        rate: q, the probability that a row takes part in an update.
        noise_multiplier: sigma, the standard deviation of the noise over the clipping norm.
        updates: number of updates.
        sampling: "poisson" if rows take part independently of each other; "shuffled" if each batch
            is a part of a shuffle.
    """

    rate: float
    noise_multiplier: float
    updates: int
    sampling: Sampling = "poisson"


@dataclass(frozen=True)
class Epsilons:
    """Epsilon by each accountant.

    Attributes:
        rdp: by Renyi divergences.
        prv: by privacy loss random variables; None if that computation failed.
        prv_failure: why it failed; "" if it did not.
    """

    rdp: float
    prv: float | None
    prv_failure: str = ""

    @property
    def larger(self) -> float:
        """The epsilon to report."""
        return self.rdp if self.prv is None else max(self.rdp, self.prv)


@lru_cache(maxsize=64)
def epsilons(mechanism: Mechanism, delta: float) -> Epsilons:
    """Epsilon of a mechanism at ``delta`` by both accountants.

    Raises:
        OptionError: the mechanism has no epsilon: no noise, no Poisson sampling, or a value out of
            range.
        MissingExtraError: ``opacus`` is not installed.
    """
    check_accountable(mechanism, delta)
    history = [(mechanism.noise_multiplier, mechanism.rate, mechanism.updates)]
    rdp = _rdp(history, delta)
    try:
        prv = _prv(history, delta, rdp)
    # what goes wrong in the discretization depends on where it goes wrong
    except (ArithmeticError, RuntimeError, ValueError, MemoryError, IndexError) as error:
        return Epsilons(rdp, None, str(error).strip() or type(error).__name__)
    if not math.isfinite(prv):
        return Epsilons(rdp, None, f"the result was {prv}")
    return Epsilons(rdp, prv)


@lru_cache(maxsize=64)
def noise_multiplier_for(epsilon: float, delta: float, rate: float, updates: int) -> float:
    """The smallest sigma, up to rounding, whose larger epsilon is at most ``epsilon``.

    Raises:
        OptionError: epsilon is too small for any noise, or a value is out of range.
        MissingExtraError: ``opacus`` is not installed.
    """
    if not epsilon > 0:
        raise OptionError(f"epsilon must be positive, not {epsilon!r}")
    check_accountable(Mechanism(rate, 1.0, updates), delta)
    library = _library()
    try:
        with _quiet():
            sigma: float = library.utils.get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=updates,
                accountant="rdp",
                epsilon_tolerance=CLOSE * epsilon,
                alphas=FEW_ORDERS,
            )
    except ValueError as error:
        raise OptionError(
            f"no noise reaches epsilon {epsilon:g} at delta {delta:g} in {updates:,} updates: give "
            "a larger epsilon or fewer updates"
        ) from error
    return _lowered(sigma, epsilon, delta, rate, updates)


def _lowered(sigma: float, epsilon: float, delta: float, rate: float, updates: int) -> float:
    """The least noise near ``sigma``; all orders give a smaller epsilon than the few orders did.

    Near sigma, log epsilon is almost linear in log sigma; each trial is safe by itself.
    """

    def at(value: float) -> float:
        return epsilons(Mechanism(rate, value, updates), delta).larger

    found = at(sigma)
    while found > epsilon:
        sigma *= 1 + CLOSE
        found = at(sigma)
    slope = -1.0
    for _ in range(MOST_TRIALS):
        if found >= (1 - 2 * CLOSE) * epsilon:
            break
        trial = sigma * ((1 - CLOSE) * epsilon / found) ** (1 / slope)
        there = at(trial)
        slope = math.log(there / found) / math.log(trial / sigma)
        if there <= epsilon:
            sigma, found = trial, there
    return sigma


def check_accountable(mechanism: Mechanism, delta: float) -> None:
    """Check that a mechanism has an epsilon.

    Raises:
        OptionError: it has none; the message gives the reason.
    """
    if not mechanism.noise_multiplier > 0:
        raise OptionError(
            f"a noise multiplier of {mechanism.noise_multiplier:g} adds no noise: no epsilon holds"
        )
    if mechanism.sampling != "poisson":
        raise OptionError(
            "batches of a shuffle have no known epsilon: these accountants require that each row "
            "takes part in an update independently of the others (Poisson sampling)"
        )
    if not 0 < mechanism.rate <= 1:
        raise OptionError(f"a sampling rate is above 0 and at most 1, not {mechanism.rate!r}")
    if mechanism.updates < 1:
        raise OptionError(f"there must be at least one update, not {mechanism.updates}")
    if not 0 < delta < 1:
        raise OptionError(f"delta must be above 0 and below 1, not {delta!r}")


def accountant_name() -> str:
    """The library of the accountants, with its version.

    Raises:
        MissingExtraError: ``opacus`` is not installed.
    """
    _library()
    return f"opacus {version('opacus')}, RDP and PRV"


def _rdp(history: list[tuple[float, float, int]], delta: float) -> float:
    accountant = _library().RDPAccountant()
    accountant.history = history
    with _quiet():
        return float(accountant.get_epsilon(delta, alphas=ORDERS))


def _prv(history: list[tuple[float, float, int]], delta: float, rdp: float) -> float:
    accountant = _library().PRVAccountant()
    accountant.history = history
    with _quiet():
        return float(
            accountant.get_epsilon(delta, eps_error=min(0.01, max(SMALLEST_ERROR, PRV_ERROR * rdp)))
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without the warnings about single orders and empty cells of the discretization."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _library() -> Any:
    """The accountants of Opacus, imported when they are first needed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from opacus import accountants
    except ImportError as error:
        raise MissingExtraError("opacus", "private") from error
    return accountants
