r"""Sound at other speeds, for training: voices and instruments that were not recorded.

A row of n samples at speed 1 / f is its spectrum on another grid, without aliases:

.. math:: y_t = x(t / f), \quad t < n, \quad x \text{ continued by its own beginning}

Its pitches and formants are divided by f, as those of a longer or shorter vocal tract. Source: Ko,
Peddinti, Povey & Khudanpur 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def at_speeds(rows: Tensor, factors: Sequence[float]) -> Tensor:
    """Rows of amplitudes in [-1, 1], (rows, samples), each longer by its factor f, and cut to their
    length; a shorter row is continued by its own beginning.

    Args:
        rows: (rows, samples).
        factors: f, positive, (rows,).
    """
    if not len(rows):  # the transform library refuses empty input
        return rows
    samples = rows.shape[1]
    spectra = torch.fft.rfft(rows)
    changed = [
        _continued(_resampled(spectrum, samples, factor), samples)
        for spectrum, factor in zip(spectra, factors, strict=True)
    ]
    return torch.stack(changed).clamp(-1, 1)


def drawn_speeds(change: float, rows: int, noise: torch.Generator) -> list[float]:
    """Factors f with log f uniform between -log(1 + change) and log(1 + change), (rows,).

    Args:
        change: 0 or more.
        rows: number of factors.
        noise: generator on the processor.
    """
    places = 2 * torch.rand(rows, generator=noise, dtype=torch.float64) - 1
    factors: list[float] = ((1 + change) ** places).tolist()
    return factors


def _resampled(spectrum: Tensor, samples: int, factor: float) -> Tensor:
    """One row on a grid of so many times the samples, (about samples * factor,)."""
    longer = max(2, round(samples * factor))
    # irfft leaves out frequencies that the new grid has no room for
    resampled: Tensor = torch.fft.irfft(spectrum, n=longer) * (longer / samples)
    return resampled


def _continued(row: Tensor, samples: int) -> Tensor:
    """The first samples of a row that repeats, (samples,)."""
    return row.repeat(-(-samples // len(row)))[:samples]
