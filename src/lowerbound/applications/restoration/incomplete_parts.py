"""Rows with missing cells, part by part, and what their imputation adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor

from lowerbound.applications.form import OnError
from lowerbound.applications.io.requested_rows import RequestedRows, in_chunks, requested_rows
from lowerbound.applications.io.row_files import row_files
from lowerbound.applications.io.sources import conditioned
from lowerbound.data.incomplete import Incomplete
from lowerbound.data.tables.completion import IncompleteColumns
from lowerbound.fitting import Fitted
from lowerbound.inference.restoration.observed_range import MovedMeans

MOST_SIZES = 1 << 20  # effective sample sizes that are kept for their median


def in_parts(source: str, fitted: Fitted, mask: str | None) -> bool:
    """Whether ``incomplete_parts`` reads the data in chunks."""
    return mask is None and in_chunks(source, fitted)


def incomplete_parts(
    source: str, fitted: Fitted, mask: str | None, on_error: OnError, copies: int
) -> Iterator[tuple[Incomplete, RequestedRows]]:
    """Data of the kind that a model was fitted on: a table in chunks, other data as one part.

    Each part is the rows as given, and the same as a chunk of the request.

    Args:
        source: a path or the name of a set.
        fitted: the model.
        mask: a file with a mask of further hidden cells; None: none.
        on_error: "skip" leaves out what cannot be read.
        copies: of the cells that are in memory at once.

    Raises:
        DataError, OptionError: as ``RowFiles.read_incomplete``.
    """
    if not in_parts(source, fitted, mask):
        rows = open_incomplete(source, fitted, mask, on_error)
        count = len(rows.hidden)
        yield rows, RequestedRows(rows.dataset, count, total=count)
        return
    for part in requested_rows(source, fitted, cells=True, texts=True, copies=copies):
        yield IncompleteColumns(part.cells, part.rows, part.text), part


def open_incomplete(
    source: str, fitted: Fitted, mask: str | None, on_error: OnError = "raise"
) -> Incomplete:
    """Data of the kind that a model was fitted on, in its original form; see ``RowFiles``."""
    files = row_files(replace(fitted.schema, condition=None))
    found = files.read_incomplete(source, mask, on_error)
    return replace(found, dataset=conditioned(found.dataset, fitted))


class ImputedTally:
    """What imputed parts add up to.

    Attributes:
        rows, incomplete: number of rows, and of those with a missing cell.
        left_empty: number of missing cells that stay so, by column.
        moved: means far outside the range of their column.
    """

    def __init__(self) -> None:
        self.rows, self.incomplete = 0, 0
        self.moved = MovedMeans()
        self.left_empty: Counter[str] = Counter()
        self._filled: dict[str, int] = {}
        self._widths: dict[str, float] = {}
        self._order: list[str] = []
        self._sizes: list[Tensor] = []
        self._every = 1  # of so many incomplete rows, the size of one is kept
        self._seen = 0

    def add(self, data: Incomplete, sizes: Tensor, widths: Mapping[str, float]) -> None:
        """Add some rows.

        Args:
            data: the rows.
            sizes: effective sample sizes of the incomplete ones.
            widths: mean width of the intervals by column; empty if they are not known.
        """
        hidden = data.hidden.reshape(len(data.hidden), -1)
        self.rows += len(hidden)
        self.incomplete += int(hidden.any(1).sum())
        self._order = [column.name for column in data.schema.columns]
        self.left_empty.update(data.left_empty())
        counts = data.counts()
        for name, count in counts.items():
            self._filled[name] = self._filled.get(name, 0) + count
        for name, width in widths.items():
            self._widths[name] = self._widths.get(name, 0.0) + width * counts[name]
        self._keep(sizes)

    @property
    def filled(self) -> dict[str, int]:
        """Number of filled cells by column, in the order of the table."""
        names = [name for name in self._order if name in self._filled]
        return {name: self._filled[name] for name in names or self._filled}

    @property
    def widths(self) -> dict[str, float]:
        """Mean width of the intervals over the filled cells, by column."""
        return {n: self._widths[n] / count for n, count in self.filled.items() if n in self._widths}

    def effective_sample_size(self, samples: int) -> float:
        """The median over incomplete rows, of many over evenly spaced ones; ``samples`` without."""
        kept = [sizes.numpy() for sizes in self._sizes if len(sizes)]
        return float(np.quantile(np.concatenate(kept), 0.5, method="lower")) if kept else samples

    def _keep(self, sizes: Tensor) -> None:
        self._sizes.append(sizes[-self._seen % self._every :: self._every])
        self._seen += len(sizes)
        while sum(map(len, self._sizes)) > MOST_SIZES:
            joined = np.concatenate([each.numpy() for each in self._sizes])[::2]
            self._sizes, self._every = [sizes.new_tensor(joined)], 2 * self._every
