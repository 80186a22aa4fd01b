r"""The rise of the weight of the rate over a run, once or in cycles.

With t the finished share of the run, M cycles and a warm-up over the share R of each cycle, the
weight is multiplied by

.. math:: \min\left(1, \frac{\tau}{R}\right), \qquad
          \tau = M t - \min(\lfloor M t \rfloor, M - 1)

One cycle is the linear warm-up of Bowman et al. 2016. Several cycles are those of Fu et al. 2019
(their choice is M = 4 and R = 0.5): each starts without a cost of the rate, from latents that the
cycle before has made informative.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lowerbound.errors import OptionError

SHARE_OF_CYCLE = 0.5  # R of Fu et al. 2019


@dataclass(frozen=True)
class WarmUp:
    """The schedule.

    Attributes:
        share: R, 0 to 1; 0: the weight is constant.
        cycles: M.
    """

    share: float = 0.0
    cycles: int = 1

    @classmethod
    def of(cls, share: float | None, cycles: int) -> WarmUp:
        """The schedule of these options; without a share, several cycles have that of the paper.

        Raises:
            OptionError: a value is out of range, or cycles have no warm-up to repeat.
        """
        if cycles < 1:
            raise OptionError(f"cycles must be at least 1, not {cycles}")
        if share is None:
            share = SHARE_OF_CYCLE if cycles > 1 else 0.0
        if not 0.0 <= share <= 1.0:
            raise OptionError(f"warm_up is a share of the run, 0 to 1, not {share}")
        if cycles > 1 and share == 0.0:
            raise OptionError(
                f"cycles={cycles} repeats the warm-up, and warm_up=0 has none: "
                "set warm_up above 0, or leave one of the two out"
            )
        return cls(share, cycles)

    @property
    def end(self) -> float:
        """Share of the run after which the weight no longer changes."""
        return (self.cycles - 1 + self.share) / self.cycles

    def factor(self, progress: Tensor) -> Tensor:
        """The factor of the weight at a finished share of the run, 0 to 1."""
        done = progress * self.cycles
        within = done - done.floor().clamp_max(self.cycles - 1)
        return (within / self.share).clamp_max(1.0)
