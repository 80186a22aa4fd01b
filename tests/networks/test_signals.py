"""The short-time transform: perfect reconstruction, spectra as scipy's, lengths of all kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.networks.signals import ShortTime


@pytest.mark.parametrize(("hop", "overlap"), [(16, 2), (16, 3), (10, 4), (7, 5)])
@pytest.mark.parametrize("samples", [1, 15, 16, 100, 333])
def test_signals_come_back(hop: int, overlap: int, samples: int) -> None:
    transform = ShortTime(hop, overlap).double()
    signal = torch.randn(2, samples, dtype=torch.float64)
    spectra = transform.spectra(transform.frames(signal))
    assert spectra.shape == (2, transform.places(samples), transform.bins)
    torch.testing.assert_close(transform.signal(spectra, samples), signal, rtol=1e-9, atol=1e-9)


def test_frames_lie_where_they_should() -> None:
    transform = ShortTime(4, 3)
    signal = torch.arange(1.0, 13.0).unsqueeze(0)
    frames = transform.frames(signal)[0]
    silence = torch.zeros(4)
    torch.testing.assert_close(frames[0], torch.cat([silence, signal[0, :8]]))
    torch.testing.assert_close(frames[1], signal[0])
    torch.testing.assert_close(frames[2], torch.cat([signal[0, 4:], silence]))


def test_spectra_are_those_of_numpy() -> None:
    transform = ShortTime(8, 2).double()
    frames = torch.randn(1, 1, 16, dtype=torch.float64)
    places = (np.arange(16) + 0.5) / 16
    wanted = np.fft.rfft(frames[0, 0].numpy() * np.sin(np.pi * places) ** 2)
    np.testing.assert_allclose(transform.spectra(frames)[0, 0].numpy(), wanted, atol=1e-6)


def test_the_nearest_signal_is_found() -> None:
    """Spectra of no signal: no small change of the answer comes nearer to them."""
    transform = ShortTime(6, 3).double()
    shape = (1, 5, transform.bins)
    given = torch.randn(*shape, dtype=torch.float64) + 0j
    # a real frame's first and last bins are real, and inner bins stand for two
    weights = torch.full((transform.bins,), 2.0, dtype=torch.float64)
    weights[0] = weights[-1] = 1.0
    answer = transform.signal(given, 30).requires_grad_()
    apart = (transform.spectra(transform.frames(answer)) - given).abs().square() * weights
    (slope,) = torch.autograd.grad(apart.sum(), answer)
    # at the ends the frames that would lie outside are missing from the given
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-6, rtol=0)
