"""Frame networks with a vector for each frame: the two halves of a codec of sound.

::

    (rows, samples) ──analysis──> (rows, places * numbers)
    (rows, samples) <──synthesis── (rows, places * numbers)

Unlike in ``frames``, no layer joins all places. Both halves therefore accept signals of any length,
and a place depends only on its neighborhood.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lowerbound.networks.base import Conditioned, Decoder, Encoder, check_condition
from lowerbound.networks.initialization import linear
from lowerbound.networks.signals.frames import CALM, Analysis, Frames, Neighbors, Synthesis

SOFT = -1.0  # logarithm of a frame's magnitudes: amplitudes of sound are well below 1


class FrameMapEncoder(Encoder):
    """Signal to vectors, one for each frame, side by side.

    Args:
        options: of the network.
        numbers: of each frame.
        condition_dim: numbers of the condition.
    """

    def __init__(self, options: Frames, numbers: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.analysis = Analysis(options, condition_dim)
        self.heads = linear(options.width, numbers, CALM)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        vectors: Tensor = self.heads(self.analysis(x.flatten(1), condition))
        return vectors.flatten(1)


class FrameMapDecoder(Conditioned, Decoder):
    """Vectors, one for each frame, side by side, to a signal.

    Args:
        options: of the network.
        numbers: of each frame.
        parameter_shape: parameters of the likelihood of a training row; the output for another
            number of frames is one sequence of as many hops.
        condition_dim: numbers of the condition: a bias on every frame.
    """

    def __init__(
        self,
        options: Frames,
        numbers: int,
        parameter_shape: tuple[int, ...],
        condition_dim: int = 0,
    ) -> None:
        super().__init__()
        self.parameter_shape = tuple(parameter_shape)
        self.numbers = numbers
        self.synthesis = Synthesis(options, SOFT)
        self.places = self.synthesis.transform.places(math.prod(parameter_shape))
        self.start = Neighbors(numbers, options.width)
        self.start_condition(condition_dim, options.width)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        features = self.start(z.unflatten(1, (-1, self.numbers)))
        features = self.conditioned(features, condition)
        places, transform = features.shape[1], self.synthesis.transform
        if places != self.places:
            signal: Tensor = self.synthesis(features, places * transform.hop) + self.bias
            return signal
        whole = self.synthesis(features, math.prod(self.parameter_shape)) + self.bias
        shaped: Tensor = whole.unflatten(1, self.parameter_shape)
        return shaped

    @property
    def output_bias(self) -> nn.Parameter:
        """One number for all samples."""
        return self.bias

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Start from the mean of ``bias``, (*parameter_shape)."""
        self.bias.fill_(bias.mean())
