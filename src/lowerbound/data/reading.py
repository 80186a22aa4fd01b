"""Options of reading data, and the steps that all readers share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from torch import Tensor

from lowerbound.data.arrays import as_array
from lowerbound.data.columns.notation import array_without_beyond
from lowerbound.data.dataset import Dataset
from lowerbound.data.kinds import DATA_KINDS, newest_kinds
from lowerbound.data.labels import (
    Quantity,
    encode_labels,
    encode_quantities,
    encode_targets,
    warn_near_classes,
)
from lowerbound.data.options import Binarize, Missing, OnError, PlainReading, Resize
from lowerbound.data.raw import Kinds, RawData
from lowerbound.data.schema import Schema
from lowerbound.data.sequences.windows import Windows
from lowerbound.data.tables.dialect import Dialect
from lowerbound.errors import DataError, LowerboundError, OptionError, unknown


@dataclass(frozen=True, kw_only=True)
class Reading(PlainReading):
    """Options of reading a source; the fields are the keywords of ``load``.

    Raises:
        OptionError: an option has an unknown value, or differs from the schema.
    """

    label: Any = None  # in Python, also one value per row
    schema: Schema | None = None
    kinds: Kinds = "infer"
    split: str | None = None
    windows: Windows | None = None
    normal_scores: bool = True
    regression: bool = False
    dialect: Dialect | None = None

    def __post_init__(self) -> None:
        choices = {"resize": Resize, "on_error": OnError, "binarize": Binarize, "missing": Missing}
        for name, choice in choices.items():
            value = getattr(self, name)
            if value is not None and value not in get_args(choice):
                raise unknown(f"value for {name}:", value, get_args(choice))
        if not isinstance(self.schema, Schema | None):
            raise OptionError(
                "schema= takes a Schema, such as fitted.schema or Schema.from_mapping(values) of a "
                f"schema.json, not {type(self.schema).__name__}"
            )
        if self.schema is not None and self.binarize not in (None, self.schema.binarize):
            raise OptionError(
                f"binarize={self.binarize!r}, but the model was fitted with "
                f"{self.schema.binarize!r}"
            )

    @property
    def text_dialect(self) -> Dialect | None:
        """What is known of how a table is written as text: given now, or with an earlier file."""
        if self.dialect is not None or self.schema is None:
            return self.dialect
        return self.schema.text_dialect

    def refuse(self, source: Any, *names: str) -> None:
        """Raise an error for options that do not apply to ``source``.

        Raises:
            OptionError, DataError: one of them is given.
        """
        for name in names:
            value = getattr(self, name)
            if value is not None and value is not False:
                raise self._refusal(source, name)

    def _refusal(self, source: Any, name: str) -> LowerboundError:
        if name == "windows":
            return DataError(
                "only tables and clips (.npz files with an array 'episode') are cut in windows "
                f"(--window), and {source!s:.60} is neither"
            )
        if name == "split":
            return DataError(f"{source!s:.60} has no parts, so no {self.split!r}; leave split out")
        if name == "label":
            return DataError(
                f"only tables have columns, so there is no column {self.label!r} for the label"
            )
        if name == "spectrograms":
            return OptionError(f"spectrograms are of sound, and {source} is no .wav file or folder")
        return OptionError("image_size and resize are for folders of pictures and picture files")

    def labeled(self, found: RawData) -> RawData:
        """The rows with the labels that the caller gave.

        Raises:
            DataError: the label is the name of a column.
        """
        if isinstance(self.label, str):
            self.refuse(found.source, "label")
        if self.label is None:
            return found
        return replace(found, labels=self.label, class_names=None)

    def picture_shape(self) -> tuple[tuple[int, int] | None, int | None, Resize]:
        """(size, channels, resize), from the schema if there is one.

        Raises:
            OptionError: the size is below 1, or not that of the schema.
        """
        size = self.image_size
        size = (size, size) if isinstance(size, int) else size
        schema = self.schema
        if schema is not None and schema.image is not None:
            channels, height, width = schema.event_shape
            if size not in (None, (height, width)):
                raise OptionError(f"the model was fitted on {width}x{height}; leave image_size out")
            return (height, width), channels, self.resize or schema.image.resize
        if size is not None and min(size) < 1:
            raise OptionError(f"image_size must be at least 1, not {self.image_size}")
        return size, None, self.resize or "pad"

    @property
    def gaps(self) -> bool:
        """Whether NaN marks a missing value."""
        return self.missing == "model"

    def encoded(self, raw: RawData) -> Dataset:
        """Encode the rows with the schema, or with a schema learned from them.

        Raises:
            DataError: the rows do not fit the schema, or cannot be modeled.
        """
        raw = raw if self.levels is None else replace(raw, levels=self.levels)
        if self.schema is None or self.schema.columns:
            gaps = self.gaps if self.schema is None else self.schema.missing
            raw = replace(raw, x=array_without_beyond(raw.x, gaps))
        label, target, labeled = self._labels(raw)
        quantities, predicted = self._quantities(raw)
        schema = self.schema or replace(self._learned(raw), **labeled, quantities=predicted)
        packed, observed = schema.pack(raw.x)
        known = None if self.schema is None else schema.data_kind
        return Dataset(
            schema,
            packed,
            observed=observed,
            unseen=None if known is None else known.unseen(schema, raw.x, observed),
            beyond=None if known is None else known.beyond(schema, raw.x, packed),
            label=label,
            target=target,
            quantities=quantities,
            ids=raw.ids,
            source=raw.source,
            factors=None if raw.factors is None else torch.as_tensor(raw.factors, dtype=torch.long),
            factor_names=raw.factor_names,
            factor_values=raw.factor_values,
        )

    def schema_of(self, raw: RawData) -> Schema:
        """The schema that ``encoded`` learns from the rows.

        Raises:
            DataError: the rows cannot be modeled.
        """
        return replace(self._learned(raw), **self._labels(raw)[2])

    def _labels(self, raw: RawData) -> tuple[Tensor | None, Tensor | None, dict[str, Any]]:
        """(classes, regression targets, fields of the schema about them)."""
        known = self.schema
        if raw.labels is None:
            return None, None, {}
        if self.regression if known is None else known.target is not None:
            target, scale = encode_targets(raw.labels, None if known is None else known.target)
            return None, target, {"target": scale}
        names = raw.class_names if known is None else known.class_names
        learned = not names
        label, names = encode_labels(raw.labels, names)
        if learned:
            warn_near_classes(label, names)
        return label, None, {"class_names": names}

    def _quantities(self, raw: RawData) -> tuple[Tensor | None, tuple[Quantity, ...]]:
        """(standardized quantities, what they are); those of an earlier fit are not read again.

        Raises:
            OptionError: rows of this kind have none.
        """
        if not self.predict or self.schema is not None:
            return None, ()
        if not raw.quantities:
            raise OptionError(
                "--predict is for molecules, texts and formulas; the columns of other tables are "
                "modeled together, so leave it out"
            )
        return encode_quantities(raw.quantities)

    def _learned(self, raw: RawData) -> Schema:
        """The schema learned from the rows, by the reader's kind or the newest kind that fits."""
        table = hasattr(raw.x, "columns")
        if not (raw.kind or table):
            raw = replace(raw, x=as_array(raw.x))
        gaps = raw.missing or (table and self.kinds != "real")
        missing = self.missing or ("model" if gaps else "error")
        how = replace(self, missing=missing, binarize=self.binarize or "none")
        kinds = newest_kinds()
        kind = DATA_KINDS[raw.kind]() if raw.kind else next(k for k in kinds if k.holds(raw.x))
        schema = kind.learn(raw, how)
        bits: Binarize = "none" if schema.levels == 2 else self.binarize or "none"
        dialect = raw.dialect or self.dialect
        return replace(
            schema, binarize=bits, missing=how.gaps, windows=self.windows, dialect=dialect
        )
