r"""Bayesian optimization: a Gaussian process of scores, and codes that improve by it.

The process is fitted to standardized codes u = (z - c) / s of the rows that were tried and of the
best known rows. A round takes the codes that maximize

.. math:: \log E\left[\max_i f(u_i) - f^*\right]_+

in a box (Ament et al. 2023, LogEI); f* is the best score so far.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from lowerbound.errors import MissingExtraError
from lowerbound.inference.design.methods.base import METHODS, Proposals, Search, SearchMethod
from lowerbound.inference.design.methods.random import RandomAround

MOST_ROWS = 300  # of the process, whose cost is cubic
LEAST_ROWS = 5  # fewer say nothing: noise around the best codes comes first
TRIED = 200  # of these, at most so many that were tried, the newest
AT_ONCE = 10  # proposals between two fits of the process
RESTARTS, RAW, STEPS = 2, 64, 40  # of a search for the next code
DRAWS = 64  # of scores, for the expectation
REACH = 2.0  # half the side of the box, in standard deviations
LENGTH, LONGEST, SHORTEST = 0.8, 1.6, 0.5**7  # half sides of the trust region
SUCCESSES, FAILURES = 3, 4  # rounds in a row after which it grows or shrinks


@METHODS.register("qlogei")
class ExpectedImprovement(SearchMethod):
    """Batch expected improvement in a box around the center of the known codes."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        space = self.search.space
        u, y = self._seen(z, scores)
        if len(y) < LEAST_ROWS:
            return RandomAround(self.search).propose(z, scores, rows)
        count, seed = min(AT_ONCE, self.search.batch), int(self.search.whole(2**31))
        found = improving(u, y, self._box(u, y, first=not len(z)), count, seed)
        return Proposals(space.center + space.deviation * found)

    def _box(self, u: Tensor, y: Tensor, first: bool) -> Tensor:
        """The corners of the box, (2, latent_dim), in standardized codes."""
        reach = torch.full_like(u[0], REACH)
        return torch.stack([-reach, reach])

    def _seen(self, z: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """(standardized codes, scores) of the process.

        Codes of rejected and repeated rows have the lowest score, so that they are not proposed
        again.
        """
        search, space = self.search, self.search.space
        tried, found = z[-TRIED:], scores[-TRIED:]
        finite = search.scores.isfinite()
        known = search.codes[finite][: MOST_ROWS - len(tried)]
        y = torch.cat([search.scores[finite][: MOST_ROWS - len(tried)], found])
        least = y[y.isfinite()].min() if y.isfinite().any() else y.new_zeros(())
        codes = torch.cat([known, tried])
        return (codes - space.center) / space.deviation, y.where(y.isfinite(), least)


@METHODS.register("turbo")
class TrustRegion(ExpectedImprovement):
    """Batch expected improvement in a box around the best code, which grows with success.

    Source: Eriksson et al. 2019, TuRBO, with one region.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(search)
        self.length = LENGTH
        self.best = -math.inf
        self.successes = self.failures = 0

    def _box(self, u: Tensor, y: Tensor, first: bool) -> Tensor:
        if not first:
            self._resize(float(y.max()))
        self.best = float(y.max())
        center = u[int(y.argmax())]
        return torch.stack([center - self.length, center + self.length])

    def _resize(self, best: float) -> None:
        """Grow after successes, shrink after failures, and start anew below the least length."""
        better = best > self.best + 1e-3 * abs(self.best)
        self.successes = self.successes + 1 if better else 0
        self.failures = 0 if better else self.failures + 1
        if self.successes == SUCCESSES:
            self.length, self.successes = min(2 * self.length, LONGEST), 0
        if self.failures == FAILURES:
            self.length, self.failures = self.length / 2, 0
        if self.length < SHORTEST:
            self.length = LENGTH


def improving(u: Tensor, y: Tensor, box: Tensor, count: int, seed: int) -> Tensor:
    """Codes in a box with the highest batch LogEI, one after another, (count, latent_dim).

    Args:
        u: standardized codes with known scores, (rows, latent_dim), float64.
        y: their scores, (rows,).
        box: lower and upper corner, (2, latent_dim).
        count: number of codes.
        seed: of all random numbers.

    Raises:
        MissingExtraError: BoTorch is not installed.
    """
    with _quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        acquisition = log_improvement(u, y, seed)
        found, _ = _botorch("optim").optimize_acqf(
            acquisition,
            bounds=box,
            q=count,
            num_restarts=RESTARTS,
            raw_samples=RAW,
            sequential=True,
            options={"maxiter": STEPS, "seed": seed},
        )
    codes: Tensor = found.detach()
    return codes


def log_improvement(u: Tensor, y: Tensor, seed: int, draws: int = DRAWS) -> Any:
    """BoTorch's batch LogEI of a Gaussian process that is fitted to codes and scores.

    Raises:
        MissingExtraError: BoTorch is not installed.
    """
    transforms = _botorch("models.transforms")
    model = _botorch("models").SingleTaskGP(
        u,
        y.unsqueeze(1),
        input_transform=transforms.Normalize(u.shape[1]),
        outcome_transform=transforms.Standardize(1),
    )
    likelihood = import_module("gpytorch.mlls").ExactMarginalLogLikelihood(model.likelihood, model)
    _botorch("fit").fit_gpytorch_mll(likelihood)
    sampler = _botorch("sampling").SobolQMCNormalSampler(torch.Size([draws]), seed=seed)
    return _botorch("acquisition.logei").qLogExpectedImprovement(
        model, best_f=y.max(), sampler=sampler
    )


def _botorch(module: str) -> Any:
    try:
        return import_module(f"botorch.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError("BoTorch", "design") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide BoTorch's warnings on scales and steps, about which a user can do nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
