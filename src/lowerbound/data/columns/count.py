"""Counts: non-negative integers, whose model units are the values themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.columns.column import Column
from lowerbound.data.columns.features import LEAST_NOISE, Feature
from lowerbound.data.columns.inference import Sample
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind

LEAST, MEDIAN = 1, 20  # upper limits of a count's minimum and median


@dataclass(frozen=True)
class LogCount(Feature):
    """log(1 + n); the decoder returns the log-mean."""

    stage = 1
    least_noise: float = LEAST_NOISE

    @staticmethod
    def values(x: Tensor, parameter: Tensor) -> Tensor:
        return torch.log1p(x)


@COLUMN_KINDS.register("count")
class CountKind(ColumnKind):
    """Counts, recognized as integers that begin at 0 or 1 and are mostly small; codes such as 07
    are levels."""

    rank = 60
    family = "count"
    always_whole = True
    support = "counts"
    least = 0.0

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if sample.padded or not sample.whole or not 0 <= sample.distinct[0] <= LEAST:
            return None
        small = np.median(sample.numbers) <= MEDIAN
        return replace(sample.column, kind="count") if small else None

    def fitted(self, series: Any, standardize: bool, normal_scores: bool) -> Column:
        self.read(series)
        return self.column

    def outside(self, values: Array) -> Array:
        return np.asarray((values < 0) | (values != np.rint(values)) & ~np.isnan(values))

    @property
    def bent(self) -> bool:
        return True

    def unbent(self, feature: Tensor) -> Tensor:
        return torch.expm1(feature)

    def features(self) -> Sequence[Feature]:
        return (LogCount(),)
