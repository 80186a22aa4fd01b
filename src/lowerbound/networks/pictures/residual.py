"""Residual blocks of convolutions, without normalization."""

from __future__ import annotations

import math

from torch import Tensor, nn

from lowerbound.networks.activations import ACTIVATIONS, gain
from lowerbound.networks.initialization import convolution


class ResidualBlock(nn.Module):
    r"""h + W_2 f(W_1 f(h)), or with a bottleneck h + W_3 f(W_2 f(W_1 f(h))), (rows, width, h, w).

    There is no normalization; the last convolution starts smaller by ``scale``. With N blocks and
    scale 1/sqrt(N), the variance of the signal grows at most by a factor e (Child 2021).

    Args:
        width: channels in and out.
        kernel: of the spatial convolutions.
        activation: its name.
        inner: channels inside a bottleneck of 1x1, kernel, 1x1; None for two full convolutions.
        scale: of the last convolution's initial weights.
    """

    def __init__(
        self,
        width: int,
        kernel: tuple[int, int],
        activation: str,
        inner: int | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        kernels = [kernel, kernel] if inner is None else [(1, 1), kernel, (1, 1)]
        widths = [width, *[inner or width] * (len(kernels) - 1), width]
        layers: list[nn.Module] = []
        for index, size in enumerate(kernels):
            factor = gain(activation) * (scale if index == len(kernels) - 1 else 1.0)
            layers.append(ACTIVATIONS[activation]())
            layers.append(convolution(widths[index], widths[index + 1], size, gain=factor))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.layers(features)
        return features + change


def residual_blocks(
    count: int, width: int, kernel: tuple[int, int], activation: str, bottleneck: bool, total: int
) -> list[nn.Module]:
    """``count`` of the ``total`` residual blocks of a network."""
    inner = max(width // 2, 1) if bottleneck else None
    scale = 1.0 / math.sqrt(max(total, 1))
    return [ResidualBlock(width, kernel, activation, inner, scale) for _ in range(count)]
