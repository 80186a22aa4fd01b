"""What a reader found, before anything was learned from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lowerbound.data.columns.inference import Hint
from lowerbound.data.pictures.pixels import Channels, Resize

Kinds = Literal["real", "infer"] | Mapping[str, Hint]


@dataclass(frozen=True, eq=False)
class RawData:
    """Rows as the person has them.

    Attributes:
        x: a pandas frame; an array, (rows, columns) or pictures in any layout; or what ``kind``
            takes.
        labels: one value per row, or None.
        class_names: the classes in the order of their indices; None: taken from the labels.
        levels: number of levels where the reader knows it better than the type tells.
        channels: where the color axis of pictures is; None: found from the shape.
        resize: how pictures were brought to one size.
        label_column: the column of a table that the labels came from.
        left_out: columns of a table that were seen and not used.
        ids: a name per row.
        source: where it came from, for reports.
        factors: (rows, factors) integers, the causes that made each row, where they are known.
        factor_names: one for each of them.
        missing: whether the reader marks missing cells, by NaN.
        kind: the name of their kind of data; "": found from x.
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
    missing: bool = False
    kind: str = ""
