r"""Search methods by name, what each sees and what it returns.

Baselines at equal calls search without a model of the score: random codes, the best known rows as
they are, which a search has to exceed, and mutation of molecules as SELFIES, without a latent space
(Nigam et al. 2021, STONED). The cross-entropy method draws from a Gaussian and refits it to the
best draws (Rubinstein 1999).

The others work on standardized codes u = (z - c) / s. Bayesian optimization fits a Gaussian process
of scores to the rows that were tried and the best known rows. A round takes the codes that maximize

.. math:: \log E\left[\max_i f(u_i) - f^*\right]_+

in a box (Ament et al. 2023, LogEI); f* is the best score so far. Ascent of the guide g starts at
the best codes and stays inside a shell, by steps of fixed length,

.. math:: u \leftarrow \Pi\left(u + \eta\, \nabla g(u) / |\nabla g(u)|\right),

with the projection to the shell. In a ball of radius R a linear g with slope w leads to R w / |w|.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from lowerbound.applications.design import requests
from lowerbound.applications.design.space import LatentSpace
from lowerbound.data.sciences.smiles import selfies_library
from lowerbound.data.sequences.texts import from_selfies, to_selfies
from lowerbound.errors import DataError, MissingExtraError, OptionError
from lowerbound.registry import Registry

Guide = Callable[[Tensor], Tensor]
"""Predicted score of codes, lowered by uncertainty; (rows, latent_dim) to (rows,)."""

Screen = Callable[[Tensor, int], Tensor]
"""Of codes, at most so many whose decoded rows are new, meet all limits and promise most."""
WIDEST = 1.0  # noise, in standard deviations of the aggregate posterior
MOST_ROWS = 300  # of the process, whose cost is cubic
LEAST_ROWS = 5  # fewer say nothing: noise around the best codes comes first
TRIED = 200  # of these, at most so many that were tried, the newest
AT_ONCE = 10  # proposals between two fits of the process
RESTARTS, RAW, STEPS = 2, 64, 40  # of a search for the next code
DRAWS = 64  # of scores, for the expectation
REACH = 2.0  # half the side of the box, in standard deviations
LENGTH, LONGEST, SHORTEST = 0.8, 1.6, 0.5**7  # half sides of the trust region
SUCCESSES, FAILURES = 3, 4  # rounds in a row after which it grows or shrinks
ELITE = 20  # codes that the Gaussian is fitted to
LEAST = 0.05  # smallest standard deviation, as a share of that of the aggregate posterior
SCREENED = 32  # ascents for each proposal
ASCENT_STEPS, STEP_LENGTH = 20, 0.1  # of an ascent, in standardized codes
JITTER = 1.0  # largest noise at the start, in standard deviations
PARENTS = 100  # best molecules that are mutated
MOST_CHANGES = 3  # of the symbols of a molecule
TRIES = 20  # mutations of a parent until one is a molecule


@dataclass(frozen=True, eq=False)
class Search:
    """What a method may use.

    Attributes:
        space: codes, shell, prior.
        guide: the predicted score.
        screen: which of many codes to propose.
        codes: of the known rows that are accepted, best first, (rows, latent_dim).
        scores: of these rows, (rows,).
        rows: these rows in their original form.
        molecular: whether they are SMILES.
        generator: of all random numbers.
        batch: number of proposals in a round.
    """

    space: LatentSpace
    guide: Guide
    screen: Screen
    codes: Tensor
    scores: Tensor
    rows: Sequence[Any]
    molecular: bool
    generator: torch.Generator
    batch: int

    def normal(self, *shape: int) -> Tensor:
        """Standard normal noise, float64."""
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers from 0 to 1, float64."""
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64)

    def whole(self, top: int, *shape: int) -> Tensor:
        """Whole numbers from 0 to below ``top``."""
        return torch.randint(top, shape, generator=self.generator)

    def best(self, z: Tensor, scores: Tensor, count: int) -> Tensor:
        """The ``count`` codes with the highest scores among known and tried ones, best first.

        Equal scores, such as those of a reached target, are in random order.
        """
        pool = torch.cat([self.codes, z[scores.isfinite()]])
        values = torch.cat([self.scores, scores[scores.isfinite()]])
        mixed = torch.randperm(len(pool), generator=self.generator)
        return pool[mixed[values[mixed].argsort(descending=True, stable=True)[:count]]]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Codes to decode and judge, or rows to judge as they are.

    Attributes:
        z: (count, latent_dim); NaN where a row has no code.
        rows: rows to judge instead of the decoded codes; None: decode.
    """

    z: Tensor
    rows: Sequence[Any] | None = None


class SearchMethod(ABC):
    """A search.

    Raises:
        OptionError: the rows are not of the kind that the method needs.
    """

    def __init__(self, search: Search) -> None:
        self.search = search

    @abstractmethod
    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        """The next proposals; none: the search has ended.

        Args:
            z: all codes that were tried, (tried, latent_dim).
            scores: of the rows that they decoded to, -inf for rejected and repeated ones.
            rows: these rows.
        """


METHODS: Registry[type[SearchMethod]] = requests.METHODS


@METHODS.register("random")
class RandomAround(SearchMethod):
    """Noise of random size around the best codes so far."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        search, count = self.search, self.search.batch
        best = search.best(z, scores, count)
        starts = best[torch.arange(count) % len(best)]
        size = WIDEST * search.uniform(count, 1) * search.space.deviation
        return Proposals(starts + size * search.normal(*starts.shape))


@METHODS.register("prior")
class FromPrior(SearchMethod):
    """Draws from the prior."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        return Proposals(self.search.space.draw(self.search.batch, self.search.generator))


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


@METHODS.register("cem")
class CrossEntropy(SearchMethod):
    """Draws from N(mean, diagonal covariance) of the best codes so far."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        search = self.search
        elite = search.best(z, scores, ELITE)
        least = LEAST * search.space.deviation
        deviation = elite.std(0, correction=0).maximum(least)
        noise = search.normal(search.batch, elite.shape[1])
        return Proposals(elite.mean(0) + deviation * noise)


@METHODS.register("gradient")
class GradientAscent(SearchMethod):
    """Ascends from the best codes with some noise, and stops each after a random number of steps.

    Short ascents keep near known rows, where predictions hold; long ones reach farther. Of several
    ends those are proposed whose decoded rows may be judged and have the best prediction: a row may
    differ from what its code promises.
    """

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        search, space = self.search, self.search.space
        count = SCREENED * search.batch
        best = search.best(z, scores, search.batch)
        starts = best[torch.arange(count) % len(best)]
        size = JITTER * search.uniform(count, 1) * space.deviation
        starts = starts + size * search.normal(*starts.shape)
        path = ascend(search.guide, starts, space, ASCENT_STEPS, STEP_LENGTH)
        ends = path[search.whole(ASCENT_STEPS + 1, count), torch.arange(count)]
        return Proposals(search.screen(ends, search.batch))


def ascend(guide: Guide, z: Tensor, space: LatentSpace, steps: int, length: float) -> Tensor:
    """The path of an ascent, (steps + 1, rows, latent_dim); its first points are the starts.

    Args:
        guide: what is ascended.
        z: starts, (rows, latent_dim).
        space: center, deviation and shell.
        steps: number of steps.
        length: of a step in standardized codes.
    """
    path = [z]
    for _ in range(steps):
        with torch.enable_grad():
            here = path[-1].detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(guide(here).sum(), here)
        slope = slope * space.deviation  # of standardized codes
        unit = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-300)
        path.append(space.project(path[-1] + length * space.deviation * unit))
    return torch.stack(path)


@METHODS.register("known")
class BestKnown(SearchMethod):
    """Known rows in descending order of their score."""

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        part = slice(len(z), len(z) + self.search.batch)
        return Proposals(self.search.codes[part], self.search.rows[part])


@METHODS.register("mutation")
class Mutation(SearchMethod):
    """Replaces, inserts or deletes symbols of the best molecules so far, all equally likely."""

    def __init__(self, search: Search) -> None:
        if not search.molecular:
            raise OptionError("the method mutation changes molecules, and the rows are not")
        super().__init__(search)

    @cached_property
    def alphabet(self) -> list[str]:
        """Symbols that keep their meaning in every place."""
        return sorted(selfies_library().get_semantic_robust_alphabet())

    def propose(self, z: Tensor, scores: Tensor, rows: Sequence[Any]) -> Proposals:
        pool = dict(zip(self.search.rows, self.search.scores.tolist(), strict=True))
        pool |= {row: s for row, s in zip(rows, scores.tolist(), strict=True) if math.isfinite(s)}
        best = sorted(pool, key=lambda row: -pool[row])[:PARENTS]
        chosen = self.search.whole(len(best), self.search.batch).tolist()
        made = [self._mutated(best[i]) for i in chosen]
        return Proposals(torch.full((len(made), self.search.codes.shape[1]), torch.nan), made)

    def _mutated(self, smiles: str) -> str:
        """A neighbor; the molecule itself where no mutation of it is a molecule."""
        for _ in range(TRIES):
            try:
                symbols = list(selfies_library().split_selfies(to_selfies(smiles)))
                for _ in range(1 + int(self.search.whole(MOST_CHANGES))):
                    self._change(symbols)
                return from_selfies("".join(symbols))
            except DataError:
                continue
        return smiles

    def _change(self, symbols: list[str]) -> None:
        """Delete, replace or insert a symbol."""
        kind = int(self.search.whole(3)) if len(symbols) > 1 else 2
        place = int(self.search.whole(len(symbols) + (kind == 2)))
        symbol = self.alphabet[int(self.search.whole(len(self.alphabet)))]
        symbols[place : place + (kind < 2)] = [] if kind == 0 else [symbol]
