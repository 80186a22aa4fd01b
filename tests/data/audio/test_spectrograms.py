"""Clips as pictures: where a tone lies, what is left out, and what cannot be one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound.data import load
from lowerbound.data.audio.clips import write_wav
from lowerbound.data.audio.kind import centered, spectrogram
from lowerbound.errors import DataError, OptionError

RATE, LENGTH, SIZE = 8000, 8000, (40, 32)


def tone(hertz: float, seconds: float = 1.0, loudness: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (loudness * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 3000.0])
def test_a_tone_is_a_line_at_its_pitch(hertz: float) -> None:
    """Band b of 40 peaks at mel (b + 1) / 41 of the highest, HTK's mel; row 0 is the highest."""
    picture = spectrogram(tone(hertz), RATE, LENGTH, SIZE)
    mel = 2595 * np.log10(1 + hertz / 700) / (2595 * np.log10(1 + RATE / 2 / 700))
    assert picture.shape == SIZE
    assert picture.max() == 255
    rows = picture[:, 8:24].argmax(0)
    assert np.all(np.abs(rows - (39 - (mel * 41 - 1))) < 1.0)


def test_how_loud_it_was_recorded_is_left_out_and_silence_is_black() -> None:
    loud, quiet = (spectrogram(tone(700, loudness=a), RATE, LENGTH, SIZE) for a in (0.9, 0.05))
    assert np.abs(loud.astype(int) - quiet).max() <= 1
    assert spectrogram(np.zeros(500, np.float32), RATE, LENGTH, SIZE).max() == 0


def test_twenty_decibels_are_a_quarter_of_the_greys() -> None:
    both = np.concatenate([tone(500, 0.5, 0.5), tone(500, 0.5, 0.05)])
    brightest = spectrogram(both, RATE, LENGTH, SIZE).max(0)
    assert int(brightest[8]) - int(brightest[24]) == pytest.approx(255 / 4, abs=1)


def test_clips_lie_in_the_middle() -> None:
    np.testing.assert_array_equal(centered(np.ones(3), 7), [0, 0, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(centered(np.arange(7), 3), [2, 3, 4])
    lit = spectrogram(tone(700, 0.25), RATE, LENGTH, SIZE).max(0) > 128
    assert lit[13:19].all()
    assert not lit[:9].any()
    assert not lit[23:].any()


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, hertz in (("low", 300), ("high", 2000), ("unlabeled", 300)):
        for i in range(4):
            part = tone(hertz * rng.uniform(0.9, 1.1), rng.uniform(0.3, 0.6))
            write_wav(tmp_path / "clips" / name / f"{i}.wav", part, RATE)
    return tmp_path / "clips"


def test_folders_are_classes_and_an_earlier_fit_is_remembered(clips: Path) -> None:
    data = load(clips, spectrograms=True, image_size=(24, 16))
    assert data.schema.event_shape == (1, 24, 16)
    assert data.schema.class_names == ("high", "low")
    assert data.label is not None
    assert data.label.tolist() == [0] * 4 + [1] * 4 + [-1] * 4
    assert data.ids is not None
    assert data.ids[0] == "high/0.wav"
    again = load(clips / "low" / "2.wav", schema=data.schema)
    assert torch.equal(again.x[0], data.x[6])


def test_what_is_no_such_picture(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="spectrograms are of sound"):
        load("digits", spectrograms=True)
    pictures = load(np.zeros((5, 8, 8), np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None])
    with pytest.raises(DataError, match="is sound, but the model was fitted on other data"):
        load(clips, schema=pictures.schema)
    data = load(clips, spectrograms=True)
    write_wav(tmp_path / "other.wav", tone(300), 16000)
    with pytest.raises(DataError, match="16,000 samples per second and not 8,000"):
        load(tmp_path / "other.wav", schema=data.schema)
