r"""Frame networks with a vector for each frame: the two halves of a codec of sound.

::

    (rows, samples) ──analysis──> (rows, places * numbers)
    (rows, samples) <──synthesis── (rows, places * numbers)

Unlike in ``signals``, no layer joins all places. Both halves therefore accept signals of any
length, and a place depends only on its neighborhood. Beside both lies a linear path, from log
magnitudes to a frame's vector, and back:

.. math:: z = A \log |X| + a + f(x), \qquad \log |\hat X| = W z + w + g(z)

with f and g the encoder and the decoder. Before the first update both maps are set to the principal
components of log magnitudes, weighed by the resolution of hearing, and f and g start small. All are
then trained together. Loudness of voices that were not learned from is thus kept as well as by
principal components, which networks fitted to few voices do not.

A gated recurrent unit over sequences of one length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data.audio.clips import BREAK
from lowerbound.networks.base import Conditioned, Decoder, Encoder, check_condition
from lowerbound.networks.initialization import linear
from lowerbound.networks.matrix_products import AffineMap
from lowerbound.networks.signals import CALM, Analysis, Frames, Neighbors, Synthesis


class GatedRecurrentUnit(nn.Module):
    r"""h_t = (1 - u) * n + u * h_{t-1}, with gates of the input and of the state before it.

    .. math::
        r, u = \sigma(W x_t + V h_{t-1}), \qquad n = \tanh(W' x_t + r * V' h_{t-1})

    The maps of all inputs are one matrix product, so that each step has only one more. It gives the
    numbers of ``torch.nn.GRU``, in less time on a processor and also for per-row gradients.

    Args:
        inputs: numbers of a place.
        width: numbers of the state.

    Source: Cho et al. 2014.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.of_input = linear(inputs, 3 * width)
        self.of_state = linear(width, 3 * width)

    def forward(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The states, (rows, places, width).

        Args:
            inputs: (rows, places, numbers).
            state: before the first place, (rows, width).
        """
        mapped, states = self.of_input(inputs), []
        for each in mapped.unbind(1):
            state = self._next(each, state)
            states.append(state)
        return torch.stack(states, 1)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The next state, (rows, width)."""
        return self._next(self.of_input(inputs), state)

    def _next(self, mapped: Tensor, state: Tensor) -> Tensor:
        gates, new = mapped.split([2 * self.width, self.width], 1)
        kept_gates, kept_new = self.of_state(state).split([2 * self.width, self.width], 1)
        reset, update = torch.sigmoid(gates + kept_gates).chunk(2, 1)
        new = torch.tanh(new + reset * kept_new)
        return new + update * (state - new)


LEAST = 1e-6  # variance of a component
QUIETER = 0.1  # gain of the networks' part beside a linear path, at the start
SOFT = -1.0  # logarithm of a frame's magnitudes: amplitudes of sound are well below 1


class LateMap(nn.Module):
    """An affine map that is absent, and gives None, until ``open``.

    A model folder holds nothing of an absent map.

    Args:
        inputs, outputs: sizes.
    """

    affine: nn.Linear | None
    place: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.register_buffer("place", torch.empty(0), persistent=False)
        self.register_module("affine", None)
        self.register_load_state_dict_pre_hook(_as_stored)  # type: ignore[no-untyped-call]

    def open(self) -> nn.Linear:
        """Make the map where the model is."""
        self.affine = AffineMap(self.inputs, self.outputs).to(self.place)
        return self.affine

    def close(self) -> None:
        """Make it absent."""
        self.affine = None

    def forward(self, x: Tensor) -> Tensor | None:
        return None if self.affine is None else self.affine(x)


def _as_stored(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(module, LateMap)
    stored = f"{prefix}affine.weight" in state
    if stored and module.affine is None:
        module.open()
    elif not stored:
        module.close()


@torch.no_grad()
def start_at_components(
    analysis: LateMap, synthesis: LateMap, log_magnitudes: Tensor, rate: float
) -> None:
    r"""Open both maps at the principal components of log magnitudes.

    With components V of weighed log magnitudes and the root c of their mean variance, A = V / c
    and W is its inverse. One c for all components leaves more bits to those that vary more.

    Args:
        analysis: from bins to numbers.
        synthesis: from numbers to bins.
        log_magnitudes: of frames, (frames, bins).
        rate: samples per second.
    """
    values = log_magnitudes.double()
    weights = hearing(values.shape[1], rate).to(values)
    mean = values.mean(0)
    apart = (values - mean) * weights
    variances, vectors = torch.linalg.eigh(apart.T @ apart / max(1, len(apart)))
    used = min(analysis.outputs, len(variances))
    variances, vectors = variances.flip(0)[:used], vectors.flip(1)[:, :used]
    scale = variances.mean().clamp_min(LEAST).sqrt()
    inward, outward = analysis.open(), synthesis.open()
    for layer in (inward, outward):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    forth = (vectors * weights[:, None] / scale).T
    inward.weight[:used] = forth.to(inward.weight)
    inward.bias[:used] = -(forth @ mean).to(inward.bias)
    outward.weight[:, :used] = (vectors * scale / weights[:, None]).to(outward.weight)
    outward.bias.copy_(mean)


def hearing(bins: int, rate: float) -> Tensor:
    """The root of the mel scale's density at each frequency, with mean square 1, (bins,)."""
    frequencies = torch.linspace(0, rate / 2, bins, dtype=torch.float64)
    density = 1 / (BREAK + frequencies)
    return (density / density.mean()).sqrt()


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
