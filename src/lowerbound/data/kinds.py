"""The base class of kinds of data: how rows are read, packed, converted, named and shown.

A kind is an object without state; the ``Schema`` holds what was learned from the rows. Outside
this folder the code uses the methods of the kind (``schema.data_kind``), never its name.
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
    """A default choice for a kind of data, and its reason."""

    name: str
    reason: str


class DataKind(ABC):
    """Rows of one kind.

    Attributes:
        named_columns: rows are a table, whose columns are matched by their names.
        pictures: rows are pictures, (channels, height, width) in [0, 1], whose cells have
            neighbors.
        matrix: rows in memory are a numeric matrix, (rows, columns).
        amplitudes: rows are amplitudes of sound, (samples,).
        fits_quickly: networks for such rows are small enough to be fitted several times.
        grouped: rows of a table that belong together are one row of the data set, whose cells have
            no distance from those of another; the table is read as a whole.
        parts_of_whole: values of a row are fractions that sum to one; networks see square roots.
        symbolic: values are codes without order, such as tokens: networks see a learned vector of
            each.
        always_complete: no part of a row can be missing.
        model: name of the only model of such rows; "": others can model them too.
    """

    named_columns = False
    pictures = False
    matrix = False
    amplitudes = False
    fits_quickly = False
    grouped = False
    parts_of_whole = False
    symbolic = False
    always_complete = False
    model = ""

    # reading --------------------------------------------------------------------------------------

    def reads(self, source: Any) -> bool:
        """Whether ``source``, a path or rows in memory, can only be of this kind."""
        return False

    def takes(self, source: Any, reading: Reading) -> bool:
        """Whether ``source``, read with these options, is of this kind."""
        return self.reads(source)

    def read(self, source: Any, reading: Reading) -> RawData:
        """Read the rows of a source without conversion.

        Raises:
            DataError: they cannot be read.
        """
        raise DataError(f"{source!s:.60} cannot be read")

    def load(self, source: Any, reading: Reading) -> Dataset:
        """Read the rows and encode them with the schema of an earlier fit, or with a new one."""
        return reading.encoded(self.read(source, reading))

    def holds(self, rows: Any) -> bool:
        """Whether rows in memory, an array or a frame, are of this kind if none is given."""
        return False

    @abstractmethod
    def learn(self, raw: RawData, how: Reading) -> Schema:
        """Learn the schema of the rows.

        Raises:
            DataError: the rows cannot be modeled; the message gives the reason.
        """

    # units ----------------------------------------------------------------------------------------

    @abstractmethod
    def pack(self, schema: Schema, raw: Any) -> tuple[Tensor, Tensor | None]:
        """As ``Schema.pack``."""

    def unseen(self, schema: Schema, raw: Any, observed: Tensor | None) -> Tensor | None:
        """``Dataset.unseen`` of new rows, (rows, columns); None: there is no such cell."""
        return None

    def beyond(self, schema: Schema, raw: Any, packed: Tensor) -> Tensor | None:
        """``Dataset.beyond`` of new rows, (rows, columns); None: there is no such cell."""
        return None

    @abstractmethod
    def decode(self, schema: Schema, units: Array, rounded: bool) -> Array:
        """As ``Schema.decode``."""

    def check_written(self, schema: Schema) -> None:
        """Check that rows can be described, and written in the types of the fitted ones.

        Raises:
            Exception: of any kind; who reads the schema names the file.
        """
        self.describe(schema)

    def log_slopes(self, schema: Schema, x: Tensor) -> Tensor:
        """log T'(v) of densities, (rows | 1, *event) float64; here T(v) = v / white."""
        slope = 0.0 - math.log(schema.white)
        return torch.full((1, *schema.event_shape), slope, dtype=torch.float64)

    def values(self, schema: Schema, raw: Any) -> Array:
        """Rows in original units, (rows, *event), whose values may lie between the levels.

        Raises:
            DataError: the rows do not fit the schema.
        """
        values = as_array(raw)
        if values.shape[1:] != schema.event_shape:
            raise DataError(
                f"expected rows of shape {schema.event_shape}, found an array of shape "
                f"{values.shape}"
            )
        return values

    def laid_out(self, schema: Schema, cells: Array) -> Array:
        """Mask of event cells, (rows, *event) bool, in the layout of the raw rows."""
        return cells

    def as_event(self, schema: Schema, cells: Array) -> Array:
        """The inverse of ``laid_out``, for one row or for all."""
        return cells

    # names ----------------------------------------------------------------------------------------

    @abstractmethod
    def describe(self, schema: Schema) -> str:
        """A short description of the rows, which follows their number."""

    def describe_values(self, schema: Schema) -> str:
        """A short description of the values of a row."""
        if schema.levels == 2:
            return "zeros and ones"
        values = "real numbers" if schema.levels is None else f"{schema.levels} levels"
        how = {"dynamic": "drawn anew at each visit", "threshold": "1 above a half"}
        bits = how.get(schema.binarize)
        return f"{values}, made bits ({bits})" if bits else values

    def value_name(self, schema: Schema) -> str:
        """What a value of a row is called in "bits per dimension"."""
        return "dimension"

    def molecular(self, schema: Schema) -> bool:
        """Whether rows are molecules, as SMILES."""
        return False

    def values_per_row(self, dataset: Dataset) -> float:
        """Values in a row, the mean if rows differ."""
        return dataset.schema.dimension

    def feature_names(self, schema: Schema) -> list[str]:
        """A name for each number of a row, in the order of the event."""
        return [f"x{i}" for i in range(schema.dimension)]

    def features(self, schema: Schema, units: Tensor) -> Array:
        """Rows in model units as named features, (..., features), in original units."""
        flat = units.detach().cpu().flatten(units.dim() - len(schema.event_shape))
        return np.asarray(flat.numpy(), dtype=float)

    # defaults -------------------------------------------------------------------------------------

    def default_network(self, schema: Schema, tabular: bool) -> Default:
        """The default network for such rows.

        Args:
            schema: of the rows.
            tabular: whether the model supports the network "tabular", which returns q(z | x).
        """
        return Default("mlp", "rows have no neighbors")

    def default_likelihood(self, schema: Schema) -> Default:
        """The default likelihood: a mass for binary and integer data, else a Gaussian."""
        if schema.binary:
            return Default("bernoulli", "the values are zeros and ones")
        if schema.levels is not None:
            reason = f"each of {schema.levels} levels has a probability, so bits are meaningful"
            return Default("discretized_logistic", reason)
        return Default("gaussian", "real numbers, with one learned scale")

    def default_latent_dim(self, schema: Schema) -> int | None:
        """Numbers in the code of a row; None: from the number of features."""
        return None

    def report_style(self, schema: Schema) -> str:
        """The style in which a report shows the rows; "": it shows no figures of them."""
        return "columns"

    def augmented(self, x: Tensor, strength: float) -> Tensor:
        """Rows (rows, *event) with small random changes that keep their class."""
        return x


DATA_KINDS = Registry[type[DataKind]](
    "kind of data",
    "lowerbound.data",
    {
        "audio": "audio.kind",
        "compositions": "sciences.compositions",
        "events": "sequences.event_kind",
        "images": "pictures.kind",
        "episodes": "sequences.episode_kind",
        "sequences": "sequences.kind",
        "vectors": "tables.kind",
        "table": "tables.kind",
        "tokens": "sequences.token_kind",
    },
)


def newest_kinds() -> Iterator[DataKind]:
    """Every kind, the last registered first, so that a new kind takes precedence.

    Kinds that look at the options are before all others, because they take a table only if the
    options say so, for example how to group its rows.
    """
    kinds = [DATA_KINDS[name]() for name in reversed(list(DATA_KINDS))]
    return iter(sorted(kinds, key=lambda kind: type(kind).takes is DataKind.takes))
