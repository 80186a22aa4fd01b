"""Denoisers, the networks of a diffusion model: from a noisy x_t, t and a prompt to a prediction.

For latents that are vectors it is a residual perceptron; for maps a transformer over patches, or
the U-Net of ``diffusers``, whose noise schedules and samplers are optional too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from lowerbound.data.vocabulary import PromptVocabulary
from lowerbound.errors import MissingExtraError
from lowerbound.networks.base import attention_heads
from lowerbound.networks.matrix_products import AffineMap
from lowerbound.networks.prompts import PromptEmbedding, prompt_embedding
from lowerbound.networks.transformer import Attention
from lowerbound.registry import Registry

FREQUENCIES = 64  # of the embedding of the time
LONGEST_PERIOD = 1e4  # of these, over the shortest
TIMES = 1000  # the range that the frequencies are made for
EMBEDDING = 128  # numbers of time and prompt, in a perceptron
MLP_DEPTH = 4
TRANSFORMER_WIDTH = 192  # and depth, where the sizes leave them open
TRANSFORMER_DEPTH = 6
MOST_TOKENS = 64  # of a map whose pixels are tokens; larger maps take patches of 2 x 2
UNET_WIDTH = 64  # channels of the first level of the U-Net, if left open
UNET_DEPTH = 2  # residual blocks of each level
CHANNELS_PER_GROUP = 8
SMALLEST_SIDE = 4  # of the lowest level of the U-Net
MOST_LEVELS = 4  # of the U-Net


@dataclass(frozen=True)
class DenoiserSizes:
    """How large a denoiser is.

    Attributes:
        shape: of x: (numbers,), or (channels, height, width).
        timesteps: T; times are 0, ..., T - 1.
        vocabulary: of the prompt; empty: there is no prompt.
        width: numbers of a hidden layer, channels or numbers of a token; None: from the shape.
        depth: blocks; None: the network's default.
        beside: channels of a picture that a U-Net sees after those of x.
    """

    shape: tuple[int, ...]
    timesteps: int
    vocabulary: PromptVocabulary = field(default_factory=PromptVocabulary)
    width: int | None = None
    depth: int | None = None
    beside: int = 0


class Denoiser(nn.Module, ABC):
    """Noisy rows, times and prompts to a prediction of the noise or of v.

    Every denoiser starts at zero: its last layer has zero weights.

    Attributes:
        axes: how many axes its rows may have.
        activations: numbers that one row needs at once in a pass without gradients, roughly.
        prompts: the embedding of the prompt; None: there is no prompt.
    """

    axes: tuple[int, ...] = (1, 2, 3)
    activations: int
    prompts: PromptEmbedding | None

    @abstractmethod
    def __init__(self, sizes: DenoiserSizes) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        """The prediction.

        Args:
            x: (rows, *shape).
            t: times, (rows,) long; or (1,), the same for all rows.
            prompt: (rows, codes) long, -1 where a code is unknown; None without a prompt.

        Returns:
            (rows, *shape).
        """


class TimeAndPrompt(nn.Module):
    r"""The embedding of a time plus that of a prompt, (rows, width).

    A time t becomes sines and cosines of 64 frequencies, then goes through two layers (Ho et al.
    2020, after Vaswani et al. 2017).
    """

    frequencies: Tensor

    def __init__(self, sizes: DenoiserSizes, width: int) -> None:
        super().__init__()
        powers = torch.arange(FREQUENCIES) / FREQUENCIES
        unit = TIMES / sizes.timesteps
        frequencies = unit * torch.exp(-math.log(LONGEST_PERIOD) * powers)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.time = nn.Sequential(
            AffineMap(2 * FREQUENCIES, width), nn.SiLU(), AffineMap(width, width)
        )
        self.prompts = prompt_embedding(sizes.vocabulary, width)

    def forward(self, t: Tensor, prompt: Tensor | None) -> Tensor:
        angles = t.unsqueeze(1) * self.frequencies
        embedding: Tensor = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        return embedding if self.prompts is None else embedding + self.prompts(prompt)


class Modulation(nn.Module):
    """Shift, scale and gate of a block from the embedding, all zero at the start.

    A block whose gate is zero is the identity. Source: Peebles & Xie 2023 (adaLN-Zero).
    """

    def __init__(self, embedding: int, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.to_parts = AffineMap(embedding, parts * width)
        nn.init.zeros_(self.to_parts.weight)
        nn.init.zeros_(self.to_parts.bias)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.to_parts(embedding).chunk(self.parts, 1)
        return found


DENOISERS: Registry[type[Denoiser]] = Registry("network of a diffusion prior")


def diffusers() -> Any:
    """The library ``diffusers``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import diffusers as library
    except ImportError as error:
        raise MissingExtraError("diffusers", "diffusion") from error
    return library


class ModulatedLayers(nn.Module):
    """h + gate * W_2 f(W_1 (N(h) (1 + scale) + shift)), N a layer norm and f silu."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.layers = nn.Sequential(
            AffineMap(width, 2 * width), nn.SiLU(), AffineMap(2 * width, width)
        )
        self.modulation = Modulation(EMBEDDING, width, 3)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(embedding)
        changed: Tensor = h + gate * self.layers(self.norm(h) * (1 + scale) + shift)
        return changed


@DENOISERS.register("mlp")
class MLPDenoiser(Denoiser):
    """Residual blocks of two layers each, modulated by the embedding of time and prompt.

    Source: the pattern of TabSyn (Zhang et al. 2024), with residual blocks.
    """

    def __init__(self, sizes: DenoiserSizes) -> None:
        super().__init__(sizes)
        numbers = math.prod(sizes.shape)
        # 32 sqrt(numbers) in steps of 32, from 128 to 1024: 192 for 32 numbers
        width = sizes.width or min(max(32 * math.ceil(math.sqrt(numbers)), 128), 1024)
        self.embedding = TimeAndPrompt(sizes, EMBEDDING)
        self.prompts = self.embedding.prompts
        self.first = AffineMap(numbers, width)
        self.blocks = nn.ModuleList(ModulatedLayers(width) for _ in range(sizes.depth or MLP_DEPTH))
        self.norm = nn.LayerNorm(width)
        self.last = AffineMap(width, numbers)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.activations = 8 * width + 4 * numbers

    def forward(self, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        embedding = silu(self.embedding(t, prompt))
        h = self.first(x.flatten(1))
        for block in self.blocks:
            h = block(h, embedding)
        prediction: Tensor = self.last(self.norm(h)).reshape(x.shape)
        return prediction


class ModulatedBlock(nn.Module):
    """Attention, then a perceptron, each with shift, scale and gate from the embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attend = Attention(width, attention_heads(width), 1.0)
        self.think = nn.Sequential(
            AffineMap(width, 4 * width), nn.GELU("tanh"), AffineMap(4 * width, width)
        )
        self.modulation = Modulation(width, width, 6)

    def forward(self, tokens: Tensor, embedding: Tensor) -> Tensor:
        parts = [part.unsqueeze(1) for part in self.modulation(embedding)]
        tokens = tokens + parts[2] * self.attend(self.norm(tokens) * (1 + parts[1]) + parts[0])
        inner = self.norm(tokens) * (1 + parts[4]) + parts[3]
        changed: Tensor = tokens + parts[5] * self.think(inner)
        return changed


@DENOISERS.register("transformer")
class TransformerDenoiser(Denoiser):
    """DiT: a transformer over the patches of a map, modulated by time and prompt (adaLN-Zero).

    It is our own because the DiT of ``diffusers`` takes square maps and one class only.

    Source: Peebles & Xie 2023.
    """

    axes = (3,)

    def __init__(self, sizes: DenoiserSizes) -> None:
        super().__init__(sizes)
        channels, height, width = sizes.shape
        numbers = sizes.width or TRANSFORMER_WIDTH
        even = height % 2 == 0 and width % 2 == 0
        self.patch = 2 if even and height * width > MOST_TOKENS else 1
        tokens = height * width // self.patch**2
        self.embedding = TimeAndPrompt(sizes, numbers)
        self.prompts = self.embedding.prompts
        self.first = nn.Conv2d(channels, numbers, self.patch, self.patch)
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens, numbers))
        self.blocks = nn.ModuleList(
            ModulatedBlock(numbers) for _ in range(sizes.depth or TRANSFORMER_DEPTH)
        )
        self.norm = nn.LayerNorm(numbers)
        self.last = AffineMap(numbers, channels * self.patch**2)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.activations = tokens * (12 * numbers + 2 * tokens)

    def forward(self, x: Tensor, t: Tensor, prompt: Tensor | None = None) -> Tensor:
        embedding = silu(self.embedding(t, prompt))
        tokens = self.first(x).flatten(2).transpose(1, 2) + self.places
        for block in self.blocks:
            tokens = block(tokens, embedding)
        patches = self.last(self.norm(tokens)).transpose(1, 2)
        coarse = patches.unflatten(2, (x.shape[2] // self.patch, -1))
        prediction: Tensor = nn.functional.pixel_shuffle(coarse, self.patch)
        return prediction


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
        width = sizes.width or UNET_WIDTH
        levels = _levels(max(sides))
        self.stride = 2 ** (levels - 1)
        self.unit = 1000 / sizes.timesteps
        self.prompts = prompt_embedding(sizes.vocabulary, 4 * width)
        self.unet = _unet(
            (channels + sizes.beside, channels),
            width,
            levels,
            sizes.depth or UNET_DEPTH,
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
