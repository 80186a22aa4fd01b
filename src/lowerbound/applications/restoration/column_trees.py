r"""Trees of each column given all others, pooled with a model's answers for missing cells.

The features of a column's trees are the other cells of the row, missing ones filled with the
model's answers, and for some columns the means of the column among rows that share a value
(``group_means``). With w the weight of the column's trees,

.. math:: F(x_j \mid x_o) = (1 - w_j) F_\mathrm{model}(x_j \mid x_o) + w_j F_\mathrm{trees}(x_j)

The pool is linear (Stone 1961): its mean is the weighted mean, its probabilities of levels are the
weighted probabilities, and a draw is from the trees with probability w. The weights are those that
surely reduce the squared error of hidden cells most (Breiman 1996, with a margin of its noise).
Each column's weight also follows those of the others, by how much weights differ among columns.

The model's answer for a column is E[x | z] in the data's units, averaged over z. A column family
defines the numbers to average. A column kind defines the result: the mean of a number, or the level
with the largest probability.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lowerbound.applications.restoration.extra_trees import ExtraTrees
from lowerbound.applications.restoration.group_means import GroupMeans, KnownCells
from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.schema import Schema
from lowerbound.distributions.keyed_noise import KeyedNoise
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.trace import Emission

Parts = Mapping[int, Array]
"""By column of the schema: averages of numbers, (rows, 1), as ``ColumnKind.averaged`` defines them,
or probabilities of levels, (rows, levels)."""
FEWEST_CELLS = 30  # observed in a column with trees
MOST_LEVELS = 64  # of a column with trees
MOST_CELLS, MOST_ROWS = 80_000, 4_000  # that trees are grown on
CAUTION = 0.5  # standard errors
BORROWED = 10.0  # cells: the weight of all hidden cells in the noise of each column
LEAST_SPREAD = 0.1  # of the columns' weights
LEAST_VARIANCE = 1e-15  # of a weight
NOISE_LEVEL = -(2**20)  # of ``KeyedNoise``, apart from those of latents and their choice


class Expectation(ABC):
    """Numbers of each row to average over draws of z, and their conversion to a result.

    Attributes:
        width: number of numbers.
    """

    width: int

    @abstractmethod
    def given(self, emission: Emission) -> Tensor:
        """The numbers of each draw and row, (samples, batch, width), in its precision or higher."""

    @abstractmethod
    def answer(self, averaged: Tensor) -> Array:
        """(batch, width) to rows in the data's units and layout; codes for levels, float64."""

    @abstractmethod
    def parts(self, averaged: Tensor) -> Parts:
        """(batch, width) to the averaged numbers of each modeled column."""


def expectation(schema: Schema, emission: Emission) -> Expectation:
    """The expectation of rows of ``schema`` under emissions like ``emission``."""
    if isinstance(emission, MixedEmission):
        return ByColumn(schema, emission)
    return InUnits(schema)


class InUnits(Expectation):
    """For vectors and pictures, whose transform is affine: the mean in model units, decoded."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.dimension

    def given(self, emission: Emission) -> Tensor:
        return emission.mean.flatten(2)

    def answer(self, averaged: Tensor) -> Array:
        rows = averaged.unflatten(1, self.schema.event_shape)
        return self.schema.decode(rows, rounded=False).astype(np.float64)

    def parts(self, averaged: Tensor) -> Parts:
        answer = self.answer(averaged)
        columns = enumerate(self.schema.columns)
        return {place: answer[:, [place]] for place, column in columns if column.modeled}


class ByColumn(Expectation):
    """For tables: one number per column, or one for each level of a column that has levels.

    Args:
        schema: of the table.
        emission: an output of the model; the columns' sigmas are taken from it.
    """

    def __init__(self, schema: Schema, emission: MixedEmission) -> None:
        self.schema = schema
        modeled = schema.modeled
        widths = np.array([column.rules.width for column in modeled])
        self.places = np.split(np.arange(widths.sum()), widths.cumsum()[:-1])
        self.width = int(widths.sum())
        self.averages = []
        for family, (part, columns) in zip(emission.families, emission.members(), strict=True):
            self.averages.append(family.averages([modeled[i] for i in columns], part))

    def given(self, emission: Emission) -> Tensor:
        assert isinstance(emission, MixedEmission)
        shape = (*emission.batch_shape, self.width)
        numbers = torch.empty(shape, dtype=torch.float64, device=emission.parts[0].mean.device)
        for averages, (part, columns) in zip(self.averages, emission.members(), strict=True):
            numbers[..., np.concatenate([self.places[i] for i in columns])] = averages(part)
        return numbers

    def answer(self, averaged: Tensor) -> Array:
        values = np.empty((len(averaged), len(self.schema.columns)))
        values[:] = [column.shift for column in self.schema.columns]
        for place, numbers in self.parts(averaged).items():
            values[:, place] = self.schema.columns[place].rules.decided(numbers)
        return values

    def parts(self, averaged: Tensor) -> Parts:
        numbers = averaged.detach().cpu().numpy()
        modeled = [i for i, column in enumerate(self.schema.columns) if column.modeled]
        return {place: numbers[:, own] for own, place in zip(self.places, modeled, strict=True)}


@dataclass(frozen=True, eq=False)
class GrownRows:
    """The rows that trees are grown on.

    Attributes:
        columns: of the schema.
        values: the rows with missing cells filled by the model, (rows, columns).
        observed: mask of the observed cells, (rows, columns).
        known: cells of these and maybe further rows, of which means of groups are taken.
        places: of the rows in ``known``, (rows,).
    """

    columns: tuple[Column, ...]
    values: Array
    observed: Array
    known: KnownCells
    places: Array


@dataclass(frozen=True, eq=False)
class ColumnTrees:
    """Trees by column, and their weights.

    Attributes:
        columns: of the schema.
        trees: by the place of a column in the schema; some columns have none.
        weights: w, 0 for a column without trees, (columns,).
        leaves: fewest rows in a leaf of each column's trees, (columns,).
        means: of groups of rows, features of the trees of some columns.
        passes: how often the cells of a row are filled; from the second on, trees see the pooled
            answers for the other missing cells in place of the model's.
    """

    columns: tuple[Column, ...]
    trees: Mapping[int, ExtraTrees]
    weights: Array
    leaves: Array
    means: Mapping[int, GroupMeans]
    passes: int = 1

    @classmethod
    def fit(
        cls,
        rows: GrownRows,
        leaves: Array,
        weights: Array,
        grouped: Array,
        seed: int,
        plain: ColumnTrees | None = None,
    ) -> ColumnTrees:
        """Grow the trees of the columns with a weight and enough observed cells.

        Args:
            rows: that they are grown on.
            leaves: fewest rows in a leaf of each column's trees, (columns,).
            weights: w, (columns,).
            grouped: whether means of groups are features of each column's trees, (columns,).
            seed: of the splits.
            plain: the result without means of groups, whose trees of columns without such means are
                taken, as they would be grown alike.
        """
        x = features(rows.columns, rows.values)
        known = {} if plain is None else plain.trees
        trees, means = {}, {}
        for own, place in enumerate(_modeled(rows.columns)):
            column, seen = rows.columns[place], rows.observed[:, place]
            target = column.rules.averaged(column.rules.rounded(rows.values[seen, place]))
            enough = len(target) >= FEWEST_CELLS and len(column.levels) <= MOST_LEVELS
            if weights[place] > 0 and enough and x.shape[1] > 1:
                given = np.delete(x[seen], own, 1)
                if grouped[place]:
                    found = rows.known.means(place, rows.places[seen])
                    if found is not None:
                        means[place] = found[0]
                        given = np.concatenate([given, found[1]], 1)
                leaf, levels = int(leaves[place]), len(column.levels)
                taken = None if place in means else known.get(place)
                trees[place] = taken or ExtraTrees.fit(given, target, levels, leaf, seed)
        return cls(rows.columns, trees, weights, leaves, means).with_weights(weights)

    def grown_again(self, rows: GrownRows, seed: int) -> ColumnTrees:
        """Trees of other rows, of the same kind for each column."""
        grouped = np.isin(np.arange(len(self.columns)), list(self.means))
        grown = self.fit(rows, self.leaves, self.weights, grouped, seed)
        return replace(grown, passes=self.passes)

    def weighted(
        self, model: Parts, own: TreeAnswers, truth: Array, hidden: Array, scale: Array
    ) -> tuple[ColumnTrees, Array]:
        """The same trees with the weights that surely save most of the squared error of hidden
        cells, and this saving in each column, (columns,).

        The weights of columns of numbers inform each other, and so do those of levels.

        Args:
            model: the model's answers.
            own: answers of the trees for the hidden cells.
            truth: values or codes, (rows, columns).
            hidden: mask of the hidden cells, (rows, columns).
            scale: standard deviation of what is averaged of each column; 1 for levels, (columns,).
        """
        effects = {}
        for place, part in own.parts.items():
            at = hidden[:, place]
            base = model[place][at] / scale[place]
            apart = part / scale[place] - base
            missed = _as_part(truth[at, place], self.columns[place]) / scale[place] - base
            effects[place] = np.stack([(apart * missed).sum(1), np.square(apart).sum(1)])
        weights, saved = np.zeros((2, len(self.columns)))
        for leveled in (False, True):
            alike = [place for place in effects if bool(self.columns[place].levels) == leveled]
            found = cautious_weights([effects[place] for place in alike])
            weights[alike], saved[alike] = found
        return self.with_weights(weights), saved

    def with_weights(self, weights: Array) -> ColumnTrees:
        """The same trees with other weights; trees of weight 0 are left out."""
        kept = {place: trees for place, trees in self.trees.items() if weights[place] > 0}
        means = {place: own for place, own in self.means.items() if place in kept}
        has_trees = np.isin(np.arange(len(self.columns)), list(kept))
        weights = np.where(has_trees, weights, 0.0)
        return replace(self, trees=kept, weights=weights, means=means)

    @staticmethod
    def best(tried: Sequence[tuple[ColumnTrees, Array]]) -> tuple[ColumnTrees, Array]:
        """For each column the trees that save most, and what they save, (columns,).

        Args:
            tried: results of ``weighted``.
        """
        most = np.stack([saved for _, saved in tried]).argmax(0)
        each = [found for found, _ in tried]
        trees, means = (
            {place: of[place] for place, own in enumerate(most) if place in (of := kinds[own])}
            for kinds in ([found.trees for found in each], [found.means for found in each])
        )
        columns = np.arange(len(most))
        weights, leaves = (
            np.stack([getattr(found, name) for found in each])[most, columns]
            for name in ("weights", "leaves")
        )
        saved = np.stack([saved for _, saved in tried]).max(0)
        return ColumnTrees(each[0].columns, trees, weights, leaves, means), saved

    def answers(self, values: Array, hidden: Array, wanted: Array | None = None) -> TreeAnswers:
        """The trees' answers for hidden cells.

        Args:
            values: the rows with hidden cells filled by the model, (rows, columns).
            hidden: mask of the hidden cells, (rows, columns).
            wanted: those of them that are answered; None: all.
        """
        wanted = hidden if wanted is None else wanted
        x = features(self.columns, values)
        cells = {place: np.flatnonzero(wanted[:, place]) for place in self.trees}
        known = np.where(hidden, np.nan, values)
        leaves = {place: self.reached(place, x[rows], known[rows]) for place, rows in cells.items()}
        return TreeAnswers(self, cells, leaves, known)

    def reached(self, place: int, x: Array, known: Array) -> Array:
        """The leaves of a column's trees, (rows, trees).

        Args:
            place: of the column.
            x: ``features`` of the rows.
            known: the rows, NaN in place of hidden cells, (rows, columns).
        """
        given = np.delete(x, self.numbers[place], 1)
        if place in self.means:
            given = np.concatenate([given, self.means[place].features(known)], 1)
        return self.trees[place].leaves(given)

    @cached_property
    def numbers(self) -> dict[int, int]:
        """The feature of each modeled column."""
        return {place: number for number, place in enumerate(_modeled(self.columns))}


@dataclass(frozen=True, eq=False)
class TreeAnswers:
    """The trees' answers for hidden cells of some rows.

    Attributes:
        of: the trees.
        cells: by column, the rows with a hidden cell, (hidden,).
        leaves: by column, their leaves, (hidden, trees).
        known: the rows, NaN in place of hidden cells, (rows, columns).
    """

    of: ColumnTrees
    cells: Mapping[int, Array]
    leaves: Mapping[int, Array]
    known: Array

    @property
    def parts(self) -> Parts:
        """Means, and probabilities of levels, of the hidden cells by column."""
        return {place: self.of.trees[place].means(found) for place, found in self.leaves.items()}

    def pooled_means(self, model: Parts, answers: Array) -> Array:
        """The pooled answers, (rows, columns).

        Args:
            model: the model's numbers and probabilities.
            answers: the model's answers, (rows, columns).
        """
        pooled = answers.copy()
        for place, own in self.parts.items():
            cells, weight = self.cells[place], self.of.weights[place]
            part = (1 - weight) * model[place][cells] + weight * own
            pooled[cells, place] = self.of.columns[place].rules.decided(part)
        return pooled

    def pooled_draws(
        self, draws: Array, keys: Tensor, seed: int, first: int, joint: bool = False
    ) -> Array:
        """The model's draws, with those of the trees in their place with the weights as chances.

        One number decides for all cells of a row, so that the cells from the model belong together.

        Args:
            draws: of the model, (draws, rows, columns).
            keys: of the rows, for the noise, (rows,); equal rows have unlike ones.
            seed: of the draws.
            first: number of the first of these draws.
            joint: the trees of a column see this draw of the row's other hidden cells, one column
                after the other, so that the cells of a draw belong together; else the filled row,
                which is quicker for many draws.
        """
        shape = (len(draws), len(keys), 1 + draws.shape[2])
        like = torch.zeros(0, dtype=torch.float64)
        noise = KeyedNoise(keys.cpu(), seed, first).normal(shape, like, NOISE_LEVEL)
        uniform = torch.special.ndtr(noise).numpy()
        if joint:
            each = zip(draws, uniform, strict=True)
            return np.stack([self._joint_draw(one, chances) for one, chances in each])
        pooled = draws.copy()
        for place, cells in self.cells.items():
            drawn = self._drawn(place, self.leaves[place], uniform[:, cells, 1 + place])
            chosen = uniform[:, cells, 0] < self.of.weights[place]
            pooled[:, cells, place] = np.where(chosen, drawn, draws[:, cells, place])
        return pooled

    def _drawn(self, place: int, leaves: Array, uniform: Array) -> Array:
        """Observed values or codes of a column, (draws, rows)."""
        rules, drawn = self.of.columns[place].rules, self.of.trees[place].drawn(leaves, uniform)
        if self.of.columns[place].levels:
            return drawn
        return rules.rounded(rules.decided(drawn.reshape(-1, 1)).reshape(drawn.shape))

    def _joint_draw(self, draw: Array, uniform: Array) -> Array:
        """One draw of all rows, (rows, columns), by one step of Gibbs sampling in each column.

        Args:
            draw: of the model, (rows, columns).
            uniform: numbers in (0, 1): whether trees decide, and their draws, (rows, 1 + columns).
        """
        values, columns = draw.copy(), self.of.columns
        x = features(columns, values)
        for place, cells in list(self.cells.items()) * self.of.passes:
            rows = cells[uniform[cells, 0] < self.of.weights[place]]
            leaves = self.of.reached(place, x[rows], self.known[rows])
            values[rows, place] = self._drawn(place, leaves, uniform[None, rows, 1 + place])[0]
            units = np.nan_to_num(columns[place].encode(values[rows, place]))
            x[rows, self.of.numbers[place]] = units
        return values


def features(columns: Sequence[Column], values: Array) -> Array:
    """Values without missing cells in model units, (rows, modeled columns)."""
    with np.errstate(all="ignore"):  # means at the bounds of a column
        units = [columns[place].encode(values[:, place]) for place in _modeled(columns)]
    return np.asarray(np.nan_to_num(np.stack(units, 1)))


def most_grown(rows: int, columns: int) -> int:
    """The number of rows that trees are grown on."""
    return min(rows, MOST_ROWS, max(FEWEST_CELLS, MOST_CELLS // columns))


def cautious_weights(effects: Sequence[Array]) -> tuple[Array, Array]:
    """The weights that surely save most, and the squared error that each surely saves, (columns,).

    A weight w saves 2 w g - w^2 s of a cell's squared error: with r what the model misses and d
    what the trees change, g = r d and s = d^2. The best weight of a column is the slope of r on d.

    Args:
        effects: g and s of the hidden cells of each column, (2, cells).
    """
    sums = np.array([each.sum(1) for each in effects]).reshape(-1, 2)
    cells = np.array([each.shape[1] for each in effects])
    some = (sums[:, 1] > 0) & (cells > 0)
    weights, saved = np.zeros((2, len(effects)))
    if not some.any():
        return weights, saved
    gain, size = sums[some].T
    slope = gain / size
    own = [each for each, kept in zip(effects, some, strict=True) if kept]
    noise = np.array([np.square(e[0] - w * e[1]).sum() for e, w in zip(own, slope, strict=True)])
    usual = noise.sum() / size.sum() * size / cells[some]
    variance = (noise + BORROWED * usual) / (1 + BORROWED / cells[some]) / np.square(size)
    mean, spread = _random_effects(slope, variance)
    sure = mean - CAUTION * spread
    weights[some] = sure.clip(0, 1)
    saved[some] = size * weights[some] * (2 * sure - weights[some])
    return weights, saved


def _random_effects(slope: Array, variance: Array) -> tuple[Array, Array]:
    """Means and standard deviations of the columns' slopes, each given all estimates.

    Slopes vary about a common mean with a variance by the method of moments (DerSimonian & Laird
    1986).

    Args:
        slope: estimates, (columns,).
        variance: of their errors, (columns,).
    """
    variance = np.maximum(variance, LEAST_VARIANCE)
    precision = 1 / variance
    common = (precision @ slope) / precision.sum()
    apart = precision @ np.square(slope - common) - (len(slope) - 1)
    scale = precision.sum() - np.square(precision).sum() / precision.sum()
    between = max(LEAST_SPREAD**2, apart / scale if scale > 0 else 0.0)
    total = 1 / (variance + between)
    common = (total @ slope) / total.sum()
    share = variance * total  # of the common mean
    mean = share * common + (1 - share) * slope
    spread = np.sqrt(between * share + np.square(share) / total.sum())
    return mean, spread


def _modeled(columns: Sequence[Column]) -> list[int]:
    return [place for place, column in enumerate(columns) if column.modeled]


def _as_part(values: Array, column: Column) -> Array:
    """Numbers (rows, 1), or one-hot codes (rows, levels)."""
    if not column.levels:
        return column.rules.averaged(values)[:, None]
    return np.asarray(values[:, None] == np.arange(len(column.levels)), dtype=float)
