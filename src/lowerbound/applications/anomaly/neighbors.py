r"""Distances of rows of a table to normal rows, without the model, and the search for neighbors.

Columns of skewed positive numbers are replaced by log(1 + x / u), with u the 99 % quantile of their
positive values: of the bulk, nearly the numbers; of the tail, their logarithms; and no unit changes
a distance. Then every coordinate is divided by its standard deviation. With y the transformed row,

.. math::
    \text{neighbors: } \|y - y_{(k)}\| \qquad
    \text{Mahalanobis: } \sqrt{(y - \mu)^\top (\Sigma + \rho I)^{-1} (y - \mu)}

where y_(k) is the k-th nearest normal row, and mu and Sigma are the mean and the covariance of the
normal rows.

The k-th nearest point is found by a tree in few dimensions, and in more dimensions too if nearly
all of the variance lies along a few directions: after a rotation to these, the tree splits along
them alone. In all other cases all squared distances are computed in single precision,

.. math:: \|x - y\|^2 - \|x\|^2 = \|y\|^2 - 2\, x^\top y

and those of the nearest ``k + SPARE`` points once more in double precision. A point that is not
among these lies beyond the last of them, up to the rounding of the table. A row whose k-th distance
is not below that by more than the rounding is searched in double precision, so the result is that
of double precision for every row.

The model computes the result of each distinct row once, so duplicates are found first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg, stats
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional as F

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.networks.matrix_products import affine

TREE_NUMBERS = 8  # dimensions up to which a tree is faster than all distances
LEAF = 64  # points in a leaf of the tree
FEW_LEAF = 16  # after a rotation
ROWS = 4_096  # at once, of which the nearest points are known
TABLE = 2**20  # distances at once: 4 MB, which fits into a cache
SPARE = 4  # neighbors beyond the k-th in single precision
LEAST_ROWS = 1_000  # for which a rotation pays
MOST_TURNED = 64  # dimensions up to which it takes little time
LEADING = 4  # directions by which a tree is faster than all distances
HELD = 0.9  # share of the variance along them
TAIL = 0.05  # share of the points at each end of a coordinate that are moved to its bulk
SHARE = 20  # points of which the nearest is found first
ROUNDING = 2.0**-23  # of a product in single precision, and of a sum of two
MOST_DISTINCT = 0.9  # fraction of distinct rows above which nothing is saved
_ODD = np.uint64(0x9E3779B97F4A7C15)  # factor of the hash of duplicate rows
_HALF = np.uint64(32)  # bits that it shifts
SKEWED = 1.0  # skewness above which positive numbers are replaced by their logarithm
BULK = 0.99  # share of the positive values below u
RIDGE = 0.01  # rho, in variances of a standardized coordinate
MOST_NUMBERS = 2_000  # coordinates; a covariance of more takes too long


def kth_distance(known: Array, rows: Array, k: int) -> Array:
    """Euclidean distance of each row to the k-th nearest known point, (rows,), float64.

    Args:
        known: points, (points, dimensions), float64.
        rows: (rows, dimensions), float64.
        k: at least 1, at most the number of points.
    """
    if not len(rows):
        return np.zeros(0)
    if known.shape[1] <= TREE_NUMBERS:
        tree = cKDTree(known, LEAF)
        return np.asarray(tree.query(rows, k=[k], workers=torch.get_num_threads())[0][:, 0])
    points = torch.from_numpy(np.ascontiguousarray(known))
    axes = _leading_axes(known) if len(rows) >= LEAST_ROWS else None
    if axes is not None:
        # distance of each row to the k-th point; a tree of rotated points finds the nearest k
        center = points.mean(0).numpy()
        tree = cKDTree((points.numpy() - center) @ axes, FEW_LEAF)
        with np.errstate(over="ignore", invalid="ignore"):  # numbers whose square overflows anyway
            turned = np.nan_to_num((rows - center) @ axes)
        place = tree.query(turned, k=np.arange(1, k + 1), workers=torch.get_num_threads())[1]
        near = torch.from_numpy(np.minimum(place, len(points) - 1))
        each = zip(
            torch.from_numpy(np.ascontiguousarray(rows)).split(ROWS), near.split(ROWS), strict=True
        )
        return torch.cat([kth_among(points, part, some, k).sqrt() for part, some in each]).numpy()
    search = _Search(points, min(k + SPARE, len(points)), k)
    parts = torch.from_numpy(np.ascontiguousarray(rows)).split(max(1, TABLE // len(points)))
    return torch.cat([search.distances(part) for part in parts]).numpy()


def _leading_axes(known: Array) -> Array | None:
    """An orthonormal basis, (dimensions, dimensions), whose first directions hold nearly all of the
    variance of the bulk; None: there is none."""
    if known.shape[1] > MOST_TURNED:
        return None
    bulk = np.clip(known, *np.quantile(known, (TAIL, 1 - TAIL), axis=0))
    bulk -= bulk.mean(0)
    with np.errstate(over="ignore", invalid="ignore"):
        products = bulk.T @ bulk
    if not np.isfinite(products).all():
        return None
    squares, axes = np.linalg.eigh(products)
    if squares[-LEADING:].sum() < HELD * squares.sum():
        return None
    return np.asarray(axes[:, ::-1])


class _Search:
    """All distances to some points.

    Args:
        points: (points, dimensions), float64.
        kept: number of points that are compared in double precision.
        k: of the neighbor.
    """

    def __init__(self, points: Tensor, kept: int, k: int) -> None:
        self.points, self.kept, self.k = points, kept, k
        self.lengths = points.square().sum(1)
        self.longest = float(self.lengths.max().sqrt())
        padding = -len(points) % SHARE if kept < len(points) else 0
        far = F.pad(self.lengths, (0, padding), value=torch.inf)
        beside = F.pad(-2 * points, (0, 0, 0, padding))
        self.single = torch.cat((beside, far.unsqueeze(1)), 1).float()

    def distances(self, rows: Tensor) -> Tensor:
        """Distance of each row to the k-th point, (rows,)."""
        table = affine(F.pad(rows, (0, 1), value=1.0).float(), self.single)
        near, place = smallest(table, self.kept)
        place.clamp_(max=len(self.points) - 1)  # of a row beyond single precision: it is unsure
        found = kth_among(self.points, rows, place, self.k)
        own = rows.square().sum(1)
        if self.kept < len(self.points):
            error = ROUNDING * (rows.shape[1] + 3) * self.longest * (self.longest + 2 * own.sqrt())
            beyond = near[:, -1].double() + own
            unsure = ~((found + error < beyond) & beyond.isfinite())
            if unsure.any():
                found[unsure] = self._in_double(rows[unsure])
        return found.sqrt()

    def _in_double(self, rows: Tensor) -> Tensor:
        """Squared distance of each row to the k-th point by a table in double precision."""
        table = torch.addmm(self.lengths, rows, self.points.T, alpha=-2)
        place = table.topk(self.kept, 1, largest=False).indices
        return kth_among(self.points, rows, place, self.k)


def kth_among(points: Tensor, rows: Tensor, place: Tensor, k: int) -> Tensor:
    """Squared distance of each row to the k-th nearest of some of the points, (rows, some)."""
    exact = (points[place] - rows.unsqueeze(1)).square().sum(2)
    return exact.kthvalue(k, 1).values


def smallest(table: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest numbers of each row, ascending, and their places, (rows, k) each.

    They lie in the k columns with the smallest minima of the row folded into a matrix, which are
    far fewer numbers to sort.

    Args:
        table: (rows, numbers), contiguous; many numbers are a multiple of ``SHARE``.
        k: at most the number of numbers.
    """
    width = table.shape[1] // SHARE
    if width <= max(k, SHARE):
        return table.topk(k, 1, largest=False)
    folded = table.unflatten(1, (SHARE, width))
    column = folded.amin(1).topk(k, 1, largest=False).indices
    candidates = folded.gather(2, column.unsqueeze(1).expand(-1, SHARE, -1)).flatten(1)
    near, which = candidates.topk(k, 1, largest=False)
    share = which.div(k, rounding_mode="floor")
    return near, share * width + column.gather(1, which % k)


def distinct(dataset: Dataset) -> tuple[Dataset, Array] | None:
    """The distinct rows and the index of each row among them, (rows,); None if few repeat.

    Rows are equal if values, missing cells and conditions agree bit by bit. A 64-bit hash finds
    them, and a comparison with the first of them confirms it.
    """
    same = same_rows(_words(dataset)) if len(dataset) > 1 else None
    return None if same is None else (dataset.subset(same[0]), same[1])


def same_rows(words: Array) -> tuple[Array, Array] | None:
    """The first row of each group of equal rows, (groups,), and the group of each row, (rows,).

    Args:
        words: rows as 64-bit numbers of any meaning, (rows, words).

    Returns:
        None if few rows repeat.
    """
    import pandas as pd

    words = words.view(np.uint64)
    place, _ = pd.factorize(_hashes(words))
    count = int(place.max(initial=-1)) + 1
    if count > MOST_DISTINCT * len(words):
        return None
    first = np.empty(count, dtype=np.int64)
    first[place[::-1]] = np.arange(len(words))[::-1]
    if not np.array_equal(words, words[first[place]]):  # once in 10^8 tables of a million rows
        return None
    return first, place


def _words(dataset: Dataset) -> Array:
    """The model's input for each row as (rows, words) unsigned 64-bit numbers."""
    condition = dataset.schema.condition
    label = dataset.label if condition is not None and condition.kind == "label" else None
    seen = (dataset.x, dataset.observed, dataset.condition, label)
    parts = [_bytes(values) for values in seen if values is not None]
    width = sum(part.shape[1] for part in parts)
    padding = np.zeros((len(dataset), -width % 8), dtype=np.uint8)
    return np.ascontiguousarray(np.concatenate([*parts, padding], axis=1)).view(np.uint64)


def _bytes(values: Tensor) -> Array:
    array = np.ascontiguousarray(values.detach().cpu().numpy().reshape(len(values), -1))
    return array.view(np.uint8)


def _hashes(words: Array) -> Array:
    """A hash of each row of words, (rows,)."""
    total = np.zeros(len(words), dtype=np.uint64)
    for column in range(words.shape[1]):
        # a float differs mostly in its upper bits, and a product spreads only the lower bits
        total = (total ^ words[:, column]) * _ODD
        total ^= total >> _HALF
    return total * _ODD


@dataclass(frozen=True)
class InputSpace:
    """Normal rows in standardized coordinates, and their covariance.

    Attributes:
        skewed: 1 for coordinates that are replaced by their logarithm, else 0, (numbers,).
        unit: u of the skewed coordinates, in their own units, 1 of the others, (numbers,); older
            files have 1 for all.
        mean, deviation: of the replaced coordinates, (numbers,); an infinite deviation leaves out
            a constant one.
        rows: the normal rows, standardized, (rows, numbers).
        whitening: W with (Sigma + rho I)^-1 = W W^T, (numbers, numbers); (0, 0) above
            ``MOST_NUMBERS``.
    """

    skewed: Array
    unit: Array
    mean: Array
    deviation: Array
    rows: Array
    whitening: Array

    @classmethod
    def of(cls, row: Array) -> InputSpace:
        """The space of normal rows, (rows, numbers)."""
        # mask of the coordinates of skewed positive numbers with more than two values, (numbers,)
        found = (row.min(0) >= 0) & (row.std(0) > 0)
        found &= np.array([len(np.unique(column)) > 2 for column in row.T], dtype=bool)
        found[found] = stats.skew(row[:, found]) > SKEWED
        skewed = np.asarray(found)
        unit = _unit(row, skewed)
        unskewed = _unskewed(row, skewed, unit)
        deviation = unskewed.std(0)
        deviation = np.where(deviation > 0, deviation, np.inf)
        mean = unskewed.mean(0)
        standard = (unskewed - mean) / deviation
        whitening = _whitening(standard)
        return cls(skewed.astype(np.float64), unit, mean, deviation, standard, whitening)

    @property
    def has_mahalanobis(self) -> bool:
        """Whether there are few enough coordinates for a covariance."""
        return len(self.whitening) > 0

    def distances(self, row: Array, k: int) -> dict[str, Array]:
        """Both distances of each row, (rows,) each; equal rows are compared once.

        Args:
            row: (rows, numbers).
            k: of the neighbors, at most the number of normal rows.

        Returns:
            "neighbors", and "mahalanobis" if there is a covariance.
        """
        same = same_rows(np.ascontiguousarray(row)) if len(row) > 1 else None
        distinct = row if same is None else row[same[0]]
        unskewed = _unskewed(distinct, self.skewed > 0, self.unit)
        standard = (unskewed - self.mean) / self.deviation
        found = {"neighbors": kth_distance(self.rows, standard, k)}
        if self.has_mahalanobis:
            found["mahalanobis"] = np.linalg.norm(standard @ self.whitening, axis=1)
        return found if same is None else {name: each[same[1]] for name, each in found.items()}


def _unit(row: Array, skewed: Array) -> Array:
    """A quantile of the positive values of skewed coordinates, 1 of the others, (numbers,)."""
    unit = np.ones(len(skewed))
    for place in np.flatnonzero(skewed):
        column = row[:, place]
        unit[place] = np.quantile(column[column > 0], BULK)
    return unit


def _unskewed(row: Array, skewed: Array, unit: Array) -> Array:
    """log(1 + x / u) of the skewed coordinates; negative numbers are mirrored: -log(1 - x / u)."""
    with np.errstate(over="ignore"):
        ratio = np.minimum(np.abs(row) / unit, np.finfo(np.float64).max)
    return np.where(skewed, np.sign(row) * np.log1p(ratio), row)


def _whitening(standard: Array) -> Array:
    numbers = standard.shape[1]
    if numbers > MOST_NUMBERS:
        return np.zeros((0, 0))
    covariance = standard.T @ standard / len(standard) + RIDGE * np.eye(numbers)
    factor = linalg.cholesky(covariance, lower=True)
    inverse = linalg.solve_triangular(factor, np.eye(numbers), lower=True)
    return np.asarray(inverse.T)
