"""The first part of a table's page: odd rows, missing cells, and what codes keep of columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.tables.frames import to_frame
from lowerbound.evaluation.likelihood.baselines import ColumnShares
from lowerbound.evaluation.report.subjects import Findings
from lowerbound.evaluation.report.suites import attempt
from lowerbound.inference.estimate import Skipped
from lowerbound.inference.reconstruction import squared_distance, squared_errors
from lowerbound.inference.shares import shares
from lowerbound.models.base import Model

ODD_ROWS = 5
REASONS = 3  # columns named for each odd row
LEAST_NATS = 0.5  # above the average, for a column to be named
LEAST_ENTROPY = 1e-3  # nats, below which a column of levels counts as constant


@dataclass(frozen=True)
class OddRow:
    """A row that is improbable by the model.

    Attributes:
        name: its name, or its number among the held-out rows, from 1; of a window, its points.
        nats: its lower bound on log p(x).
        columns: the columns that make it odd, each with its value; the oddest first.
    """

    name: str
    nats: float
    columns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MissingCells:
    """Missing cells of training and held-out rows together.

    Attributes:
        count, of: number of missing cells, and of all.
        rows, of_rows: number of rows with a missing cell, and of all.
        columns: columns with missing cells and their number, the most first.
    """

    count: int
    of: int
    rows: int
    of_rows: int
    columns: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class KeptColumn:
    """How much of a column a code keeps on held-out rows.

    Attributes:
        name: of the column.
        share: of a column of numbers, the explained share of its variance; of a column of levels,
            the share of its entropy that the code removes; None if the column is constant.
        of: "variance" or "entropy".
    """

    name: str
    share: float | None
    of: str

    @property
    def percent(self) -> int:
        """The share as per cent from 0 to 100, for a bar."""
        return round(100 * min(1.0, max(0.0, self.share or 0.0)))

    @property
    def text(self) -> str:
        """The share in words; no share is below nothing."""
        if self.share is None:
            return "constant column"
        return f"{self.share:.0%} of its {self.of}" if self.share > 0.005 else "nothing"


@dataclass(frozen=True)
class TableSummary:
    """The owner's part of a page; ``odd`` is empty if rows cannot be scored.

    Attributes:
        named: whether rows have the names or numbers of their file.
        windows: whether the rows are windows of a series.
    """

    named: bool
    windows: bool
    odd: tuple[OddRow, ...]
    missing: MissingCells
    kept: tuple[KeptColumn, ...]


def table_summary(found: Findings, training: Dataset, held_out: Dataset) -> TableSummary | None:
    """The owner's part of the page; None if the rows have no columns.

    Args:
        found: of the leading model.
        training: the rows that it was fitted to.
        held_out: the scored rows.
    """
    if not held_out.schema.modeled:
        return None
    return TableSummary(
        held_out.ids is not None,
        held_out.schema.windows is not None,
        odd_rows(found.subject.model, held_out),
        missing_cells(training, held_out),
        kept_columns(found.subject.model, held_out, found.likelihood.columns),
    )


def odd_rows(model: Model, held_out: Dataset) -> tuple[OddRow, ...]:
    """The rows with the lowest bound, and the columns whose nats are far above the average."""
    found = attempt(lambda: shares(model, held_out))
    if isinstance(found, Skipped) or found.features.dim() != 2:
        return ()
    order = found.total.argsort(descending=True)[:ODD_ROWS]
    frame = to_frame(held_out.schema.for_other_rows, held_out.subset(order).all().filled)
    names = [column.name for column in held_out.schema.modeled]
    above = found.above(found.mean()).features[order]
    seen = held_out.mask[order]
    return tuple(
        OddRow(
            name=str(row + 1) if held_out.ids is None else held_out.ids[row],
            nats=-float(found.total[row]),
            columns=_reasons(above[place], seen[place], dict(zip(names, values, strict=True))),
        )
        for place, (row, values) in enumerate(
            zip(order.tolist(), frame[names].itertuples(index=False), strict=True)
        )
    )


def _reasons(nats: Tensor, seen: Tensor, row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The oddest columns of a row, with its values.

    Args:
        nats: of each modeled column, above the average, (columns,).
        seen: which of them are observed.
        row: the values by column.
    """
    order = nats.argsort(descending=True)[:REASONS].tolist()
    names = list(row)
    return tuple(
        (names[column], _shown(row[names[column]]) if bool(seen[column]) else "missing")
        for column in order
        if float(nats[column]) > LEAST_NATS
    )


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def missing_cells(training: Dataset, held_out: Dataset) -> MissingCells:
    """Count the missing cells of all rows."""
    gone = torch.cat([~training.mask, ~held_out.mask]).flatten(1)
    each = gone.sum(0).tolist()
    names = [column.name for column in held_out.schema.modeled]
    some = [(name, count) for name, count in zip(names, each, strict=True) if count]
    return MissingCells(
        count=int(gone.sum()),
        of=gone.numel(),
        rows=int(gone.any(1).sum()),
        of_rows=len(gone),
        columns=tuple(sorted(some, key=lambda pair: -pair[1])),
    )


def kept_columns(
    model: Model, held_out: Dataset, columns: ColumnShares | Skipped
) -> tuple[KeptColumn, ...]:
    """What a code keeps of each column of held-out rows, the most first.

    Columns of levels are left out if the likelihood has no marginal of a column.
    """
    found = []
    errors, cells = squared_errors(model, held_out), held_out.comparable
    x = held_out.all().filled
    for place, column in enumerate(held_out.schema.modeled):
        if column.rules.metric:
            seen = cells[:, place : place + 1]
            distance = float(squared_distance(x[:, place : place + 1], seen))
            share = 1 - float(errors[:, place].sum()) / distance if distance else None
            found.append(KeptColumn(column.name, share, "variance"))
        elif isinstance(columns, ColumnShares):
            entropy, gain = -columns.marginal[place], columns.gains[place]
            constant = entropy < LEAST_ENTROPY
            found.append(KeptColumn(column.name, None if constant else gain / entropy, "entropy"))
    return tuple(sorted(found, key=lambda kept: 1.0 if kept.share is None else -kept.share))
