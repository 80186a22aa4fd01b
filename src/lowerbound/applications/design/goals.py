r"""What a design is for: quantities of rows, their good values, and limits of others.

The utility of a value v is v, or -v to minimize, or for a target t with tolerance e

.. math:: u(v) = -\max(0, |v - t| - e)

and the score of a row is :math:`\sum_i w_i u_i(v_i) / s_i` over the goals. The scales s are 1 for a
single goal, and the standard deviations in the known rows for several.

Quantities of codes are predicted by an ensemble of small networks with a measured deviation:

.. math:: \hat v_m(z) = A z + b + f_m(z), \qquad \mu(z) = \tfrac1M \sum_m \hat v_m(z), \qquad
    \sigma(z) = q \sqrt{\operatorname{Var}_m \hat v_m(z) + \tau^2}

A z + b is ridge regression, and the networks f_m start at zero; each is trained on a bootstrap
sample of its own (Lakshminarayanan et al. 2017; Breiman 1996). tau and q are set on held-out rows,
so that :math:`\mu \pm 1.645\, \sigma` contains 90 % of them (split conformal prediction, Lei et
al. 2018). R^2 and coverage are measured on other held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lowerbound.distributions.reparameterization import seeded
from lowerbound.errors import DataError, OptionError

MEMBERS, HIDDEN = 5, 128  # networks of the ensemble, and their units
BATCH, EPOCHS = 256, 30  # of their training
UPDATES = (300, 2500)  # fewest and most
RIDGE = 1e-3  # of the mean square of a standardized code
HELD_OUT = 0.1  # share of rows for the deviation, and the same for the measures
LEAST_ROWS = 20  # with known quantities
GAUSSIAN_90 = 1.6448536269514722  # half the width of a Gaussian's 90 % interval
Function = Callable[[Any], Any]
"""Rows in their original form, a list of texts or a frame, to one number for each."""

PENALTY = 2.0  # of a limit that is predicted to be exceeded, in standard deviations of the score


@dataclass(frozen=True)
class HeadQuality:
    """How well the head predicts a quantity of rows that it has not seen.

    Attributes:
        name: of the quantity.
        rows: number of these rows.
        r_squared: 1 - residual variance / variance.
        coverage: share of rows inside the 90 % interval.
    """

    name: str
    rows: int
    r_squared: float
    coverage: float


class _Members(nn.Module):
    """Networks with two hidden layers that run together, (members, rows, inputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        widths = [inputs, HIDDEN, HIDDEN, outputs]
        self.weights = nn.ParameterList(
            torch.randn(MEMBERS, a, b) * (2 / a) ** 0.5 for a, b in pairwise(widths)
        )
        self.biases = nn.ParameterList(torch.zeros(MEMBERS, 1, b) for b in widths[1:])
        self.weights[-1].data.zero_()

    def forward(self, u: Tensor) -> Tensor:
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            u = torch.baddbmm(bias, u, weight)
            u = u if i == last else torch.nn.functional.silu(u)
        return u


class Head:
    """Predicts quantities from codes; see ``fit_head``."""

    def __init__(self, codes: Tensor, values: Tensor) -> None:
        self._center, self._scale = codes.mean(0), codes.std(0).clamp_min(1e-9)
        self._mean, self._deviation = values.mean(0), values.std(0).clamp_min(1e-12)
        u, v = self._units(codes), (values - self._mean) / self._deviation
        gram = u.T @ u + RIDGE * len(u) * torch.eye(u.shape[1], dtype=u.dtype)
        self._linear = torch.linalg.solve(gram, u.T @ v)
        self._members = _Members(u.shape[1], v.shape[1])
        self._noise = torch.zeros(v.shape[1], dtype=torch.float64)
        self._widening = torch.ones(v.shape[1], dtype=torch.float64)
        self._train(u, v - u @ self._linear)

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, deviation) of codes, (rows, quantities) each, in original units, float64."""
        mean, spread = self._moments(z)
        deviation = self._widening * (spread.square() + self._noise).sqrt()
        return self._mean + self._deviation * mean, self._deviation * deviation

    def _units(self, codes: Tensor) -> Tensor:
        return (codes.double() - self._center) / self._scale

    def _moments(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u = self._units(z)
        residuals = self._members(u.float().expand(MEMBERS, *u.shape)).double()
        # the derivative of a standard deviation is not finite at zero
        spread = (residuals.var(0) + 1e-12).sqrt()
        return u @ self._linear + residuals.mean(0), spread

    def _train(self, u: Tensor, residual: Tensor) -> None:
        u, residual = u.float(), residual.float()
        bags = torch.randint(len(u), (MEMBERS, len(u)))
        updates = min(max(len(u) * EPOCHS // BATCH, UPDATES[0]), UPDATES[1])
        optimizer = torch.optim.AdamW(self._members.parameters(), lr=2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
        for _ in range(updates):
            rows = bags.gather(1, torch.randint(len(u), (MEMBERS, min(BATCH, len(u)))))
            loss = (self._members(u[rows]) - residual[rows]).square().mean() * MEMBERS
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        self._members.requires_grad_(False)

    def calibrate(self, codes: Tensor, values: Tensor) -> None:
        """Set tau and q from rows that the head was not trained on."""
        mean, spread = self._moments(codes)
        error = ((values - self._mean) / self._deviation - mean).abs()
        self._noise = (error.square().mean(0) - spread.square().mean(0)).clamp_min(1e-8)
        ratio = error / (spread.square() + self._noise).sqrt()
        level = min(1.0, 0.9 * (1 + 1 / len(codes)))
        self._widening = torch.quantile(ratio, level, dim=0) / GAUSSIAN_90


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A head and its quality for each quantity."""

    head: Head
    quality: tuple[HeadQuality, ...]


def fit_head(codes: Tensor, values: Tensor, names: tuple[str, ...], *, seed: int = 0) -> FittedHead:
    """Fit the ensemble to rows with known values.

    Args:
        codes: posterior means, (rows, latent_dim).
        values: (rows, quantities); rows with NaN are left out.
        names: of the quantities.
        seed: of the held-out rows and of the training.

    Raises:
        DataError: fewer than 20 rows have values.
    """
    kept = values.isfinite().all(1)
    codes, values = codes[kept].double(), values[kept].double()
    if len(codes) < LEAST_ROWS:
        raise DataError(
            f"{len(codes)} rows have values of {', '.join(names)}: a prediction needs at least "
            f"{LEAST_ROWS}"
        )
    with seeded(seed), torch.enable_grad():
        order = torch.randperm(len(codes))
        held = max(5, round(HELD_OUT * len(codes)))
        tested, calibration, training = order.split([held, held, len(codes) - 2 * held])
        head = Head(codes[training], values[training])
    head.calibrate(codes[calibration], values[calibration])
    mean, deviation = head(codes[tested])
    error, truth = values[tested] - mean, values[tested]
    unexplained = error.square().sum(0) / (truth - truth.mean(0)).square().sum(0).clamp_min(1e-300)
    inside = (error.abs() <= GAUSSIAN_90 * deviation).double().mean(0)
    measures = zip(names, (1 - unexplained).tolist(), inside.tolist(), strict=True)
    return FittedHead(head, tuple(HeadQuality(n, held, r, c) for n, r, c in measures))


@dataclass(frozen=True)
class Goal:
    """A quantity and its good values.

    Attributes:
        name: of the quantity.
        function: from rows to its values.
        direction: "max" or "min"; without effect if there is a target.
        target: the value to reach; None: the higher or the lower the better.
        tolerance: distance from the target that is as good as the target.
        weight: of this goal among several, positive.
        scale: s, by which the utility is divided.

    Raises:
        OptionError: the weight is not positive, or the tolerance is negative.
    """

    name: str
    function: Function
    direction: Literal["max", "min"] = "max"
    target: float | None = None
    tolerance: float = 0.0
    weight: float = 1.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0 or not self.tolerance >= 0:
            raise OptionError(
                f"{self.name}: a weight is positive and a tolerance is not negative, not "
                f"{self.weight:g} and {self.tolerance:g}"
            )

    def utility(self, values: Tensor) -> Tensor:
        """u(v), the higher the better; differentiable."""
        if self.target is not None:
            return -((values - self.target).abs() - self.tolerance).clamp_min(0)
        return values if self.direction == "max" else -values

    @property
    def factor(self) -> float:
        """w / s."""
        return self.weight / self.scale


@dataclass(frozen=True)
class Limit:
    """A range in which a quantity must lie; rows outside it are rejected.

    Attributes:
        name: of the quantity.
        function: from rows to its values.
        low: smallest allowed value.
        high: largest allowed value.
        scale: of the penalty of a search for values outside.

    Raises:
        OptionError: the range is empty.
    """

    name: str
    function: Function
    low: float = -float("inf")
    high: float = float("inf")
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise OptionError(f"the range of {self.name}, {self.low:g} to {self.high:g}, is empty")

    def excess(self, values: Tensor) -> Tensor:
        """Distance from the range, zero inside; differentiable."""
        return (self.low - values).clamp_min(0) + (values - self.high).clamp_min(0)

    def problem(self, value: float) -> str:
        """Why a value is rejected; "" if it is in the range."""
        if value < self.low:
            return f"{self.name} {value:.4g} is below {self.low:g}"
        if value > self.high:
            return f"{self.name} {value:.4g} is above {self.high:g}"
        return "" if value == value else f"{self.name} has no value"


@dataclass(frozen=True)
class DesignTask:
    """Goals and limits; the quantities are the goals', then the limits'.

    Raises:
        OptionError: there is no goal, or a name occurs twice.
    """

    goals: tuple[Goal, ...]
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if not self.goals:
            raise OptionError("a design needs a goal")
        for names in ([g.name for g in self.goals], [one.name for one in self.limits]):
            if len(set(names)) < len(names):
                raise OptionError(f"a name occurs twice among {', '.join(names)}")

    @cached_property
    def quantities(self) -> tuple[Goal | Limit, ...]:
        """The goals, then the limits."""
        return (*self.goals, *self.limits)

    def scaled(self, deviations: Sequence[float]) -> DesignTask:
        """The task with scales from the standard deviation of each quantity in known rows."""
        own, others = deviations[: len(self.goals)], deviations[len(self.goals) :]
        single = len(self.goals) == 1
        unit = own[0] * self.goals[0].weight if single else 1.0
        goals = tuple(
            replace(goal, scale=1.0 if single else deviation)
            for goal, deviation in zip(self.goals, own, strict=True)
        )
        limits = tuple(
            replace(limit, scale=max(deviation, 1e-12) / unit)
            for limit, deviation in zip(self.limits, others, strict=True)
        )
        return DesignTask(goals, limits)

    def score(self, values: Tensor) -> Tensor:
        """The score of rows from values of all quantities, (rows, quantities) to (rows,)."""
        parts = [goal.factor * goal.utility(values[:, i]) for i, goal in enumerate(self.goals)]
        return torch.stack(parts).sum(0)

    def cautious(self, mean: Tensor, deviation: Tensor, caution: float) -> Tensor:
        r"""What a search ascends: the score of predicted values, minus uncertainty and penalties.

        .. math:: \sum_i \frac{w_i}{s_i} (u_i(\mu_i) - k \sigma_i) - \sum_j 2\, e_j(\mu_j) / s_j

        with e the distance from a limit. Tolerances are zero here, so that the target attracts
        inside them too.

        Args:
            mean, deviation: predictions of all quantities, (rows, quantities).
            caution: k.
        """
        total = mean.new_zeros(len(mean))
        for i, goal in enumerate(self.goals):
            utility = replace(goal, tolerance=0.0).utility(mean[:, i])
            total = total + goal.factor * (utility - caution * deviation[:, i])
        for i, limit in enumerate(self.limits, len(self.goals)):
            total = total - PENALTY * limit.excess(mean[:, i]) / limit.scale
        return total
