r"""Distance to the k-th nearest of some known points.

In few dimensions a tree finds it, and in more dimensions too if nearly all of the variance lies
along a few directions: after a rotation to these, the tree splits along them alone. In all other
cases all squared distances are computed in single precision,

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
from torch.nn import functional as F

from lowerbound.data.arrays import Array
from lowerbound.networks.processor.matrix_products import affine

TREE_NUMBERS = 8  # dimensions up to which a tree is faster than all distances
LEAF = 64  # points in a leaf of the tree
FEW_LEAF = 16  # after a rotation
ROWS = 4_096  # at once, of which the nearest points are known
TABLE = 2**20  # distances at once: 4 MB, which fits into a cache
SPARE = 4
LEAST_ROWS = 1_000  # for which a rotation pays
MOST_TURNED = 64  # dimensions up to which it takes little time
LEADING = 4  # directions by which a tree is faster than all distances
HELD = 0.9  # share of the variance along them
TAIL = 0.05  # share of the points at each end of a coordinate that are moved to its bulk
SHARE = 20  # points of which the nearest is found first
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
    axes = _leading_axes(known) if len(rows) >= LEAST_ROWS else None
    if axes is not None:
        return _by_tree(points, rows, k, axes)
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


def _by_tree(points: Tensor, rows: Array, k: int, axes: Array) -> Array:
    """Distance of each row to the k-th point; a tree of rotated points finds the nearest k."""
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
