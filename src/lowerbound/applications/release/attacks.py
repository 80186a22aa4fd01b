"""Attacks on single people by a released table: singling out, linkability, attribute inference.

Their outcome is the rate of successes on training rows against a control, the rate on as many rows
of the same source that were not used. Source: Giomi et al. 2023 (anonymeter).

Singling out: a condition that is true of one person only. An attacker picks a released row and some
columns, and makes a condition that holds for this released row only: a level is equal, a number is
at most (or at least) this value. The attack succeeds if exactly one training row fulfills the
condition.

Linkability: do two parts of a person's data, held in two places, belong together? They are linked
if the same released row is among the nearest neighbors of both parts.

Attribute inference: a secret value is guessed from all other columns. The attack finds the released
row that is nearest in these, and guesses its value of the secret column. A level is right if it is
equal, a number if it differs by at most 2.5 % of the range. Correct guesses alone prove nothing,
because columns are related.

Distances between encoded rows are computed in chunks, so that memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from lowerbound.data.arrays import Array
from lowerbound.evaluation.intervals import LEVEL, Interval, difference, normal_quantile, wilson
from lowerbound.evaluation.samples.column_judge import CodedColumn, CodedColumns

FAMILIES = 3  # singling out, linkability and inference
CHUNK_CELLS = 4_000_000  # distances in memory at once
SAME = 1e-9  # squared distance below which rows are equal, beyond rounding
NEIGHBORS = 5  # of each part of a row in linkability
LINKABILITY_SPLITS = 4
TOLERANCE = 0.025  # of the range between the 1 % and the 99 % quantile
ATTEMPTS = 500  # conditions that singling out makes
COLUMNS = 4  # columns in a condition, if the table has as many
TRIES = 10  # conditions tried for each that holds for one released row only
SPLITS = 200  # exchanges of training and holdout rows, for the spread of the excess


@dataclass(frozen=True)
class AttackRate:
    """Success rates of one attack.

    Attributes:
        attack: its name.
        target: what was guessed or linked, in words.
        training: success rate on training rows, with its score interval.
        control: on rows of the same source that were not used.
        excess: training minus control.
        attempts: number of attempts on training rows.
    """

    attack: str
    target: str
    training: Interval
    control: Interval
    excess: Interval
    attempts: int

    @classmethod
    def of(
        cls,
        attack: str,
        target: str,
        training: tuple[int, int],
        control: tuple[int, int],
        tests: int = 1,
    ) -> AttackRate:
        """Rates of (successes, attempts) on either group.

        Args:
            attack, target: names.
            training, control: successes and attempts.
            tests: number of attacks of this family. The intervals are so wide that, with 95 %
                confidence, those of all attacks of the three families hold together (Bonferroni).
        """
        level = 1 - (1 - LEVEL) / (FAMILIES * tests)
        first, second = wilson(*training, level), wilson(*control, level)
        return cls(attack, target, first, second, difference(first, second), training[1])

    def with_spread(self, spread: float) -> AttackRate:
        """The same, with the interval of the excess from its standard deviation."""
        value, half = self.excess.value, normal_quantile(1 - (1 - LEVEL) / FAMILIES) * spread
        return replace(self, excess=Interval(value, value - half, value + half))

    @property
    def significant(self) -> bool:
        """Whether training rows are attacked with more success than chance explains."""
        return self.excess.low > 0

    @property
    def risk(self) -> float:
        """(training - control) / (1 - control), the share of what a control does not explain."""
        left = 1 - self.control.value
        return max(self.excess.value, 0.0) / left if left else 0.0


def nearest_distances(rows: Array, others: Array, count: int = 1, *, itself: bool = False) -> Array:
    """Distances to the ``count`` nearest other rows, increasing, (rows, count).

    Args:
        rows, others: coordinates, (rows, width).
        count: number of neighbors.
        itself: whether ``others`` are ``rows``, so that a row is not its own neighbor.
    """
    found = np.empty((len(rows), count))
    for part, squared in squared_distances(rows, others):
        if itself:
            squared[np.arange(len(squared)), np.arange(part.start, part.stop)] = np.inf
        found[part] = _least(squared, count)
    return np.asarray(np.sqrt(found))


def nearest(rows: Array, others: Array) -> tuple[Array, Array]:
    """(distance of each row to the nearest other row, number of that row), (rows,) each."""
    distance, place = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
    for part, squared in squared_distances(rows, others):
        place[part] = squared.argmin(1)
        distance[part] = squared.min(1)
    return np.asarray(np.sqrt(distance)), place


def _least(squared: Array, count: int) -> Array:
    """The smallest numbers of each row, increasing, (rows, count)."""
    if count == 1:
        return np.asarray(squared.min(axis=1, keepdims=True))
    return np.asarray(np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1))


def squared_distances(rows: Array, others: Array) -> Iterator[tuple[slice, Array]]:
    """(slice of the rows, their squared distances to all others (rows of the slice, others))."""
    step = max(1, CHUNK_CELLS // max(len(others), 1))
    lengths = (others**2).sum(1)
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        yield part, squared_between(rows[part], others, lengths)


def squared_between(rows: Array, others: Array, lengths: Array | None = None) -> Array:
    """Squared distances (rows, others); those that are 0 up to rounding are 0."""
    lengths = (others**2).sum(1) if lengths is None else lengths
    squared: Array = (rows**2).sum(1)[:, None] + lengths - 2 * (rows @ others.T)
    squared[squared < SAME] = 0.0
    return squared


def linkability(
    training: Array, holdout: Array, synthetic: Array, owner: Array, seed: int = 0
) -> AttackRate | None:
    """Attack with four random splits of the columns into two parts, each on a quarter of the rows.

    Args:
        training, holdout, synthetic: coordinates, (rows, width).
        owner: the column of each coordinate.
        seed: of the splits.

    Returns:
        None if there are fewer than two columns.
    """
    random = np.random.default_rng(seed)
    columns = np.unique(owner)
    if len(columns) < 2:
        return None
    hits, counts = [0, 0], [0, 0]
    for split in range(LINKABILITY_SPLITS):
        chosen = random.permutation(columns)[: len(columns) // 2]
        one = np.isin(owner, chosen)
        for group, rows in enumerate((training, holdout)):
            part = rows[split::LINKABILITY_SPLITS]
            hits[group] += int(_linked(part, synthetic, one).sum())
            counts[group] += len(part)
    pairs = list(zip(hits, counts, strict=True))
    return AttackRate.of("linkability", "two halves of the columns", pairs[0], pairs[1])


def _linked(rows: Array, synthetic: Array, one: Array) -> Array:
    """Mask of the rows whose two parts have a common neighbor."""
    first, second = (_neighbors(rows[:, part], synthetic[:, part]) for part in (one, ~one))
    return np.asarray((first[:, :, None] == second[:, None, :]).any(axis=(1, 2)))


def _neighbors(rows: Array, others: Array) -> Array:
    """The nearest other rows of each row, (rows, neighbors)."""
    count = min(NEIGHBORS, len(others))
    found = np.empty((len(rows), count), dtype=np.int64)
    for part, squared in squared_distances(rows, others):
        found[part] = np.argpartition(squared, count - 1, axis=1)[:, :count]
    return found


def attribute_inference(
    codes: CodedColumns, training: Array, holdout: Array, synthetic: Array
) -> tuple[AttackRate, ...]:
    """Attack each column that varies, with intervals that hold for all of them together.

    Args:
        codes: the columns.
        training, holdout, synthetic: encoded rows, (rows, columns).
    """
    secrets = [i for i, column in enumerate(codes.columns) if not column.constant]
    if len(codes.columns) < 2:
        return ()
    right = [_right_guesses(codes, rows, synthetic, secrets) for rows in (training, holdout)]
    return tuple(
        AttackRate.of(
            "attribute inference",
            codes.names[secret],
            (int(right[0][:, k].sum()), len(training)),
            (int(right[1][:, k].sum()), len(holdout)),
            len(secrets),
        )
        for k, secret in enumerate(secrets)
    )


def _right_guesses(codes: CodedColumns, rows: Array, synthetic: Array, secrets: list[int]) -> Array:
    """Mask of the right guesses, (rows, secrets)."""
    (own, owner), (others, _) = codes.coordinates(rows), codes.coordinates(synthetic)
    found = np.empty((len(rows), len(secrets)), dtype=bool)
    for part, squared in squared_distances(own, others):
        for k, secret in enumerate(secrets):
            at = owner == secret
            known = squared - squared_between(own[part][:, at], others[:, at])
            guess = synthetic[known.argmin(axis=1), secret]
            found[part, k] = _right(codes.columns[secret], rows[part, secret], guess)
    return found


def _right(column: CodedColumn, true: Array, guess: Array) -> Array:
    """Mask of the guesses that are right; missing is a value."""
    both_missing = np.isnan(true) & np.isnan(guess)
    if column.column.levels:
        return np.asarray((true == guess) | both_missing)
    low, high = np.quantile(column.values, [0.01, 0.99])
    near = np.abs(true - guess) <= TOLERANCE * (high - low)
    return np.asarray(near | both_missing)


def singling_out(
    codes: CodedColumns, training: Array, holdout: Array, synthetic: Array, seed: int = 0
) -> AttackRate | None:
    """Attack with up to 500 conditions of up to 4 columns.

    Several conditions may single out the same person, so the successes depend on each other. The
    interval of the excess is therefore from random exchanges of training and holdout rows.

    Args:
        codes: the columns.
        training, holdout, synthetic: encoded rows, (rows, columns). As many training rows are used
            as there are holdout rows, because the rate depends on the number of rows.
        seed: of rows, columns and conditions.

    Returns:
        None if no condition holds for one released row only.
    """
    random = np.random.default_rng(seed)
    count = min(len(training), len(holdout))
    groups = [rows[random.permutation(len(rows))[:count]] for rows in (training, holdout)]
    matches = _matches(codes, np.concatenate(groups), synthetic, random)
    tried = len(matches)
    if not tried:
        return None
    own = np.array([(found < count).sum() for found in matches])
    other = np.array([len(found) for found in matches]) - own
    hits = [int((each == 1).sum()) for each in (own, other)]
    rate = AttackRate.of("singling out", "one person", (hits[0], tried), (hits[1], tried))
    return rate.with_spread(_spread(matches, 2 * count, random))


def _matches(
    codes: CodedColumns, rows: Array, synthetic: Array, random: np.random.Generator
) -> list[Array]:
    """For each condition that holds for one released row only, the numbers of the rows that fulfill
    it."""
    empty = np.isnan(synthetic).all(axis=0)
    middles = np.nan_to_num(np.nanmedian(np.where(empty, 0.0, synthetic), axis=0))
    size = min(COLUMNS, len(codes.columns))
    found: list[Array] = []
    for _ in range(TRIES * ATTEMPTS):
        like = synthetic[random.integers(len(synthetic))]
        columns = random.choice(len(codes.columns), size, replace=False)
        if _fulfilled(codes, synthetic, like, columns, middles).sum() == 1:
            found.append(np.flatnonzero(_fulfilled(codes, rows, like, columns, middles)))
        if len(found) == ATTEMPTS:
            break
    return found


def _spread(matches: list[Array], rows: int, random: np.random.Generator) -> float:
    """Standard deviation of the excess if training and holdout rows are exchanged at random."""
    from scipy.sparse import csr_array

    lengths = np.array([len(found) for found in matches])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    places = np.concatenate(matches)
    fulfilled = csr_array((np.ones(len(places)), places, starts), shape=(len(matches), rows))
    half = np.arange(rows) < rows // 2
    excesses = []
    for _ in range(SPLITS):  # one at a time, because each is as long as the table
        own = fulfilled @ random.permutation(half).astype(np.float64)
        excesses.append((own == 1).mean() - (lengths - own == 1).mean())
    return float(np.std(excesses))


def _fulfilled(
    codes: CodedColumns, rows: Array, like: Array, columns: Array, middles: Array
) -> Array:
    """Mask of the rows that fulfill the condition made of a row's values in some columns."""
    left = np.ones(len(rows), dtype=bool)
    for i in columns:
        value, own = like[i], rows[:, i]
        if np.isnan(value):
            left &= np.isnan(own)
        elif codes.columns[i].column.levels:
            left &= own == value
        else:
            left &= (own >= value) if value > middles[i] else (own <= value)
    return left
