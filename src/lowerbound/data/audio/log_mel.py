r"""Log-mel spectrograms: the loudness of a sound by pitch and time, on a perceptual scale.

.. math::
    \ell = \log_{10} \max(M |\mathcal F(w \cdot x)|, 10^{-5}), \qquad
    d(x, y) = \frac{1}{n} \|\ell(x) - \ell(y)\|_1

M is a matrix of triangular filters, evenly spaced on mel(f) = 2595 log10(1 + f / 700), with peaks
of 1. The magnitude is not squared. A distance of 0.05 is 1 dB on average.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BREAK = 700.0  # Hz, from which the mel scale is logarithmic
FLOOR = 1e-5
USUAL_RATE = 8000  # default sample rate
TINY = 1e-12  # added in the square root, whose slope at zero is infinite


class LogMel(nn.Module):
    """Maps signals, (rows, samples), to (rows, bands, times), with silence before and after.

    Args:
        rate: samples per second.
        length: samples of a frame, under a Hann window.
        hop: samples from one frame to the next; None: 5/16 of the length.
        bands: number of filters; None: 40 for a length of 256, and in proportion to the length.
    """

    window: Tensor
    triangles: Tensor

    def __init__(
        self, rate: int, length: int = 256, hop: int | None = None, bands: int | None = None
    ) -> None:
        super().__init__()
        self.length = length
        self.hop = hop or max(1, length * 5 // 16)
        bands = bands or max(1, length * 40 // 256)
        self.register_buffer("window", torch.hann_window(length), False)
        self.register_buffer("triangles", mel_triangles(rate, length, bands), False)

    def forward(self, signals: Tensor) -> Tensor:
        spectra = torch.stft(
            signals.to(self.window),
            self.length,
            self.hop,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        magnitudes = (spectra.real.square() + spectra.imag.square() + TINY).sqrt()
        loudness: Tensor = (self.triangles @ magnitudes).clamp_min(FLOOR).log10()
        return loudness

    def distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """The distance d of each row, (rows,)."""
        apart: Tensor = (self(ours) - self(theirs)).abs()
        return apart.flatten(1).mean(1)


def mel_triangles(rate: int, length: int, bands: int) -> Tensor:
    """The filters M, (bands, length // 2 + 1)."""
    top = 2595 * torch.log10(torch.tensor(1 + rate / 2 / BREAK, dtype=torch.float64))
    corners = BREAK * (
        10 ** (torch.linspace(0, 1, bands + 2, dtype=torch.float64) * top / 2595) - 1
    )
    bins = torch.linspace(0, rate / 2, length // 2 + 1, dtype=torch.float64)
    low, peak, high = (corners[i : i + bands].unsqueeze(1) for i in range(3))
    rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
    return torch.minimum(rising, falling).clamp_min(0.0).float()
