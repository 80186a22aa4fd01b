r"""Gaussian-process regression whose fitted form is tensors.

.. math::
    k(x, x') = a\,(1 + \sqrt{3}\, r)\, e^{-\sqrt{3}\, r} + \frac{b}{F}\, x^T x' , \quad
    r^2 = \frac{1}{F} \sum_j \Big(\frac{x_j - x'_j}{\ell\, \ell_j}\Big)^2

The first term is a Matérn kernel of smoothness 3/2, the second a linear regression. The
hyperparameters have the highest posterior density: marginal likelihood times a log-normal prior,
which keeps the length scales of the columns near each other while rows are few. At most 300 rows
choose them.

Source: Rasmussen & Williams 2006, algorithm 2.1 and section 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from lowerbound.classical.boosted_trees import StoredFit

SHARED = 4  # a, b, noise, l; the logarithms of the l_j follow
CENTER = (0.0, 0.0, -1.0, 0.5)  # of the prior of their logarithms
SPREAD = (1.5, 1.5, 1.5, 1.0)  # its standard deviations
APART = 0.7  # standard deviation of log l_j. These were chosen on draws of no reported benchmark.
STARTS = (
    (0.0, -1.0, -1.0, 0.3),  # nonlinear
    (-2.0, 0.0, -0.5, 1.0),  # nearly linear
    (-4.0, 6.0, -4.0, 1.0),  # a small difference of large columns, with hardly any noise
)
BOUNDS = ((-9.0, 5.0), (-9.0, 9.0), (-7.0, 2.0), (-4.0, 6.0))
BOUND_APART = (-4.0, 4.0)
ITERATIONS = 60
TUNED = 300  # most rows that choose the hyperparameters, whose likelihood is computed many times
NEAREST = 1e-12  # squared distance below which a root has no gradient


class GaussianProcess(StoredFit):
    r"""The prediction for a row x, given n rows with targets:

    .. math:: m + s\, k(x)^T \alpha, \qquad s^2 \big(k(x, x) - \|L^{-1} k(x)\|^2 + \sigma^2\big)

    with :math:`L L^T = K + \sigma^2 I` and :math:`\alpha = (K + \sigma^2 I)^{-1} (y - m) / s`.

    Attributes:
        logs: logarithms of a, b, sigma^2, l and each l_j, (4 + F,).
        rows: the rows of the fit, (n, F).
        weight: alpha, (n,).
        root: L^-1, (n, n).
        mean, deviation: m and s, of the targets.
    """

    EMPTY: ClassVar[Mapping[str, Tensor]] = {
        "logs": torch.zeros(SHARED, dtype=torch.float64),
        "rows": torch.zeros(0, 0, dtype=torch.float64),
        "weight": torch.zeros(0, dtype=torch.float64),
        "root": torch.zeros(0, 0, dtype=torch.float64),
        "mean": torch.zeros((), dtype=torch.float64),
        "deviation": torch.ones((), dtype=torch.float64),
    }
    logs: Tensor
    rows: Tensor
    weight: Tensor
    root: Tensor
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, start: Tensor | None = None) -> Self:
        """Fit a process.

        Args:
            x: rows, standardized, (n, F), float64.
            y: targets, (n,), float64.
            start: ``logs`` of a fit to similar rows, which saves time; None: the usual starts.
        """
        made = cls()
        made.rows, made.mean = x, y.mean()
        made.deviation = y.std(correction=0) if bool(y.min() < y.max()) else torch.ones_like(y[0])
        standardized = (y - made.mean) / made.deviation
        few = _some(len(x))
        made.logs = _likeliest(x[few], standardized[few], start)
        lower = torch.linalg.cholesky(_covariance(made.logs, x))
        one = torch.eye(len(x)).to(x)
        made.root = torch.linalg.solve_triangular(lower, one, upper=False).contiguous()
        made.weight = made.root.T @ (made.root @ standardized)
        return made

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the target of each row, (rows,) each.

        Args:
            x: (rows, F), float64.
        """
        shared = _kernel(self.logs, x, self.rows)
        amplitude, slope, noise = self.logs[:3].exp()
        alone = amplitude + slope * x.square().mean(1)
        known = (shared @ self.root.T).square().sum(1)
        variance = (alone - known).clamp_min(0.0) + noise
        return self.mean + self.deviation * (shared @ self.weight), self.deviation * variance.sqrt()

    def left_out(self) -> Tensor:
        r"""The error at each row of the fit if this row is left out, (n,): equation 5.12,
        :math:`s\, \alpha_i / (K + \sigma^2 I)^{-1}_{ii}`. The hyperparameters stay."""
        errors: Tensor = self.deviation * self.weight / self.root.square().sum(0)
        return errors

    def flaw(self, state_dict: Mapping[str, Tensor], prefix: str) -> str:
        rows, columns = self.rows.shape if self.rows.ndim == 2 else (-1, -1)
        sizes = ((SHARED + columns,), (rows,), (rows, rows), (), ())
        found = (self.logs, self.weight, self.root, self.mean, self.deviation)
        fits = all(each.shape == size for each, size in zip(found, sizes, strict=True))
        return "" if fits else "rows: no Gaussian process"


def _some(rows: int) -> Tensor:
    """The row numbers that choose the hyperparameters: a fixed random draw of many rows."""
    if rows <= TUNED:
        return torch.arange(rows)
    every = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    return every[:TUNED]


def _kernel(logs: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """k of each pair, (rows of a, rows of b)."""
    columns = a.shape[1]
    scale = (logs[3] + logs[SHARED:]).exp() * columns**0.5
    left, right = a / scale, b / scale
    apart = left.square().sum(1, keepdim=True) + right.square().sum(1) - 2 * left @ right.T
    r = (3 * apart.clamp_min(NEAREST)).sqrt()
    covariance: Tensor = logs[0].exp() * (1 + r) * (-r).exp() + logs[1].exp() / columns * (a @ b.T)
    return covariance


def _covariance(logs: Tensor, x: Tensor) -> Tensor:
    """K + sigma^2 I, (n, n)."""
    return _kernel(logs, x, x) + logs[2].exp() * torch.eye(len(x)).to(x)


def _likeliest(x: Tensor, y: Tensor, start: Tensor | None) -> Tensor:
    """The hyperparameters of the highest posterior density that is found, (4 + F,)."""
    from scipy.optimize import minimize

    def loss(values: Any) -> tuple[float, Any]:
        logs = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            nats = _surprise(logs, x, y)
        nats.backward()
        assert logs.grad is not None
        return nats.item(), logs.grad.numpy()

    same = np.zeros(x.shape[1])
    starts = [np.concatenate((each, same)) for each in STARTS] if start is None else [start.numpy()]
    options = {"maxiter": ITERATIONS}
    bounds = (*BOUNDS, *(BOUND_APART for _ in same))
    found = [
        minimize(loss, each, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        for each in starts
    ]
    return torch.from_numpy(min(found, key=lambda each: each.fun).x)


def _surprise(logs: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """-log p(y | x, logs) - log p(logs), without constants, nats."""
    lower = torch.linalg.cholesky(_covariance(logs, x))
    white = torch.linalg.solve_triangular(lower, y.unsqueeze(1), upper=False)
    center, spread = logs.new_tensor(CENTER), logs.new_tensor(SPREAD)
    unlikely = ((logs[:SHARED] - center) / spread).square().sum()
    unlikely = unlikely + (logs[SHARED:] / APART).square().sum()
    nats: Tensor = white.square().sum() / 2 + lower.diagonal().log().sum() + unlikely / 2
    return nats
