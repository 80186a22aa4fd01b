"""Codecs of telephones: bytes that their standards say, and sound that comes back in time."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.signal import correlate

from lowerbound.applications.compression import sound_comparison
from lowerbound.applications.compression.sound_comparison import (
    RIVALS,
    Telephone,
    amr,
    available,
    lag,
    opus,
    resampled,
)
from lowerbound.data.arrays import Array

EXTRA = "pip install 'lowerbound[sound]'"
FRAME_BYTES = (13, 14, 16, 18, 20, 21, 27, 32)  # of AMR-NB's eight modes, 20 ms (RFC 4867)


def needs(*names: str) -> None:
    pytest.importorskip("av", reason=EXTRA)
    if missing := set(names) - set(available()[0]):
        pytest.skip(f"this PyAV has no {missing}")


def voice(rate: int, seconds: float = 1.5) -> Array:
    """Harmonics of a gliding pitch, in bursts."""
    times = np.arange(int(rate * seconds)) / rate
    turns = 2 * np.pi * (200 * times + 30 * np.sin(4 * times))
    tones = sum(np.sin(k * turns) / k for k in range(1, 9))
    return np.float32(0.2 * tones * np.sin(2 * np.pi * 3 * times) ** 2)


@pytest.mark.parametrize(("mode", "size"), list(enumerate(FRAME_BYTES)))
def test_amr_takes_what_its_standard_says(mode: int, size: int) -> None:
    needs("AMR-NB")
    call = RIVALS["AMR-NB"][mode].encoded(voice(8000), 8000)
    assert len(call) in (75 * size, 76 * size)  # the encoder looks 5 ms ahead


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050])
@pytest.mark.parametrize("telephone", [opus(32_000), amr(12_200)], ids=lambda one: one.title)
def test_what_is_heard_is_in_time(telephone: Telephone, rate: int) -> None:
    """To a quarter of a millisecond: encoders look 5 ms ahead and more."""
    needs(telephone.title.split()[0])
    heard, said = telephone.encoded(voice(rate), rate).heard(), voice(rate)
    assert (heard.dtype, len(heard)) == (np.float32, len(said))
    late = int(np.argmax(correlate(heard, said))) - (len(said) - 1)
    assert abs(late) <= rate / 4000


@pytest.mark.parametrize("rate", [200, 8000, 11_025, 48_000])
def test_a_moment_is_as_long_as_it_was(rate: int) -> None:
    needs("Opus", "AMR-NB")
    for telephone in (opus(6000), amr(4750)):
        moment = voice(rate, 0.035)
        assert len(telephone.encoded(moment, rate).heard()) == len(moment)


def test_nothing_of_the_signal_is_lost_before_it_is_sent() -> None:
    taken = [opus(6000).taken(rate) for rate in (200, 8000, 11_025, 22_050, 48_000, 96_000)]
    assert taken == [8000, 8000, 12_000, 24_000, 48_000, 48_000]


def test_more_bits_are_more_bytes() -> None:
    needs("Opus")
    sizes = [len(opus(bits).encoded(voice(8000), 8000)) for bits in (3000, 6000, 12_000, 48_000)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("late", [0, 52, 700])
def test_lag(late: int) -> None:
    sound = np.random.default_rng(0).normal(size=8000).astype(np.float32)
    assert lag(np.concatenate([np.zeros(late), sound]), sound, 8000) == late


def test_nothing_is_heard_before_it_is_said() -> None:
    """Of a signal shorter than the latest that is looked at, the other end means earlier."""
    sound = np.random.default_rng(0).normal(size=300).astype(np.float32)
    assert lag(sound[40:], sound, 8000) < 260


def test_resampled() -> None:
    def tone(rate: int) -> Array:
        return np.sin(2 * np.pi * 30 * np.arange(2 * rate) / rate).astype(np.float32)

    found = resampled(tone(200), 200, 8000)
    middle = slice(4000, 12_000)
    np.testing.assert_allclose(found[middle], tone(8000)[middle], atol=0.01)
    assert resampled(found, 8000, 8000) is found


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason=EXTRA)
    odd = Telephone("Odd 1", "libodd", "odd", 1, (8000,))
    monkeypatch.setattr(sound_comparison, "RIVALS", {"Opus": RIVALS["Opus"], "Odd": (odd,)})
    found, left_out = available()
    assert "Odd" not in found
    assert left_out[-1] == "Odd is left out: this PyAV has no codec libodd"


def test_without_pyav_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    found, (sentence,) = available()
    assert found == ()
    assert sentence == f"Opus and AMR-NB are left out: PyAV is not installed; run: {EXTRA}"
