"""Sound at other speeds: sines, scipy's resampling, and the rows that training sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from lowerbound.data import Dataset, load
from lowerbound.data.audio.clips import Clips, at_speeds, drawn_speeds, usual_windows
from lowerbound.data.audio.kind import learned, rows_of
from lowerbound.errors import OptionError
from lowerbound.objectives import OBJECTIVES
from lowerbound.training import TrainingOptions
from lowerbound.training.feed import Feed, speed_change

RATE = 800


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def sound() -> Dataset:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE).astype(np.float32)
    windows = usual_windows(RATE)
    return rows_of(Clips((samples,), RATE, ("a",)), learned(RATE, windows), windows)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.25, 2.0])
def test_a_pitch_is_divided_by_the_factor(factor: float) -> None:
    time = torch.arange(400, dtype=torch.float64)
    row = 0.7 * torch.sin(2 * np.pi * 0.1 * time)  # whole periods, so that its end meets its start
    found = at_speeds(row[None], [factor])[0]
    assert torch.allclose(found, 0.7 * torch.sin(2 * np.pi * 0.1 / factor * time), atol=1e-9)


@pytest.mark.parametrize("samples", [240, 241])
@pytest.mark.parametrize("factor", [0.75, 0.9, 1.1, 1.25])
def test_as_scipy_resamples(factor: float, samples: int) -> None:
    row = np.random.default_rng(0).uniform(-0.2, 0.2, samples)
    whole = signal.resample(row, round(samples * factor))
    expected = np.resize(whole, samples)  # cut, or continued by its own beginning
    found = at_speeds(torch.from_numpy(row)[None], [factor])[0].numpy()
    # the last frequency of an even grid is real in both, but weighed differently
    assert np.abs(found - expected).max() < 0.02


def test_each_row_has_its_own_speed_and_amplitudes_stay_in_their_range() -> None:
    rows = torch.where(torch.rand(3, 500, generator=noise()) < 0.5, -1.0, 1.0)
    found = at_speeds(rows, [0.8, 1.0, 1.25])
    assert found.shape == rows.shape
    assert torch.allclose(found[1], rows[1], atol=1e-5)
    assert float(found.abs().max()) <= 1
    assert at_speeds(rows[:0], []).shape == (0, 500)


def test_slower_is_as_likely_as_faster() -> None:
    logs = np.log(drawn_speeds(0.25, 20_000, noise())) / np.log(1.25)
    assert np.abs(logs).max() <= 1
    assert logs.mean() == pytest.approx(0, abs=0.02)
    assert logs.var() == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize(
    ("objective", "given", "expected"),
    [
        ("spectral", None, 0.25),
        ("spectral", 0.0, 0.0),
        ("spectral", 0.5, 0.5),
        ("elbo", None, 0.0),
        ("elbo", 0.5, 0.5),
    ],
)
def test_training_changes_the_speed_of_sound_at_each_visit(
    objective: str, given: float | None, expected: float
) -> None:
    rows = sound()
    usual = OBJECTIVES[objective].speed_change
    change = speed_change(TrainingOptions(speed_change=given), rows, usual)
    assert change == expected
    feed = Feed(rows, torch.device("cpu"), torch.float32, speed_change=change)
    every, visits = torch.arange(len(rows)), noise()
    first, second = (feed.batch(every, visits).filled for _ in range(2))
    assert torch.equal(first, rows.x) == torch.equal(first, second) == (change == 0)
    assert torch.equal(feed.batch(every).filled, rows.x)  # outside training


def test_other_rows_have_no_speed() -> None:
    rows = load(np.random.default_rng(0).normal(size=(50, 4)))
    assert speed_change(TrainingOptions(), rows, 0.25) == 0
    with pytest.raises(OptionError, match="speed_change is for rows of sound"):
        speed_change(TrainingOptions(speed_change=0.1), rows, 0.25)
