"""Ahead of another method, tied with it, or behind: paired over the units that both were tried on.

A unit is a table, a mask, a picture, a draw of labels or a seed. The gain is the mean over units of
ours minus theirs, turned so that positive is better. Its 95 % interval is Student's, so a few seeds
have a wide one. Ours is ahead if the interval lies above zero, behind if below, and else tied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95
Array = np.ndarray[Any, Any]
Better = Literal["lower", "higher"]
Verdict = Literal["ahead", "tied", "behind"]


@dataclass(frozen=True)
class Rival:
    """Another method on the same units.

    Attributes:
        name: of the method.
        value: its figure, the mean over units unless the benchmark says otherwise.
        settings: how it was run, and on which rows its settings were chosen.
        gain: ours minus theirs, positive where ours is better.
        low, high: the 95 % interval of the gain.
        units: how many.
        per: what a unit is.
    """

    name: str
    value: float
    settings: str
    gain: float
    low: float
    high: float
    units: int
    per: str

    @property
    def verdict(self) -> Verdict:
        """Of our method."""
        if self.low > 0:
            return "ahead"
        return "behind" if self.high < 0 else "tied"

    def as_mapping(self) -> dict[str, Any]:
        """For the JSON of a result."""
        return {**vars(self), "verdict": self.verdict}


def paired(
    name: str,
    settings: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    better: Better,
    per: str,
) -> Rival:
    """A rival whose figures stand beside ours, unit by unit.

    Raises:
        ValueError: fewer than two units, other units, figures that are not finite, or no settings.
    """
    own, other = np.asarray(ours, float), np.asarray(theirs, float)
    if own.shape != other.shape or own.ndim != 1 or len(own) < 2:
        raise ValueError(f"{name}: {own.shape} figures beside {other.shape}; pairs are needed")
    gains = own - other if better == "higher" else other - own
    gain, half = float(gains.mean()), half_width(gains.tolist())
    return _rival(name, other, settings, gain, half, len(own), per)


def apart(
    name: str,
    settings: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    better: Better,
    per: str,
) -> Rival:
    """A rival with units of its own, such as other seeds (Welch 1947)."""
    own, other = np.asarray(ours, float), np.asarray(theirs, float)
    if min(len(own), len(other)) < 2:
        raise ValueError(f"{name}: fewer than two {per}s")
    sign = 1.0 if better == "higher" else -1.0
    gain = sign * float(own.mean() - other.mean())
    parts = [values.var(ddof=1) / len(values) for values in (own, other)]
    free = sum(parts) ** 2 / max(
        sum(p**2 / (len(v) - 1) for p, v in zip(parts, (own, other), strict=True)), 1e-300
    )
    half = float(student.ppf((1 + LEVEL) / 2, max(free, 1.0))) * math.sqrt(sum(parts))
    return _rival(name, other, settings, gain, half, min(len(own), len(other)), per)


def in_words(settings: Mapping[str, Any], chosen: str) -> str:
    """Settings of a method, and how they were chosen."""
    listed = ", ".join(f"{name} {value}" for name, value in settings.items())
    return f"{listed or 'no settings'}; {chosen}"


def half_width(values: Sequence[float]) -> float:
    """Half of Student's 95 % interval of a mean."""
    found = np.asarray(values, float)
    if not np.isfinite(found).all():
        raise ValueError("a figure is not finite: a method that diverged is to be named, not won")
    quantile = float(student.ppf((1 + LEVEL) / 2, len(found) - 1))
    return quantile * float(found.std(ddof=1)) / math.sqrt(len(found))


def _rival(
    name: str, other: Array, settings: str, gain: float, half: float, units: int, per: str
) -> Rival:
    if not settings.strip():
        raise ValueError(f"{name}: say how it was run and how its settings were chosen")
    value = float(other.mean())
    return Rival(name, value, settings, gain, gain - half, gain + half, units, per)
