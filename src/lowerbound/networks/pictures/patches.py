"""Pictures and vectors as rows of tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import pad

from lowerbound.networks.sizes import MAX_VECTOR_TOKENS, Picture, as_picture, patch_side


@dataclass(frozen=True)
class Patches:
    """Cuts a picture into a grid of patches, one token each, and joins them again.

    If a side is not a multiple of the patch, it is padded with zeros at its end and later cropped.

    Attributes:
        picture: channels, height, width.
        patch: height and width of a patch.
    """

    picture: Picture
    patch: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, ...], side: int | None = None) -> Patches:
        """The patches of a row of that shape; a vector is cut into groups of ``side`` features."""
        if len(shape) == 1:
            group = side or math.ceil(shape[0] / MAX_VECTOR_TOKENS)
            return cls(Picture(1, 1, shape[0]), (1, min(group, shape[0])))
        picture = as_picture(shape)
        square = side or patch_side(max(picture.size))
        return cls(picture, (min(square, picture.height), min(square, picture.width)))

    @property
    def grid(self) -> tuple[int, int]:
        """Patches down and across."""
        return (
            math.ceil(self.picture.height / self.patch[0]),
            math.ceil(self.picture.width / self.patch[1]),
        )

    @property
    def tokens(self) -> int:
        """Patches per picture."""
        return math.prod(self.grid)

    @property
    def numbers(self) -> int:
        """Numbers per patch."""
        return self.picture.channels * math.prod(self.patch)

    def cut(self, pictures: Tensor) -> Tensor:
        """(rows, channels, height, width) to (rows, tokens, numbers)."""
        (down, across), (high, wide) = self.grid, self.patch
        bottom = down * high - self.picture.height
        right = across * wide - self.picture.width
        if bottom or right:
            pictures = pad(pictures, (0, right, 0, bottom))
        # rows, channels, down, high, across, wide -> rows, down, across, channels, high, wide
        cut: Tensor = pictures.unflatten(3, (across, wide)).unflatten(2, (down, high))
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)

    def join(self, tokens: Tensor) -> Tensor:
        """(rows, tokens, numbers) to (rows, channels, height, width)."""
        patch = (self.picture.channels, *self.patch)
        # rows, down, across, channels, high, wide -> rows, channels, down, high, across, wide
        grid: Tensor = tokens.unflatten(2, patch).unflatten(1, self.grid)
        pictures = grid.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return pictures[:, :, : self.picture.height, : self.picture.width]
