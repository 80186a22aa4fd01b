"""Raw data: the output of a reader, before a schema is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lowerbound.data.columns.inference import Hint
from lowerbound.data.columns.text.notation import Notation
from lowerbound.data.pictures.pixels import Channels, Resize
from lowerbound.data.tables.dialect import Dialect

Kinds = Literal["real", "infer"] | Mapping[str, Hint]


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows in their original form.

    Attributes:
        x: a pandas frame; an array, (rows, columns) or pictures in any layout; or the type that
            ``kind`` requires.
        labels: one value per row, or None.
        class_names: the classes in the order of their indices; None: inferred from the labels.
        levels: number of levels; None: inferred from the type.
        channels: position of the color axis of pictures; None: inferred from the shape.
        resize: how pictures were resized.
        quantities: name -> (rows,) numbers that codes are to predict.
        label_column: the table column of the labels.
        left_out: columns of a table that are not used.
        ids: a name per row.
        source: origin of the rows, for reports.
        factors: (rows, factors) integers, the generative factors of each row, if known.
        factor_names: a name per factor.
        factor_values: of each factor, the names of its values; empty if they have none.
        missing: whether the reader marks missing cells with NaN.
        kind: the name of the kind of data; "": inferred from x.
        notations: of a table, how columns of numbers were written as text, by name.
        dialect: of a table that was text.
    """

    x: Any
    labels: Any = None
    class_names: tuple[str, ...] | None = None
    levels: int | None = None
    channels: Channels | None = None
    resize: Resize = "pad"
    label_column: str | None = None
    left_out: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None
    source: str = ""
    factors: Any = None
    factor_names: tuple[str, ...] = ()
    factor_values: tuple[tuple[str, ...], ...] = ()
    missing: bool = False
    quantities: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    notations: Mapping[str, Notation] = field(default_factory=dict)
    dialect: Dialect | None = None
