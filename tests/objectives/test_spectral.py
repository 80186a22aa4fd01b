"""Log mel spectra by hand, and the objective that compares them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowerbound.data.audio.clips import LogMel, mel_triangles
from lowerbound.data.audio.kind import learned
from lowerbound.data.sequences.windows import Windows
from lowerbound.errors import OptionError
from lowerbound.fitting.assembly import assemble
from lowerbound.models.options import ModelOptions
from lowerbound.objectives import ELBO, Spectral
from lowerbound.trace import Batch


def test_a_louder_sound_is_as_far_as_its_factor() -> None:
    """Magnitudes are linear, so ten times as loud is 1 everywhere above the floor."""
    ear = LogMel(8000)
    noise = torch.randn(2, 4000)
    torch.testing.assert_close(ear.distance(10 * noise, noise), torch.ones(2))
    torch.testing.assert_close(ear.distance(-noise, noise), torch.zeros(2))


def test_silence_is_at_the_floor() -> None:
    assert (LogMel(8000)(torch.zeros(1, 1000)) == -5).all()


def test_loudness_is_that_of_numpy() -> None:
    ear, signal = LogMel(8000, 64, 20, 8), torch.randn(1, 300)
    padded = np.pad(signal[0].numpy().astype(np.float64), 32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    starts = range(0, 300 + 1, 20)
    spectra = np.stack([np.fft.rfft(padded[i : i + 64] * window) for i in starts], 1)
    wanted = np.log10(np.maximum(ear.triangles.double().numpy() @ np.abs(spectra), 1e-5))
    np.testing.assert_allclose(ear(signal)[0].numpy(), wanted, atol=1e-4)


def test_triangles_peak_where_the_mel_scale_is_even() -> None:
    triangles = mel_triangles(8000, 4096, 20)
    frequencies = torch.linspace(0, 4000, 2049)[triangles.argmax(1)]
    mel = 2595 * torch.log10(1 + frequencies / 700)
    top = 2595 * np.log10(1 + 4000 / 700)
    torch.testing.assert_close(mel, torch.arange(1, 21) * top / 21, atol=5.0, rtol=0)
    assert triangles.max() <= 1
    # neighbors share what lies between their peaks
    inner = triangles.sum(0)[int(frequencies[0] / 4000 * 2048) + 1 : 1800]
    torch.testing.assert_close(inner, torch.ones_like(inner), atol=1e-4, rtol=0)


def test_the_loss_is_the_bound_and_the_distance() -> None:
    torch.manual_seed(0)
    schema = learned(400, Windows(200, 200))
    options = ModelOptions(model="autoencoder", network_options={"hop": 16, "width": 8})
    model = assemble(schema, options)
    batch = Batch(torch.randn(3, 200))
    objective = Spectral(weight=7.0, scales=(32, 64))
    objective.hear(400)
    found, bound = objective(model, batch), ELBO()(model, batch)
    made = model(batch).likelihood.mean[0]
    apart = [LogMel(400, length).distance(made, batch.x).mean() for length in (32, 64)]
    expected = bound.loss + 7.0 * 200 * torch.stack(apart).mean()
    torch.testing.assert_close(found.loss, expected)
    torch.testing.assert_close(found.value, bound.value)


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"scales": ()}, {"scales": (4,)}], ids=str)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="at least 8 samples"):
        Spectral(**options)  # type: ignore[arg-type]
