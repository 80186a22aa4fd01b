"""The coefficients that a pass through a transform coder has decided so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from lowerbound.distributions.rounded_logistic import RoundedLogistic


@dataclass(frozen=True)
class KnownCoefficients:
    """The state of a pass.

    Attributes:
        level: level of each row's step, (rows,), or of each block's step, (rows, *blocks).
        step: size of that step in grey values, (rows, 1, 1, 1) or (rows, 1, *blocks).
        blocks: height and width of the map of blocks.
        values: coefficients of each group so far, whole numbers, zero if not yet known,
            (rows, group, *blocks).
        locations: locations of their priors, of the same shape.
        log_scales: log scales of their priors, of the same shape.
    """

    level: Tensor
    step: Tensor
    blocks: tuple[int, int]
    values: tuple[Tensor, ...] = ()
    locations: tuple[Tensor, ...] = ()
    log_scales: tuple[Tensor, ...] = ()

    def __len__(self) -> int:
        return len(self.level)

    def settled(
        self, turn: int, at: Tensor, z: Tensor, expected: RoundedLogistic
    ) -> KnownCoefficients:
        """Add the blocks ``at`` of the next group, or of the newest group in its second turn."""

        def more(groups: tuple[Tensor, ...], new: Tensor) -> tuple[Tensor, ...]:
            new = new.reshape(len(self), *new.shape[2:])
            if not turn:
                groups = (*groups, new.new_zeros(*new.shape[:2], *self.blocks))
            *before, last = groups
            return (*before, last.flatten(2).index_copy(2, at.to(new.device), new).view_as(last))

        return replace(
            self,
            values=more(self.values, z),
            locations=more(self.locations, expected.location),
            log_scales=more(self.log_scales, expected.log_scale),
        )

    def repeated(self, times: int) -> KnownCoefficients:
        """Repeat the state for each of several draws."""

        def again(x: Tensor) -> Tensor:
            return x.repeat(times, *[1] * (x.dim() - 1))

        def all_again(groups: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(map(again, groups))

        return KnownCoefficients(
            again(self.level),
            again(self.step),
            self.blocks,
            all_again(self.values),
            all_again(self.locations),
            all_again(self.log_scales),
        )
