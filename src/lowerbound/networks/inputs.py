"""The input of an encoder: the values of a row, and which of them were observed.

::

    x (rows, *event), observed ──> Input ──> features (rows, *shape) ──> Encoder

``x`` already has zeros in its hidden cells (``Batch.filled``). Zero is also a possible value, so
only the mask distinguishes the two.

Models see a column of numbers as normal scores, a positive one by its logarithm, and a count by
log(1 + n). A sum of columns, or a difference, is linear in the units of the table only, so an
encoder may see these units too, up to a shift and a scale.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.kind import Feature
from lowerbound.data.columns.quantile_normal import QuantileNormal

LEAST_SQUARE = 1e-6  # below it, the slope of the square root is replaced by zero


class OriginalUnits(nn.Module):
    """The features of columns that models see bent, unbent: (rows, F) to (rows, ``count``).

    Args:
        features: the column of each feature. The features are those before standardization.

    Attributes:
        count: features that are bent.
    """

    def __init__(self, features: Sequence[Column]) -> None:
        super().__init__()
        self.bent = nn.ModuleList(
            BentFeature(i, column) for i, column in enumerate(features) if column.rules.bent
        )
        self.count = len(self.bent)

    def forward(self, values: Tensor) -> Tensor:
        return torch.stack([feature(values) for feature in self.bent], 1)


class BentFeature(nn.Module):
    """One feature in the units of the table, up to a shift and a scale: (rows, F) to (rows,).

    Args:
        index: of the feature.
        column: its column.
    """

    def __init__(self, index: int, column: Column) -> None:
        super().__init__()
        self.index, self.column = index, column
        self.inverse = None if column.spline is None else InverseSpline(column.spline)

    def forward(self, values: Tensor) -> Tensor:
        own = values[:, self.index]
        return self.column.rules.unbent(own if self.inverse is None else self.inverse(own))


class InverseSpline(nn.Module):
    """``QuantileNormal.inverse`` of a tensor, (rows,).

    Args:
        spline: the map to normal scores.
    """

    knots: Tensor  # a, b and the slope at each knot, (3, knots)

    def __init__(self, spline: QuantileNormal) -> None:
        super().__init__()
        rows = list(spline.values), list(spline.scores), spline.slopes.tolist()
        knots = torch.tensor(rows, dtype=torch.float64)
        self.register_buffer("knots", knots, persistent=False)

    def forward(self, score: Tensor) -> Tensor:
        a, b, slope = self.knots.to(score)
        k = (torch.searchsorted(b, score.contiguous(), right=True) - 1).clamp(0, len(b) - 2)
        height = b[k + 1] - b[k]
        secant = height / (a[k + 1] - a[k])
        rise = torch.minimum((score - b[k]).clamp_min(0.0), height)
        bend = slope[k] + slope[k + 1] - 2 * secant
        p = height * (secant - slope[k]) + rise * bend
        q = height * slope[k] - rise * bend
        root = (q.square() + 4 * p * secant * rise).clamp_min(0.0).sqrt()
        t = torch.where(rise <= 0, 0.0, 2 * secant * rise / (q + root)).clamp(0.0, 1.0)
        inside = a[k] + t * (a[k + 1] - a[k])
        below, above = (a[end] + (score - b[end]) / slope[end] for end in (0, -1))
        return torch.where(score < b[0], below, torch.where(score > b[-1], above, inside))


class Input(nn.Module, ABC):
    """A module from x, (rows, *event), and its mask to features, (rows, *shape)."""

    shape: tuple[int, ...]

    @abstractmethod
    def forward(
        self, x: Tensor, observed: Tensor | None = None, missing: Tensor | None = None
    ) -> Tensor:
        """Return the features.

        Args:
            x: rows.
            observed: like x, False where hidden; None: nothing is hidden.
            missing: like x, True where the value is missing; used if ``tells_missing``.
        """

    def initialize(self, x: Tensor, observed: Tensor | None = None) -> None:
        """Fit the module to rows of training data; by default there is nothing to fit."""


class Masked(Input):
    """x and, beside it along its first axis, 1 where it was observed and 0 where it is hidden.

    Args:
        event_shape: shape of a row.
        tells_missing: add 1 where the value is missing, besides. Cells that training hides are
            hidden but not missing.
    """

    def __init__(self, event_shape: tuple[int, ...], *, tells_missing: bool = False) -> None:
        super().__init__()
        self.tells_missing = tells_missing
        self.shape = ((3 if tells_missing else 2) * event_shape[0], *event_shape[1:])

    def forward(
        self, x: Tensor, observed: Tensor | None = None, missing: Tensor | None = None
    ) -> Tensor:
        mask = torch.ones_like(x) if observed is None else observed.to(x.dtype)
        if not self.tells_missing:
            return torch.cat((x, mask), 1)
        gone = torch.zeros_like(x) if missing is None else missing.to(x.dtype)
        return torch.cat((x, mask, gone), 1)


class SquareRoots(Input):
    """Square roots of fractions, times the root of their number D, so that their mean square is 1.

    Distances between such rows are Hellinger distances (times sqrt(2 D)): a small part counts more
    than in the fractions themselves, in which it almost vanishes.

    Args:
        event_shape: shape of a row of fractions that sum to one.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = event_shape
        self.number = math.prod(event_shape)

    def forward(
        self, x: Tensor, observed: Tensor | None = None, missing: Tensor | None = None
    ) -> Tensor:
        return (x * self.number).clamp_min(LEAST_SQUARE).sqrt()


class Columns(Input):
    r"""Rows of a table in model units, one number per modeled column, to standardized features.

    ::

        [ linear values (F) | their mask (F) | (missing (F)) | embeddings (E) ]

    The linear values are those that a linear-Gaussian model can use. Each column's kind defines
    them: a continuous value unchanged; for a mixed column, whether it is the atom, and else the
    value; log(1 + n) of a count; the code of a binary column; the code of an ordinal column divided
    by the largest; an indicator of each level of a categorical column with at most 48 levels. Each
    is standardized over the training data and zero where hidden. Every categorical column also has
    an embedding, with "missing" as an extra level, which unknown codes use too.

    Args:
        columns: of the table; columns that are not modeled are skipped.
        embedding: most numbers per categorical column; ceil(sqrt(levels)) + 1 if that is smaller.
        tells_missing: whether to add, for each continuous value, whether it is missing.

    Attributes:
        linear: F.
        features: each with the index of its column among the modeled ones.
        original: the features that are bent, in the units of the table.
    """

    shift: Tensor
    scale: Tensor
    feature_column: Tensor  # of each linear feature, its column among the modeled ones, (F,)
    is_value: Tensor  # of each linear feature, whether a cell may be missing because of it, (F,)

    def __init__(
        self, columns: Sequence[Column], *, embedding: int = 16, tells_missing: bool = False
    ) -> None:
        super().__init__()
        self.tells_missing = tells_missing
        modeled = [column for column in columns if column.modeled]
        found = [(i, each) for i, column in enumerate(modeled) for each in column.rules.features()]
        self.features = sorted(found, key=lambda pair: pair[1].stage)
        self.linear = len(self.features)
        self.original = OriginalUnits([modeled[place] for place, _ in self.features])
        self.transformed = nn.ModuleList(
            _Transformed(list(some))
            for _, some in groupby(self.features, lambda pair: type(pair[1]).values)
        )
        places = torch.tensor([place for place, _ in self.features], dtype=torch.long)
        is_value = torch.tensor(
            [each.explains_missing for _, each in self.features], dtype=torch.bool
        )
        self.register_buffer("feature_column", places, persistent=False)
        self.register_buffer("is_value", is_value, persistent=False)
        self.register_buffer("shift", torch.zeros(self.linear))
        self.register_buffer("scale", torch.ones(self.linear))
        embedded = [(i, len(c.levels)) for i, c in enumerate(modeled) if c.rules.embedded]
        self.embeddings = Embeddings(embedded, embedding)
        values = (3 if tells_missing else 2) * self.linear
        self.shape = (values + self.embeddings.width,)

    def forward(
        self, x: Tensor, observed: Tensor | None = None, missing: Tensor | None = None
    ) -> Tensor:
        values, seen = self._raw(x, observed)
        standardized = torch.where(seen, (values - self.shift) / self.scale, 0.0)
        embedded = self.embeddings(x, observed)
        if not self.tells_missing:
            return torch.cat((standardized, seen.to(x.dtype), embedded), 1)
        gone = torch.zeros_like(seen)
        if missing is not None:
            gone = missing[:, self.feature_column] & self.is_value
        return torch.cat((standardized, seen.to(x.dtype), gone.to(x.dtype), embedded), 1)

    def split(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features to values (rows, F), mask (rows, F) and embeddings (rows, E)."""
        values, mask, embedded = features.split(
            [self.linear, self.linear, self.embeddings.width], 1
        )
        return values, mask, embedded

    def in_original_units(self, features: Tensor) -> Tensor:
        """The linear values that are bent, in the units of the table, (rows, bent values)."""
        values = features[:, : self.linear] * self.scale + self.shift
        original: Tensor = self.original(values) if self.original.count else values[:, :0]
        return original

    @torch.no_grad()
    def initialize(self, x: Tensor, observed: Tensor | None = None) -> None:
        """Standardize each feature over the observed cells of training rows."""
        x = x if observed is None else torch.where(observed, x, 0.0)
        values, seen = self._raw(x.to(torch.float64), observed)
        count = seen.sum(0).clamp_min(1)
        shift = torch.where(seen, values, 0.0).sum(0) / count
        scale = (torch.where(seen, values - shift, 0.0).square().sum(0) / count).sqrt()
        varies = scale > 1e-6 * (1 + shift.abs())
        self.shift.copy_(shift)
        self.scale.copy_(torch.where(varies, scale, 1.0))

    def _raw(self, x: Tensor, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        """Linear values before standardization, and their mask, (rows, F)."""
        parts = [transformed(x) for transformed in self.transformed]
        values = torch.cat([x[:, :0], *(values for values, _ in parts)], 1)
        present = torch.cat([x[:, :0].bool(), *(present for _, present in parts)], 1)
        return values, present if observed is None else present & observed[:, self.feature_column]


class _Transformed(nn.Module):
    """The linear features of one kind, computed from rows of the table.

    Args:
        features: each with the index of its column.
    """

    column: Tensor
    parameter: Tensor

    def __init__(self, features: Sequence[tuple[int, Feature]]) -> None:
        super().__init__()
        self.kind = type(features[0][1])
        parameter = torch.tensor([float(feature.parameter) for _, feature in features])
        column = torch.tensor([place for place, _ in features])
        self.register_buffer("column", column, persistent=False)
        self.register_buffer("parameter", parameter, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values and their mask, (rows, features)."""
        own = x.index_select(1, self.column)
        return self.kind.values(own, self.parameter), self.kind.present(own)


class Embeddings(nn.Module):
    """A learned vector for each level of each categorical column, and one for "missing".

    Columns of one width share a table, so that hundreds of columns need only a few look-ups.

    Args:
        columns: index and number of levels of each.
        most: most numbers per column.
    """

    def __init__(self, columns: Sequence[tuple[int, int]], most: int) -> None:
        super().__init__()
        groups: dict[int, list[tuple[int, int]]] = {}
        for index, levels in columns:
            groups.setdefault(min(most, math.ceil(math.sqrt(levels)) + 1), []).append(
                (index, levels)
            )
        self.tables = nn.ModuleList(_Table(group, width) for width, group in groups.items())
        self.width = sum(width * len(group) for width, group in groups.items())

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """(rows, columns of the table) to (rows, width)."""
        return torch.cat([x[:, :0], *(table(x, observed) for table in self.tables)], 1)


class _Table(nn.Module):
    """The vectors of the columns of one width, one column's levels after another's."""

    column: Tensor
    levels: Tensor
    first: Tensor

    def __init__(self, columns: Sequence[tuple[int, int]], width: int) -> None:
        super().__init__()
        index, levels = torch.tensor(columns).unbind(1)
        entries = levels + 1  # the last one means missing
        self.register_buffer("column", index, persistent=False)
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("first", entries.cumsum(0) - entries, persistent=False)
        self.vectors = nn.Embedding(int(entries.sum()), width)

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        code = x.index_select(1, self.column).long()
        known = (code >= 0) & (code < self.levels)
        if observed is not None:
            known = known & observed[:, self.column]
        vectors: Tensor = self.vectors(self.first + torch.where(known, code, self.levels))
        return vectors.flatten(1)
