"""A residual perceptron as denoiser, for latents that are vectors."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import silu

from lowerbound.networks.denoisers.base import (
    DENOISERS,
    Denoiser,
    DenoiserSizes,
    Modulation,
    TimeAndPrompt,
)
from lowerbound.networks.processor.matrix_products import AffineMap

EMBEDDING = 128
DEPTH = 4


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
        width = sizes.width or _width(numbers)
        self.embedding = TimeAndPrompt(sizes, EMBEDDING)
        self.prompts = self.embedding.prompts
        self.first = AffineMap(numbers, width)
        self.blocks = nn.ModuleList(ModulatedLayers(width) for _ in range(sizes.depth or DEPTH))
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


def _width(numbers: int) -> int:
    """32 sqrt(numbers) in steps of 32, from 128 to 1024: 192 for 32 numbers."""
    return min(max(32 * math.ceil(math.sqrt(numbers)), 128), 1024)
