"""What a kind of data owns: how its rows are found, packed, brought to model units and back, named.

A kind is one object without state; what was learned from the rows is in their ``Schema``. Outside
this folder the code uses the kind's methods (``schema.data_kind``), never its name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.arrays import Array, as_array
from lowerbound.errors import DataError
from lowerbound.registry import Registry

if TYPE_CHECKING:
    from lowerbound.data.dataset import Dataset
    from lowerbound.data.raw import RawData
    from lowerbound.data.reading import Reading
    from lowerbound.data.schema import Schema


class Default(NamedTuple):
    """What is chosen for a kind of data, and why."""

    name: str
    reason: str


class DataKind(ABC):
    """Rows of one kind.

    Attributes:
        named_columns: rows are a table, whose columns are matched by their names.
        pictures: rows are pictures, (channels, height, width) in [0, 1], whose cells have
            neighbors.
        matrix: rows in memory are a matrix of numbers, (rows, columns).
        fits_quickly: networks of such rows are small enough to be fitted several times.
    """

    named_columns = False
    pictures = False
    matrix = False
    fits_quickly = False

    # reading --------------------------------------------------------------------------------------

    def reads(self, source: Any) -> bool:
        """Whether ``source``, a path or rows in memory, can only be of this kind."""
        return False

    def read(self, source: Any, reading: Reading) -> RawData:
        """The rows of a source that this kind ``reads``, as they are.

        Raises:
            DataError: they cannot be read.
        """
        raise DataError(f"{source!s:.60} cannot be read")

    def load(self, source: Any, reading: Reading) -> Dataset:
        """The same, by the schema of an earlier fit, or one learned from them."""
        return reading.encoded(self.read(source, reading))

    def holds(self, rows: Any) -> bool:
        """Whether rows in memory, an array or a frame of unsaid kind, are of this one."""
        return False

    @abstractmethod
    def learn(self, raw: RawData, how: Reading) -> Schema:
        """The schema of the rows.

        Raises:
            DataError: they cannot be modeled; the message says why.
        """

    # units ----------------------------------------------------------------------------------------

    @abstractmethod
    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        """As ``Schema.pack``."""

    @abstractmethod
    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        """As ``Schema.decode``."""

    def log_slopes(self, schema: Schema, x: Tensor) -> Tensor:
        """log T'(v) of densities, (rows | 1, *event) float64, where model units are shares of the
        schema's white."""
        slope = 0.0 - math.log(schema.white)
        return torch.full((1, *schema.event_shape), slope, dtype=torch.float64)

    def values(self, schema: Schema, raw: Any) -> Array:
        """Rows that may lie between the levels, (rows, *event), in the person's units.

        Raises:
            DataError: they do not fit the schema.
        """
        values = as_array(raw)
        if values.shape[1:] != schema.event_shape:
            raise DataError(
                f"expected rows of shape {schema.event_shape}, found an array of shape "
                f"{values.shape}"
            )
        return values

    def laid_out(self, schema: Schema, cells: Array) -> Array:
        """Cells of the event, (rows, *event) bool, where the person's rows have them."""
        return cells

    def as_event(self, schema: Schema, cells: Array) -> Array:
        """Cells where the person's rows have them, of one row or of all, as cells of the event."""
        return cells

    # names ----------------------------------------------------------------------------------------

    @abstractmethod
    def describe(self, schema: Schema) -> str:
        """What the rows are, in a few words that follow their number."""

    def describe_values(self, schema: Schema) -> str:
        """What each number of a row is, in a few words."""
        if schema.levels == 2:
            return "zeros and ones"
        values = "real numbers" if schema.levels is None else f"{schema.levels} levels"
        how = {"dynamic": "drawn anew at each visit", "threshold": "1 above a half"}
        bits = how.get(schema.binarize)
        return f"{values}, made bits ({bits})" if bits else values

    def feature_names(self, schema: Schema) -> list[str]:
        """A name for each number of a row, in the order of the event."""
        return [f"x{i}" for i in range(schema.dimension)]

    def features(self, schema: Schema, units: Tensor) -> Array:
        """Rows in model units as these numbers, (..., features), in the person's units."""
        flat = units.detach().cpu().flatten(units.dim() - len(schema.event_shape))
        return np.asarray(flat.numpy(), dtype=float)

    # defaults -------------------------------------------------------------------------------------

    def default_network(self, schema: Schema, tabular: bool) -> Default:
        """The network of a model of such rows.

        Args:
            schema: of the rows.
            tabular: whether the model takes the network "tabular", which answers with q(z | x).
        """
        return Default("mlp", "rows have no neighbors")

    def default_likelihood(self, schema: Schema) -> Default:
        """Probability mass for binary and integer data, one learned scale for real numbers."""
        if schema.binary:
            return Default("bernoulli", "the values are zeros and ones")
        if schema.levels is not None:
            reason = f"each of {schema.levels} levels gets its probability, so bits mean something"
            return Default("discretized_logistic", reason)
        return Default("gaussian", "real numbers, with one learned scale")

    def report_style(self, schema: Schema) -> str:
        """How a report shows the rows, by the name of a style; "": it has no figures of them."""
        return "columns"

    def augmented(self, x: Tensor, strength: float) -> Tensor:
        """Rows (rows, *event) changed a little in ways that leave their class as it is."""
        return x


DATA_KINDS = Registry[type[DataKind]]("kind of data")


def newest_kinds() -> Iterator[DataKind]:
    """Every kind, the one registered last first, so that a new kind may take what others would."""
    return (DATA_KINDS[name]() for name in reversed(list(DATA_KINDS)))
