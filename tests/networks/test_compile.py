"""Every network compiles into one graph; the bf16 rounding is the same as uncompiled."""

from __future__ import annotations

import shutil

import pytest
import torch

from lowerbound.networks import NETWORKS
from tests.networks.test_every_network import every_network, nudge, reading

pytestmark = [  # torch's own
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex"),
]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


def compare(name: str, shape: tuple[int, ...], backend: str, condition_dim: int) -> None:
    """Values and gradients of both halves in bf16, compiled against uncompiled."""
    torch.compiler.reset()
    network = NETWORKS[name]()
    features = reading(name, torch.randn(4, *shape))
    encoder = network.encoder(features.shape[1:], 9, condition_dim)
    decoder = network.decoder(9, shape, condition_dim)
    nudge(encoder)
    nudge(decoder)
    condition = torch.randn(4, condition_dim) if condition_dim else None

    def loss(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            decoded = decoder(encoder(x, condition), condition)
        return decoded.float().square().mean()

    parameters = [*encoder.parameters(), *decoder.parameters()]
    expected = loss(features)
    gradients = torch.autograd.grad(expected, parameters)
    compiled = torch.compile(loss, fullgraph=True, backend=backend)(features)
    torch.testing.assert_close(compiled, expected, rtol=0.02, atol=1e-4)
    for got, want in zip(torch.autograd.grad(compiled, parameters), gradients, strict=True):
        assert (got - want).norm() <= 0.1 * want.norm() + 1e-6


@pytest.mark.slow
@every_network
def test_one_graph(name: str) -> None:
    compare(name, (3, 7, 5), "eager", 2)


@needs_compiler
@pytest.mark.long
@every_network
@pytest.mark.parametrize("shape", [(64,), (1, 28, 28), (3, 33, 17)], ids=str)
def test_every_network_compiled_by_the_compiler(name: str, shape: tuple[int, ...]) -> None:
    for condition_dim in (0, 2):
        compare(name, shape, "inductor", condition_dim)
