"""How large the parts of a transform coder are."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.transform.block_transform import BlockTransform
from lowerbound.networks.transform.restoration import Restoration

BLOCKS = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class TransformSizes:
    """Options of a transform coder beside the numbers of a block that are kept."""

    block: int = option(16, "pixels of a block's side; fewer where a picture has fewer")
    width: int = option(128, "channels of the prior's networks")
    restoration: int = option(64, "channels of the network that takes errors out of the picture")
    depth: int = option(2, "residual blocks of that network")
    grain: float = option(0.0, "share of the missing texture that is drawn anew, 0 to 1")

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise OptionError(f"block is one of {', '.join(map(str, BLOCKS))}, not {self.block}")
        if min(self.width, self.restoration, self.depth) < 1:
            raise OptionError("width, restoration and depth are at least 1")
        if not 0 <= self.grain <= 1:
            raise OptionError(f"grain is a share, 0 to 1, not {self.grain}")

    def fitting(self, event_shape: tuple[int, ...]) -> int:
        """A block that the picture is as large as."""
        fitting = [side for side in BLOCKS if side <= min(self.block, *event_shape[1:])]
        return max(fitting, default=BLOCKS[0])

    def coefficients(self, event_shape: tuple[int, ...]) -> int:
        """Numbers of a block."""
        return int(event_shape[0]) * self.fitting(event_shape) ** 2

    def build(self, event_shape: tuple[int, ...], kept: int) -> tuple[BlockTransform, Restoration]:
        """The transform, and what the decoder adds."""
        block = self.fitting(event_shape)
        return (
            BlockTransform(event_shape[0], block, kept),
            Restoration(event_shape[0], block, self.restoration, self.depth, self.grain),
        )
