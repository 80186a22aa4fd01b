"""Fully connected layers that normalize each hidden layer, for states that change in training."""

from __future__ import annotations

from torch import Tensor, nn

from lowerbound.networks.initialization import linear


def normalized_layers(inputs: int, width: int, layers: int, outputs: int) -> nn.Sequential:
    """Hidden layers of ``width``, each W x normalized (Ba et al. 2016) and activated by SiLU, and
    an affine output, which starts at zero."""
    made: list[nn.Module] = []
    for _ in range(layers):
        made += [linear(inputs, width), nn.LayerNorm(width), nn.SiLU()]
        inputs = width
    last = linear(inputs, outputs)
    nn.init.zeros_(last.weight)
    return nn.Sequential(*made, last)


class Joined(nn.Module):
    """Numbers from two inputs by one hidden layer, W a + V b, normalized and activated.

    Args:
        first, second: numbers of a and b.
        width: of the hidden layer.
        outputs: numbers.
    """

    def __init__(self, first: int, second: int, width: int, outputs: int) -> None:
        super().__init__()
        self.of_first, self.of_second = linear(first, width), linear(second, width, bias=False)
        self.rest = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), linear(width, outputs))

    def forward(self, first: Tensor, mapped: Tensor) -> Tensor:
        """The numbers, (rows, outputs).

        Args:
            first: a, (rows, first).
            mapped: V b, (rows, width), so that it can be computed for all times at once.
        """
        numbers: Tensor = self.rest(self.of_first(first) + mapped)
        return numbers
