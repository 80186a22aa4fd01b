"""The search: propose, decode, encode again, judge by the true objective, and record."""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from lowerbound.applications.design.goals import DesignTask, FittedHead, Limit, fit_head
from lowerbound.applications.design.methods import METHODS, Proposals, Search, SearchMethod
from lowerbound.applications.design.oracle import Oracle, Outcome, values_of
from lowerbound.applications.design.result import Candidate, DesignResult, Stop
from lowerbound.applications.design.rows import KnownKeys, MoleculeRows, RowForm, row_form
from lowerbound.applications.design.space import LatentSpace
from lowerbound.data.dataset import Dataset
from lowerbound.errors import DataError, OptionError
from lowerbound.inference.passes import Progress
from lowerbound.models.base import Model

MOST_KNOWN = 10_000  # rows whose values are computed
LEAST_NEW, NEW_SHARE = 20, 0.1  # judged rows, of those that the head knows, before the next fit
PROPOSALS_PER_CALL = 20  # after which a search that finds nothing new ends


@dataclass(frozen=True)
class SearchOptions:
    """How to search.

    Attributes:
        method: name in ``METHODS``.
        calls: largest number of distinct objects whose goals are computed.
        batch: proposals in a round; None: a tenth of the calls, 8 to 50.
        caution: k, the standard deviations that a prediction is lowered by.
        novel: whether known rows are rejected, without a call.
        seed: of all random numbers.

    Raises:
        OptionError: the method is unknown, or there are no calls or no proposals.
    """

    method: str = "gradient"
    calls: int = 300
    batch: int | None = None
    caution: float = 1.0
    novel: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        METHODS[self.method]
        if self.calls < 1 or (self.batch is not None and self.batch < 1):
            raise OptionError("a search needs at least one call and one proposal in a round")

    @property
    def round(self) -> int:
        """Proposals in a round."""
        return self.batch or min(max(self.calls // 10, 8), 50)


@dataclass(frozen=True, eq=False)
class Designer:
    """A fitted model with rows whose values are known, ready for searches.

    Attributes:
        space: codes of the known rows.
        form: how rows are compared and judged.
        rows: known rows in their original form.
        values: of all quantities of known rows, (rows, quantities).
        task: scaled by the known values.
        fitted: the head.
        known: keys of all known rows, also of those without values.
    """

    space: LatentSpace
    form: RowForm
    rows: Sequence[Any]
    values: Tensor
    task: DesignTask
    fitted: FittedHead
    known: Container[Hashable]

    @classmethod
    def of(
        cls,
        model: Model,
        dataset: Dataset,
        task: DesignTask,
        *,
        values: Tensor | None = None,
        known: Dataset | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Designer:
        """Encode known rows, compute their values and fit the head.

        Args:
            model: one with encoder and decoder over one vector.
            dataset: known rows; the head learns from at most 10,000 of them, evenly spread.
            task: goals and limits.
            values: of all quantities, (rows, quantities), NaN where unknown; None: the task's
                functions compute them, without counting calls.
            known: further rows that are known, without values.
            seed: of the head.
            progress: called with (values computed, values).

        Raises:
            UnsupportedError: the model or its rows cannot be used for a design.
            DataError: the model is collapsed, a goal is constant or known for too few rows.
            OptionError: a function does not return numbers.
        """
        form = row_form(dataset.schema)
        further = [] if known is None else [known]
        if values is None and len(dataset) > MOST_KNOWN:
            further.append(dataset)
            dataset = dataset.thinned(MOST_KNOWN)
        space = LatentSpace.of(model, dataset, seed=seed)
        rows = form.known(dataset)
        found = values_of(task, form, rows, progress) if values is None else values.double()
        scaled = task.scaled(_deviations(task, found))
        names = tuple(quantity.name for quantity in task.quantities)
        fitted = fit_head(space.codes, found, names, seed=seed)
        more = chain.from_iterable(map(form.known_parts, further))
        return cls(space, form, rows, found, scaled, fitted, KnownKeys(form, chain([rows], more)))

    def known_scores(self) -> Tensor:
        """Scores of the known rows, -inf where a value is missing or outside a limit."""
        scores = self.task.score(self.values)
        for i, limit in enumerate(self.task.limits, len(self.task.goals)):
            scores = scores.masked_fill(~(limit.excess(self.values[:, i]) == 0), -math.inf)
        return scores.nan_to_num(nan=-math.inf, neginf=-math.inf)

    def search(
        self,
        options: SearchOptions,
        *,
        starts: Sequence[int] | None = None,
        limits: Sequence[Limit] = (),
        oracle: Oracle | None = None,
        progress: Progress | None = None,
    ) -> DesignResult:
        """One search.

        Args:
            options: how to search.
            starts: known rows that it starts from; None: the best of all that meet the limits.
            limits: further limits of this search only, which the head does not predict, such as
                similarity to its start.
            oracle: judges, with its memory of earlier searches; None: a new one.
            progress: called with (calls done, calls).

        Raises:
            DataError: no known row can be a start.
            OptionError: the method does not fit the rows.
        """
        order = self._starts(starts)
        scores = self.known_scores()
        learner = _Learner(self, options)
        oracle = oracle or self.oracle(options, limits)
        search = Search(
            space=self.space,
            guide=learner.guide,
            screen=_Screen(self, learner, oracle),
            codes=self.space.codes[order],
            scores=scores[order],
            rows=[self.rows[i] for i in order.tolist()],
            molecular=isinstance(self.form, MoleculeRows),
            generator=torch.Generator().manual_seed(options.seed),
            batch=options.round,
        )
        run = _Run(self, METHODS[options.method](search), oracle, learner)
        stopped: Stop | None = None
        try:
            while not oracle.exhausted and len(run.found) < PROPOSALS_PER_CALL * options.calls:
                if not run.advance():
                    break
                if progress is not None:
                    progress(oracle.called, options.calls)
        except (DataError, KeyboardInterrupt) as error:
            if not run.found:
                raise
            stopped = error  # the calls that were made may have been expensive
        best = float(scores.max())
        found = tuple(run.found)
        return DesignResult(
            self.form, oracle.task, found, options.calls, best, self.fitted.quality, stopped
        )

    def oracle(self, options: SearchOptions, limits: Sequence[Limit] = ()) -> Oracle:
        """A judge of rows that has seen none."""
        task = replace(self.task, limits=(*self.task.limits, *limits))
        return Oracle(task, self.form, options.calls, self.known, novel=options.novel)

    def _starts(self, given: Sequence[int] | None) -> Tensor:
        scores = self.known_scores()
        if given is not None:
            rows = torch.as_tensor(list(given))
            return rows[scores[rows].argsort(descending=True, stable=True)]
        order = scores.argsort(descending=True, stable=True)
        order = order[scores[order].isfinite()]
        if not len(order):
            raise DataError(
                "none of the known rows meets all limits, so there is no start: widen the limits"
            )
        return order


class _Learner:
    """The head of a search, which is fitted again when the judged rows are many beside the known.

    The head of the known rows is wrong where a search goes; the rows that it finds there correct
    it.
    """

    def __init__(self, designer: Designer, options: SearchOptions) -> None:
        self.designer = designer
        self.options = options
        self.head = designer.fitted.head
        self.codes, self.values = [designer.space.codes], [designer.values]
        self.fitted_on = len(designer.space.codes)

    def guide(self, z: Tensor) -> Tensor:
        """What a search ascends: the predicted score of codes, lowered by uncertainty."""
        return self.designer.task.cautious(*self.head(z), self.options.caution)

    def learn(self, z: Tensor, values: Tensor) -> None:
        """Add judged rows with codes, and fit the head again if they are enough.

        Args:
            z: (rows, latent_dim).
            values: of the quantities that the head predicts, (rows, quantities).
        """
        kept = z.isfinite().all(1) & values.isfinite().all(1)
        self.codes.append(z[kept])
        self.values.append(values[kept])
        rows = sum(map(len, self.codes))
        if rows - self.fitted_on < max(LEAST_NEW, NEW_SHARE * self.fitted_on):
            return
        names = tuple(quantity.name for quantity in self.designer.task.quantities)
        codes, known = torch.cat(self.codes), torch.cat(self.values)
        self.head = fit_head(codes, known, names, seed=self.options.seed).head
        self.fitted_on = rows


class _Screen:
    """Chooses codes by their decoded rows, among those that the oracle would judge.

    Rows that the model reproduces from their own code come first, since predictions of these are
    more reliable; then those with the best promise. Where none would be judged, the best
    promises stay, so that the result has the reasons.
    """

    def __init__(self, designer: Designer, learner: _Learner, oracle: Oracle) -> None:
        self.space, self.form = designer.space, designer.form
        self.learner = learner
        self.oracle = oracle

    def __call__(self, z: Tensor, count: int) -> Tensor:
        z = self.space.project(z)
        x = self.space.decode(z)
        rows = self.form.rows(x)
        codes = self.space.encode(self.form.standard(x, rows))
        order = self.learner.guide(codes).argsort(descending=True, stable=True).tolist()
        if new := self._new([rows[i] for i in order]):
            order = self._reproduced_first([order[i] for i in new], rows, codes)
        return z[order[:count]]

    def _reproduced_first(
        self, order: Sequence[int], rows: Sequence[Any], codes: Tensor
    ) -> list[int]:
        again = self.form.rows(self.space.decode(codes[list(order)]))
        key = self.form.key
        wrong = {i: key(rows[i]) != key(row) for i, row in zip(order, again, strict=True)}
        return sorted(order, key=wrong.__getitem__)

    def _new(self, rows: Sequence[Any]) -> list[int]:
        """The first place of each distinct row that the oracle would judge."""
        first: dict[Hashable, int] = {}
        for i, row in enumerate(rows):
            first.setdefault(self.form.key(row), i)
        return [i for i in first.values() if self.oracle.new(rows[i])]


class _Run:
    """A search in progress."""

    def __init__(
        self,
        designer: Designer,
        method: SearchMethod,
        oracle: Oracle,
        learner: _Learner,
    ) -> None:
        self.learner = learner
        self.designer = designer
        self.method = method
        self.oracle = oracle
        self.found: list[Candidate] = []
        self._z = [designer.space.codes[:0]]

    def advance(self) -> bool:
        """One round; False if the method proposes nothing more."""
        z = torch.cat(self._z)
        scores = torch.tensor(
            [-math.inf if c.repeated else c.score for c in self.found], dtype=torch.float64
        ).nan_to_num(nan=-math.inf, neginf=-math.inf)
        made = self.method.propose(z, scores, [c.row for c in self.found])
        if not len(made.z):
            return False
        self._record(made)
        return True

    def _record(self, made: Proposals) -> None:
        space = self.designer.space
        z, again, drift = made.z, made.z, torch.full((len(made.z),), math.nan)
        if made.rows is None:
            z = space.project(z)
            x = space.decode(z)
            rows = self.designer.form.rows(x)
            again = space.encode(self.designer.form.standard(x, rows))
            drift = space.drift(z, again)
        else:
            rows = list(made.rows)
        mean, deviation = self.learner.head(again)
        predicted = self.designer.task.score(mean)
        more = len(self.oracle.task.quantities) - mean.shape[1]  # without predictions
        mean, deviation = (
            torch.nn.functional.pad(each, (0, more), value=math.nan) for each in (mean, deviation)
        )
        measures = zip(
            z, rows, drift.tolist(), predicted.tolist(), mean, deviation,
            space.lengths(z).tolist(), space.log_prior(z).tolist(), strict=True,
        )  # fmt: skip
        done = 0
        for code, row, off, score, center, spread, length, density in measures:
            if self.oracle.exhausted:
                break
            repeated = self.oracle.seen(row)
            outcome: Outcome = self.oracle.judge(row)
            means, spreads = tuple(center.tolist()), tuple(spread.tolist())
            known = self.designer.form.key(row) in self.oracle.known
            self.found.append(
                Candidate(
                    row, outcome, repeated, known, code, score, means, spreads, length, density, off
                )
            )
            self.oracle.check_failures()
            done += 1
        self._z.append(z[:done])
        self._learn(again[:done], self.found[len(self.found) - done :])

    def _learn(self, z: Tensor, candidates: Sequence[Candidate]) -> None:
        """Pass new rows to the learner."""
        new = [i for i, candidate in enumerate(candidates) if not candidate.repeated]
        predicted = len(self.designer.task.quantities)
        values = [candidates[i].outcome.values[:predicted] for i in new]
        if new:
            self.learner.learn(z[new], torch.tensor(values, dtype=torch.float64))


def _deviations(task: DesignTask, values: Tensor) -> list[float]:
    """The standard deviation of each quantity in known rows.

    Raises:
        DataError: a goal has no values, or the same everywhere.
    """
    found = []
    for i, quantity in enumerate(task.quantities):
        known = values[values[:, i].isfinite(), i]
        if not len(known):
            raise DataError(f"{quantity.name} has no value on any of {len(values):,} rows")
        spread = float(known.std(correction=0))
        if i < len(task.goals) and spread <= 1e-12 * max(1.0, float(known.abs().max())):
            raise DataError(
                f"the objective {quantity.name} is {float(known[0]):.6g} on all of {len(known):,} "
                "rows: it is constant, so there is nothing to search for"
            )
        found.append(spread)
    return found
