"""How far sound is from sound: where pencil and paper know the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lowerbound.applications.compression.sound_comparison import log_mel_distance, si_sdr
from lowerbound.data.arrays import Array
from lowerbound.data.audio.clips import LogMel

TURNS = 2 * np.pi * np.arange(8000) / 8000
TONE, OTHER = np.sin(400 * TURNS), np.sin(700 * TURNS)  # orthogonal, without a mean


def noise(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.1, 8000).astype(np.float32)


@pytest.mark.parametrize("decibels", [-10, 0, 6, 30])
@pytest.mark.parametrize("scale", [1.0, -3.0, 0.01])
def test_noise_of_known_strength_has_its_ratio(decibels: float, scale: float) -> None:
    heard = scale * (TONE + OTHER * 10 ** (-decibels / 20)) + 0.3
    assert si_sdr(heard, TONE) == pytest.approx(decibels, abs=1e-9)


def test_scale_is_left_free() -> None:
    for scale in (1.0, 2.0, -0.25):  # powers of two, so that nothing is rounded
        assert si_sdr(scale * noise(), noise()) == math.inf
    assert si_sdr(0.3 * TONE, TONE) > 250


def test_silence_has_no_ratio() -> None:
    assert math.isnan(si_sdr(TONE, np.zeros(8000)))
    assert math.isnan(si_sdr(np.zeros(8000), TONE))


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_ten_times_louder_is_one(rate: int) -> None:
    """At 44,100 and 256 samples, many bands would lie between two bins and say nothing."""
    assert log_mel_distance(noise(), noise(), rate) == 0
    assert log_mel_distance(10 * noise(), noise(), rate) == pytest.approx(1, abs=1e-4)


def test_spectra_are_as_long_in_time_at_any_rate() -> None:
    ours, theirs = noise(0), noise(1)
    pair = (torch.from_numpy(ours)[None], torch.from_numpy(theirs)[None])
    for rate, length, hop in ((8000, 256, 80), (16_000, 512, 160)):
        expected = LogMel(rate, length, hop, 40).distance(*pair).item()
        assert log_mel_distance(ours, theirs, rate) == expected
