"""How alike drawn and real rows of a table are, as a model folder keeps it."""

from __future__ import annotations

from dataclasses import dataclass

CHANCE = 0.5


@dataclass(frozen=True)
class Likeness:
    """AUROC with which boosting distinguishes drawn rows of a table from real ones.

    Attributes:
        rows: number of rows of each.
        area: AUROC; 0.5: it cannot distinguish them, 1: it always does.
        low, high: the 95 % interval.
        unseen: whether the real rows were held out of the fit.
    """

    rows: int
    area: float
    low: float
    high: float
    unseen: bool = False

    @property
    def sentence(self) -> str:
        """The finding in words."""
        meaning = "0.5: it cannot, 1: always"
        real = "held-out" if self.unseen else "fitted"
        if self.high < CHANCE and not self.unseen:
            meaning += ", below 0.5: drawn rows resemble single fitted ones"
        return (
            f"boosting distinguishes {self.rows:,} drawn rows from {self.rows:,} {real} ones with "
            f"an AUROC of {self.area:.3f} (95 % interval {self.low:.3f} to {self.high:.3f}; "
            f"{meaning})"
        )
