"""Affine maps by oneDNN or by short factors: the numbers and gradients of torch's own."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional as F

from lowerbound.networks import matrix_products
from lowerbound.networks.initialization import linear
from lowerbound.networks.matrix_products import (
    PRODUCT,
    AffineMap,
    affine,
    native_bf16,
    short_factors,
    short_layers,
)
from lowerbound.networks.mlp import dense_layers
from lowerbound.training.plan import update_cost

pytestmark = pytest.mark.skipif(PRODUCT is None, reason="this torch has no oneDNN")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every map goes to oneDNN; the rows of each call."""
    rows: list[int] = []

    def counted(x: Tensor, *rest: object) -> Tensor:
        rows.append(x[..., 0].numel())
        found: Tensor = PRODUCT(x, *rest)
        return found

    monkeypatch.setattr(matrix_products, "ONEDNN_IS_FASTER", True)
    monkeypatch.setattr(matrix_products, "LEAST", 1)
    monkeypatch.setattr(matrix_products, "PRODUCT", counted)
    return rows


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("shape", [(40, 30, 20), (40, 20, 30), (1, 30, 20), (7, 1, 1)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_map_and_its_gradients(calls: list[int], shape: tuple[int, ...], bias: bool) -> None:
    rows, inputs, outputs = shape
    given = [drawn(rows, inputs), drawn(outputs, inputs), drawn(outputs)][: 2 + bias]
    slope = drawn(rows, outputs)
    leaves = [each.clone().requires_grad_() for each in given]
    exact = [each.double().requires_grad_() for each in given]
    y, expected = affine(*leaves), F.linear(*exact)
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(y, leaves, slope)
    for one, other in zip(found, torch.autograd.grad(expected, exact, slope.double()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)
    assert len(calls) == 3  # the map, and two of its gradients


def test_weights_are_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other strides, such as those of a slice, oneDNN has no fast kernel."""
    seen: list[Tensor] = []

    def kept(x: Tensor, weight: Tensor, *rest: object) -> Tensor:
        seen.append(weight)
        found: Tensor = PRODUCT(x, weight, *rest)
        return found

    monkeypatch.setattr(matrix_products, "ONEDNN_IS_FASTER", True)
    monkeypatch.setattr(matrix_products, "LEAST", 1)
    monkeypatch.setattr(matrix_products, "PRODUCT", kept)
    wide = drawn(20, 30)
    layer, x = AffineMap(12, 25), drawn(9, 12).requires_grad_()
    with torch.no_grad():
        for weight in (wide, wide.t(), wide[:, 3:9], wide[3:9].t(), wide[::2], wide[:, ::2]):
            rows = drawn(7, weight.shape[1])
            torch.testing.assert_close(affine(rows, weight), F.linear(rows, weight))
    layer(x)[:, 5:9].square().sum().backward()  # whose gradients are those of slices
    F.pad(layer(x), (3, 3))[:, 2:30].square().sum().backward()
    assert len(seen) == 6 + 6
    assert all(each.is_contiguous() or each.t().is_contiguous() for each in seen)


def test_gradients_of_gradients(calls: list[int]) -> None:
    layer, x = AffineMap(6, 5), drawn(9, 2, 6).requires_grad_()
    other, x64 = copy.deepcopy(layer).double(), x.detach().double().requires_grad_()

    def twice(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
        leaves = [x, *layer.parameters()]
        first = torch.autograd.grad(layer(x).tanh().sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum(each.square().sum() for each in first), leaves)

    found = twice(layer, x)
    assert calls
    for one, expected in zip(found, twice(other, x64), strict=True):
        torch.testing.assert_close(one.double(), expected, rtol=1e-4, atol=1e-4)


def test_only_the_gradients_that_are_needed_are_computed(calls: list[int]) -> None:
    layer = AffineMap(6, 5).requires_grad_(False)
    layer(drawn(9, 6).requires_grad_()).sum().backward()
    assert len(calls) == 2
    calls.clear()
    AffineMap(6, 5)(drawn(9, 6)).sum().backward()
    assert len(calls) == 2
    calls.clear()
    with torch.inference_mode():
        layer(drawn(9, 6))
    assert len(calls) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_keeps_what_is_small_transformed_or_of_another_type(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = AffineMap(6, 5), drawn(9, 6)
    weights = dict(layer.named_parameters())

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, weights, (x,)).square().sum()

    assert vmap(grad(loss), in_dims=(None, 0))(weights, x)["weight"].shape == (9, 5, 6)
    assert jvp(layer, (x,), (x,))[1].shape == (9, 5)
    copy.deepcopy(layer).double()(x.double())
    copy.deepcopy(layer).to("meta")(x.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    graph = torch.export.export(layer, (x,)).graph
    assert "aten.linear" in str(graph)
    assert not calls
    monkeypatch.setattr(matrix_products, "LEAST", 9 * 6 * 5 + 1)
    layer(x)
    assert not calls
    monkeypatch.setattr(matrix_products, "LEAST", 9 * 6 * 5)
    layer(x)
    assert calls


def test_networks_have_such_maps() -> None:
    assert type(linear(3, 4)) is AffineMap


@pytest.mark.parametrize(
    ("vendor", "capability", "faster"),
    [("AuthenticAMD", "AVX512", True), ("AuthenticAMD", "AVX2", False), ("Intel", "AVX512", False)],
)
def test_the_processors_where_onednn_is_faster(
    monkeypatch: pytest.MonkeyPatch, vendor: str, capability: str, faster: bool
) -> None:
    monkeypatch.setattr(matrix_products, "_vendor", lambda: vendor)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert matrix_products._onednn_is_faster() is faster


def test_an_update_has_as_many_operations_as_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    update, costs = Update(), []
    monkeypatch.setattr(matrix_products, "LEAST", 1)
    for faster in (False, True):
        monkeypatch.setattr(matrix_products, "ONEDNN_IS_FASTER", faster)
        costs.append(update_cost(update, drawn(9, 6)).flops)  # type: ignore[arg-type]
    assert costs == [6 * 9 * 6 * 5 - 2 * 9 * 6 * 5] * 2  # the input takes no gradient


class Update(nn.Module):
    """One map, and its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = AffineMap(6, 5)

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=self.layer(x).square().mean())


def test_a_tanh_after_a_map_is_computed_with_it(
    calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, x = dense_layers((30, 20, 20, 5), "tanh"), drawn(40, 30)
    with torch.no_grad():
        expected = x
        for layer in layers:
            expected = layer(expected)
        monkeypatch.setattr(nn.Tanh, "forward", None)  # which a call of it would find
        torch.testing.assert_close(layers(x), expected, rtol=0, atol=1e-6)
    assert len(calls) == 6


@pytest.mark.usefixtures("calls")
def test_hooks_and_gradients_see_both_layers() -> None:
    layers, x = dense_layers((30, 20, 5), "tanh"), drawn(40, 30)
    seen = []
    hooks = [each.register_forward_hook(lambda *now: seen.append(now[2])) for each in layers]
    with torch.no_grad():
        layers(x)
    torch.testing.assert_close(seen[1], seen[0].tanh())
    for hook in hooks:
        hook.remove()
    layers(x).sum().backward()
    assert all(value.grad is not None and value.grad.any() for value in layers.parameters())


def settings() -> list[str]:
    backend: Any = torch.backends.mkldnn
    return [backend.conv.fp32_precision, backend.matmul.fp32_precision]


@pytest.mark.parametrize("channels", [3, 40, 258])
def test_sums_of_whole_numbers_are_exact(channels: int) -> None:
    """A product of whole numbers up to 255 with whole numbers up to 255, in both forms."""
    generator = torch.Generator().manual_seed(0)
    most = min(255, 2**24 // (255 * 9 * channels))
    x = torch.randint(-255, 256, (2, channels, 33, 40), generator=generator).float()
    w = torch.randint(-most, most + 1, (16, channels, 3, 3), generator=generator).float()
    with short_factors():
        sums = F.conv2d(x, w, padding=1)
        products = F.linear(x.movedim(1, -1), w[:, :, 0, 0])
    assert torch.equal(sums.double(), F.conv2d(x.double(), w.double(), padding=1))
    exact = F.linear(x.double().movedim(1, -1), w[:, :, 0, 0].double())
    assert torch.equal(products.double(), exact)


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "conv"), reason="torch has no such setting")
def test_the_precision_of_others_comes_back() -> None:
    before = settings()
    with pytest.raises(RuntimeError, match="inside"), short_factors():
        raise RuntimeError("inside")
    assert settings() == before


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "conv"), reason="torch has no such setting")
def test_threads_that_overlap_restore_the_precision() -> None:
    before, first, second = settings(), short_factors(), short_factors()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert settings() == before


def test_layers_are_short_where_that_is_fast() -> None:
    with short_layers():
        found = F.linear(torch.ones(4, 4), torch.ones(4, 4))
    assert found.dtype == (torch.bfloat16 if native_bf16() else torch.float32)
