"""The flow's map: invertible, with the Jacobian it says, starting as the identity."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.func import jacrev, vmap

from lowerbound.distributions.normalizing_flow import FlowDistribution, NormalizingFlow
from lowerbound.distributions.reparameterization import diagonal_normal, draw, frozen
from lowerbound.errors import OptionError

FORMS: list[dict[str, Any]] = [
    {"kind": kind, "bins": bins} for kind in ("autoregressive", "coupling") for bins in (0, 6)
]
every_form = pytest.mark.parametrize("form", FORMS, ids=str)


def flow(dim: int, context: int, form: dict[str, Any], trained: bool = True) -> NormalizingFlow:
    built = NormalizingFlow(dim, context, transforms=3, hidden=16, **form).double()
    if trained:
        with torch.no_grad():
            for parameter in built.parameters():
                parameter.add_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return built


@every_form
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("context", [0, 3])
def test_directions_are_inverse(form: dict[str, Any], dim: int, context: int) -> None:
    f = flow(dim, context, form)
    points = 2 * torch.randn(4, 7, dim, dtype=torch.float64)
    told = torch.randn(1, 7, context, dtype=torch.float64) if context else None
    noise, _ = f(points, told, to_data=False)
    back, _ = f(noise, told, to_data=True)
    torch.testing.assert_close(back, points, rtol=1e-7, atol=1e-7)
    assert (noise - points).abs().max() > 0.05


@every_form
def test_determinant_is_that_of_the_jacobian(form: dict[str, Any]) -> None:
    f = flow(3, 2, form)
    points = torch.randn(6, 3, dtype=torch.float64)
    told = torch.randn(6, 2, dtype=torch.float64)
    _, log_determinant = f(points, told, to_data=False)
    jacobian = vmap(jacrev(lambda z, c: f(z, c, to_data=False)[0]))(points, told)
    torch.testing.assert_close(log_determinant, torch.linalg.slogdet(jacobian).logabsdet)


@every_form
@pytest.mark.parametrize("dim", [1, 4])
def test_starts_as_its_gaussian(form: dict[str, Any], dim: int) -> None:
    f = flow(dim, 0, form, trained=False)
    loc, scale = torch.randn(2, 1, 3, dim, dtype=torch.float64)
    scale = scale.exp()
    z = torch.randn(5, 3, dim, dtype=torch.float64)
    torch.testing.assert_close(
        FlowDistribution(f, loc, scale).log_prob(z), diagonal_normal(loc, scale).log_prob(z)
    )


@every_form
def test_every_parameter_can_leave_the_start(form: dict[str, Any]) -> None:
    """Zeros in the last layers stop the gradient of the earlier ones for one update, not two."""
    f = flow(4, 0, form, trained=False)
    zero, one = torch.zeros(1, 1, 4).double(), torch.ones(1, 1, 4).double()
    optimizer = torch.optim.Adam(f.parameters(), 1e-2)
    z = 1 + 0.5 * torch.randn(1, 200, 4, dtype=torch.float64)
    scores = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = -FlowDistribution(f, zero, one).log_prob(z).mean()
        loss.backward()
        optimizer.step()
        scores.append(loss.item())
    assert scores == sorted(scores, reverse=True)
    assert all(p.grad is not None and (p.grad != 0).any() for p in f.parameters())


@every_form
def test_frozen_copy_moves_with_z_alone(form: dict[str, Any]) -> None:
    f = flow(3, 2, form)
    loc = torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)
    scale = torch.rand(1, 4, 3, dtype=torch.float64).add(0.1).requires_grad_()
    told = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    moving = FlowDistribution(f, loc, scale, told)
    fixed = frozen(moving)
    z = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(fixed.log_prob(z), moving.log_prob(z))
    fixed.log_prob(z).sum().backward()
    assert z.grad is not None
    assert (z.grad != 0).all()
    for tensor in (loc, scale, told, *f.parameters()):
        assert tensor.grad is None
    # and the original was not touched: it still learns
    moving.log_prob(z.detach()).sum().backward()
    assert all(p.grad is not None for p in f.parameters())


@every_form
def test_own_draws_have_the_density_of_their_noise(form: dict[str, Any]) -> None:
    """log q(z) of z = g(eps) is log N(eps) minus the log-determinant of g, in float32."""
    f = flow(6, 2, form)
    loc, scale = torch.randn(1, 5, 6), torch.rand(1, 5, 6) + 0.05
    told, eps = torch.randn(1, 5, 2), torch.randn(8, 5, 6)
    exact = FlowDistribution(f, loc.double(), scale.double(), told.double())
    expected = exact.log_prob(exact.push(eps.double()))
    single = FlowDistribution(f.float(), loc, scale, told)
    z = single.push(eps)
    torch.testing.assert_close(single.log_prob(z).double(), expected, rtol=1e-5, atol=2e-4)
    again = single.log_prob(z)
    torch.testing.assert_close(again, single.log_prob(z.clone()), rtol=1e-6, atol=1e-6)


@every_form
def test_determinants_survive_half_precision(form: dict[str, Any]) -> None:
    f = flow(3, 2, form).float()
    z, told = torch.randn(4, 5, 3), torch.randn(1, 5, 2)
    outside = f(z, told, to_data=False)
    with torch.autocast("cpu", torch.bfloat16):
        inside = f(z, told, to_data=False)
    for a, b in zip(inside, outside, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_gradients_pass_through_draws() -> None:
    f = flow(3, 0, FORMS[2])
    loc = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
    z = draw(FlowDistribution(f, loc, torch.ones_like(loc)), 50)
    z.square().sum().backward()
    assert loc.grad is not None
    assert all(p.grad is not None and (p.grad != 0).any() for p in f.parameters())


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"kind": "couplng", "bins": 0}, "did you mean 'coupling'"),
        ({"kind": "coupling", "bins": 1}, "bins"),
        ({"kind": "coupling", "bins": 0, "transforms": 0}, "transform"),
    ],
)
def test_sizes_out_of_range(form: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        NormalizingFlow(3, 0, **{"transforms": 2, "hidden": 8, **form})
