r"""The short-time Fourier transform: a signal as spectra of overlapping frames, and back.

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

import torch
from torch import Tensor, nn
from torch.nn.functional import pad


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
