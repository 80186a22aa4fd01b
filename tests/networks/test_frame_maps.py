"""Halves with a vector for each frame: any length, and only the neighborhood of a frame decides."""

from __future__ import annotations

import torch

from lowerbound.networks import Frames
from lowerbound.networks.frame_maps import FrameMapDecoder, FrameMapEncoder

OPTIONS = Frames(hop=8, overlap=3, width=12, depth=2)
NUMBERS = 5


def halves(samples: int = 80) -> tuple[FrameMapEncoder, FrameMapDecoder]:
    torch.manual_seed(0)
    encoder = FrameMapEncoder(OPTIONS, NUMBERS).double()
    return encoder, FrameMapDecoder(OPTIONS, NUMBERS, (samples,)).double()


def test_shapes_for_rows_and_for_signals_of_any_length() -> None:
    encoder, decoder = halves(77)
    for samples, places in ((77, 10), (8, 1), (200, 25)):
        vectors = encoder(torch.randn(2, samples, dtype=torch.float64))
        assert vectors.shape == (2, places * NUMBERS)
        made = decoder(vectors)
        assert made.shape == (2, 77 if places == 10 else places * 8)


def test_only_the_neighborhood_decides() -> None:
    encoder, decoder = halves()
    reach = encoder.analysis.reach
    assert reach == decoder.synthesis.reach
    signal = torch.randn(1, 400, dtype=torch.float64)
    changed = signal.clone()
    changed[0, 200:208] += 1.0  # frame 25
    vectors, others = (encoder(x).unflatten(1, (-1, NUMBERS))[0] for x in (signal, changed))
    differ = (vectors != others).any(1).nonzero().flatten()
    assert differ.min() >= 25 - reach
    assert differ.max() <= 25 + reach
    codes = torch.randn(1, 50, NUMBERS, dtype=torch.float64)
    moved = codes.clone()
    moved[0, 25] += 1.0
    made, other = (decoder(z.flatten(1))[0] for z in (codes, moved))
    differ = (made != other).nonzero().flatten()
    assert differ.min() >= (25 - reach) * 8
    assert differ.max() < (26 + reach) * 8


def test_the_output_bias_is_one_number() -> None:
    _, decoder = halves()
    z = torch.randn(2, 10 * NUMBERS, dtype=torch.float64)
    before = decoder(z)
    decoder.set_output_bias(torch.arange(80.0))
    torch.testing.assert_close(decoder(z) - before, torch.full_like(before, 39.5))


def test_a_condition_reaches_every_frame() -> None:
    encoder = FrameMapEncoder(OPTIONS, NUMBERS, 3)
    decoder = FrameMapDecoder(OPTIONS, NUMBERS, (80,), 3)
    x, told = torch.randn(2, 80), torch.randn(2, 3)
    vectors = encoder(x, told)
    assert ((vectors - encoder(x, told + 1)).unflatten(1, (10, -1)).abs().sum(2) > 0).all()
    made = decoder(vectors, told) - decoder(vectors, told + 1)
    assert (made.unflatten(1, (10, -1)).abs().sum(2) > 0).all()
