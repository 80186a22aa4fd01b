r"""Networks for signals: sound and other rows that are one long sequence, frame by frame.

::

    signal ──frames──> spectra and samples ──blocks──> (places, width)
    signal <──add── spectra <── magnitudes and phases <──blocks── (places, width)

Each hop of the signal has one place, which depends on its neighbors. The decoder returns a log
magnitude and a phase for each frequency, as in Siuzdak 2024. Both ends are the same fixed
transform, which loses no information, the short-time Fourier transform: a signal as spectra of
overlapping frames, and back.

::

    signal      [ hop ][ hop ][ hop ][ hop ]
    frame 0  00000[  taper ]
    frame 1       [     taper     ]
    frame 2              [     taper     ]

.. math::
    X_k = \mathcal F (w \cdot x_{k h - p} \ldots), \qquad
    \hat x = \frac{\sum_k w \cdot \mathcal F^{-1} X_k}{\sum_k w^2}

with each frame's inverse at its own place. For the spectra of a signal, x-hat = x. For other
spectra, x-hat is the signal whose spectra are nearest (Griffin & Lim 1984).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from lowerbound.config import option
from lowerbound.errors import OptionError
from lowerbound.networks.base import (
    NETWORKS,
    Conditioned,
    Decoder,
    Encoder,
    Network,
    beside,
    check_condition,
)
from lowerbound.networks.initialization import ACTIVATIONS, QUIET, linear

CALM = 0.58  # gain of maps before sums that start small; torch's default is 1 / sqrt(3)
FAINT = 1e-3  # magnitude below which a spectrum counts as silence
LOUDEST = 6.0  # logarithm of the largest magnitude, which is far above full scale


class ShortTime(nn.Module):
    """Frames of ``overlap`` hops each, one beginning at every hop, tapered by a Hann window.

    Args:
        hop: samples from one frame to the next.
        overlap: length of a frame in hops, at least 2.
    """

    taper: Tensor

    def __init__(self, hop: int, overlap: int = 3) -> None:
        super().__init__()
        self.hop, self.overlap = hop, overlap
        places = (torch.arange(self.length, dtype=torch.float64) + 0.5) / self.length
        self.register_buffer("taper", torch.sin(torch.pi * places).square().float(), False)

    @property
    def length(self) -> int:
        """Number of samples of a frame."""
        return self.hop * self.overlap

    @property
    def bins(self) -> int:
        """Number of frequencies of a spectrum."""
        return self.length // 2 + 1

    def places(self, samples: int) -> int:
        """Number of frames of a signal with that many samples."""
        return -(-samples // self.hop)

    def frames(self, signal: Tensor) -> Tensor:
        """(rows, samples) to (rows, places, length), not tapered; silence surrounds the signal."""
        places = self.places(signal.shape[1])
        before = (self.overlap - 1) // 2
        after = places + self.overlap - 1 - before
        filled = pad(signal, (before * self.hop, after * self.hop - signal.shape[1]))
        hops = filled.unflatten(1, (-1, self.hop))
        shifted = [hops[:, first : first + places] for first in range(self.overlap)]
        return torch.cat(shifted, 2)

    def spectra(self, frames: Tensor) -> Tensor:
        """The spectra of tapered frames, (rows, places, bins), complex."""
        if not len(frames):  # the transform library refuses empty input
            nothing = frames[..., : self.bins]
            return torch.complex(nothing, nothing)
        spectra: Tensor = torch.fft.rfft(frames * self.taper)
        return spectra

    def signal(self, spectra: Tensor, samples: int) -> Tensor:
        """The signal of that many samples whose spectra are nearest, (rows, samples)."""
        if not len(spectra):
            return spectra.real.new_zeros(0, samples)
        frames = torch.fft.irfft(spectra, n=self.length) * self.taper
        squares = self.taper.square().expand(1, frames.shape[1], -1)
        start = (self.overlap - 1) // 2 * self.hop
        whole = self._added(frames) / self._added(squares)
        return whole[:, start : start + samples]

    def _added(self, frames: Tensor) -> Tensor:
        """Overlapping frames added up at their places, (rows, samples)."""
        hops = frames.unflatten(2, (self.overlap, self.hop))
        last = self.overlap - 1
        shifted = [pad(hops[:, :, i], (0, 0, i, last - i)) for i in range(self.overlap)]
        return torch.stack(shifted).sum(0).flatten(1)


@NETWORKS.register("frames")
@dataclass(frozen=True)
class Frames(Network):
    """Short-time spectra, residual blocks over neighboring frames, and spectra again.

    A row of any shape is treated as one sequence. With ``--model vq_vae`` each frame has its own
    codes, so a model fitted on rows of one length accepts signals of any length.
    """

    hop: int = option(160, "samples from one frame to the next: codes per second times this")
    overlap: int = option(3, "hops that a frame is long")
    width: int = option(256, "numbers per frame between the blocks")
    depth: int = option(4, "residual blocks in each half")
    activation: str = option("silu", "nonlinearity: " + ", ".join(ACTIVATIONS))

    def __post_init__(self) -> None:
        ACTIVATIONS[self.activation]
        if min(self.hop, self.width) < 1 or self.overlap < 2 or self.depth < 0:
            raise OptionError(
                "frames need a hop and a width of at least 1, an overlap of 2 and a depth of 0, "
                f"not {self.hop}, {self.width}, {self.overlap} and {self.depth}"
            )

    @property
    def transform(self) -> ShortTime:
        """The fixed transform at both ends."""
        return ShortTime(self.hop, self.overlap)

    def encoder(
        self, event_shape: tuple[int, ...], numbers: int, condition_dim: int = 0
    ) -> FrameEncoder:
        return FrameEncoder(self, event_shape, numbers, condition_dim)

    def decoder(
        self, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int = 0
    ) -> FrameDecoder:
        return FrameDecoder(self, latent_dim, parameter_shape, condition_dim)

    def blocks(self) -> list[nn.Module]:
        """The residual blocks of one half."""
        return [NeighborBlock(self.width, self.activation) for _ in range(self.depth)]


class Neighbors(nn.Module):
    """W [h_{k-1}, h_k, h_{k+1}] at each place k, (rows, places, inputs) to (rows, places, outputs).

    Places before the first and after the last are zero.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.map = linear(3 * inputs, outputs, CALM)

    def forward(self, features: Tensor) -> Tensor:
        around = pad(features, (0, 0, 1, 1))
        answer: Tensor = self.map(torch.cat([around[:, :-2], features, around[:, 2:]], 2))
        return answer


class NeighborBlock(nn.Module):
    """h + W_2 f(W_1 [f(n_{k-1}), f(n_k), f(n_{k+1})]), n = h normalized, (rows, places, width).

    Args:
        width: numbers per place.
        activation: its name.
    """

    def __init__(self, width: int, activation: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            ACTIVATIONS[activation](),
            Neighbors(width, width),
            ACTIVATIONS[activation](),
            linear(width, width, QUIET * CALM),
        )

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.layers(features)
        return features + change


class Analysis(Conditioned):
    """A signal, (rows, samples), to features of its frames, (rows, places, width)."""

    def __init__(self, options: Frames, condition_dim: int = 0) -> None:
        super().__init__()
        self.transform = options.transform
        self.spectrum = linear(self.transform.bins, options.width, CALM)
        self.wave = linear(self.transform.length, options.width, CALM, bias=False)
        self.start_condition(condition_dim, options.width)
        self.blocks = nn.Sequential(*options.blocks(), nn.LayerNorm(options.width))

    @property
    def reach(self) -> int:
        """At least the number of frames on either side that a frame depends on."""
        return len(self.blocks) + self.transform.overlap

    def forward(self, signal: Tensor, condition: Tensor | None = None) -> Tensor:
        frames = self.transform.frames(signal)
        return self.features(frames, self.log_magnitudes(frames), condition)

    def log_magnitudes(self, frames: Tensor) -> Tensor:
        """log |X|, bounded below, (rows, places, bins)."""
        spectra = self.transform.spectra(frames)
        power: Tensor = spectra.real.square() + spectra.imag.square() + FAINT**2
        return 0.5 * power.log()

    def features(
        self, frames: Tensor, log_magnitudes: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """Features of frames, (rows, places, length), and of their log magnitudes."""
        check_condition(condition, self.condition_dim)
        loudness = (frames.square().mean(2, keepdim=True) + 10 * FAINT**2).sqrt()
        features = self.spectrum(0.5 * log_magnitudes + 0.5) + self.wave(frames / loudness)
        answer: Tensor = self.blocks(self.conditioned(features, condition))
        return answer


class Synthesis(nn.Module):
    """Features of frames, (rows, places, width), to the signal, (rows, samples).

    Args:
        options: of the network.
        start: log magnitude near which training starts.
    """

    def __init__(self, options: Frames, start: float = 0.0) -> None:
        super().__init__()
        self.start = start
        self.transform = options.transform
        self.blocks = nn.Sequential(*options.blocks(), nn.LayerNorm(options.width))
        self.magnitude = linear(options.width, self.transform.bins, CALM)
        self.phase = linear(options.width, self.transform.bins, CALM)

    @property
    def reach(self) -> int:
        """At least the number of frames on either side that a frame depends on."""
        return len(self.blocks) + self.transform.overlap

    def forward(
        self, features: Tensor, samples: int, log_magnitudes: Tensor | None = None
    ) -> Tensor:
        """The signal; ``log_magnitudes`` are to be added to the network's, in place of ``start``,
        (rows, places, bins)."""
        features = self.blocks(features)
        magnitude, phase = self.magnitude(features), self.phase(features)
        magnitude = magnitude + (self.start if log_magnitudes is None else log_magnitudes)
        if magnitude.dtype == torch.bfloat16:
            magnitude, phase = magnitude.float(), phase.float()
        spectra = torch.polar(magnitude.clamp_max(LOUDEST).exp(), phase)
        return self.transform.signal(spectra, samples)


class FrameEncoder(Encoder):
    """Row to numbers; the heads depend on all frames."""

    def __init__(
        self, options: Frames, event_shape: tuple[int, ...], numbers: int, condition_dim: int
    ) -> None:
        super().__init__()
        self.condition_dim = condition_dim
        self.analysis = Analysis(options, condition_dim)
        places = self.analysis.transform.places(math.prod(event_shape))
        self.heads = linear(places * options.width, numbers, QUIET)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        numbers: Tensor = self.heads(self.analysis(x.flatten(1), condition).flatten(1))
        return numbers


class FrameDecoder(Decoder):
    """Latent to row; the condition is concatenated to the latent."""

    def __init__(
        self, options: Frames, latent_dim: int, parameter_shape: tuple[int, ...], condition_dim: int
    ) -> None:
        super().__init__()
        self.parameter_shape = tuple(parameter_shape)
        self.condition_dim = condition_dim
        self.synthesis = Synthesis(options)
        self.places = self.synthesis.transform.places(math.prod(parameter_shape))
        self.start = linear(latent_dim + condition_dim, self.places * options.width)
        self.bias = nn.Parameter(torch.zeros(self.parameter_shape))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        start = self.start(beside(z, condition, self.condition_dim))
        features = start.unflatten(1, (self.places, -1))
        signal = self.synthesis(features, math.prod(self.parameter_shape))
        shaped: Tensor = signal.unflatten(1, self.parameter_shape) + self.bias
        return shaped

    @property
    def output_bias(self) -> nn.Parameter:
        return self.bias
