"""The linear path of frames: scikit-learn's components, and what a model folder holds of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from lowerbound.networks import Frames
from lowerbound.networks.frame_maps import (
    FrameMapDecoder,
    FrameMapEncoder,
    LateMap,
    hearing,
    start_at_components,
)

OPTIONS = Frames(hop=8, overlap=3, width=12, depth=1)
BINS, NUMBERS, RATE = 13, 4, 8000.0


def spectra(frames: int = 300) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(frames, 6) @ torch.randn(6, BINS) + 0.1 * torch.randn(frames, BINS) - 2


def opened(values: torch.Tensor, numbers: int = NUMBERS) -> tuple[LateMap, LateMap]:
    maps = LateMap(BINS, numbers), LateMap(numbers, BINS)
    start_at_components(*maps, values, RATE)
    return maps


def test_reconstruction_is_that_of_weighed_principal_components() -> None:
    values = spectra()
    analysis, synthesis = opened(values)
    codes = analysis(values)
    assert codes is not None
    found = synthesis(codes)
    assert found is not None
    weights = hearing(BINS, RATE).numpy()
    weighed = values.numpy() * weights
    reference = PCA(NUMBERS).fit(weighed)
    expected = reference.inverse_transform(reference.transform(weighed)) / weights
    assert np.abs(found.detach().numpy() - expected).max() < 1e-4
    # one scale for all: variances keep their proportions, and their mean is 1
    variances = codes.detach().numpy().var(0)
    assert variances == pytest.approx(
        reference.explained_variance_ / reference.explained_variance_.mean(), rel=0.01
    )


def test_low_frequencies_weigh_more() -> None:
    weights = hearing(BINS, RATE)
    assert float(weights.square().mean()) == pytest.approx(1)
    # twice as many mels per hertz at 0 as at 700
    assert float((hearing(8001, 16_000.0)[0] / hearing(8001, 16_000.0)[700]) ** 2) == (
        pytest.approx(2, rel=1e-3)
    )


@pytest.mark.parametrize("numbers", [4, 20])
def test_silence_and_more_numbers_than_frequencies(numbers: int) -> None:
    analysis, synthesis = opened(torch.full((5, BINS), -3.0), numbers)
    codes = analysis(torch.full((2, BINS), -3.0))
    assert codes is not None
    assert codes.shape == (2, numbers)
    assert torch.allclose(synthesis(codes), torch.full((2, BINS), -3.0), atol=1e-3)


@torch.no_grad()
def test_the_halves_start_near_the_components() -> None:
    torch.manual_seed(0)
    encoder = FrameMapEncoder(OPTIONS, BINS)
    decoder = FrameMapDecoder(OPTIONS, BINS, (400,))
    x = torch.randn(6, 400) * torch.rand(6, 1)
    frames = encoder.analysis.transform.frames(x)
    magnitudes = encoder.analysis.log_magnitudes(frames)
    apart = []
    for start in (False, True):
        if start:
            decoder.start_from_frames(encoder, x, RATE)
        heard = decoder.loudness(encoder(x).unflatten(1, (-1, BINS)))
        apart.append(0.0 if heard is None else float((heard - magnitudes).square().mean().sqrt()))
    assert 0 < apart[1] < 0.3 * float(magnitudes.std())
    assert apart[0] == 0  # absent before


def test_a_folder_holds_the_path_only_where_it_is() -> None:
    def halves() -> tuple[FrameMapEncoder, FrameMapDecoder]:
        return FrameMapEncoder(OPTIONS, NUMBERS), FrameMapDecoder(OPTIONS, NUMBERS, (80,))

    started, plain, other = halves(), halves(), halves()
    assert not any("loudness" in name for half in plain for name in half.state_dict())
    started[1].start_from_frames(started[0], torch.randn(9, 80), RATE)
    for stored in (started, plain):  # a path appears, and disappears
        for half, own, width in zip(stored, other, (80, 10 * NUMBERS), strict=True):
            own.load_state_dict(half.state_dict())
            x = torch.randn(2, width)
            assert torch.equal(half(x), own(x))
