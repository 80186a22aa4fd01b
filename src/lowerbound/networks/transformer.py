"""Transformers over the patches of a picture, or over groups of a vector's features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.activations import ACTIVATIONS
from lowerbound.networks.attention import transformer_blocks
from lowerbound.networks.base import (
    NETWORKS,
    Conditioned,
    Decoder,
    Encoder,
    Network,
    beside,
    check_condition,
)
from lowerbound.networks.initialization import QUIET, linear
from lowerbound.networks.pictures.patches import Patches
from lowerbound.networks.sizes import attention_heads, token_width


@NETWORKS.register("transformer")
@dataclass(frozen=True)
class Transformer(Network):
    """Self-attention among the patches of a picture, each at a learned position.

    ::

        picture ─cut──> patches ─map + positions─> tokens ─blocks─> every token ─> heads
        picture <─join─ patches <──────map──────── tokens <─blocks─ every token <─ latent

    The heads depend on every token, and the latent sets every token. A mean over tokens, a summary
    token, or one projection of the latent for all positions lower the bound on MNIST after 200
    updates by 42, 47 and 53 nats (49 patches). A vector is cut into groups of features.
    """

    patch: int | None = option(
        None, "side of a patch, or features per token of a vector; sized from the data unless given"
    )
    width: int | None = option(None, "numbers per token; sized from the data unless given")
    depth: int = option(3, "blocks in each half")
    heads: int | None = option(None, "attention heads; one per 32 of the width unless given")
    mlp_ratio: float = option(2.0, "hidden units of a block's perceptron, as a multiple of width")
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        for name in ("patch", "width", "depth", "heads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"{name} of a transformer is at least 1, not {value}")
        if self.mlp_ratio <= 0:
            raise OptionError(f"mlp_ratio is a positive number, not {self.mlp_ratio}")
        if self.width and self.heads and self.width % self.heads:
            raise OptionError(f"{self.heads} heads do not divide a width of {self.width}")

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> TransformerEncoder:
        patches = Patches.of(event_shape, self.patch)
        width = self._width(patches)
        return TransformerEncoder(patches, self._blocks(width), width, numbers, condition_dim)

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> TransformerDecoder:
        patches = Patches.of(parameter_shape, self.patch)
        width = self._width(patches)
        return TransformerDecoder(
            patches, self._blocks(width), width, latent_dim, parameter_shape, condition_dim
        )

    def _width(self, patches: Patches) -> int:
        if self.width is not None:
            return self.width
        return token_width(patches.tokens * patches.numbers, self.heads or 1)

    def _blocks(self, width: int) -> nn.Sequential:
        heads = self.heads or attention_heads(width)
        inner = max(round(self.mlp_ratio * width), 1)
        return transformer_blocks(self.depth, width, heads, inner, self.activation)


class TransformerEncoder(Conditioned, Encoder):
    """Picture or vector to numbers; the condition is added to every token."""

    def __init__(
        self,
        patches: Patches,
        blocks: nn.Sequential,
        width: int,
        numbers: int,
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.embed = linear(patches.numbers, width, bias=False)
        self.positions = nn.Parameter(torch.randn(patches.tokens, width) * QUIET)
        self.start_condition(condition_dim, width)
        self.blocks = blocks
        self.heads = linear(patches.tokens * width, numbers, QUIET)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        pictures = x.reshape(x.shape[0], *self.patches.picture)
        tokens = self.embed(self.patches.cut(pictures)) + self.positions
        tokens = self.conditioned(tokens, condition)
        numbers: Tensor = self.heads(self.blocks(tokens).flatten(1))
        return numbers

    @property
    def output_layer(self) -> nn.Linear:
        return self.heads


class TransformerDecoder(Decoder):
    """Latent to picture or vector; the condition is concatenated to the latent.

    The bias of the first map holds the positions.
    """

    def __init__(
        self,
        patches: Patches,
        blocks: nn.Sequential,
        width: int,
        latent_dim: int,
        parameter_shape: tuple[int, ...],
        condition_dim: int,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.parameter_shape = tuple(parameter_shape)
        self.condition_dim = condition_dim
        self.start = linear(latent_dim + condition_dim, patches.tokens * width)
        nn.init.normal_(self.start.bias, std=QUIET)
        self.blocks = blocks
        self.map_out = linear(width, patches.numbers, QUIET, bias=False)
        self.bias = nn.Parameter(torch.zeros(patches.picture))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        start = self.start(beside(z, condition, self.condition_dim))
        tokens = self.blocks(start.unflatten(1, (self.patches.tokens, -1)))
        pictures = self.patches.join(self.map_out(tokens)) + self.bias
        return pictures.reshape(z.shape[0], *self.parameter_shape)

    @property
    def output_layer(self) -> nn.Linear:
        return self.map_out

    @property
    def output_bias(self) -> nn.Parameter:
        return self.bias
