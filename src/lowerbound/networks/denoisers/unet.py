"""The U-Net of ``diffusers`` as denoiser, for latents that are maps."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import pad

from lowerbound.networks.denoisers.base import DENOISERS, Denoiser, DenoiserSizes
from lowerbound.networks.denoisers.library import diffusers
from lowerbound.networks.prompts import prompt_embedding

WIDTH = 64
DEPTH = 2  # residual blocks of each level
CHANNELS_PER_GROUP = 8
SMALLEST_SIDE = 4
MOST_LEVELS = 4


@DENOISERS.register("unet")
class UNetDenoiser(Denoiser):
    """``diffusers.UNet2DModel``, with attention at its two coarsest levels.

    Each level halves the sides down to 4 pixels, at most 4 levels; the first has ``width``
    channels, the others twice as many. Maps whose sides do not halve evenly are padded with zeros.
    The prompt's embedding is added to that of the time. With ``sizes.beside``, x has that many
    further channels, which are seen and not predicted.

    Source: Ronneberger et al. 2015; Ho et al. 2020.
    """

    axes = (3,)

    def __init__(self, sizes: DenoiserSizes) -> None:
        super().__init__(sizes)
        channels, *sides = sizes.shape
        width = sizes.width or WIDTH
        levels = _levels(max(sides))
        self.stride = 2 ** (levels - 1)
        self.unit = 1000 / sizes.timesteps
        self.prompts = prompt_embedding(sizes.vocabulary, 4 * width)
        self.unet = _unet(
            (channels + sizes.beside, channels),
            width,
            levels,
            sizes.depth or DEPTH,
            self.prompts is not None,
        )
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)
        self.activations = 24 * width * math.prod(sides)

    def forward(self, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        height, width = x.shape[2:]
        padded = pad(x, (0, -width % self.stride, 0, -height % self.stride))
        known = None if self.prompts is None else self.prompts(prompt)
        prediction: Tensor = self.unet(padded, self.unit * t, known, return_dict=False)[0]
        return prediction[:, :, :height, :width]


def _unet(channels: tuple[int, int], width: int, levels: int, depth: int, prompted: bool) -> Any:
    groups = math.gcd(width, max(width // CHANNELS_PER_GROUP, 1))
    attends = [level >= levels - 2 for level in range(levels)]
    return diffusers().UNet2DModel(
        in_channels=channels[0],
        out_channels=channels[1],
        block_out_channels=tuple(width if level == 0 else 2 * width for level in range(levels)),
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        layers_per_block=depth,
        norm_num_groups=groups,
        attn_norm_num_groups=groups,
        resnet_time_scale_shift="scale_shift",  # a time that is added before a norm fades in it
        attention_head_dim=math.gcd(width, 32),
        class_embed_type="identity" if prompted else None,
    )


def _levels(side: int) -> int:
    """Levels of a map: each halves its sides, which stay at 4 or more."""
    return max(1, min(MOST_LEVELS, 1 + int(math.log2(max(side, 1) / SMALLEST_SIDE))))
