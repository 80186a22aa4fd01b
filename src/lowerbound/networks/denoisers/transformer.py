"""A transformer over patches as denoiser, for latents that are maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from lowerbound.networks.attention import Attention
from lowerbound.networks.denoisers.base import (
    DENOISERS,
    Denoiser,
    DenoiserSizes,
    Modulation,
    TimeAndPrompt,
)
from lowerbound.networks.processor.matrix_products import AffineMap
from lowerbound.networks.sizes import attention_heads

WIDTH = 192
DEPTH = 6
MOST_TOKENS = 64  # of a map whose pixels are tokens; larger maps take patches of 2 x 2


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
        numbers = sizes.width or WIDTH
        even = height % 2 == 0 and width % 2 == 0
        self.patch = 2 if even and height * width > MOST_TOKENS else 1
        tokens = height * width // self.patch**2
        self.embedding = TimeAndPrompt(sizes, numbers)
        self.prompts = self.embedding.prompts
        self.first = nn.Conv2d(channels, numbers, self.patch, self.patch)
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens, numbers))
        self.blocks = nn.ModuleList(ModulatedBlock(numbers) for _ in range(sizes.depth or DEPTH))
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
