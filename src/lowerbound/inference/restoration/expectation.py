"""E[x | z] in the data's units, column by column, which an imputation averages over z.

A column family defines the numbers to average. A column kind defines the result: the mean of a
number, or the level with the largest probability.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array
from lowerbound.data.schema import Schema
from lowerbound.likelihoods.mixed import MixedEmission
from lowerbound.trace import Emission

Parts = Mapping[int, Array]
"""By column of the schema: averages of numbers, (rows, 1), as ``ColumnKind.averaged`` defines them,
or probabilities of levels, (rows, levels)."""


class Expectation(ABC):
    """Numbers of each row to average over draws of z, and their conversion to a result.

    Attributes:
        width: number of numbers.
    """

    width: int

    @abstractmethod
    def given(self, emission: Emission) -> Tensor:
        """The numbers of each draw and row, (samples, batch, width), in its precision or higher."""

    @abstractmethod
    def answer(self, averaged: Tensor) -> Array:
        """(batch, width) to rows in the data's units and layout; codes for levels, float64."""

    @abstractmethod
    def parts(self, averaged: Tensor) -> Parts:
        """(batch, width) to the averaged numbers of each modeled column."""


def expectation(schema: Schema, emission: Emission) -> Expectation:
    """The expectation of rows of ``schema`` under emissions like ``emission``."""
    if isinstance(emission, MixedEmission):
        return ByColumn(schema, emission)
    return InUnits(schema)


class InUnits(Expectation):
    """For vectors and pictures, whose transform is affine: the mean in model units, decoded."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.dimension

    def given(self, emission: Emission) -> Tensor:
        return emission.mean.flatten(2)

    def answer(self, averaged: Tensor) -> Array:
        rows = averaged.unflatten(1, self.schema.event_shape)
        return self.schema.decode(rows, rounded=False).astype(np.float64)

    def parts(self, averaged: Tensor) -> Parts:
        answer = self.answer(averaged)
        columns = enumerate(self.schema.columns)
        return {place: answer[:, [place]] for place, column in columns if column.modeled}


class ByColumn(Expectation):
    """For tables: one number per column, or one for each level of a column that has levels.

    Args:
        schema: of the table.
        emission: an output of the model; the columns' sigmas are taken from it.
    """

    def __init__(self, schema: Schema, emission: MixedEmission) -> None:
        self.schema = schema
        modeled = schema.modeled
        widths = np.array([column.rules.width for column in modeled])
        self.places = np.split(np.arange(widths.sum()), widths.cumsum()[:-1])
        self.width = int(widths.sum())
        self.averages = []
        for family, (part, columns) in zip(emission.families, emission.members(), strict=True):
            self.averages.append(family.averages([modeled[i] for i in columns], part))

    def given(self, emission: Emission) -> Tensor:
        assert isinstance(emission, MixedEmission)
        shape = (*emission.batch_shape, self.width)
        numbers = torch.empty(shape, dtype=torch.float64, device=emission.parts[0].mean.device)
        for averages, (part, columns) in zip(self.averages, emission.members(), strict=True):
            numbers[..., np.concatenate([self.places[i] for i in columns])] = averages(part)
        return numbers

    def answer(self, averaged: Tensor) -> Array:
        values = np.empty((len(averaged), len(self.schema.columns)))
        values[:] = [column.shift for column in self.schema.columns]
        for place, numbers in self.parts(averaged).items():
            values[:, place] = self.schema.columns[place].rules.decided(numbers)
        return values

    def parts(self, averaged: Tensor) -> Parts:
        numbers = averaged.detach().cpu().numpy()
        modeled = [i for i, column in enumerate(self.schema.columns) if column.modeled]
        return {place: numbers[:, own] for own, place in zip(self.places, modeled, strict=True)}
