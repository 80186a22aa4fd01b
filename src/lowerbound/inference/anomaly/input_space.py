r"""Distances of rows of a table to normal rows, without the model.

Columns of skewed positive numbers are replaced by log(1 + x / u), with u the 99 % quantile of their
positive values: of the bulk, nearly the numbers; of the tail, their logarithms; and no unit changes
a distance. Then every coordinate is divided by its standard deviation. With y the transformed row,

.. math::
    \text{neighbors: } \|y - y_{(k)}\| \qquad
    \text{Mahalanobis: } \sqrt{(y - \mu)^\top (\Sigma + \rho I)^{-1} (y - \mu)}

where y_(k) is the k-th nearest normal row, and mu and Sigma are the mean and the covariance of the
normal rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from lowerbound.data.arrays import Array
from lowerbound.data.duplicates import same_rows
from lowerbound.inference.anomaly.nearest import kth_distance

SKEWED = 1.0  # skewness above which positive numbers are replaced by their logarithm
BULK = 0.99  # share of the positive values below u
RIDGE = 0.01  # rho, in variances of a standardized coordinate
MOST_NUMBERS = 2_000  # coordinates; a covariance of more takes too long


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
        skewed = _skewed(row)
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


def _skewed(row: Array) -> Array:
    """Mask of the coordinates of skewed positive numbers with more than two values, (numbers,)."""
    found = (row.min(0) >= 0) & (row.std(0) > 0)
    found &= np.array([len(np.unique(column)) > 2 for column in row.T], dtype=bool)
    found[found] = stats.skew(row[:, found]) > SKEWED
    return np.asarray(found)


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
