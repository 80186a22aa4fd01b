"""What every denoiser is, and how time enters it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lowerbound.data.prompts.vocabulary import PromptVocabulary
from lowerbound.networks.processor.matrix_products import AffineMap
from lowerbound.networks.prompts import PromptEmbedding, prompt_embedding
from lowerbound.registry import Registry

FREQUENCIES = 64
LONGEST_PERIOD = 1e4
TIMES = 1000  # the range that the frequencies are made for


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
