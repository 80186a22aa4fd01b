"""Frame networks with a vector for each frame: the two halves of a codec of sound.

::

    (rows, samples) ──analysis──> (rows, places * numbers)
    (rows, samples) <──synthesis── (rows, places * numbers)

Unlike in ``frames``, no layer joins all places. Both halves therefore accept signals of any length,
and a place depends only on its neighborhood. Beside both lies a linear path; see ``loudness``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lowerbound.networks.base import Conditioned, Decoder, Encoder, check_condition
from lowerbound.networks.initialization import linear
from lowerbound.networks.signals.frames import CALM, Analysis, Frames, Neighbors, Synthesis
from lowerbound.networks.signals.loudness import LateMap, start_at_components

QUIETER = 0.1  # gain of the networks' part beside a linear path, at the start
SOFT = -1.0  # logarithm of a frame's magnitudes: amplitudes of sound are well below 1


class FrameMapEncoder(Encoder):
    """Signal to vectors, one for each frame, side by side.

    Args:
        options: of the network.
        numbers: of each frame.
        condition_dim: numbers of the condition.
        starts_linear: whether training starts at the linear path.
    """

    def __init__(
        self, options: Frames, numbers: int, condition_dim: int = 0, starts_linear: bool = True
    ) -> None:
        super().__init__()
        self.starts_linear = starts_linear
        self.condition_dim = condition_dim
        self.analysis = Analysis(options, condition_dim)
        self.heads = linear(options.width, numbers, CALM)
        self.loudness = LateMap(self.analysis.transform.bins, numbers)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        analysis = self.analysis
        frames = analysis.transform.frames(x.flatten(1))
        magnitudes = analysis.log_magnitudes(frames)
        vectors: Tensor = self.heads(analysis.features(frames, magnitudes, condition))
        straight = self.loudness(magnitudes)
        return (vectors if straight is None else vectors + straight).flatten(1)


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
        self.loudness = LateMap(numbers, self.synthesis.transform.bins)
        self.start_condition(condition_dim, options.width)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        check_condition(condition, self.condition_dim)
        vectors = z.unflatten(1, (-1, self.numbers))
        features = self.conditioned(self.start(vectors), condition)
        places, transform = features.shape[1], self.synthesis.transform
        other = places != self.places
        samples = places * transform.hop if other else math.prod(self.parameter_shape)
        signal: Tensor = self.synthesis(features, samples, self.loudness(vectors)) + self.bias
        return signal if other else signal.unflatten(1, self.parameter_shape)

    @property
    def output_bias(self) -> nn.Parameter:
        """One number for all samples."""
        return self.bias

    @torch.no_grad()
    def set_output_bias(self, bias: Tensor) -> None:
        """Start from the mean of ``bias``, (*parameter_shape)."""
        self.bias.fill_(bias.mean())

    @torch.no_grad()
    def start_from_frames(self, encoder: FrameMapEncoder, x: Tensor, rate: float) -> None:
        """Start an encoder, and this decoder as its inverse, from principal components, unless the
        encoder has no linear path.

        Args:
            encoder: of the same network.
            x: rows, (rows, *event).
            rate: samples per second.
        """
        if not encoder.starts_linear:
            return
        frames = encoder.analysis.transform.frames(x.flatten(1))
        magnitudes = encoder.analysis.log_magnitudes(frames).flatten(0, 1)
        start_at_components(encoder.loudness, self.loudness, magnitudes, rate)
        encoder.heads.weight.mul_(QUIETER)
        self.synthesis.magnitude.weight.mul_(QUIETER)
