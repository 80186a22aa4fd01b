r"""Distance to the k-th nearest of some known points.

In few dimensions a tree finds it. In more, all squared distances are computed in single precision,

.. math:: \|x - y\|^2 - \|x\|^2 = \|y\|^2 - 2\, x^\top y

and those of the nearest ``k + SPARE`` points once more in double precision. A point that is not
among these lies beyond the last of them, up to the rounding of the table. A row whose k-th distance
is not below that by more than the rounding is searched in double precision, so the result is that
of double precision for every row.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.networks.processor.matrix_products import affine

TREE_NUMBERS = 8  # dimensions up to which a tree is faster than all distances
LEAF = 64  # points in a leaf of the tree
TABLE = 2**20  # distances at once: 4 MB, which fits into a cache
SPARE = 4
ROUNDING = 2.0**-23  # of a product in single precision, and of a sum of two


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
    search = _Search(points, min(k + SPARE, len(points)), k)
    parts = torch.from_numpy(np.ascontiguousarray(rows)).split(max(1, TABLE // len(points)))
    return torch.cat([search.distances(part) for part in parts]).numpy()


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
        self.single = (-2 * points).float(), self.lengths.float()

    def distances(self, rows: Tensor) -> Tensor:
        """Distance of each row to the k-th point, (rows,)."""
        table = affine(rows.float(), *self.single)
        near, place = table.topk(self.kept, 1, largest=False)
        found = self._among(rows, place)
        own = rows.square().sum(1)
        if self.kept < len(self.points):
            error = ROUNDING * (rows.shape[1] + 2) * self.longest * (self.longest + 2 * own.sqrt())
            unsure = ~(found + error < near[:, -1].double() + own)
            if unsure.any():
                found[unsure] = self._in_double(rows[unsure])
        return found.sqrt()

    def _in_double(self, rows: Tensor) -> Tensor:
        """Squared distance of each row to the k-th point by a table in double precision."""
        table = torch.addmm(self.lengths, rows, self.points.T, alpha=-2)
        return self._among(rows, table.topk(self.kept, 1, largest=False).indices)

    def _among(self, rows: Tensor, place: Tensor) -> Tensor:
        """Squared distance of each row to the k-th of some points, (rows, points)."""
        exact = (self.points[place] - rows.unsqueeze(1)).square().sum(2)
        return exact.kthvalue(self.k, 1).values
