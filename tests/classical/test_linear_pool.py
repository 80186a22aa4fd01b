"""Weights of a linear pool, against a general optimizer."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

from lowerbound.classical.linear_regression import averaged_weights, pool_weights

PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def test_the_weights_have_the_highest_posterior_density() -> None:
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(3, 40, generator=generator, dtype=torch.float64)
    right[1] = right[1].sqrt()  # the best member
    strength = 4.0

    def loss(free: np.ndarray) -> float:
        weights = np.exp(free) / np.exp(free).sum()
        fit = np.log(weights @ right.numpy()).sum()
        return -float(fit + strength * (PRIOR.numpy() * np.log(weights)).sum())

    free = minimize(loss, np.zeros(3), tol=1e-12).x
    expected = np.exp(free) / np.exp(free).sum()
    found = pool_weights(right, PRIOR, strength)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert found.argmax() == 1


def test_without_answers_the_weights_are_those_of_the_prior() -> None:
    nothing = torch.zeros(3, 0, dtype=torch.float64)
    torch.testing.assert_close(pool_weights(nothing, PRIOR, 16.0), PRIOR)


def test_the_average_weighs_the_pool_and_each_member_by_their_probability() -> None:
    generator = torch.Generator().manual_seed(1)
    right = torch.rand(3, 12, generator=generator, dtype=torch.float64)
    strength, alone, least = 4.0, 0.3, 1e-3
    pool = pool_weights(right, PRIOR, strength).numpy()
    models = [(1 - alone, pool), *zip(alone * PRIOR.numpy(), np.eye(3), strict=True)]
    joint = [p * np.prod(weights @ right.numpy() + least) for p, weights in models]
    expected = sum(j * weights for j, (_, weights) in zip(joint, models, strict=True)) / sum(joint)
    found = averaged_weights(right, PRIOR, strength, alone, least)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_member_that_is_clearly_better_answers_alone() -> None:
    right = torch.tensor([[0.4], [0.95], [0.4]], dtype=torch.float64).expand(3, 60)
    assert pool_weights(right, PRIOR, 16.0)[1] < 0.85
    assert averaged_weights(right, PRIOR, 16.0, 0.05)[1] > 0.97


def test_without_answers_the_average_is_the_prior() -> None:
    nothing = torch.zeros(3, 0, dtype=torch.float64)
    torch.testing.assert_close(averaged_weights(nothing, PRIOR, 16.0, 0.05), PRIOR)
