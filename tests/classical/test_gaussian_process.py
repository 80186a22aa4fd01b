"""A Gaussian process against scikit-learn's of the same kernel, and a general optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel
from torch import Tensor

from lowerbound.classical.gaussian_process import APART, CENTER, SPREAD, GaussianProcess

ROWS, COLUMNS = 40, 3
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2 * ROWS, COLUMNS))
Y = 5 + 3 * np.sin(2 * X[:, 0]) + X[:, 1] + 0.3 * RANDOM.normal(size=2 * ROWS)


def tensors(rows: slice = slice(ROWS)) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(X[rows]), torch.from_numpy(Y[rows])


def kernel_of(logs: Any) -> Any:
    """The same covariance in scikit-learn's words."""
    amplitude, slope, noise = np.exp(logs[:3])
    scales = np.exp(logs[3] + logs[4:]) * COLUMNS**0.5
    line = ConstantKernel(slope / COLUMNS) * DotProduct(0.0, "fixed")
    return ConstantKernel(amplitude) * Matern(scales, nu=1.5) + line + WhiteKernel(noise)


def scikit_learns(logs: Any, x: Any, y: Any) -> GaussianProcessRegressor:
    process = GaussianProcessRegressor(kernel_of(logs), optimizer=None, alpha=0.0)
    return process.fit(x, (y - Y[:ROWS].mean()) / Y[:ROWS].std())


def test_the_answers_are_those_of_scikit_learn() -> None:
    found = GaussianProcess.of(*tensors())
    theirs = scikit_learns(found.logs.numpy(), X[:ROWS], Y[:ROWS])
    mean, deviation = theirs.predict(X[ROWS:], return_std=True)
    ours = [part.numpy() for part in found(torch.from_numpy(X[ROWS:]))]
    scale = Y[:ROWS].std()
    np.testing.assert_allclose(ours[0], Y[:ROWS].mean() + scale * mean, rtol=1e-8)
    np.testing.assert_allclose(ours[1], scale * deviation, rtol=1e-8)


def test_a_small_difference_of_large_columns_is_found() -> None:
    """As the day of the month by the day of the year and the month, beside other columns."""
    random = np.random.default_rng(1)
    month = random.integers(1, 13, 2 * ROWS).astype(float)
    day = random.integers(1, 31, 2 * ROWS).astype(float)
    others = random.normal(size=(2 * ROWS, 12))
    x = np.column_stack((30.4 * month + day, month, others))
    x = torch.from_numpy((x - x[:ROWS].mean(0)) / x[:ROWS].std(0))
    found = GaussianProcess.of(x[:ROWS], torch.from_numpy(day[:ROWS]))
    mean, _ = found(x[ROWS:])
    assert np.corrcoef(mean.numpy(), day[ROWS:])[0, 1] > 0.95


@pytest.mark.slow
def test_the_hyperparameters_have_the_highest_posterior_density() -> None:
    found = GaussianProcess.of(*tensors()).logs.numpy()
    theirs = scikit_learns(found, X[:ROWS], Y[:ROWS])
    center = np.concatenate((CENTER, np.zeros(COLUMNS)))
    spread = np.concatenate((SPREAD, np.full(COLUMNS, APART)))

    def loss(logs: Any) -> float:
        theta = kernel_of(logs).theta
        prior = norm.logpdf(logs, center, spread).sum()
        return -float(theirs.log_marginal_likelihood(theta) + prior)

    best = min(
        (minimize(loss, found + shift, method="Nelder-Mead") for shift in (0.0, 0.5)),
        key=lambda each: each.fun,
    )
    assert loss(found) < best.fun + 1e-3
    assert found[4] < min(found[5:]) - 0.3  # the target bends along the first column


def test_left_out_errors_are_those_of_processes_without_the_row() -> None:
    found = GaussianProcess.of(*tensors())
    errors, scale = found.left_out().numpy(), Y[:ROWS].std()
    for row in (0, 11):
        others = np.arange(ROWS) != row
        theirs = scikit_learns(found.logs.numpy(), X[:ROWS][others], Y[:ROWS][others])
        expected = Y[row] - Y[:ROWS].mean() - scale * theirs.predict(X[[row]])[0]
        assert errors[row] == pytest.approx(expected, 1e-6)


def test_a_stored_process_answers_alike() -> None:
    found, back = GaussianProcess.of(*tensors()), GaussianProcess()
    back.load_state_dict({name: value.clone() for name, value in found.state_dict().items()})
    x = torch.from_numpy(X[ROWS:])
    for one, other in zip(found(x), back(x), strict=True):
        assert torch.equal(one, other)
    altered = {**found.state_dict(), "weight": torch.zeros(3)}
    with pytest.raises(RuntimeError, match="no Gaussian process"):
        GaussianProcess().load_state_dict(altered)


def test_equal_targets_are_predicted() -> None:
    x, _ = tensors()
    mean, deviation = GaussianProcess.of(x, torch.full((ROWS,), 2.0, dtype=torch.float64))(x)
    torch.testing.assert_close(mean, torch.full_like(mean, 2.0))
    assert bool((deviation > 0).all())
