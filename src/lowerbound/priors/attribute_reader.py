"""What the latent of a row shows of its attributes, where nothing else is known of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowerbound.data.labels import UNKNOWN

WIDTH, DROPOUT = 256, 0.2
MOST_SIDE = 8  # of maps, which are averaged to it


class AttributeReader(nn.Module):
    r"""p(y_f | z) of every field f, each by itself.

    .. math:: \log p(y_f = k \mid z) = W_f h + b_f - \log Z, \qquad h = f(f(x)), \;
        x = (z - m) / s

    with two hidden layers f, and dropout in training.

    Args:
        sizes: number of values of each field.
        shape: of a latent, (numbers,) or (channels, height, width).
    """

    def __init__(self, sizes: Sequence[int], shape: Sequence[int]) -> None:
        super().__init__()
        self.sizes, self.shape = tuple(sizes), tuple(shape)
        self.reduced = (self.shape[0], *(min(side, MOST_SIDE) for side in self.shape[1:]))
        numbers = int(torch.tensor(self.reduced).prod())
        self.layers = nn.Sequential(
            nn.Linear(numbers, WIDTH),
            nn.SiLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, sum(self.sizes)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits of the values of each field, (rows, values), of standardized latents."""
        if len(self.shape) == 3 and self.reduced != self.shape:
            _, height, width = self.reduced
            x = F.adaptive_avg_pool2d(x.unflatten(1, self.shape), (height, width)).flatten(1)
        return torch.split(self.layers(x).float(), list(self.sizes), 1)

    def loss(self, x: Tensor, prompt: Tensor) -> Tensor:
        """-log p of the known fields, summed, (rows,), of standardized latents and fields."""
        each = [
            F.cross_entropy(logits, codes, reduction="none", ignore_index=UNKNOWN)
            for logits, codes in zip(self(x), prompt.unbind(1), strict=True)
        ]
        return torch.stack(each).sum(0)

    @torch.no_grad()
    def read(self, x: Tensor, prompt: Tensor) -> Tensor:
        """The fields of prompts, (rows, fields); unknown ones get their likeliest value."""
        likeliest = torch.stack([logits.argmax(1) for logits in self(x)], 1)
        return torch.where(prompt == UNKNOWN, likeliest, prompt)
