"""The first fit of an imputer, which hides some observed cells of the table.

They tell whether training improves on the factor analysis at which it starts, how much trees of
each column add to the model, and how wide intervals have to be. The second fit is to all cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dataset import spread_rows
from lowerbound.data.lookups import determined, observed_cells, with_lookups
from lowerbound.estimators.imputer_fit import updates
from lowerbound.fitting import FitOptions, Fitted, fit
from lowerbound.inference.restoration.column_trees import ColumnTrees, GrownRows, most_grown
from lowerbound.inference.restoration.group_means import KnownCells
from lowerbound.inference.restoration.imputation import impute, quantiles, summarized_draws
from lowerbound.inference.restoration.interval_calibration import (
    SHARES,
    IntervalCalibration,
    tails,
)
from lowerbound.models import Model
from lowerbound.training import TrainingReporter

MOST_ROWS = 2_000  # of the first fit
MOST_KNOWN, MOST_CELLS = 100_000, 2_000_000  # rows and cells that means are taken of
FEWEST_HIDDEN, MOST_HIDDEN = 30, 2_000  # cells
LEAVES = (1, 3, 10)  # fewest rows in a leaf of the trees, tried
FEWEST_OF_NUMBERS = 3  # for columns of numbers
ENOUGH_HIDDEN, MOST_OF_ALL = 200, 0.2  # up to 200 cells and a fifth of a small table are hidden


@dataclass(frozen=True)
class ImputerFit:
    """A fitted imputer.

    Attributes:
        fitted: the model of all cells.
        calibration: of its intervals; None if there were too few cells to hide.
        errors: mean error of the hidden cells at the start and after training; None as above.
        trees: of the columns; None as above, or if they add nothing.
    """

    fitted: Fitted
    calibration: IntervalCalibration | None = None
    errors: tuple[float, float] | None = None
    trees: ColumnTrees | None = None


def calibrated_fit(
    dataset: Dataset,
    options: FitOptions,
    share: float,
    samples: int,
    with_trees: bool,
    reporter: TrainingReporter | None,
    callbacks: Sequence[TrainingReporter] | None,
) -> ImputerFit:
    """Fit to all cells, after a first fit with hidden cells that decides and calibrates.

    Args:
        dataset: the rows.
        options: of the fit; each of both fits takes half of its minutes.
        share: of the observed cells that the first fit hides.
        samples: K of an imputation.
        with_trees: whether trees of the columns may be pooled with the model.
        reporter, callbacks: of the training with all cells.
    """
    dataset = with_lookups(dataset)
    test = HiddenCells.of(dataset, share, options.training.seed)
    if test is None:
        return ImputerFit(fit(dataset, options, reporter=reporter, callbacks=callbacks))
    training = options.training
    start_only = replace(options, training=replace(training, updates=1, minutes=None))
    if training.minutes is not None:
        options = replace(options, training=replace(training, minutes=training.minutes / 2))
    models = [fit(test.rest, how).model for how in (start_only, _of_fewer_rows(options, test.rest))]
    errors = [test.error(model, samples) for model in models]
    best = int(errors[1] < errors[0])
    trees = test.trees(models[best], samples, training.seed) if with_trees else None
    calibration = test.calibration(models[best], samples, trees)
    how = (start_only, options)[best]
    fitted = fit(dataset, how, reporter=reporter, callbacks=callbacks)
    if trees is not None:
        known = _known(dataset)
        rows = grown_rows(known, torch.arange(len(known)), fitted.model, samples, training.seed)
        trees = trees.grown_again(rows, training.seed)
    return ImputerFit(fitted, calibration, (errors[0], errors[1]), trees)


def grown_rows(every: Dataset, places: Tensor, model: Model, samples: int, seed: int) -> GrownRows:
    """Rows that trees are grown on, filled by the model.

    Args:
        every: rows of which means of groups are taken.
        places: of those that trees may be grown on, (some rows,).
        model, samples: as for ``impute``.
        seed: of the folds.
    """
    columns = every.schema.columns
    places = places[spread_rows(len(places), most_grown(len(places), len(columns)))]
    some = every.subset(places)
    filled, seen = impute(model, some, samples=samples).mean, _laid_out(some, some.mask)
    known = KnownCells(columns, observed_cells(every), seed)
    return GrownRows(columns, filled, seen, known, places.numpy())


def _of_fewer_rows(options: FitOptions, rows: Dataset) -> FitOptions:
    """The options with as many updates as these rows take by default, if updates are counted."""
    training = options.training
    if training.updates is None or training.batch_size is None:
        return options
    fewer = min(training.updates, updates(len(rows), training.batch_size))
    return replace(options, training=replace(training, updates=fewer))


@dataclass(frozen=True)
class HiddenCells:
    """Rows with some observed cells hidden.

    Attributes:
        every: all rows, or many, without the hidden cells.
        places: of the rows that are fitted, (rows,).
        truth: values or codes of the rows with a hidden cell, (some rows, columns).
        hidden: mask of their hidden cells, (some rows, columns).
        scale: standard deviation of what is averaged of each column; 1 for levels, (columns,).
        rows: their numbers among those that are fitted.
    """

    every: Dataset
    places: Tensor
    truth: Array
    hidden: Array
    scale: Array
    rows: Tensor

    @classmethod
    def of(cls, dataset: Dataset, share: float, seed: int) -> HiddenCells | None:
        """Hide a share of the observed cells; None if there are too few. Rows keep one at least."""
        known = _known(dataset)
        places = spread_rows(len(known), MOST_ROWS)
        some = known.subset(places)
        hidden = drawn_cells(some.mask, share, seed)
        if hidden is None:
            return None
        gone = torch.zeros_like(known.mask)
        gone[places] = hidden
        x, observed = known.x.masked_fill(gone, 0), known.mask & ~gone
        every = with_lookups(replace(known, x=x, observed=observed))
        columns = known.schema.columns
        values = known.schema.decode(known.schema.units(some.x)).astype(np.float64)
        averaged = np.where(_laid_out(some, some.mask), _averaged(values, columns), np.nan)
        leveled = [bool(column.levels) for column in columns]
        seen = ~np.isnan(averaged).all(0)
        spread = np.where(seen, np.nanstd(np.where(seen, averaged, 0.0), axis=0), 0.0)
        scale = np.where(leveled | ~(spread > 0), 1.0, spread)
        rows = torch.nonzero(hidden.any(1)).flatten()
        return cls(every, places, values[rows], _laid_out(some, hidden[rows]), scale, rows)

    @cached_property
    def rest(self) -> Dataset:
        """The rows that are fitted, without the hidden cells."""
        return self.every.subset(self.places)

    @cached_property
    def open(self) -> Array:
        """Mask of the hidden cells that no other column determines, (some rows, columns)."""
        found = determined(self.rest.subset(self.rows))
        return self.hidden if found is None else self.hidden & np.isnan(found)

    def error(self, model: Model, samples: int) -> float:
        """The mean over hidden cells of the squared error in variances; for levels of 0 or 1."""
        answer = impute(model, self.rest.subset(self.rows), samples=samples).mean
        columns = self.rest.schema.columns
        apart = _averaged(answer, columns) - _averaged(self.truth, columns)
        apart = np.square(apart / self.scale)
        leveled = [bool(column.levels) for column in columns]
        return float(np.where(leveled, apart > 0, apart)[self.hidden].mean())

    def trees(self, model: Model, samples: int, seed: int) -> ColumnTrees | None:
        """Trees grown on the rest, with leaves and weights that fit the hidden cells; None if they
        add nothing."""
        if not self.rest.schema.data_kind.matrix:
            return None
        made = impute(model, self.rest.subset(self.rows), samples=samples, parts=True)
        assert made.parts is not None
        rows = grown_rows(self.every, self.places, model, samples, seed)
        leveled = np.array([bool(column.levels) for column in rows.columns])
        ones, tried = np.ones(len(leveled)), []
        for leaf, grouped in product(LEAVES, (False, True)):
            some = ones if leaf >= FEWEST_OF_NUMBERS else leveled * ones
            grown = ColumnTrees.fit(rows, leaf * ones, some, grouped * ones, seed)
            answers = grown.answers(made.mean, self.open)
            tried.append(grown.weighted(made.parts, answers, self.truth, self.open, self.scale))
        best = ColumnTrees.best(tried)
        return best if best.trees else None

    def calibration(
        self, model: Model, samples: int, trees: ColumnTrees | None
    ) -> IntervalCalibration | None:
        """The calibration of the intervals; None if too few hidden cells have one."""
        ordered = [column.rules.ordered for column in self.rest.schema.columns]
        if (self.open & ordered).sum() < FEWEST_HIDDEN:
            return None
        schema = self.rest.schema

        def summary(draws: Array, rows: slice) -> Array:
            places = tails(draws, self.truth[rows], schema.columns)
            return np.concatenate([quantiles(draws, schema, SHARES), places])

        some = self.rest.subset(self.rows)
        found = summarized_draws(model, some, summary, samples=samples, trees=trees)
        own, places = np.split(found, [len(SHARES)])
        return IntervalCalibration.of(self.truth, own, places, self.open, schema.columns)


def _known(dataset: Dataset) -> Dataset:
    """The rows of which means of groups are taken; at least as many as are fitted first."""
    cells = MOST_CELLS // max(1, len(dataset.schema.columns))
    return dataset.thinned(min(MOST_KNOWN, max(MOST_ROWS, cells)))


def drawn_cells(observed: Tensor, share: float, seed: int) -> Tensor | None:
    """Mask of the cells to hide, (rows, columns); None if there are too few.

    Args:
        observed: mask of the observed cells, (rows, columns).
        share: of them.
        seed: of the draws.
    """
    noise = torch.Generator().manual_seed(seed)
    order = torch.rand(observed.shape, dtype=torch.float32, generator=noise)
    allowed = observed.clone()
    keep = torch.where(observed, order, -1.0).argmax(1, keepdim=True)
    allowed.scatter_(1, keep, False)
    cells = int(allowed.sum())
    count = min(max(round(share * cells), ENOUGH_HIDDEN), int(MOST_OF_ALL * cells), MOST_HIDDEN)
    if share == 0 or count < FEWEST_HIDDEN:
        return None
    first = torch.where(allowed, order, 2.0).flatten().argsort()[:count]
    hidden = torch.zeros(observed.numel(), dtype=torch.bool)
    hidden[first] = True
    return hidden.reshape(observed.shape)


def _averaged(values: Array, columns: Sequence[Column]) -> Array:
    """What is averaged over draws of values (rows, columns), in place of the values."""
    with np.errstate(all="ignore"):  # where a column has no value
        each = [column.rules.averaged(values[:, place]) for place, column in enumerate(columns)]
    return np.stack(each, 1)


def _laid_out(dataset: Dataset, cells: Tensor) -> Array:
    return dataset.schema.data_kind.laid_out(dataset.schema, cells.numpy())
