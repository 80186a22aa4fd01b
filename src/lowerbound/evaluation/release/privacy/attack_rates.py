"""The outcome of attacks on single people: successes on training rows against a control group."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lowerbound.evaluation.intervals import (
    LEVEL,
    Interval,
    difference,
    normal_quantile,
    wilson,
)

FAMILIES = 3  # singling out, linkability and inference


@dataclass(frozen=True)
class AttackRate:
    """Success rates of one attack.

    Attributes:
        attack: its name.
        target: what was guessed or linked, in words.
        training: success rate on training rows, with its score interval.
        control: on rows of the same source that were not used.
        excess: training minus control.
        attempts: number of attempts on training rows.
    """

    attack: str
    target: str
    training: Interval
    control: Interval
    excess: Interval
    attempts: int

    @classmethod
    def of(
        cls,
        attack: str,
        target: str,
        training: tuple[int, int],
        control: tuple[int, int],
        tests: int = 1,
    ) -> AttackRate:
        """Rates of (successes, attempts) on either group.

        Args:
            attack, target: names.
            training, control: successes and attempts.
            tests: number of attacks of this family. The intervals are so wide that, with 95 %
                confidence, those of all attacks of the three families hold together (Bonferroni).
        """
        level = 1 - (1 - LEVEL) / (FAMILIES * tests)
        first, second = wilson(*training, level), wilson(*control, level)
        return cls(attack, target, first, second, difference(first, second), training[1])

    def with_spread(self, spread: float) -> AttackRate:
        """The same, with the interval of the excess from its standard deviation."""
        value, half = self.excess.value, normal_quantile(1 - (1 - LEVEL) / FAMILIES) * spread
        return replace(self, excess=Interval(value, value - half, value + half))

    @property
    def significant(self) -> bool:
        """Whether training rows are attacked with more success than chance explains."""
        return self.excess.low > 0

    @property
    def risk(self) -> float:
        """(training - control) / (1 - control), the share of what a control does not explain."""
        left = 1 - self.control.value
        return max(self.excess.value, 0.0) / left if left else 0.0
