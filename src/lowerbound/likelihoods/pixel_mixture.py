"""What a decoder says about each pixel: K components, each with a logistic per channel."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PixelMixture(NamedTuple):
    """What the decoder says about each pixel; ``pixels`` is (height, width), or (features,).

    Attributes:
        logits: of the component, which a pixel's channels share, (samples, batch, K, *pixels).
        loc: model units, (samples, batch, K, channels, *pixels).
        scale: as loc, positive.
        slopes: of each channel's location in the channels before it, in (-1, 1),
            (samples, batch, K, channels * (channels - 1) / 2, *pixels).
    """

    logits: Tensor
    loc: Tensor
    scale: Tensor
    slopes: Tensor

    def conditional_loc(self, channel: int, before: Tensor) -> Tensor:
        """Location of a channel, (samples, batch, K, *pixels), given the channels ``before`` it.

        ``before`` is (..., at least ``channel`` channels, *pixels), model units.
        """
        loc = self.loc[:, :, :, channel]
        first = channel * (channel - 1) // 2
        for earlier in range(channel):
            loc = loc + self.slopes[:, :, :, first + earlier] * before[:, :, :, earlier]
        return loc

    def repeated(self, count: int) -> PixelMixture:
        """The same mixture ``count`` times along the samples."""
        return PixelMixture(*(part.expand(count, *part.shape).flatten(0, 1) for part in self))

    def at_component(self, component: Tensor) -> PixelMixture:
        """The mixture with K = 1, the ``component`` (samples, batch, 1, *pixels) of each pixel."""
        index = component.unsqueeze(3)
        loc, scale, slopes = (
            part.gather(2, index.expand(*index.shape[:3], part.shape[3], *index.shape[4:]))
            for part in self[1:]
        )
        return PixelMixture(self.logits.gather(2, component), loc, scale, slopes)
