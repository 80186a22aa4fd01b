"""Layers in whole numbers: near the layer they stand in for, and the same however they are run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lowerbound.applications.compression.exact_layers import DIGIT, EXACT, TWO_DIGITS, ExactLayer
from lowerbound.distributions.reparameterization import seeded
from tests.applications.compression.small_codecs import without_onednn


def layers() -> tuple[nn.Linear, nn.Conv2d]:
    with seeded(1):
        return nn.Linear(300, 40), nn.Conv2d(16, 24, 3, padding=1)


def inputs(layer: nn.Module, signed: bool) -> Tensor:
    with seeded(2):
        x = torch.randn(8, 300) if isinstance(layer, nn.Linear) else torch.randn(8, 16, 9, 9)
    return x if signed else x.relu()


def each_way(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The same rows by one and two threads, one by one, otherwise stored, by another backend, in
    an order of sums of its own, and in the precision of another type."""
    found = {"plain": layer(x), "one by one": torch.cat([layer(row[None]) for row in x])}
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(threads, 2))
        found["threads"] = layer(x)
    finally:
        torch.set_num_threads(threads)
    with without_onednn():
        found["without oneDNN"] = layer(x)
    if x.dim() == 4:
        found["channels last"] = layer(x.contiguous(memory_format=torch.channels_last))
    else:
        found["not contiguous"] = layer(x.t().contiguous().t())
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found["medium precision"] = layer(x)
    finally:
        torch.set_float32_matmul_precision(precision)
    return found


def equal(found: dict[str, Tensor]) -> bool:
    return all(torch.equal(found["plain"], other) for other in found.values())


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("place", [0, 1])
def test_near_the_layer_and_the_same_everywhere(place: int, signed: bool) -> None:
    layer = layers()[place]
    x = inputs(layer, signed)
    exact = ExactLayer(layer, float(x.abs().max()), signed)
    assert equal(each_way(exact, x))
    expected = layer(x)
    error = (exact(x) - expected).square().mean().sqrt() / expected.std()
    assert error < 0.02


def test_a_layer_of_floats_fails_the_same_test() -> None:
    assert not any(equal(each_way(layer, inputs(layer, True))) for layer in layers())


def test_two_digits_resolve_what_one_cannot() -> None:
    layer = nn.Linear(4, 4)
    x = 1e-3 * torch.arange(-8.0, 8.0).unsqueeze(1).expand(-1, 4)
    coarse, fine = (ExactLayer(layer, 2.0, signed)(x) for signed in (False, True))
    error = [(found - layer(x)).abs().max() for found in (coarse, fine)]
    assert error[1] < error[0] / 2


@pytest.mark.parametrize("loud", [1.0, 1e6])
def test_no_sum_passes_what_floats_hold(loud: float) -> None:
    layer = nn.Linear(5000, 3)
    with torch.no_grad():
        layer.weight.fill_(loud).mul_(torch.tensor([[1.0], [-1.0], [0.0]]))
        layer.bias.fill_(loud)
    exact = ExactLayer(layer, 1.0, signed=False)
    reach = DIGIT * exact.weight.abs().sum(1) + exact.bias.abs()
    assert bool((reach < EXACT).all())
    x = torch.ones(1, 5000)
    torch.testing.assert_close(exact(x), layer(x), rtol=0.03, atol=0.03 * loud)


@pytest.mark.parametrize("convolved", [False, True])
def test_against_sums_in_integers(convolved: bool) -> None:
    """The same in int64, where nothing rounds."""
    layer = layers()[convolved]
    x = inputs(layer, True)
    exact = ExactLayer(layer, 2.0, signed=True)
    whole = torch.round(x / exact.step).clamp(-TWO_DIGITS, TWO_DIGITS).double()
    operation: Callable[..., Tensor] = nn.functional.conv2d if convolved else nn.functional.linear
    more = {"padding": 1} if convolved else {}
    sums = operation(whole, exact.weight.double(), **more)
    shape = (1, -1, 1, 1) if convolved else (1, -1)
    total = sums + exact.bias.double().view(shape)
    assert torch.equal(total, total.round())
    assert torch.equal(exact(x), (total * exact.scale.double().view(shape)).float())
