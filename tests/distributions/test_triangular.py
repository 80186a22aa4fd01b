"""Packed triangles: exactly invertible, bounded, and the factor of an inverse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowerbound.distributions.triangular import count, dim_of, inverse_factor, pack, unpack


def precisions(rows: int, dim: int, spread: float = 1.0) -> Tensor:
    """I + sum of outer products, as factor analysis has them."""
    weight = spread * torch.randn(rows, 3 * dim, dim, dtype=torch.float64)
    return weight.mT @ weight + torch.eye(dim, dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 2, 5, 32])
def test_the_count_of_numbers_and_its_inverse(dim: int) -> None:
    assert count(dim) == dim + dim * (dim + 1) // 2
    assert dim_of(count(dim)) == dim
    assert dim_of(count(dim) + 1) is None


@pytest.mark.parametrize("dim", [1, 2, 7, 32])
@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_unpacking_undoes_packing(dim: int, spread: float) -> None:
    mean, factor = torch.randn(4, dim), inverse_factor(precisions(4, dim, spread))
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        packed = pack(mean.to(dtype), factor.to(dtype))
        assert packed.shape == (4, count(dim))
        got_mean, got = unpack(packed, dim)
        assert torch.equal(got_mean, mean.to(dtype))
        torch.testing.assert_close(got, factor.to(dtype), rtol=tolerance, atol=tolerance)


def test_packing_undoes_unpacking() -> None:
    packed = torch.randn(5, count(4), dtype=torch.float64)
    torch.testing.assert_close(pack(*unpack(packed, 4)), packed)


def test_the_layout_is_the_documented_one() -> None:
    factor = torch.tensor([[[2.0, 0.0], [3.0, 0.5]]], dtype=torch.float64)
    packed = pack(torch.tensor([[7.0, 8.0]], dtype=torch.float64), factor)
    written = torch.tensor([[7.0, 8.0, 2.0, 6.0, 0.5]], dtype=torch.float64)
    written[:, [2, 4]] = written[:, [2, 4]].log()
    torch.testing.assert_close(packed, written, rtol=1e-2, atol=0)  # bent by the bounds


def test_what_lies_outside_the_bounds_is_cut_and_stays_finite() -> None:
    factor = torch.tensor([[[1e-30, 0.0], [1e30, 1e30]]], dtype=torch.float64, requires_grad=True)
    packed = pack(torch.zeros(1, 2, dtype=torch.float64), factor)
    assert packed.isfinite().all()
    _, got = unpack(packed, 2)
    assert got[0, 0, 0].item() == pytest.approx(8.3e-7, rel=0.01)
    assert got[0, 1, 1].item() == pytest.approx(1.2e6, rel=0.01)
    got.sum().backward()
    assert factor.grad is not None
    assert factor.grad.isfinite().all()


@pytest.mark.parametrize("dim", [1, 4, 32])
def test_the_factor_of_the_inverse(dim: int) -> None:
    precision = precisions(6, dim)
    factor = inverse_factor(precision)
    torch.testing.assert_close(factor @ factor.mT, torch.linalg.inv(precision))
    assert torch.equal(factor, factor.tril())
    assert (torch.diagonal(factor, dim1=1, dim2=2) > 0).all()


def test_gradients_of_the_factor_are_finite_differences() -> None:
    weight = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)

    def answer(weight: Tensor) -> Tensor:
        precision = weight.mT @ weight + torch.eye(3, dtype=torch.float64)
        return pack(weight.sum(1), inverse_factor(precision))

    assert torch.autograd.gradcheck(answer, weight)
