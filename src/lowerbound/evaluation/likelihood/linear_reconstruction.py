"""Reconstruction of rows of any kind by principal components.

A row becomes numbers: its numeric cells, a missing one as the training mean, and a column of levels
as indicators divided by the root of the level's share (Escofier 1979; Pages 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lowerbound.classical.principal_components import principal_components
from lowerbound.data.dataset import Dataset


@dataclass(frozen=True)
class RowNumbers:
    """How rows become numbers, learned from training rows.

    Attributes:
        numeric: the cells without levels, (cells,) bool.
        means: of the numeric cells, float64.
        scales: divisors of the numeric cells: 1 where model units have a distance, else the
            standard deviation.
        shares: of each other cell, the share of each of its levels.
    """

    numeric: Tensor
    means: Tensor
    scales: Tensor
    shares: tuple[Tensor, ...]

    @classmethod
    def of(cls, training: Dataset) -> RowNumbers:
        """Learn means, scales and shares of levels."""
        schema = training.schema
        numeric = schema.metric.flatten()
        if schema.modeled:
            numeric = torch.tensor([not column.levels for column in schema.modeled])
        x, seen = _cells(training)
        count = seen.sum(0).clamp_min(1)
        means = (x * seen).sum(0) / count
        spread = (torch.where(seen, x - means, 0.0).square().sum(0) / count).sqrt()
        scales = torch.where(schema.metric.flatten() | (spread == 0), 1.0, spread)
        shares = tuple(
            torch.bincount(x[seen[:, cell], cell].long(), minlength=1).double() / count[cell]
            for cell in (~numeric).nonzero().flatten().tolist()
        )
        return cls(numeric, means[numeric], scales[numeric], shares)

    def __call__(self, dataset: Dataset) -> Tensor:
        """(rows, numbers) float64, the numeric cells first."""
        x, seen = _cells(dataset)
        filled = torch.where(seen[:, self.numeric], x[:, self.numeric], self.means)
        codes, known = x[:, ~self.numeric].long(), seen[:, ~self.numeric]
        indicators = [
            _indicators(codes[:, place], known[:, place], share)
            for place, share in enumerate(self.shares)
        ]
        return torch.cat([filled / self.scales, *indicators], 1)


def linear_errors(training: Dataset, dataset: Dataset, size: int) -> Tensor:
    """Squared error of each row through ``size`` components of the training rows, (rows,).

    It is the sum over the observed cells whose values have a distance.
    """
    numbers = RowNumbers.of(training)
    found = principal_components(numbers(training), size)
    centered = numbers(dataset) - found.mean
    lost = centered - centered @ found.directions @ found.directions.T
    cells = dataset.comparable.flatten(1)[:, numbers.numeric]
    return torch.where(cells, lost[:, : len(numbers.means)], 0.0).square().sum(1)


def _cells(dataset: Dataset) -> tuple[Tensor, Tensor]:
    batch = dataset.all()
    return batch.filled.double().flatten(1), dataset.mask.flatten(1)


def _indicators(codes: Tensor, known: Tensor, share: Tensor) -> Tensor:
    """Scaled indicators of one column; a missing cell, and a new level, has none."""
    usual = known & (codes >= 0) & (codes < len(share))
    marks = one_hot(torch.where(usual, codes, 0), len(share)).double()
    return torch.where(usual.unsqueeze(1), marks / share.clamp_min(1e-12).sqrt(), 0.0)
