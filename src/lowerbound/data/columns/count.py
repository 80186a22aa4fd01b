"""Counts: whole numbers from 0 up, which are their own model units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns.column import Column
from lowerbound.data.columns.features import LEAST_NOISE, Feature, Transform
from lowerbound.data.columns.kind import COLUMN_KINDS, ColumnKind
from lowerbound.data.columns.sample import Sample

Array = np.ndarray[Any, Any]

LEAST, MEDIAN = 1, 20  # counts begin at 0 or 1 and are mostly small


@dataclass(frozen=True)
class LogCount(Feature):
    """log(1 + n); the decoder owes the log-mean."""

    transform = Transform(1, lambda x, _: torch.log1p(x))

    @property
    def least_noise(self) -> float:
        return LEAST_NOISE

    def slope(self, weight: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return scale * weight


@COLUMN_KINDS.register("count")
class CountKind(ColumnKind):
    """Counts, found where whole numbers begin at 0 or 1 and are mostly small."""

    rank = 60
    family = "count"

    @classmethod
    def recognize(cls, sample: Sample) -> Column | None:
        if not sample.whole or not 0 <= sample.distinct[0] <= LEAST:
            return None
        small = np.median(sample.numbers) <= MEDIAN
        return replace(sample.column, kind="count") if small else None

    def fitted(self, series: Any, standardize: bool, bend: bool) -> Column:
        self.read(series)
        return self.column

    def outside(self, values: Array) -> Array:
        return np.asarray((values < 0) | (values != np.rint(values)) & ~np.isnan(values))

    @property
    def support(self) -> str:
        return "counts"

    def features(self) -> Sequence[Feature]:
        return (LogCount(),)

    @property
    def whole(self) -> bool:
        return True
