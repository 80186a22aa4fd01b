"""Input and output of the chapters of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.dataset import Dataset
from lowerbound.evaluation.report.subjects import Findings, leading
from lowerbound.evaluation.samples.acceptance import real_rows
from lowerbound.inference.estimate import Skipped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 10


@dataclass(frozen=True)
class Plate:
    """One figure of the report.

    Attributes:
        key: its file name without suffix.
        chapter: heading of its chapter.
        caption: what it shows and what to look for, in plain words.
        figure: the figure.
    """

    key: str
    chapter: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Material:
    """Data for the figures.

    Attributes:
        findings: findings of all models.
        training: the rows they were fitted to.
        held_out: rows they have not seen.
    """

    findings: Sequence[Findings]
    training: Dataset
    held_out: Dataset

    @property
    def main(self) -> Findings:
        """The main model of the report."""
        return leading(self.findings)

    @property
    def scored(self) -> Dataset:
        """The measured held-out rows, in the order of the codes."""
        codes = [found.latents.codes for found in self.findings]
        measured = [len(each) for each in codes if not isinstance(each, Skipped)]
        return self.held_out.thinned(measured[0] if measured else 0)

    @property
    def examples(self) -> Dataset:
        """A few held-out rows, equally many of each class if there are labels."""
        label = self.held_out.label
        if label is None or not bool((label >= 0).any()):
            return self.held_out.thinned(EXAMPLES)
        classes = label[label >= 0].unique().tolist()
        each = max(1, EXAMPLES // len(classes))
        firsts = torch.cat([torch.nonzero(label == index)[:each, 0] for index in classes])
        return self.held_out.subset(firsts[:EXAMPLES])

    @property
    def names(self) -> list[str]:
        """Names of the features that vary."""
        return self.training.schema.data_kind.feature_names(self.training.schema)

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Meanings of the codes of a column with levels, by the column's name."""
        columns = self.training.schema.modeled
        return {c.name: tuple(map(str, c.levels)) for c in columns if c.levels}

    @property
    def dates(self) -> frozenset[str]:
        """Names of the columns of dates, which are seconds since 1970."""
        columns = self.training.schema.modeled
        return frozenset(column.name for column in columns if column.rules.has_format)

    def observed(self, dataset: Dataset) -> Array:
        """Rows as returned by ``columns``, NaN if not observed."""
        values = self.columns(real_rows(dataset))
        if dataset.observed is not None:
            values[~dataset.observed.cpu().numpy()] = np.nan
        return values

    def columns(self, units: Tensor) -> Array:
        """Rows in model units as the columns that vary, (..., columns), in the data's units."""
        schema = self.training.schema
        return schema.data_kind.features(schema, units)
