"""Fit an imputer: a first fit hides some observed cells of the table, a second one none.

The hidden cells show whether training improves on the factor analysis at which it starts, how much
trees of each column add to the model, how wide intervals have to be, and how good answers are.

The options were chosen on tables of 178 to 1,797 rows, by hiding observed cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.restoration.column_trees import ColumnTrees, GrownRows, most_grown
from lowerbound.applications.restoration.filling import impute, quantiles, summarized_draws
from lowerbound.applications.restoration.group_means import KnownCells
from lowerbound.applications.restoration.intervals import SHARES, IntervalCalibration, tails
from lowerbound.applications.restoration.requests import SAMPLES
from lowerbound.config import from_mapping
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.dataset import Dataset, spread_rows
from lowerbound.data.dependencies.determined import determined, observed_cells, with_dependencies
from lowerbound.fitting.fitted import Fitted
from lowerbound.fitting.model import fit
from lowerbound.fitting.options import FitOptions
from lowerbound.models.base import Model
from lowerbound.training.checkpoint import FOLDER
from lowerbound.training.reporter import TrainingReporter

MOST_FACTORS = 16  # numbers of a code
HIDDEN = (256, 256)  # units of the network
BATCH_SIZE, LEARNING_RATE = 64, 2e-3
TRAINING: dict[str, Any] = {
    "batch_size": BATCH_SIZE,
    "learning_rate": LEARNING_RATE,
    "validation": 0.0,  # small tables need every row
    "weight_decay": 0.1,
    "weight_average": 0.99,
    "gradient_clip": 5.0,
}
PASSES, MOST_PASSES = 60, 300  # over a table of middle size, over a small one
FEWEST_UPDATES, MOST_UPDATES = 1_400, 3_000
FIRST = "first"  # folder of the first fit, in that of the checkpoint of the second
HIDDEN_SHARE = 0.1  # of the observed cells, by default
MOST_ROWS = 2_000  # of the first fit
MOST_KNOWN, MOST_CELLS = 100_000, 2_000_000  # rows and cells that means are taken of
FEWEST_HIDDEN, MOST_HIDDEN = 30, 2_000  # cells
LEAVES = (1, 3, 10)  # fewest rows in a leaf of the trees, tried
FEWEST_OF_NUMBERS = 3  # for columns of numbers
LEAST_GAIN = 0.03  # of a second pass, in squared errors saved
ENOUGH_HIDDEN, MOST_OF_ALL = 200, 0.2  # up to 200 cells and a fifth of a small table are hidden


def imputation_options(
    dataset: Dataset, model: Mapping[str, Any], training: Mapping[str, Any], **rest: Any
) -> FitOptions:
    """The complete options for the fit of an imputer.

    Args:
        dataset: the rows.
        model: fields of ``ModelOptions``; ``latent_dim`` None: one fewer than columns, 16 at most.
        training: fields of ``TrainingOptions``; without epochs and minutes, the number of rows
            determines the number of updates.
        rest: further fields of ``FitOptions``.

    Raises:
        OptionError: a field has an unknown name or an invalid value.
    """
    network = {"hidden": HIDDEN, **model.get("network_options", {})}
    model = {**model, "model": "vae", "network": "tabular", "network_options": network}
    if model.get("latent_dim") is None:
        model["latent_dim"] = max(1, min(dataset.schema.dimension - 1, MOST_FACTORS))
    chosen = {**TRAINING, **training}
    if training.get("epochs") is None and training.get("minutes") is None:
        chosen = {"updates": updates(len(dataset), chosen["batch_size"]), **chosen}
    return from_mapping(FitOptions, {"model": model, "training": chosen, **rest})


def updates(rows: int, batch_size: int) -> int:
    """The number of updates: many passes over a small table, few over a large one."""
    passes = PASSES * rows / batch_size
    most = math.ceil(MOST_PASSES * rows / batch_size)
    return max(1, min(round(max(passes, FEWEST_UPDATES)), MOST_UPDATES, most))


@dataclass(frozen=True)
class HiddenError:
    """How well the hidden cells of a column were filled.

    Attributes:
        cells: that were hidden.
        error: root mean squared error in deviations of the column; of levels, the share of wrong
            ones.
        usual: the same for the mean of the column; of levels, for the most frequent one.
    """

    cells: int
    error: float
    usual: float


@dataclass(frozen=True)
class ImputerFit:
    """A fitted imputer.

    Attributes:
        fitted: the model of all cells.
        calibration: of its intervals; None if there were too few cells to hide.
        errors: mean error of the hidden cells at the start and after training; None as above.
        trees: of the columns; None as above, or if they add nothing.
        hidden: how well hidden cells were filled, by column; empty if that was not asked.
    """

    fitted: Fitted
    calibration: IntervalCalibration | None = None
    errors: tuple[float, float] | None = None
    trees: ColumnTrees | None = None
    hidden: Mapping[str, HiddenError] = field(default_factory=dict)


def fit_imputer(
    dataset: Dataset,
    options: FitOptions,
    share: float = HIDDEN_SHARE,
    samples: int = SAMPLES,
    *,
    with_trees: bool = True,
    with_errors: bool = False,
    folder: Path | None = None,
    resume: bool = False,
    reporter: TrainingReporter | None = None,
    callbacks: Sequence[TrainingReporter] | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> ImputerFit:
    """Fit to all cells, after a first fit with hidden cells that decides and calibrates.

    Args:
        dataset: the rows.
        options: of the fit; each of both fits takes half of its minutes.
        share: of the observed cells that the first fit hides.
        samples: K of an imputation.
        with_trees: whether trees of the columns may be pooled with the model.
        with_errors: whether the errors of hidden cells by column are wanted.
        folder: for checkpoints of both fits.
        resume: continue from the checkpoints in ``folder``.
        reporter: of the trainings.
        callbacks: of the training with all cells.
        say: receives what is done next.

    Raises:
        OptionError: an option is unknown, or has an invalid value.
        Interrupted: Ctrl-C.
    """
    dataset = with_dependencies(dataset)
    second = partial(
        fit, dataset, folder=folder, resume=resume, reporter=reporter, callbacks=callbacks
    )
    test = HiddenCells.of(dataset, share, options.training.seed)
    if test is None:
        return ImputerFit(second(options))
    training = options.training
    start_only = replace(options, training=replace(training, updates=1, minutes=None))
    if training.minutes is not None:
        options = replace(options, training=replace(training, minutes=training.minutes / 2))
    say(f"a first fit of {len(test.rest):,} rows, with {test.hidden.sum():,} of their cells hidden")
    trained = fit(
        test.rest,
        _of_fewer_rows(options, test.rest),
        folder=None if folder is None else folder / FOLDER / FIRST,
        resume=resume,
        reporter=reporter,
    )
    models = [fit(test.rest, start_only).model, trained.model]
    errors = [test.error(model, samples) for model in models]
    best = int(errors[1] < errors[0])
    say("comparing the hidden cells with the model's answers")
    trees = test.trees(models[best], samples, training.seed) if with_trees else None
    calibration = test.calibration(models[best], samples, trees)
    hidden = test.errors(models[best], samples, trees) if with_errors else {}
    say("the fit to all cells")
    fitted = second((start_only, options)[best])
    if trees is not None:
        say(f"growing the trees of {len(trees.trees):,} columns")
        trees = _grown(trees, _known(dataset), fitted.model, samples, training.seed)
    return ImputerFit(fitted, calibration, (errors[0], errors[1]), trees, hidden)


def _grown(
    trees: ColumnTrees, known: Dataset, model: Model, samples: int, seed: int
) -> ColumnTrees:
    """Trees of these rows, of the same kind for each column."""
    filled_by = None
    for _ in range(trees.passes):
        rows = grown_rows(known, torch.arange(len(known)), model, samples, seed, filled_by)
        grown = trees.grown_again(rows, seed)
        filled_by = replace(grown, passes=1)
    return grown


def grown_rows(
    every: Dataset,
    places: Tensor,
    model: Model,
    samples: int,
    seed: int,
    trees: ColumnTrees | None = None,
) -> GrownRows:
    """Rows that trees are grown on, with missing cells filled.

    Args:
        every: rows of which means of groups are taken.
        places: of those that trees may be grown on, (some rows,).
        model, samples, trees: as for ``impute``.
        seed: of the folds.
    """
    columns = every.schema.columns
    places = places[spread_rows(len(places), most_grown(len(places), len(columns)))]
    some = every.subset(places)
    filled = impute(model, some, samples=samples, trees=trees).mean
    seen = _laid_out(some, some.mask)
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
        every = with_dependencies(replace(known, x=x, observed=observed))
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
    def some(self) -> Dataset:
        """The rows with a hidden cell, without it."""
        return self.rest.subset(self.rows)

    @cached_property
    def open(self) -> Array:
        """Mask of the hidden cells that no other column determines, (some rows, columns)."""
        return _without(self.hidden, determined(self.some))

    def error(self, model: Model, samples: int) -> float:
        """The mean over hidden cells of the squared error in variances; for levels of 0 or 1."""
        answers = impute(model, self.some, samples=samples).mean
        return float(self._missed(_averaged(answers, self.rest.schema.columns))[self.hidden].mean())

    def errors(
        self, model: Model, samples: int, trees: ColumnTrees | None
    ) -> dict[str, HiddenError]:
        """How well the hidden cells of each column are filled."""
        columns = self.rest.schema.columns
        answers = impute(model, self.some, samples=samples, trees=trees).mean
        missed = self._missed(_averaged(answers, columns))
        without = self._missed(_usual(self.rest)[None])
        found = {}
        for column, at, own, usual in zip(columns, self.hidden.T, missed.T, without.T, strict=True):
            if at.any():
                both = np.array([own[at].mean(), usual[at].mean()])
                both = both if column.levels else np.sqrt(both)
                found[column.name] = HiddenError(int(at.sum()), *both.tolist())
        return found

    def _missed(self, averaged: Array) -> Array:
        """The squared error in variances of answers, or 1 for wrong levels, (some rows, columns).

        Args:
            averaged: what is averaged of the answers, (some rows or 1, columns).
        """
        columns = self.rest.schema.columns
        apart = np.square((averaged - _averaged(self.truth, columns)) / self.scale)
        return np.where([bool(column.levels) for column in columns], apart > 0, apart)

    def trees(self, model: Model, samples: int, seed: int) -> ColumnTrees | None:
        """Trees grown on the rest, with leaves and weights that fit the hidden cells; None if they
        add nothing."""
        if not self.rest.schema.data_kind.matrix:
            return None
        gone = _without(_laid_out(self.some, ~self.some.mask), determined(self.some))
        made = impute(model, self.some, samples=samples, parts=True)
        assert made.parts is not None
        rows = grown_rows(self.every, self.places, model, samples, seed)
        leveled = np.array([bool(column.levels) for column in rows.columns])
        ones, tried = np.ones(len(leveled)), []
        for leaf in LEAVES:
            full = ones if leaf >= FEWEST_OF_NUMBERS else leveled * ones
            plain = ColumnTrees.fit(rows, leaf * ones, full, 0 * ones, seed)
            grouped = ColumnTrees.fit(rows, leaf * ones, full, ones, seed, plain)
            for grown in (plain, grouped) if grouped.means else (plain,):
                answers = grown.answers(made.mean, gone, self.open)
                tried.append(grown.weighted(made.parts, answers, self.truth, self.open, self.scale))
        best, saved = ColumnTrees.best(tried)
        if not best.trees:
            return None
        rows = grown_rows(self.every, self.places, model, samples, seed, best)
        again = best.grown_again(rows, seed)
        filled = impute(model, self.some, samples=samples, trees=again).mean
        answers = again.answers(filled, gone, self.open)
        twice, more = again.weighted(made.parts, answers, self.truth, self.open, self.scale)
        gains = more.sum() > (1 + LEAST_GAIN) * saved.sum()
        return replace(twice, passes=2) if gains else best

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

        found = summarized_draws(model, self.some, summary, samples=samples, trees=trees)
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


def _without(cells: Array, found: Array | None) -> Array:
    """The mask of cells without those that other columns determine."""
    return cells if found is None else cells & np.isnan(found)


def _usual(dataset: Dataset) -> Array:
    """The mean of what is averaged of each column; of levels the most frequent one, (columns,)."""
    columns, cells = dataset.schema.columns, observed_cells(dataset)
    averaged, found = _averaged(cells, columns), np.zeros(len(columns))
    for place, column in enumerate(columns):
        seen = averaged[np.isfinite(cells[:, place]), place]
        if len(seen):
            leveled = bool(column.levels)
            found[place] = np.bincount(seen.astype(np.int64)).argmax() if leveled else seen.mean()
    return found


def _averaged(values: Array, columns: Sequence[Column]) -> Array:
    """What is averaged over draws of values (rows, columns), in place of the values."""
    with np.errstate(all="ignore"):  # where a column has no value
        each = [column.rules.averaged(values[:, place]) for place, column in enumerate(columns)]
    return np.stack(each, 1)


def _laid_out(dataset: Dataset, cells: Tensor) -> Array:
    return dataset.schema.data_kind.laid_out(dataset.schema, cells.numpy())
