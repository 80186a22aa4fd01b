r"""Differences between decoded sound and the original: by loudness and by waveform.

- Log-mel L1, d of ``lowerbound.data.audio.log_mel``: the mean distance of log10 magnitudes in 40
  mel bands; 0.05 is 1 dB. Spectra are of 32 ms every 10 ms, or of 256 samples every 80 if this
  is longer (below 8,000 samples per second).
- Scale-invariant signal-to-distortion ratio in decibels, of signals minus their means and up to
  scale (Le Roux et al. 2019):

  .. math:: 10 \log_{10} \frac{\lVert a x \rVert^2}{\lVert \hat x - a x \rVert^2}, \qquad
            a = \frac{\hat x^\top x}{x^\top x}
"""

from __future__ import annotations

import numpy as np
import torch

from lowerbound.data.arrays import Array
from lowerbound.data.audio.log_mel import LogMel

BANDS = 40
LENGTH, OF_RATE = 256, 8000  # samples of a spectrum, at this sample rate


def log_mel_distance(heard: Array, original: Array, rate: int, length: int | None = None) -> float:
    """Log-mel L1 of two signals, (samples,) each; 0 if they are equal.

    Args:
        heard, original: amplitudes.
        rate: samples per second.
        length: samples of a spectrum; bands are in proportion. None: as above.
    """
    usual = max(LENGTH, LENGTH * rate // OF_RATE)
    length = length or usual
    ear = LogMel(rate, length, bands=BANDS * length // usual)
    return float(ear.distance(torch.from_numpy(heard)[None], torch.from_numpy(original)[None]))


def si_sdr(heard: Array, original: Array) -> float:
    """SI-SDR in decibels; infinite if only the scale differs, NaN if either is silent."""
    made, real = (signal.astype(np.float64) - signal.mean() for signal in (heard, original))
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (made @ real) / (real @ real) * real
        rest = made - along
        return float(10 * np.log10((along @ along) / (rest @ rest)))
