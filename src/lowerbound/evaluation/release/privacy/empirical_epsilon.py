"""Lower bounds on epsilon from attacks: what a training cannot have guaranteed.

If training is (epsilon, delta)-differentially private, no attack can be better than a limit. An
attack that is better proves, with the stated confidence, that epsilon is larger.
"""

from __future__ import annotations

import math

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.errors import OptionError
from lowerbound.evaluation.intervals import clopper_pearson

CONFIDENCE = 0.95
HIGHEST = 50.0  # epsilon above which no bound is searched


def epsilon_of_rates(
    true_positives: int,
    members: int,
    false_positives: int,
    controls: int,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float:
    r"""A lower bound on epsilon from many trainings, one attacked row in each.

    (epsilon, delta) limits TPR \le e^epsilon FPR + delta, and the same for the complements. The
    rates are replaced by the ends of their exact intervals (Clopper & Pearson 1934), which hold
    together with the stated confidence. Set the threshold of the attack on other trainings.

    Args:
        true_positives, members: trainings with the row that the attack recognized, and all of them.
        false_positives, controls: trainings without the row that it accused, and all of them.
        delta: of the claimed guarantee.
        confidence: that the bound is not too high.

    Returns:
        The bound, at least 0.
    """
    _check(delta, confidence)
    hit = clopper_pearson(true_positives, members, confidence)
    alarm = clopper_pearson(false_positives, controls, confidence)
    return max(
        _log_ratio(hit.low - delta, alarm.high),
        _log_ratio(1 - alarm.high - delta, 1 - hit.low),
        0.0,
    )


def epsilon_of_one_run(
    scores: Array,
    included: Array,
    *,
    guesses: int | None = None,
    delta: float = 0.0,
    confidence: float = CONFIDENCE,
) -> float:
    """A lower bound on epsilon from one training with many canaries.

    Each canary was included by a fair coin. The attacker accuses the canaries with the highest
    scores, acquits those with the lowest, and is silent about the others. If training is
    (epsilon, 0)-private, the number of right guesses is at most Binomial(guesses, e^epsilon /
    (1 + e^epsilon)); delta adds at most a small term. Source: Steinke, Nasr & Jagielski 2023,
    theorem 5.2.

    Args:
        scores: higher where the canary seems to be included, (canaries,).
        included: whether it was, (canaries,) bool.
        guesses: number of canaries that the attacker decides about, half of them accused; it must
            be chosen before the scores are seen. None: all.
        delta: of the claimed guarantee.
        confidence: that the bound is not too high.

    Raises:
        OptionError: there are no canaries, or more guesses than canaries.
    """
    _check(delta, confidence)
    canaries = len(scores)
    guesses = canaries if guesses is None else guesses
    if not 0 < guesses <= canaries:
        raise OptionError(f"guesses must be between 1 and {canaries:,}, the number of canaries")
    order = np.random.default_rng(0).permutation(canaries)  # equal scores in a random order
    order = order[np.argsort(-np.asarray(scores)[order], kind="stable")]
    accused, acquitted = order[: (guesses + 1) // 2], order[canaries - guesses // 2 :]
    right = int(included[accused].sum() + (~included[acquitted]).sum())
    return _largest_refuted(canaries, guesses, right, delta, 1 - confidence)


def one_run_p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """The largest probability of at least ``right`` right guesses under (epsilon, delta)."""
    from scipy.stats import binom

    share = 1 / (1 + math.exp(-epsilon))
    beta = float(binom.sf(right - 1, guesses, share))
    if not delta:
        return beta
    masses = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, share))
    alpha = float((masses / np.arange(1, right + 1)).max(initial=0.0))
    return min(beta + 2 * canaries * delta * alpha, 1.0)


def _largest_refuted(canaries: int, guesses: int, right: int, delta: float, level: float) -> float:
    """The largest epsilon whose p-value is below ``level``, by bisection; 0 if none is."""
    low, high = 0.0, HIGHEST
    if one_run_p_value(canaries, guesses, right, low, delta) > level:
        return 0.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        refuted = one_run_p_value(canaries, guesses, right, middle, delta) <= level
        low, high = (middle, high) if refuted else (low, middle)
    return low


def _log_ratio(above: float, below: float) -> float:
    if above <= 0:
        return 0.0
    return math.log(above / below) if below > 0 else HIGHEST


def _check(delta: float, confidence: float) -> None:
    if not 0 <= delta < 1 or not 0 < confidence < 1:
        raise OptionError(
            f"delta must be from 0 to below 1 and the confidence between 0 and 1, not {delta:g} "
            f"and {confidence:g}"
        )
